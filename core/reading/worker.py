"""The process that decodes what users send: `python -m core.reading.worker`, started by `core.reading.process` alone.

It can open no file and no connection, has a limit on memory and processor time, and knows neither the store's address nor
CUDA. With `fork` it imports the decoders once and makes a copy of itself for each worker; with `pipe` it is one worker.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import pkgutil
import signal
import socket
import struct
import sys
from typing import Any, BinaryIO

from core.reading import wire
from core.records import StudyRejected

try:
    import resource
except ImportError:  # Windows sets no limits on a process from within
    resource = None  # type: ignore[assignment]

PID = struct.Struct("<q")
_CHANNEL = 3  # the one file descriptor of a forked worker beside the standard three, which lead nowhere
_DECODERS = (
    "PIL.PngImagePlugin", "PIL.JpegImagePlugin", "PIL.MpoImagePlugin", "PIL.TiffImagePlugin", "PIL.ImageOps",
    "openjpeg", "jpeg_ls", "numpy.lib.format", "zipfile",
)  # fmt: skip
_IMAGECODECS = ("jpeg8", "jpeg", "ljpeg", "jpegls", "jpeg2k", "dicomrle", "packbits")  # it loads each at its first use


def main(arguments: list[str]) -> None:
    """`fork FD MODULE…` serves forks over the socket `FD`; `pipe MEMORY CPU MODULE…` is one worker on standard input."""
    if arguments[0] == "fork":
        _preload(arguments[2:])
        _serve_forks(socket.socket(fileno=int(arguments[1])))
        return
    memory, cpu = int(arguments[1]), int(arguments[2])
    _preload(arguments[3:])
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # a decoder that prints must not print into the answer
        os.dup2(nowhere, standard)
    _work(reader, writer, memory, cpu)


def _preload(modules: list[str]) -> None:
    """Import everything that decoding may need: a worker can open no file, so it can import nothing later."""
    import encodings

    import imagecodecs
    from PIL import Image as Pillow

    import core.reading

    for found in pkgutil.iter_modules(encodings.__path__):
        with contextlib.suppress(ImportError):  # some exist on Windows only
            importlib.import_module(f"encodings.{found.name}")
    Pillow.init()
    for name in _DECODERS:
        with contextlib.suppress(ImportError):  # another release of a decoder may be cut differently
            importlib.import_module(name)
    for codec in _IMAGECODECS:
        getattr(imagecodecs, f"{codec}_decode")
    for found in pkgutil.iter_modules(core.reading.__path__, "core.reading."):
        if found.name != __spec__.name:
            importlib.import_module(found.name)
    for name in modules:
        importlib.import_module(name)


def _serve_forks(control: socket.socket) -> None:
    """Fork a worker for every socket that arrives, and wait for the dead ones that are named; end with the program."""
    children: set[int] = set()
    gc.collect()
    gc.freeze()  # the memory that copies share stays shared
    while True:
        message, received, _, _ = socket.recv_fds(control, 64, 1)
        if not message:
            break
        if message[:1] == b"F":
            memory, cpu = struct.unpack("<qq", message[1:])
            pid = os.fork()
            if pid == 0:
                _become_worker(control, received[0], memory, cpu)
            os.close(received[0])
            children.add(pid)
            control.send(PID.pack(pid))
        else:
            (pid,) = PID.unpack(message[1:])
            children.discard(pid)
            control.send(PID.pack(os.waitpid(pid, 0)[1]))
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _become_worker(control: socket.socket, channel: int, memory: int, cpu: int) -> None:
    """In the forked copy: keep one file descriptor, work until the program hangs up, and end without ceremony."""
    status = 1
    try:
        control.detach()  # its number may be the one that is taken over here
        os.dup2(channel, _CHANNEL)
        os.closerange(_CHANNEL + 1, 4096)
        with socket.socket(fileno=_CHANNEL) as stream:
            _work(stream.makefile("rb", 1 << 20), stream.makefile("wb", 1 << 20), memory, cpu)
        status = 0
    finally:
        os._exit(status)


def _work(reader: BinaryIO | io.BufferedIOBase, writer: BinaryIO | io.BufferedIOBase, memory: int, cpu: int) -> None:
    """Answer one request after the other: [function, arguments] -> ["done", result] or ["refused", StudyRejected]."""
    _limit("RLIMIT_AS", memory)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", 0)  # what is open stays open; nothing else can be, neither file nor connection
    while True:
        try:
            function, arguments = wire.receive(reader)
        except wire.WireError:
            return  # the program hung up
        _allow_cpu(cpu)
        wire.send(writer, _answer(function, arguments))


def _answer(function: str, arguments: dict[str, Any]) -> list[Any]:
    module, name = function.split(":")
    try:
        return ["done", getattr(sys.modules[module], name)(**arguments)]
    except StudyRejected as refused:
        return ["memory", None] if _ran_out_of_memory(refused) else ["refused", refused]
    except MemoryError:
        return ["memory", None]
    except Exception as error:
        return ["refused", StudyRejected(f"The file is damaged ({type(error).__name__}).", "Export or copy it again.")]


def _ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether a lack of memory stands behind a refusal: a limit was met, and the file may be sound."""
    while error is not None:
        if isinstance(error, MemoryError) or "Unable to allocate" in str(error) or "MemoryError" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _limit(name: str, value: int) -> None:
    """Set one limit for good, where the platform knows it and lets us."""
    if resource is not None and hasattr(resource, name):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))


def _allow_cpu(seconds: int) -> None:
    """Give the next file its processor time: the system counts from the process's start, so the limit moves along."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, hard))


if __name__ == "__main__":
    main(sys.argv[1:])
