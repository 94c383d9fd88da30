"""What a decoding process and the program say to each other: JSON and raw numbers, never pickles.

A decoder that was taken over by a hostile file can then answer with a wrong picture at worst: unpickling would let it run
code in the program itself. Records are built by their own classes, which check what they are given.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from typing import Any, BinaryIO

import numpy as np

from core.reading import limits
from core.records import StudyRejected

_KINDS = "buif"  # NumPy's letters for truth values, unsigned, signed and fractional numbers
_HEAD_BYTES = 64 * limits.MIB


class WireError(Exception):
    """The other side ended, or said what makes no sense."""


def send(stream: BinaryIO, content: Any) -> None:
    """Write records, arrays, `StudyRejected`s and plain values, nested in lists, tuples and dictionaries.

    Raises `TypeError` for anything else.
    """
    arrays: list[np.ndarray | bytes] = []
    head = json.dumps(_packed(content, arrays)).encode()
    stream.write(len(head).to_bytes(8, "little") + head)
    for array in arrays:
        stream.write(array if isinstance(array, bytes) else array.reshape(-1).view(np.uint8).data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read what `send` wrote. Raises `WireError` where the stream ends early or announces more than `limits` allow."""
    start = stream.read(8)
    if len(start) != 8:
        raise WireError("the other side has ended")
    size = int.from_bytes(start, "little")
    if size > _HEAD_BYTES:
        raise WireError(f"an answer of {size:,} bytes")
    try:
        head = json.loads(stream.read(size))
        return _unpacked(head, _Arrays(stream))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"an answer that cannot be understood ({type(error).__name__})") from error


class _Arrays:
    """Reads arrays and bytes in the order in which they were sent, and counts them."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = limits.DECODED_BYTES + limits.MIB

    def next(self, dtype: str, shape: list[int]) -> np.ndarray:
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if kind.kind not in _KINDS or min(shape, default=0) < 0:
            raise WireError(f"an array of {kind} {shape}")
        self._count(size)
        array = np.empty(shape, kind)
        _fill(self._stream, memoryview(array.reshape(-1).view(np.uint8)))
        return array

    def next_bytes(self, size: int) -> bytes:
        self._count(size)
        data = self._stream.read(size)
        if len(data) != size:
            raise WireError("the other side has ended")
        return data

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise WireError("more numbers than a file may hold")


def _packed(value: Any, arrays: list[np.ndarray | bytes]) -> Any:
    """JSON for a value; arrays are put aside, everything that JSON does not know becomes {"kind": content}."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
        arrays.append(np.ascontiguousarray(value))
        return {"array": [value.dtype.str, value.shape]}
    if isinstance(value, np.generic) and value.dtype.kind in _KINDS:
        return value.item()
    if isinstance(value, list):
        return [_packed(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_packed(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_packed(key, arrays), _packed(item, arrays)] for key, item in value.items()]}
    if isinstance(value, bytes):
        arrays.append(value)
        return {"bytes": len(value)}
    if isinstance(value, StudyRejected):
        return {"refused": [value.reason, value.hint]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _packed(getattr(value, f.name), arrays) for f in dataclasses.fields(value) if f.init}
        return {"record": [type(value).__module__, type(value).__qualname__, fields]}
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _unpacked(value: Any, arrays: _Arrays) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays.next(*content)
    if kind == "tuple":
        return tuple(_unpacked(item, arrays) for item in content)
    if kind == "dict":
        return {_unpacked(key, arrays): _unpacked(item, arrays) for key, item in content}
    if kind == "bytes":
        return arrays.next_bytes(content)
    if kind == "refused":
        return StudyRejected(*map(str, content))
    if kind == "record":
        module, name, fields = content
        return _record_class(module, name)(**{key: _unpacked(item, arrays) for key, item in fields.items()})
    raise WireError(f"an answer of the unknown kind {kind!r}")


def _record_class(module: str, name: str) -> type:
    """A record's class: one of this program's dataclasses, nothing else that could be called."""
    if module not in ("core.records", "core.window") and not module.startswith("core.reading."):
        raise WireError(f"a record of {module}")
    found = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise WireError(f"{name}, which is no record")
    return found


def _fill(stream: BinaryIO, target: memoryview) -> None:
    position = 0
    while position < len(target):
        count = stream.readinto(target[position:])
        if not count:
            raise WireError("the other side has ended")
        position += count
