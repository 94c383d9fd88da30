"""Query -> pandas table, with the same column types whether there are rows or none."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sqlalchemy import Boolean, Float, Integer, Select, String
from sqlalchemy.orm import Session

# Types that can say "missing" without becoming another type.
_DTYPES = ((Boolean, "boolean"), (Integer, "Int64"), (Float, "Float64"), (String, "str"))


def frame(session: Session, query: Select[Any]) -> pd.DataFrame:
    """The rows of `query`, one column per selected expression, under its own name; missing values are NA."""
    columns = query.selected_columns
    rows = session.execute(query).all()
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = (pd.array(list(cells), dtype=_dtype(column.type)) for column, cells in zip(columns, values, strict=True))
    return pd.DataFrame({column.name: array for column, array in zip(columns, arrays, strict=True)})


def _dtype(kind: Any) -> str:
    return next((dtype for sql_type, dtype in _DTYPES if isinstance(kind, sql_type)), "object")
