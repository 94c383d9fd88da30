"""Where the public data and its published numbers lie; they are beside the checkout, never inside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the public data (../shared/data) is not beside this checkout"
)


def published() -> dict[str, Any]:
    """The numbers that statistics should reproduce, by the file they belong to."""
    return json.loads((DATA / "reference_values.json").read_text())
