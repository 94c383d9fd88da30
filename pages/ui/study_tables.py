"""Tables that the pages about reader studies share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.figures import estimate_text
from core.records import Estimate
from core.statistics.paired import Difference
from core.study_exchange import NOTICE
from core.study_readings import Origin, StudyReadings
from pages.ui.charts import chart
from pages.ui.downloads import table_downloads

FIGURES = {
    "accuracy": "Accuracy", "sensitivity": "Sensitivity", "specificity": "Specificity", "auc": "AUC", "seconds": "Seconds per case",
}  # fmt: skip
FEW_READERS = 4
_WHO = ("reader", "row", "column")  # columns that hold readers
ON_TOP = " Aided seconds were spent in the same sitting, after the unaided ones: they come on top."
SIMULATED = "Simulated readers: no person read these cases. Nothing here says anything about radiologists."


def text(estimate: Estimate | None, digits: int = 2) -> str:
    """An estimate as a cell, '–' where there is none."""
    return "–" if estimate is None else estimate_text(estimate, digits)


def without_n(estimate: Estimate, digits: int = 3) -> str:
    """An estimate as a cell of a table that says n elsewhere."""
    return text(estimate, digits).split(", n =")[0]


def percent(estimate: Estimate | None) -> str:
    """A share as a cell: '45 % (30–61), n = 40'."""
    if estimate is None:
        return "–"
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate_text(estimate)
    value, low, high = (_whole(100 * v) for v in (estimate.value, estimate.low, estimate.high))
    dash = " to " if "−" in low + high else "–"
    return f"{value} % ({low}{dash}{high}), n = {estimate.n:,}"


def _whole(value: float) -> str:
    return f"{round(value) + 0:d}".replace("-", "−")  # + 0: no minus before a zero


def difference_text(difference: Difference) -> str:
    """'+0.04 (−0.01 to 0.09)', or why it is undefined."""
    if difference.value is None:
        return f"undefined: {difference.reason}"
    if difference.low is None or difference.high is None:
        return f"{_thousandths(difference.value):+.3f}, no interval: {difference.reason}".replace("-", "−")
    return f"{_thousandths(difference.value):+.3f} ({difference.low:.3f} to {difference.high:.3f})".replace("-", "−")


def _thousandths(value: float) -> float:
    return round(value, 3) + 0  # no minus before a zero


def p_text(p: float | None) -> str:
    """A p value as a cell."""
    return "–" if p is None else ("< 0.001" if p < 0.001 else f"{p:.3f}")


def say_origin(study: StudyReadings) -> None:
    """What must be said of a study's readers on every page and in every section that shows them."""
    if study.origin == "simulated":
        st.warning(SIMULATED, icon=":material/smart_toy:")


def say_few_readers(readers: int) -> None:
    """The caution that bootstrap intervals of few readers need."""
    if 1 < readers <= FEW_READERS:
        st.caption(
            f":orange[{readers} readers only: resampling cannot show how much readers differ, so these intervals are probably too "
            "narrow.]"
        )


def say_patients(study: StudyReadings) -> None:
    """Where patients have several cases: that intervals beneath take these as independent."""
    cases, patients = len(study.patients), len(set(study.patients.values()))
    if patients < cases:
        st.caption(
            f":orange[{cases:,} cases are of {patients:,} patient{'s' * (patients != 1)}. Cases of one patient are treated as "
            "independent here: intervals are too narrow as far as they resemble each other.]"
        )


class _Has(Protocol):
    @property
    def origin(self) -> Origin: ...

    @property
    def pseudonyms(self) -> Mapping[str, str]: ...


def n_below(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """A table of estimates in which each column has one n, without them, and the sentence that says them: it is narrower.

    Columns whose rows differ in n keep it in their cells.
    """
    columns: dict[str, list[str]] = {}
    for name in table.columns:
        value, given, n = table[name].str.rpartition(", n = ").T.to_numpy()
        if all(given) and len(set(n)) == 1:
            table = table.assign(**{name: value})
            columns.setdefault(n[0], []).append(name if name.isupper() else name[0].lower() + name[1:])
    said = "; ".join(f"{n} for {', '.join(names)}" for n, names in columns.items())
    return table, f"n: {said}." if said else ""


def study_chart(study: _Has, figure: go.Figure, name: str, data: Callable[[], pd.DataFrame]) -> None:
    """A chart of a study with its data as CSV and Parquet; those of simulated readers say so in the picture too."""
    if study.origin == "simulated":
        figure.add_annotation(
            text="Simulated readers", xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="bottom", showarrow=False,
            font={"color": "#d29922"},
        )  # fmt: skip
    chart(figure, name, lambda: given_away(study, data()), parquet=True)


def study_csv(study: _Has, data: Callable[[], pd.DataFrame], name: str, title: str = "") -> None:
    """Figures of a study as CSV and Parquet, as they may leave (see `given_away`)."""
    table_downloads({name: lambda: given_away(study, data())}, title)


def given_away(study: _Has, table: pd.DataFrame) -> pd.DataFrame:
    """A table as it may leave: readers by pseudonym and in their order, whether they are simulated, and the notice."""
    who = [name for name in _WHO if name in table.columns]
    for name in who if study.pseudonyms else ():
        table = table.assign(**{name: [study.pseudonyms.get(cell, cell) for cell in table[name]]})
    if who and study.pseudonyms:  # the alphabet of names would give them away
        table = table.sort_values(who, kind="stable").reset_index(drop=True)
    table = table.assign(simulated=True) if study.origin == "simulated" else table
    return table.assign(notice=NOTICE)


def estimate_rows(found: Mapping[str, Estimate]) -> pd.DataFrame:
    """Figure -> estimate as a table of numbers."""
    names = ("value", "low", "high", "n", "method", "reason")
    return pd.DataFrame(
        [{"figure": figure, **{name: getattr(e, name) for name in names}} for figure, e in found.items()]
    )


def shown(table: pd.DataFrame, name: str, **config: str) -> None:
    """A plain table."""
    st.dataframe(table, hide_index=True, alt=name, column_config=config or None)
