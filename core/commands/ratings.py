"""What the commands about readers share: tables of ratings from files, figures as lines of text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.records import Refused

if TYPE_CHECKING:
    import pandas as pd

_LARGEST = 500_000_000  # bytes


def read_text(path: Path) -> str:
    """A text file (UTF-8, with or without a mark); raises `Refused` in one sentence."""
    try:
        if path.stat().st_size > _LARGEST:
            raise Refused(f"{path.name} is larger than {_LARGEST // 1_000_000} MB.")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise Refused(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as e:
        raise Refused(f"{path.name} cannot be read as text ({type(e).__name__}).") from e


def read_ratings(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """The `columns` (and those of `optional` that are there) of a CSV file, all as text, empty cells as missing.

    Names of columns may differ in case and outer spaces. Raises `Refused` where columns are missing or the file is no CSV.
    """
    import pandas as pd

    try:
        table = pd.read_csv(
            io.StringIO(read_text(path)), dtype=str, keep_default_na=False, na_values=[""], skipinitialspace=True
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as e:
        raise Refused(f"{path.name} is not a CSV file with a header: {str(e).strip()}.") from e
    table.columns = [str(column).strip().lower() for column in table.columns]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        there = ", ".join(table.columns[:10])
        raise Refused(
            f"{path.name} needs the columns {', '.join(columns)}; it lacks {', '.join(missing)} (it has {there})."
        )
    if table.columns.duplicated().any():
        raise Refused(f"{path.name} has the column {table.columns[table.columns.duplicated()][0]} twice.")
    if table.empty:
        raise Refused(f"{path.name} holds no rows.")
    return table[[*columns, *(name for name in optional if name in table.columns)]]


def shown(figure: Any, sign: str = "") -> tuple[str, str]:
    """Value and interval of an `Estimate` or `Difference` as text."""
    if figure.value is None:
        return "undefined", figure.reason
    interval = figure.reason if figure.low is None else f"({figure.low:{sign}.4f} to {figure.high:{sign}.4f})"
    return f"{figure.value:{sign}.4f}", interval


def p_text(p: float | None) -> str:
    """A p value for people."""
    if p is None:
        return ""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"
