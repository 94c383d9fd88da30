"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, all or nothing: a reader sees the old file or the new one, never half of either."""
    draft = path.with_name(path.name + ".part")
    with open(draft, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON, all or nothing. NaN and infinity are refused (ValueError): other readers cannot parse them."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
