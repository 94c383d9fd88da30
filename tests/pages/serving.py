"""The program, or a small script with a part of it, served on a loopback port: for browser tests, benchmarks and the screenshot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
START_S = 120


@contextmanager
def served(
    folder: Path, environment: Mapping[str, str] | None = None, script: Path = ROOT / "streamlit_app.py", *options: str
) -> Iterator[tuple[str, subprocess.Popen]]:
    """`streamlit run script`, its log in the folder: gives address and process, and ends it. Fails with the log."""
    url, server = _started(folder / "server.log", environment, script, options)
    try:
        yield url, server
    finally:
        server.terminate()
        server.wait(20)


def _started(log: Path, environment: Mapping[str, str] | None, script: Path, options: tuple[str, ...]) -> tuple:
    for _ in range(3):  # somebody may take the port between our asking and the server's listening
        port = _free_port()
        command = [sys.executable, "-m", "streamlit", "run", script.name, "--server.port", str(port), *options]
        with open(log, "w") as output:
            server = subprocess.Popen(
                command, cwd=script.parent, env=dict(environment or os.environ), stdout=output, stderr=subprocess.STDOUT
            )
        if _answers(url := f"http://127.0.0.1:{port}", server):
            return url, server
        server.kill()
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(url: str, server: subprocess.Popen) -> bool:
    """Whether it does, before it ends or START_S have passed."""
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return True
        except OSError:
            time.sleep(0.2)
    return False
