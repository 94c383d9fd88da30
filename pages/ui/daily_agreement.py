"""Sections of the agreement page: daily work against the model shown, in groups, reader by reader, and every disagreement."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import streamlit as st

from core import figures, figures_readers
from core.daily_readings import DailyReadings
from core.records import Estimate
from core.statistics.agreement_groups import agreement_by_class, agreement_in_groups, table_of_counts
from core.statistics.agreement_summary import PairStatistic, PairwiseMatrix, of_tables
from core.tasks import TASKS
from db import engine as store
from db import reviews
from db.reviews import ReviewQuery
from pages.ui import agreement_parts, daily_data
from pages.ui.agreement_parts import Rated
from pages.ui.charts import chart
from pages.ui.daily_data import Scope
from pages.ui.downloads import table_downloads
from pages.ui.study_tables import shown, text
from pages.ui.tables import CLICK, clicked_row

PAGE = 25
CLASS = "Class"
_BANDS = ("0–19 %", "20–39 %", "40–59 %", "60–79 %", "80–100 %")
_TITLES = {"birads": "BI-RADS of the source", "patient_age": "Age", "patient_sex": "Sex", "source": "Kind of file"}
_FIGURES = {"raw": "Raw agreement", "kappa": "Cohen's kappa"}
_OF_CLASS = {
    "specific": "Agreement on it", "row": "Reviewer says it: model too", "column": "Model says it: reviewer too",
}  # fmt: skip
Groupings = Mapping[str, Callable[[], pd.Categorical]]


def overview(scope: Scope, counts: pd.DataFrame, task: str) -> None:
    """Reviewers and models, and the table of classes."""
    own = counts[counts["task"] == task]
    classes = TASKS[task].classes
    found = daily_data.readings(scope, task)
    pairs = by_model_and_reviewer(found, task)
    names = dict(zip(own["model_version"], own["model_name"], strict=True))
    rows = pd.DataFrame([
        {"Reviewer": reviewer, "Model": f"{names.get(version, 'Model')} · {version[:8]}", "n": e["raw"].n,
         **{title: text(e[key]) for key, title in _FIGURES.items()}}
        for (reviewer, version), e in pairs.items()
    ])  # fmt: skip
    left, right = st.columns([3, 2], gap="large")
    with left:
        shown(rows, "Agreement by model and reviewer")
        st.caption("95 % intervals are over patients, as under **Groups and time**.")
        table_downloads({"agreement-summary": lambda: long_rows(
            {"reviewer and model": {f"{who}, {names.get(version, '')} {version}": e for (who, version), e in pairs.items()}}
        )})  # fmt: skip
    with right:
        cells = own.groupby(["label", "predicted"], as_index=False)["n"].sum()
        figure = figures.agreement_figure(table_of_counts(own, classes), classes)
        chart(figure, f"matrix-{task}", lambda: cells, file="agreement-classes")


def by_model_and_reviewer(found: DailyReadings, task: str) -> dict[tuple[str, str], Mapping[str, Estimate]]:
    """(reviewer, model version) -> raw agreement and kappa of their readings, with the intervals of `estimates`."""
    reviewer, model = (found.reviews[name].cat for name in ("reviewer", "model"))
    pairs = [f"{i} {j}" for i in range(len(reviewer.categories)) for j in range(len(model.categories))]
    codes = reviewer.codes.to_numpy(np.int64) * len(model.categories) + model.codes.to_numpy(np.int64)
    own = estimates(found, task, lambda: pd.Categorical.from_codes(codes, pairs))
    places = {name: tuple(map(int, name.split())) for name in own}
    named = {(reviewer.categories[i], model.categories[j]): own[name] for name, (i, j) in places.items()}
    return dict(sorted(named.items()))


def groupings(found: DailyReadings, everybody: bool) -> Groupings:
    """Title -> the group of each reading; what a reviewer's own page has no use for is left out."""
    rows = found.reviews

    def confidence() -> pd.Categorical:
        given = rows["confidence"].to_numpy()
        return pd.Categorical.from_codes(np.where(given < 0, 5, np.minimum(given // 20, 4)), [*_BANDS, "missing"])

    def model() -> pd.Categorical:
        return rows["model"].cat.rename_categories({v: v[:8] for v in rows["model"].cat.categories}).array

    choices: dict[str, Callable[[], pd.Categorical]] = {"Month": lambda: rows["month"].array, "Confidence": confidence}
    choices["Model"] = model
    if everybody:
        choices["Reviewer"] = lambda: rows["reviewer"].array
    facts = found.groupings()
    return choices | {_TITLES.get(name, name.replace("_", " ").capitalize()): own for name, own in facts.items()}


def estimates(
    found: DailyReadings, task: str, grouping: Callable[[], pd.Categorical] | None
) -> dict[str, Mapping[str, Estimate]]:
    """Group -> figures; without a grouping, class -> agreement on it. Intervals over patients."""
    label, predicted = found.codes(task)
    known = (label >= 0) & (predicted >= 0)
    label, predicted, patients = label[known], predicted[known], found.patients()[known]
    if grouping is None:
        return agreement_by_class(label, predicted, TASKS[task].classes, patients)
    return agreement_in_groups(label, predicted, grouping()[known], len(TASKS[task].classes), patients)


def groups(scope: Scope, task: str) -> None:
    """Agreement with the model by class, month, confidence, model, reviewer, and what the source states of the case."""
    found = daily_data.readings(scope, task)
    choices: dict[str, Callable[[], pd.Categorical] | None] = {CLASS: None, **groupings(found, not scope.reviewer)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = st.selectbox("Group by", list(choices), index=1, key="agr_by", width=240, persist_state="session")
        by = by if by in choices else CLASS  # kept from another task
        titles = _OF_CLASS if by == CLASS else _FIGURES
        figure = st.segmented_control(
            "Show", list(titles), default=next(iter(titles)), required=True, key=f"agr_figure:{by == CLASS}",
            format_func=titles.get,
        )  # fmt: skip
    own = estimates(found, task, choices[by])
    rows = long_rows({by: own})
    left, right = st.columns([3, 2], gap="large")
    with left:
        picked = {name.replace("_", " "): e[figure] for name, e in own.items()}
        drawn = figures_readers.groups_figure(
            picked, f"{titles[figure]} by {by.lower()}", titles[figure], len(found) if by == CLASS else None
        )
        chart(drawn, f"agr-groups-{by}", lambda: rows, file=f"agreement-by-{by.lower().replace(' ', '-')}")
    with right:
        shown(pd.DataFrame([
            {by: name.replace("_", " "), **{title: text(e[key]) for key, title in titles.items()}} for name, e in own.items()
        ]), "Agreement in groups")  # fmt: skip
        st.caption(
            f"{len(found):,} readings, all there are. 95 % intervals are over patients: readings of one patient by several "
            "people count as one source of chance. Cases of which nothing is stated are in no group."
        )
    table_downloads(
        {"agreement-groups": lambda: long_rows({name: estimates(found, task, one) for name, one in choices.items()})},
        "All groups",
    )


def long_rows(found: Mapping[str, Mapping[str, Mapping[str, Estimate]]]) -> pd.DataFrame:
    """Every estimate of {grouping: {group: {figure: estimate}}} as a row."""
    return pd.DataFrame([
        {"grouping": grouping, "group": group, "figure": figure, "value": e.value, "low": e.low, "high": e.high, "n": e.n,
         "method": e.method, "reason": e.reason}
        for grouping, groups in found.items() for group, own in groups.items() for figure, e in own.items()
    ])  # fmt: skip


def rated(scope: Scope, found: DailyReadings, task: str) -> Rated:
    """Daily work as `agreement_parts` takes it."""

    def with_model(statistic: PairStatistic, positive: str) -> PairwiseMatrix:
        tables = {(f"Model {version[:8]}", name): own for (version, name), own in found.model_tables(task).items()}
        return of_tables(tables, TASKS[task].classes, statistic, positive)

    key = (*daily_data.fingerprint(scope, found), task)
    return Rated(task, key, found.given(), lambda what: found.ratings(task, what), with_model)


def two_by_two(scope: Scope, task: str, part: str) -> None:
    """Coefficients or matrices of all readings."""
    found = daily_data.readings(scope, task)
    if part == "Coefficients" and found.reviews["reviewer"].nunique() < 2:
        st.info("Coefficients among readers need two of them; yours against the model are under **Two by two**.")
        return
    if part == "Coefficients":
        agreement_parts.coefficients(rated(scope, found, task), "agr")
    else:
        agreement_parts.matrices(rated(scope, found, task), "agr")
    taken, several = found.compared()
    last = "" if taken == several else f": the {taken:,} read last, since more would be too much at once"
    patients = len(np.unique(found.patients()))
    st.caption(
        f"From all {len(found):,} readings of {patients:,} patients; cases of one patient are treated as independent here. Readers "
        f"are compared by each one's newest reading of the {several:,} cases that were read more than once{last}."
    )


def disagreements(scope: Scope, task: str) -> None:
    """Readings whose class is not the model's, newest first; a click opens the study."""
    found = daily_data.readings(scope, task)
    label, predicted = found.codes(task)
    ids = found.reviews["id"].to_numpy()[label != predicted][::-1]
    st.subheader(f"Disagreements ({len(ids):,})")
    if not len(ids):
        st.caption("None: every aided reading of this filter names the class that the model named.")
        return
    pages = -(-len(ids) // PAGE)
    number = st.number_input(f"Page of {pages:,}", 1, pages, 1, key="agr_page", width=160) if pages > 1 else 1
    wanted = tuple(ids[(int(number) - 1) * PAGE :][:PAGE].tolist())
    with store.read() as session:
        rows = reviews.list_reviews(
            session, ReviewQuery(reviewer=scope.reviewer, shown_to=scope.shown_to, task=task, ids=wanted)
        )
    event = st.dataframe(
        rows.assign(created_at=rows["created_at"].str[:16].str.replace("T", " ")), hide_index=True, on_select="rerun",
        selection_mode=CLICK, key=f"agr_rows:{number}", placeholder="–", alt="Disagreements",
        column_order=["study_name", "reviewer", "label", "confidence", "model_name", "predicted", "comment", "created_at"],
        column_config={
            "study_name": "Study", "reviewer": "Reviewer", "label": "Reviewer says", "confidence": "Confidence",
            "model_name": "Model", "predicted": "Model says", "comment": "Comment",
            "created_at": st.column_config.TextColumn("Saved (UTC)"),
        },
    )  # fmt: skip
    if (picked := clicked_row(event)) is not None:
        st.switch_page("review.py", query_params={"study": str(rows["study_id"].iloc[picked])})
