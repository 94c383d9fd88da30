"""A decoder that crashes, hangs, overruns or lies costs one file; the program goes on, and nothing is left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from core.reading import process, read_upload
from core.reading.limits import DecodingLimits
from core.reading.process import Pool
from core.records import Image, Study, StudyRejected, Window
from core.settings import CHECKOUT
from tests.core.dicom_factory import make_dicom

HOSTILE = "tests.core.reading.hostile"
SHORT = DecodingLimits(cpu_seconds=1, wall_seconds=20)


@pytest.fixture(scope="module", params=["forked", "started"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Workers with tight limits, as Linux has them and as other platforms do."""
    pool = Pool(SHORT, (HOSTILE,), forked=request.param == "forked")
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def forked() -> Iterator[Pool]:
    """Workers with tight limits."""
    pool = Pool(SHORT, (HOSTILE,), forked=True)
    yield pool
    pool.close()


def call(pool: Pool, name: str, **arguments: object) -> object:
    """Run one of the hostile functions in a worker."""
    return pool.call(f"{HOSTILE}:{name}", **arguments)


def reason(pool: Pool, name: str, **arguments: object) -> str:
    """Why it is refused; each refusal has a hint, and the next file is read."""
    with pytest.raises(StudyRejected) as refusal:
        call(pool, name, **arguments)
    assert refusal.value.hint
    assert call(pool, "echo", value="next") == "next"
    return refusal.value.reason


def test_records_come_back_as_they_were(pool: Pool) -> None:
    """Records, arrays of every kind, and plain values in their nestings survive the way there and back."""
    pixels = np.arange(6, dtype=np.uint16).reshape(2, 3)
    image = Image(pixels, Window(3.0, 6.0, "SIGMOID"), laterality="L", spacing_mm=(0.1, 0.2), frame=4)
    study = Study("id", "name", "MG", (image,), metadata={"a": [1, None, True], "b": (0.5, float("inf"), b"\0x")})
    back = call(pool, "echo", value=[study, np.float32([[1.5]]), np.asfortranarray(pixels), np.int8(-3)])
    assert isinstance(back, list)
    assert (back[0].metadata, back[0].images[0].window) == (study.metadata, image.window)
    assert (back[0].images[0].spacing_mm, back[0].images[0].content_hash) == ((0.1, 0.2), image.content_hash)
    assert (back[1].dtype, back[1].tolist(), back[3]) == (np.float32, [[1.5]], -3)
    assert back[2].tolist() == pixels.tolist()
    assert back[0].images[0].pixels.flags.writeable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("crash", "The file made its decoder crash (SIGSEGV)."),
        ("abort", "The file made its decoder crash (SIGABRT)."),
        ("leave", "The file ended its decoding process unexpectedly."),
        ("recurse", "The file is damaged (RecursionError)."),
    ],
)
def test_a_crash_refuses_one_file(pool: Pool, name: str, expected: str) -> None:
    """Crashes are refusals that say so."""
    assert reason(pool, name) == expected


@pytest.mark.parametrize("name", ["hang", "hang_with_signals_blocked"])
def test_a_hang_ends_in_time(name: str) -> None:
    """A decoder that never answers is ended at its wall-clock limit."""
    pool = Pool(DecodingLimits(wall_seconds=0.5), (HOSTILE,))
    pool.warm()
    start = time.monotonic()
    assert reason(pool, name) == "Decoding the file takes longer than 0.5 seconds."
    assert time.monotonic() - start < 3
    pool.close()


def test_processor_time_is_limited_for_each_file(forked: Pool) -> None:
    """One file may use one second; one worker may use more over several files."""
    pids = {call(forked, "burn", seconds=0.6) for _ in range(4)}
    assert len(pids) == 1
    assert reason(forked, "burn", seconds=30) == "Decoding the file takes more than 1 seconds of processor time."


@pytest.mark.parametrize("name", ["allocate", "allocate_and_hide"])
def test_memory_is_limited(forked: Pool, name: str) -> None:
    """Asking for 4 GiB fails, whatever the reader calls it, and the program's own memory does not grow."""
    before = resident_bytes()
    assert reason(forked, name, gigabytes=4) == "Decoding the file needs more than 3 GiB of memory."
    assert resident_bytes() - before < 64 << 20


def resident_bytes() -> int:
    """Memory that this process uses now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_worker_opens_nothing(forked: Pool, tmp_path: Path) -> None:
    """No file, whether to write or to read, and no connection."""
    target = tmp_path / "target"
    target.write_text("as it was")
    found = call(forked, "reach_out", path=str(target))
    refused = f"OSError {errno.EMFILE}"
    assert found == dict.fromkeys(["write", "append", "read", "folder", "connect"], refused)
    assert target.read_text() == "as it was"


def test_a_worker_knows_nothing_of_the_program(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the store's address nor its libraries, neither CUDA nor PyTorch are in it."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    fresh = Pool(SHORT, (HOSTILE,), forked=pool._forked)
    known = call(fresh, "surroundings")
    fresh.close()
    assert isinstance(known, dict)
    assert not {"DATABASE_URL", "TUMORTRACE_HOME"} & set(known["environment"])
    assert not {"torch", "streamlit", "sqlalchemy", "db", "multiprocessing"} & set(known["modules"])


def test_answers_are_not_believed(forked: Pool) -> None:
    """An answer that names something to call, or announces a terabyte, ends as a refusal."""
    for name in ("lie", "boast"):
        assert reason(forked, name) == "The file ended its decoding process unexpectedly."


def test_a_worker_that_refused_is_not_used_again(forked: Pool) -> None:
    """A good file's worker stays warm; after damage the next file gets another process."""
    first = call(forked, "pid")
    assert call(forked, "pid") == first
    reason(forked, "recurse")
    assert call(forked, "pid") != first


def test_eight_threads_share_two_workers(forked: Pool) -> None:
    """Good files among crashing ones come back whole, each to who asked, and no more than two are under way."""
    seen: set[int] = set()

    def work(number: int) -> object:
        if number % 5 == 4:
            with pytest.raises(StudyRejected):
                call(forked, "crash")
            return None
        value = np.full((50, 50), number, dtype=np.uint16)
        seen.add(threading.get_ident())
        return call(forked, "echo", value=value).max()  # type: ignore[attr-defined]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, range(60)))
    assert results == [None if n % 5 == 4 else n for n in range(60)]
    assert len(seen) > 1
    assert len(forked.pids()) <= 2


def test_killed_processes_are_replaced(forked: Pool) -> None:
    """A worker that somebody ends while it waits, and the process that forks them, cost no file."""
    os.kill(call(forked, "pid"), signal.SIGKILL)  # type: ignore[arg-type]
    time.sleep(0.1)
    assert call(forked, "echo", value=1) == 1
    assert forked._forks is not None
    os.kill(forked._forks._process.pid, signal.SIGKILL)
    for pid in forked.pids():
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert call(forked, "echo", value=2) == 2


def test_what_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, files are refused with that reason rather than decoded in the open."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(StudyRejected, match="cannot start its decoding process"):
        Pool().call("core.reading.studies:decode", name="a", data=b"x")


# A whole program: one that reads a file, says its processes, and ends or is ended

PROGRAM = """
import sys, time
from pathlib import Path
with open(sys.argv[1], "a") as log:
    log.write("run\\n")
from core.reading import process, read_upload
(study,) = read_upload("a.dcm", Path(sys.argv[2]).read_bytes())
print(process.shared()._forks._process.pid, *process.shared().pids(), study.images[0].pixels.max(), flush=True)
if sys.argv[3] == "wait":
    time.sleep(60)
"""


@pytest.mark.parametrize("ending", ["leave", "kill", "interrupt"])
def test_nothing_is_left_behind(tmp_path: Path, ending: str) -> None:
    """A script without a guard around its main part runs once, and takes its processes with it however it ends."""
    (tmp_path / "script.py").write_text(PROGRAM)
    (tmp_path / "a.dcm").write_bytes(make_dicom(np.array([[1, 7]], dtype=np.uint16)))
    log = tmp_path / "log"
    command = [sys.executable, "script.py", str(log), "a.dcm", "leave" if ending == "leave" else "wait"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout
        assert program.stderr
        *pids, top = map(int, program.stdout.readline().split())
        if ending != "leave":
            program.send_signal(signal.SIGKILL if ending == "kill" else signal.SIGINT)
        errors = program.stderr.read()
    assert (top, len(pids), log.read_text()) == (7, 2, "run\n")
    assert "leaked" not in errors
    deadline = time.monotonic() + 5
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_running, pids))


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than a name in the table."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_no_zombie_remains() -> None:
    """Workers that crashed are cleaned up after."""
    pool = Pool(SHORT, (HOSTILE,), forked=True)
    for _ in range(3):
        reason(pool, "crash")
    assert pool._forks
    children = Path(f"/proc/{pool._forks._process.pid}/task/{pool._forks._process.pid}/children").read_text().split()
    assert sorted(map(int, children)) == sorted(pool.pids())
    pool.close()


def test_a_forked_copy_of_the_program_has_workers_of_its_own() -> None:
    """A data loader's process must not talk to its parent's workers."""
    data = make_dicom(np.array([[1, 7]], dtype=np.uint16))
    read_upload("a.dcm", data)
    pid = os.fork()
    if pid == 0:
        fresh = process._shared is None
        worked = read_upload("a.dcm", data)[0].images[0].pixels.max() == 7
        process._end()
        os._exit(0 if fresh and worked else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert read_upload("a.dcm", data)
