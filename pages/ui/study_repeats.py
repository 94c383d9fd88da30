"""Part of the agreement section: readers against their own second readings of the cases that were read twice."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from core import figures_readers
from core.records import Estimate
from core.statistics.agreement_repeats import ALL, RepeatedClasses, RepeatedNumbers, repeated_classes, repeated_numbers
from core.study_readings import StudyReadings, least_between, repeat_ratings
from core.tasks import TASKS
from pages.ui.study_data import computed
from pages.ui.study_tables import say_few_readers, shown, study_chart, without_n


def show(study: StudyReadings, phase: str, key: str) -> None:
    """Agreement of each reader with themselves, and of all together; or how to ask for second readings."""
    if not (study.repeats["phase"] == phase).any():
        st.info(
            "Nobody read a case twice in this phase. When you draw up a reader study, **Cases read twice** asks for it; imports "
            "mark second readings by 1 in the column repeat."
        )
        return
    found = computed(("repeats", study.fingerprint, phase), lambda job: _measured(study, phase))
    if found is None:
        return
    classes, numbers = found
    readers = [name for name in classes if name != ALL]
    say_few_readers(len(readers))
    st.markdown("**Class, first against second reading**")
    shown(pd.DataFrame([_class_row(name, own) for name, own in classes.items()]), "Same class twice")
    if numbers:
        st.markdown("**Likelihood, second less first reading, points**")
        shown(pd.DataFrame([_number_row(name, own) for name, own in numbers.items()]), "Same likelihood twice")
    apart = least_between(study, phase)
    st.caption(
        "Kappa and AC1 are agreement beyond chance; AC1 stays steady where nearly all cases are of one class. ICC(2,1): share of "
        "the spread that lies between cases. 95 % intervals: of a reader over cases; of all readers, whose pairs are taken "
        "together, a bootstrap over cases and readers."
        + ("" if apart is None else f" At least {apart} other readings lay in between.")
    )
    own = {name: classes[name].kappa for name in readers}
    figure = figures_readers.groups_figure(own, "Kappa with themselves", "Kappa")
    study_chart(study, figure, f"{key}-repeats", lambda: pd.DataFrame(_rows(classes, numbers)))


def own(study: StudyReadings, reader: str) -> None:
    """One reader's own second readings, for that reader; nothing where there are none."""
    mine = replace(study, rows=study.rows[study.rows["reader"] == reader])
    rows = []
    for phase in mine.phases:
        if (mine.repeats["phase"] == phase).any():
            classes, numbers = _measured(mine, phase)
            rows.append({"Phase": phase.capitalize(), **_class_row(reader, classes[reader])})
            if reader in numbers:
                rows[-1]["ICC of likelihoods"] = without_n(numbers[reader].icc, 2)
    if rows:
        st.subheader("You and yourself")
        shown(pd.DataFrame(rows).drop(columns="Reader"), "You and yourself")
        st.caption(
            "Some cases came to you twice: your second readings against your first. All else here is of first ones."
        )


def _measured(study: StudyReadings, phase: str) -> tuple[dict[str, RepeatedClasses], dict[str, RepeatedNumbers]]:
    classes = repeated_classes(repeat_ratings(study, phase), TASKS[study.task].classes)
    likelihoods = repeat_ratings(study, phase, "likelihood")
    return classes, repeated_numbers(likelihoods) if likelihoods["rating"].notna().any() else {}


def _title(reader: str) -> str:
    return "All readers" if reader == ALL else reader


def _class_row(reader: str, own: RepeatedClasses) -> dict[str, object]:
    cells = {"Same class": own.raw, "Cohen's kappa": own.kappa, "Gwet's AC1": own.ac1}
    return {"Reader": _title(reader), "Pairs": own.raw.n, **{title: without_n(e, 2) for title, e in cells.items()}}


def _number_row(reader: str, own: RepeatedNumbers) -> dict[str, object]:
    limits = {"Mean": own.limits.bias, "Lower limit": own.limits.lower, "Upper limit": own.limits.upper}
    cells = {title: without_n(e, 1) for title, e in limits.items()}
    return {"Reader": _title(reader), "Pairs": own.icc.n, "ICC(2,1)": without_n(own.icc, 2), **cells}


def _rows(classes: dict[str, RepeatedClasses], numbers: dict[str, RepeatedNumbers]) -> list[dict[str, object]]:
    rows = []
    for reader, own in classes.items():
        parts: dict[str, Estimate] = dict(vars(own))
        if reader in numbers:
            limits = numbers[reader].limits
            parts |= {"icc": numbers[reader].icc, "mean": limits.bias, "lower": limits.lower, "upper": limits.upper}
        rows += [
            {
                "reader": reader,
                "figure": name,
                "value": e.value,
                "low": e.low,
                "high": e.high,
                "n": e.n,
                "method": e.method,
            }
            for name, e in parts.items()
        ]
    return rows
