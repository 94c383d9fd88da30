"""Decoding in child processes: a crash, a hang or too much memory refuses one file, and nothing else happens.

On Linux, one small process imports the decoders once and forks a worker when one is needed (some milliseconds). It is a
program of its own rather than `multiprocessing`'s fork server, which would import the program's main script again and
answer in pickles. Elsewhere each worker is started afresh, and the limits on memory and processor time hold as far as the
platform has them (macOS does not limit address space, Windows neither): the wall clock and a crash are caught everywhere.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from core.reading import limits, wire
from core.reading.limits import DecodingLimits
from core.reading.worker import PID
from core.records import StudyRejected
from core.settings import CHECKOUT

_log = logging.getLogger(__name__)

# A worker is told nothing else of its surroundings: no address of the store, no secret.
_ENVIRONMENT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "VIRTUAL_ENV", "PYTHONHOME")
_HINT = "Export it again, uncompressed if possible."
_RETIRE_BYTES = 256 * limits.MIB  # after such an answer a worker's memory is in pieces: the next file gets a fresh one


class Pool:
    """Worker processes that are started when needed, kept warm, and replaced after every file that they refuse.

    A damaged file may have left a decoder's memory damaged too, and the next patient's picture must not come out of that.
    Safe to use from several threads: `limits.processes` files are decoded at a time, the others wait. `modules` are imported
    in the workers beside the readers. `forked` False starts each worker afresh, as on platforms other than Linux.
    """

    def __init__(
        self, bounds: DecodingLimits = limits.DECODING, modules: tuple[str, ...] = (), *, forked: bool | None = None
    ) -> None:
        self.limits = bounds
        self._modules = modules
        self._forked = sys.platform == "linux" if forked is None else forked
        self._slots = threading.BoundedSemaphore(bounds.processes)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._forks: _ForkServer | None = None

    def call(self, function: str, **arguments: Any) -> Any:
        """The result of `function` ("package.module:name") with these arguments, computed in a worker.

        Raises `StudyRejected` where it does, and where it crashes, hangs or runs out of memory.
        """
        with self._slots:
            worker = self._take()
            try:
                answer, result = worker.ask(function, arguments, self.limits)
            except BaseException:
                worker.kill()
                raise
            if answer == "done" and not _is_large(result):
                with self._lock:
                    self._idle.append(worker)
            else:
                worker.kill()
            if answer == "refused":
                raise result
            if answer == "memory":
                raise StudyRejected(
                    f"Decoding the file needs more than {self.limits.memory_bytes / 2**30:g} GiB of memory.",
                    "Split it up or export it smaller.",
                )
            return result

    def warm(self) -> None:
        """Start what takes a second now, so that the first file need not wait."""
        with self._slots:
            worker = self._take()
            with self._lock:
                self._idle.append(worker)

    def pids(self) -> list[int]:
        """Process ids of the workers that wait for work."""
        with self._lock:
            return [worker.pid for worker in self._idle]

    def close(self) -> None:
        """End all processes; a later call starts new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
            forks, self._forks = self._forks, None
        for worker in idle:
            worker.kill()
        if forks:
            forks.close()

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                worker.kill()
        try:
            return self._start()
        except (OSError, wire.WireError):
            with self._lock:  # the fork server may have been killed: a new one gets one chance
                forks, self._forks = self._forks, None
            if forks:
                forks.close()
        try:
            return self._start()
        except (OSError, wire.WireError) as error:
            _log.exception("The process that decodes files does not start.")
            raise StudyRejected(
                "The file was not read: the program cannot start its decoding process.", "Try again later."
            ) from error

    def _start(self) -> _Worker:
        if not self._forked:
            return _started_worker(self._modules, self.limits)
        with self._lock:
            if self._forks is None:
                self._forks = _ForkServer(self._modules)
            forks = self._forks
        return forks.fork(self.limits)


class _Worker:
    """One worker, seen from the program: its process id and the two ends of its channel."""

    def __init__(self, pid: int, reader: Any, writer: Any, reap: Any) -> None:
        self.pid = pid
        self._reader: BinaryIO = reader
        self._writer: BinaryIO = writer
        self._reap = reap  # gives the wait status of the dead process
        self._status: int | None = None
        self._lock = threading.Lock()

    def ask(self, function: str, arguments: dict[str, Any], bounds: DecodingLimits) -> tuple[str, Any]:
        """("done" | "refused" | "memory", result); raises `StudyRejected` when the worker died over it."""
        with self._deadline(bounds.wall_seconds) as overdue:
            try:
                wire.send(self._writer, [function, arguments])
                answer, result = wire.receive(self._reader)
            except (OSError, ValueError, wire.WireError) as error:
                status = self.kill()
                if overdue.is_set():
                    text = f"Decoding the file takes longer than {bounds.wall_seconds:g} seconds."
                    raise StudyRejected(text, _HINT) from None
                raise _died(status, bounds, error) from None
        return answer, result

    def is_alive(self) -> bool:
        """False where the worker was ended from outside while it waited: its channel has then something to say, the end."""
        return os.name != "posix" or not select.select([self._reader], [], [], 0)[0]

    def kill(self) -> int | None:
        """End the process and clean up after it; gives its wait status."""
        with self._lock:
            if self._status is None:
                with contextlib.suppress(OSError):
                    os.kill(self.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
                self._status = self._reap(self.pid)
        for stream in (self._writer, self._reader):
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        return self._status

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[threading.Event]:
        overdue = threading.Event()

        def expire() -> None:
            overdue.set()
            with contextlib.suppress(OSError):  # the thread that waits for the answer sees the channel end
                os.kill(self.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield overdue
        finally:
            timer.cancel()


class _ForkServer:
    """The process that has imported the decoders and forks the workers."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "core.reading.worker", "fork", str(theirs.fileno()), *modules]
        nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        try:
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], **nowhere, **_surroundings())
        except OSError:
            self._control.close()
            raise
        finally:
            theirs.close()
        self._lock = threading.Lock()

    def fork(self, bounds: DecodingLimits) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            message = b"F" + struct.pack("<qq", bounds.memory_bytes, bounds.cpu_seconds)
            try:
                socket.send_fds(self._control, [message], [theirs.fileno()])
                pid = self._answer()
            except BaseException:
                ours.close()
                raise
        with ours:  # the streams keep it open
            return _Worker(pid, ours.makefile("rb", 1 << 20), ours.makefile("wb", 1 << 20), self._reap)

    def _reap(self, pid: int) -> int | None:
        with self._lock, contextlib.suppress(OSError, wire.WireError):
            self._control.send(b"W" + PID.pack(pid))
            return self._answer()
        return None  # the fork server is gone, and its workers with it

    def _answer(self) -> int:
        answer = self._control.recv(PID.size)
        if len(answer) != PID.size:
            raise wire.WireError("the fork server has ended")
        return PID.unpack(answer)[0]

    def close(self) -> None:
        self._control.close()  # it ends when nobody is left to serve
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _started_worker(modules: tuple[str, ...], bounds: DecodingLimits) -> _Worker:
    """A worker that is a program of its own, over its standard input and output."""
    numbers = [str(bounds.memory_bytes), str(bounds.cpu_seconds)]
    process = subprocess.Popen(
        [sys.executable, "-m", "core.reading.worker", "pipe", *numbers, *modules],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, **_surroundings(),
    )  # fmt: skip
    reader = process.stdout if isinstance(process.stdout, io.BufferedReader) else io.BufferedReader(process.stdout)

    def reap(_: int) -> int:
        code = process.wait()
        return -code if code < 0 else code << 8  # as `os.waitpid` says it

    return _Worker(process.pid, reader, process.stdin, reap)


def _surroundings() -> dict[str, Any]:
    known = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    # A session of its own: Ctrl+C in a terminal is for the program, which then ends its workers.
    return {"cwd": CHECKOUT, "env": known | quiet, "stderr": subprocess.DEVNULL, "start_new_session": True}


def _died(status: int | None, bounds: DecodingLimits, error: Exception) -> StudyRejected:
    """Why a worker ended over a file, in a sentence."""
    number = 0 if status is None or status & 0x7F == 0 else status & 0x7F
    if hasattr(signal, "SIGXCPU") and number == signal.SIGXCPU:
        return StudyRejected(
            f"Decoding the file takes more than {bounds.cpu_seconds} seconds of processor time.", _HINT
        )
    if number and not (isinstance(error, wire.WireError) and number == signal.SIGKILL):
        return StudyRejected(f"The file made its decoder crash ({signal.Signals(number).name}).", _HINT)
    return StudyRejected("The file ended its decoding process unexpectedly.", _HINT)


def _is_large(result: Any) -> bool:
    holders = result if isinstance(result, list) else [result]
    images = (image for holder in holders for image in getattr(holder, "images", ()))
    return sum(image.pixels.nbytes for image in images) > _RETIRE_BYTES


_shared: Pool | None = None
_shared_lock = threading.Lock()


def shared() -> Pool:
    """The pool of this program, which ends with it."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Pool(modules=("core.deidentify.copies",))  # which imports the readers: named, not imported here
        return _shared


def _forget() -> None:
    """In a forked copy of the program (a data loader's, say): the workers belong to the original."""
    global _shared, _shared_lock
    _shared, _shared_lock = None, threading.Lock()


@atexit.register
def _end() -> None:
    if _shared is not None:
        _shared.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
