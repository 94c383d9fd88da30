"""Sections of the agreement page: daily work against the model shown, from counts; two by two, from the newest readings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from core import figures, figures_readers
from core.statistics.agreement import cohen_kappa_from_table, raw_agreement_from_table
from core.statistics.agreement_groups import agreement_by_class, agreement_in_groups, table_of_counts
from core.study_readings import StudyReadings, normalised
from core.tasks import TASKS
from db import engine as store
from db import review_counts
from db.review_counts import NEWEST
from db.users import User
from pages.ui import agreement_parts
from pages.ui.charts import chart, csv
from pages.ui.study_tables import shown, text

BANDS = {-1: "not given", 0: "0–19 %", 1: "20–39 %", 2: "40–59 %", 3: "60–79 %", 4: "80–100 %"}
_COUNTED = ("model_version", "model_name", "task", "reviewer", "predicted", "label")


@dataclass(frozen=True)
class Scope:
    """Whose readings: everybody's for a lead, one's own for a reviewer, less what is still read blind in a reader study."""

    reviewer: str = ""
    shown_to: str = ""

    @staticmethod
    def of(user: User) -> Scope:
        """What that person may see."""
        return Scope() if user.role == "lead" else Scope(user.name, user.name)


def counts(scope: Scope, by: tuple[str, ...] = _COUNTED, task: str = "") -> pd.DataFrame:
    """Numbers of current readings, see `db.review_counts`."""
    with store.read() as session:
        return review_counts.review_counts(session, by, reviewer=scope.reviewer, shown_to=scope.shown_to, task=task)  # type: ignore[arg-type]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per model, task and reviewer: n, raw agreement and Cohen's kappa."""
    rows = []
    for (model, version, task, reviewer), own in table.groupby(["model_name", "model_version", "task", "reviewer"]):
        square = table_of_counts(own, TASKS[task].classes)
        rows.append(
            {
                "Model": f"{model} · {version[:8]}",
                "Task": TASKS[task].title,
                "Reviewer": reviewer,
                "n": int(square.sum()),
                "Raw agreement": figures.estimate_text(raw_agreement_from_table(square)),
                "Cohen's kappa": figures.estimate_text(cohen_kappa_from_table(square)),
            }
        )
    return pd.DataFrame(rows)


def overview(table: pd.DataFrame, task: str) -> None:
    """Reviewers and models, the table of classes, and agreement by class."""
    own = table[table["task"] == task]
    rows = summary(own)
    st.dataframe(rows, hide_index=True, alt="Agreement by model and reviewer")
    csv(lambda: rows, "agreement-summary")
    classes = TASKS[task].classes
    square = table_of_counts(own, classes)
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.plotly_chart(figures.agreement_figure(square, classes), key=f"matrix-{task}")
    with right:
        st.markdown("**By class**")
        found = agreement_by_class(square, classes)
        shown(pd.DataFrame([
            {"Class": name.replace("_", " "), "Agreement on it": text(e["specific"]), "Reviewer says it: model too": text(e["row"]),
             "Model says it: reviewer too": text(e["column"])}
            for name, e in found.items()
        ]), "Agreement by class")  # fmt: skip
        st.caption(
            "Every reading counts for itself: where several people read the same case, the true intervals are wider than these."
        )


def groups(scope: Scope, task: str) -> None:
    """Agreement with the model by confidence, month, model and reviewer."""
    titles = {"band": "Confidence", "month": "Month", "model_version": "Model", "reviewer": "Reviewer"}
    if scope.reviewer:
        del titles["reviewer"]
    with st.container(horizontal=True):
        by = st.segmented_control(
            "Group by", list(titles), default="month", required=True, format_func=titles.get, key="agr_by"
        )
        figure = st.segmented_control(
            "Show", ["raw", "kappa"], default="raw", required=True, key="agr_figure",
            format_func={"raw": "Raw agreement", "kappa": "Cohen's kappa"}.get,
        )  # fmt: skip
    table = counts(scope, (by, "predicted", "label"), task)
    if by == "band":
        table = table.assign(band=[f"{band + 1} · {BANDS[band]}" for band in table["band"]])
    if by == "model_version":
        table = table.assign(model_version=table["model_version"].str[:8])
    found = agreement_in_groups(table, by, TASKS[task].classes)
    picked = {name.split(" · ")[-1]: e[figure] for name, e in found.items()}
    label = {"raw": "Raw agreement", "kappa": "Cohen's kappa"}[figure]
    rows = pd.DataFrame([{titles[by]: name, label: text(e)} for name, e in picked.items()])
    left, right = st.columns([3, 2], gap="large")
    with left:
        drawn = figures_readers.groups_figure(picked, f"{label} by {titles[by].lower()}", label)
        chart(drawn, f"agr-groups-{by}", lambda: rows)
    with right:
        st.dataframe(rows, hide_index=True, alt="Agreement in groups")


def newest(scope: Scope, task: str) -> tuple[StudyReadings, dict[str, np.ndarray]] | None:
    """The newest readings as one study, and each model's classes of its cases; None without readings."""
    with store.read() as session:
        table = review_counts.newest_ratings(session, task, reviewer=scope.reviewer, shown_to=scope.shown_to)
    if table.empty:
        return None
    table = table.drop_duplicates(["study_id", "reviewer"])  # newest first: somebody's aided reading stands for both
    rows = normalised(table.rename(columns={"study_id": "case", "reviewer": "reader"}).assign(phase="aided"))
    cases = list(dict.fromkeys(rows["case"]))
    places = {name: place for place, name in enumerate(TASKS[task].classes)}
    models = {}
    for version, own in table.groupby("model_version"):
        said = own.drop_duplicates("study_id").set_index("study_id")["predicted"]
        models[f"Model {version[:8]}"] = said.reindex(cases).map(places).fillna(-1).to_numpy(np.int64)
    return StudyReadings("Daily work", task, rows), models


def two_by_two(scope: Scope, task: str, part: str) -> None:
    """Coefficients or matrices of the newest readings."""
    found = newest(scope, task)
    if found is None:
        st.info("There are no readings of this task with a model's result.")
        return
    study, models = found
    if part == "Coefficients" and len(study.readers) < 2:
        st.info("Coefficients among readers need two of them; yours against the model are under **Two by two**.")
    elif part == "Coefficients":
        agreement_parts.coefficients(study, "aided", "agr")
    else:
        agreement_parts.matrices(study, "aided", "agr", models)
    st.caption(
        f"From the newest {len(study.readings):,} readings{' (the limit)' if len(study.readings) >= NEWEST else ''}."
    )
