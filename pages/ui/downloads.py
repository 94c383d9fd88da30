"""A table to take away, as CSV and as Parquet; it is made when asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import pandas as pd
import streamlit as st


def table_downloads(tables: Mapping[str, Callable[[], pd.DataFrame]], title: str = "") -> None:
    """Two small buttons for each file name in `tables`, which may not stand twice on a page; `title` comes before them."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if title:
            st.markdown(f":gray[{title}]", width="content")
        for name, table in tables.items():
            _button("CSV", lambda table=table: table().to_csv(index=False).encode(), f"{name}.csv", "text/csv")
            _button(
                "Parquet", lambda table=table: parquet(table()), f"{name}.parquet", "application/vnd.apache.parquet"
            )


def parquet(table: pd.DataFrame) -> bytes:
    """The table as a Parquet file."""
    out = io.BytesIO()
    table.to_parquet(out, index=False)
    return out.getvalue()


def _button(label: str, data: Callable[[], bytes], name: str, mime: str) -> None:
    st.download_button(
        label, data, f"tumortrace-{name}", mime, key=f"dl:{name}", type="tertiary", icon=":material/download:",
        on_click="ignore",
    )  # fmt: skip
