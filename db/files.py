"""Files that are whole or absent: written beside their place, flushed to the disk, then renamed into it."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from db.engine import StoreError

_SHA256 = re.compile(r"[0-9a-f]{64}")


def checked_hash(value: str) -> str:
    """`value` if it is a SHA-256 in lower-case hex, so that it may become a file name; else `ValueError`."""
    if not _SHA256.fullmatch(value):
        raise ValueError(f"not a SHA-256 in hex: {value[:80]!r}")
    return value


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which stands at `path` after the block; if the block or the disk fails, nothing does.

    Raises `StoreError` when the disk fails.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StoreError("The store's disk is full, so nothing was saved.") from error
        raise StoreError(f"A file of the store cannot be written ({error.strerror}), so nothing was saved.") from error
    finally:
        with suppress(OSError):  # after success it is gone already
            draft.unlink()


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entries: a rename survives a power cut only then."""
    if os.name != "posix":  # Windows cannot open a folder, and needs no such flush
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
