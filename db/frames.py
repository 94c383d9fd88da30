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
    result = session.execute(query)
    table = pd.DataFrame(result.all(), columns=list(result.keys()), dtype=object)
    return table.astype({column.name: _dtype(column.type) for column in query.selected_columns})


def _dtype(kind: Any) -> str:
    return next((dtype for sql_type, dtype in _DTYPES if isinstance(kind, sql_type)), "object")
