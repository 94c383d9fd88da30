"""A chart as every dashboard shows it: picture download in the chart's own menu, its data as CSV beneath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.ui.downloads import table_downloads

_FORMAT = "chart_format"


def format_choice() -> None:
    """Which kind of file the camera in a chart's corner saves. The browser makes it: nothing is sent anywhere."""
    st.segmented_control(
        "Chart files", ["svg", "png"], default="svg", required=True, format_func=str.upper, key=_FORMAT,
        persist_state="session", label_visibility="collapsed", help="What the camera in a chart's corner saves.",
    )  # fmt: skip


def chart(
    figure: go.Figure,
    name: str,
    data: Callable[[], pd.DataFrame],
    *,
    file: str = "",
    on_select: Callable[[], None] | None = None,
    parquet: bool = False,
) -> None:
    """Show a figure under the key `name`; `data` is called only when its CSV (or, where offered, its Parquet) is asked for.

    `file` names the downloads (by default `name`); `on_select` is called when a point is clicked.
    """
    file = file or name
    options: dict[str, Any] = {"on_select": on_select, "selection_mode": "points"} if on_select else {}
    config = {
        "displaylogo": False,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        "toImageButtonOptions": {
            "format": st.session_state.get(_FORMAT) or "svg", "filename": f"tumortrace-{file}", "scale": 2,
        },
    }  # fmt: skip
    st.plotly_chart(figure, key=name, config=config, **options)
    if parquet:
        table_downloads({file: data})
    else:
        csv(data, name, file)


def csv(data: Callable[[], pd.DataFrame], name: str, file: str = "") -> None:
    """A small download of a table; it is made when asked for."""
    st.download_button(
        "CSV", lambda: data().to_csv(index=False).encode(), f"tumortrace-{file or name}.csv", "text/csv",
        key=f"csv:{name}", type="tertiary", icon=":material/download:", on_click="ignore", help="The data of this chart",
    )  # fmt: skip
