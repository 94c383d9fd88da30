"""What a broken or hostile decoder might do; run inside decoding processes by the tests of `core.reading.process`."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

import numpy as np


def echo(value: Any) -> Any:
    """Give back what came."""
    return value


def pid() -> int:
    """The worker's process id."""
    return os.getpid()


def hang() -> None:
    """Wait for ever, without using the processor."""
    threading.Event().wait()


def hang_with_signals_blocked() -> None:
    """Wait for ever, deaf to polite requests."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    threading.Event().wait()


def burn(seconds: float) -> int:
    """Use the processor for some seconds; gives the process id."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return os.getpid()


def allocate(gigabytes: float) -> int:
    """Ask for memory and touch it."""
    return int(np.ones(int(gigabytes * 2**30), dtype=np.uint8)[-1])


def allocate_and_hide(gigabytes: float) -> int:
    """Run out of memory inside a reader that calls everything damage."""
    from core.records import StudyRejected

    try:
        return allocate(gigabytes)
    except Exception as error:
        raise StudyRejected(f"The file is damaged ({type(error).__name__}).", "Copy it again.") from error


def crash() -> None:
    """Read memory that is not there, as a decoder with a bug does."""
    ctypes.string_at(0)


def abort() -> None:
    """End as C libraries do that meet what they never expected."""
    os.abort()


def leave() -> None:
    """End the process without an answer."""
    os._exit(3)


def recurse(depth: int = 0) -> int:
    """Never come back."""
    return recurse(depth + 1)


def lie() -> None:
    """Answer with a record of what is no record: a call of `os.system`."""
    head = b'["done", {"record": ["os", "system", {"command": "true"}]}]'
    os.write(3, len(head).to_bytes(8, "little") + head)
    hang()


def boast() -> None:
    """Announce an array of a terabyte."""
    head = b'["done", {"array": ["|u1", [1099511627776]]}]'
    os.write(3, len(head).to_bytes(8, "little") + head)
    hang()


def reach_out(path: str) -> dict[str, str]:
    """Try to open files and connections; what came of each."""
    attempts = {
        "write": lambda: os.open(path, os.O_WRONLY | os.O_TRUNC),
        "append": lambda: os.open(path, os.O_WRONLY | os.O_APPEND),
        "read": lambda: os.open(path, os.O_RDONLY),
        "folder": lambda: os.listdir(os.path.dirname(path)),
        "connect": lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
    }
    found = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            found[name] = "done"
        except OSError as error:
            found[name] = type(error).__name__ + f" {error.errno}"
    return found


def surroundings() -> dict[str, Any]:
    """What a worker knows: variables of its environment, loaded modules."""
    return {"environment": dict(os.environ), "modules": sorted(sys.modules)}
