"""Small pictures of runs' cases, outside the database: one file per run, named after its content."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from core import settings
from core.records import Refused
from db.engine import StoreError
from db.files import checked_hash, whole_file


def thumbnail_file(content_hash: str) -> Path:
    """Where the file with that SHA-256 is kept; `ValueError` if it is not one in hex."""
    return settings.home() / "thumbnails" / checked_hash(content_hash)[:2] / f"{content_hash}.zip"


def put_thumbnails(source: Path, content_hash: str) -> bool:
    """Copy a run's file of thumbnails into the store; False when it was there already.

    `Refused` when the file's SHA-256 is not `content_hash`; `StoreError` when it cannot be read or written.
    """
    try:
        with source.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != content_hash:
                raise Refused(f"{source.name} is not the file its run was made with; evaluate again.")
            target = thumbnail_file(content_hash)
            if target.exists():
                return False
            file.seek(0)
            with whole_file(target) as copy:
                shutil.copyfileobj(file, copy)
    except OSError as error:
        raise StoreError(f"The pictures in {source.name} cannot be read ({error.strerror}).") from error
    return True
