"""Heatmaps as NPZ files: the raw values and one JSON text that says what they are."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
import zlib
from pathlib import Path

import numpy as np

from core.explain.provenance import provenance
from core.records import Heatmap, Refused

FORMAT = 1
MADE = 1  # part of the name of a map that is kept: counted up when a method makes other maps than before
_DAMAGE = (
    OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, NotImplementedError, MemoryError,
    OverflowError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def save_heatmap(heatmap: Heatmap, path: Path) -> None:
    """Write one heatmap, all or nothing: `values` float32 (h, w), and its `provenance` as JSON in `metadata`.

    Raises `TypeError` when its parameters are not JSON-safe; an existing file is then left as it was.
    """
    text = json.dumps({"format": FORMAT, **provenance(heatmap)}, default=dict, allow_nan=False)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}.part")
    try:
        with open(draft, "xb") as file:
            np.savez_compressed(file, values=heatmap.values, metadata=np.array(text))
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def load_heatmap(path: Path) -> Heatmap:
    """Read a heatmap written by `save_heatmap`; raises `Refused` in one sentence when it is absent, damaged or not one."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            if archive.zip.testzip() is not None:  # NumPy itself does not compare the checksums
                raise ValueError("checksum")
            values, facts = archive["values"], json.loads(str(archive["metadata"]))
        if facts.pop("format") != FORMAT:
            raise ValueError("format")
        known = Heatmap.__dataclass_fields__.keys() - {"values"}
        return Heatmap(values=values, **{name: facts[name] for name in known})
    except FileNotFoundError:
        raise Refused(f"There is no heatmap file {path.name}.") from None
    except _DAMAGE as e:
        raise Refused(f"{path.name} is not a heatmap file, or is damaged; explain the image again.") from e
