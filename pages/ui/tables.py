"""Tables of which a click on any cell opens the row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLICK = "single-cell"  # a selection mode: Streamlit's rows can only be chosen by their small boxes, cells by a click anywhere


def clicked_row(event: Mapping[str, Any]) -> int | None:
    """Number of the row that was clicked, in the order of the data, or None."""
    selection = event["selection"]
    if cells := selection.get("cells"):
        return int(cells[0][0])
    return int(selection["rows"][0]) if selection.get("rows") else None
