"""How far readers and model agree: coefficients with a sentence each, matrices, groups of cases. For studies and daily work."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import streamlit as st

from core import figures_readers
from core.daily_readings import CATEGORIES, MOST_GROUPS, fact_group
from core.records import BIRADS_ORDERED, Estimate
from core.statistics.agreement_groups import reader_agreement_in_groups
from core.statistics.agreement_numbers import limits_of_agreement
from core.statistics.agreement_summary import (
    PAIR_STATISTICS,
    PairStatistic,
    PairwiseMatrix,
    against,
    agreement_summary,
    coefficient_names,
    pairwise,
)
from core.statistics.agreement_table import Ratings
from core.statistics.subgroups import bands
from core.study_readings import Origin, StudyReadings, What, model_codes, ratings_of
from core.tasks import TASKS, Task
from pages.ui import study_repeats
from pages.ui.study_data import computed
from pages.ui.study_tables import estimate_rows, say_patients, shown, study_chart, study_csv, text

MEANINGS = {
    "percent agreement": "Share of pairs of readers who say the same of a case. Agreement by chance is in it.",
    "Fleiss' kappa": "Agreement beyond chance, where chance draws from everybody's answers together. Falls when one class is rare.",
    "Conger's kappa": "As Fleiss', but chance follows each reader's own habits; Cohen's kappa for two readers.",
    "Gwet's AC1": "Agreement beyond chance that stays steady when nearly all cases are of one class.",
    "Gwet's AC2": "AC1 with partial credit for answers close to each other.",
    "Brennan–Prediger": "Agreement beyond chance, where chance takes every class equally often.",
    "Krippendorff's alpha": "1 less observed over expected disagreement; takes missing readings and small samples into account.",
    "ICC(2,1)": "Share of the spread of numbers that lies between cases, not between readers.",
    "agreement on": "How often another reader says this class too, where one does.",
}
_PAIRS = {
    "raw": "Raw agreement", "kappa": "Cohen's kappa", "linear": "Kappa, linear weights", "quadratic": "Kappa, quadratic weights",
    "positive": "Positive agreement", "negative": "Negative agreement",
}  # fmt: skip
_WHAT = {"label": "Class", "birads": "BI-RADS", "likelihood": "Likelihood"}
_LEVELS = {"label": "nominal", "birads": "ordinal", "likelihood": "interval"}
_CERTAINTY = (0.6, 0.7, 0.8, 0.9)  # of the model, in its class


@dataclass(frozen=True)
class Rated:
    """What agreement among readers is counted of: one phase of a reader study, or daily work.

    `key` holds the fingerprint of all that goes in; `given` is what readers said anything of; `with_model` gives the statistic of
    every model with every reader. Both functions may be slow. `pseudonyms` (reader -> name) are what files call readers.
    """

    task: str
    key: tuple[str, ...]
    given: tuple[What, ...]
    ratings: Callable[[What], Ratings]
    with_model: Callable[[PairStatistic, str], PairwiseMatrix]
    origin: Origin = "study"
    pseudonyms: Mapping[str, str] = field(default_factory=dict)


def of_study(study: StudyReadings, phase: str) -> Rated:
    """A phase of a reader study."""

    def with_model(statistic: PairStatistic, positive: str) -> PairwiseMatrix:
        ratings = ratings_of(study, phase)
        return against(ratings, {"Model": model_codes(study, ratings)}, statistic, positive)

    given: tuple[What, ...] = ("label", "birads", "likelihood")
    there = tuple(what for what in given if (study.readings[what].notna() & (study.readings[what] != "")).any())
    key = (study.fingerprint, phase)
    return Rated(
        study.task, key, there, lambda what: ratings_of(study, phase, what), with_model, study.origin, study.pseudonyms
    )


def coefficients(rated: Rated, key: str) -> None:
    """The coefficients that are asked for, with n, interval and a sentence on each; others are not computed."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        what: What = st.segmented_control(
            "Agreement on", rated.given, default=rated.given[0], required=True, format_func=_WHAT.get, key=f"{key}_what"
        )
        task = TASKS[rated.task]
        positive = (task.positive or "") if what == "label" else ""
        names = coefficient_names(_LEVELS[what], CATEGORIES.get(what, task.classes), positive)
        chosen = st.multiselect("Coefficients", names, default=_usual(names, what), key=f"{key}_which:{what}")

    def work(_: object) -> tuple[dict[str, Estimate], Ratings]:
        ratings = rated.ratings(what)
        ordered = BIRADS_ORDERED if what == "birads" else ()
        asked = tuple(chosen) or names[:1]  # nothing at all would mean everything
        return agreement_summary(ratings, _LEVELS[what], positive, ordered=ordered, only=asked), ratings

    result = computed(("coefficients", *rated.key, what, *sorted(chosen)), work)
    if result is None:
        return
    found, ratings = result
    if chosen:
        rows = [{"Coefficient": name, "Value": text(found[name], 3)} for name in chosen]
        shown(pd.DataFrame(rows), "Agreement coefficients")
        meanings: dict[str, list[str]] = {}  # beneath: as a column they are cut off in a narrow window
        for name in chosen:
            meanings.setdefault(_meaning(name), []).append(name)
        st.caption("  \n".join(f"**{', '.join(names)}**: {words}" for words, names in meanings.items()))
        study_csv(rated, lambda: estimate_rows(found), f"{key}-coefficients-{what}")
    st.caption(f"{len(ratings.readers):,} readers, {len(ratings.cases):,} cases; 95 % intervals over cases.")
    if what == "birads":
        _say_unordered(ratings)
    if what == "likelihood" and len(ratings.readers) > 1:
        _limits(ratings, key)


def _say_unordered(ratings: Ratings) -> None:
    """BI-RADS 0 and 6 are no degrees of suspicion."""
    left = ratings.given - ratings.only(BIRADS_ORDERED).given
    if left:
        st.caption(
            f"{left:,} of {ratings.given:,} ratings are 0 (incomplete) or 6 (known malignancy), which are no degrees of suspicion: "
            "weighted and ordinal coefficients leave them out, the others count them."
        )


def _usual(names: Sequence[str], what: What) -> list[str]:
    wanted = (
        "percent agreement",
        "Fleiss' kappa",
        "Gwet's AC1",
        "Krippendorff's alpha",
        "Krippendorff's alpha, ordinal",
    )
    if what == "likelihood":  # whether two numbers of 0–100 are equal says little
        wanted = ("Krippendorff's alpha, interval", "ICC(2,1)")
    return [name for name in names if name in wanted or name.startswith("agreement on")]


def _meaning(name: str) -> str:
    return next(words for start, words in MEANINGS.items() if name.startswith(start))


def _limits(ratings: Ratings, key: str) -> None:
    """Bland and Altman's limits of two readers."""
    with st.container(horizontal=True):
        a = st.selectbox("Reader", ratings.readers, key=f"{key}_loa_a", width=240)
        b = st.selectbox("less reader", [r for r in ratings.readers if r != a], key=f"{key}_loa_b", width=240)
    values = ratings.values
    assert values is not None  # likelihoods are numbers
    columns = [
        np.where((own := ratings.codes[:, ratings.readers.index(name)]) >= 0, values[own], np.nan) for name in (a, b)
    ]
    found = limits_of_agreement(*columns)
    st.markdown(
        f"Mean difference {text(found.bias, 1)}; 95 % of differences between {text(found.lower, 1)} and "
        f"{text(found.upper, 1)} points."
    )


def matrices(rated: Rated, key: str) -> None:
    """Every two readers, and the model against each, as heatmaps with numbers; the model gives classes only."""
    task = TASKS[rated.task]
    positive = task.positive or ""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kinds = [what for what in rated.given if what != "likelihood"]
        what: What = "label"
        if len(kinds) > 1:
            what = st.segmented_control(
                "Agreement on", kinds, default="label", required=True, format_func=_WHAT.get, key=f"{key}_pairs_what"
            )
        statistic: PairStatistic = st.segmented_control(
            "Statistic", _pair_statistics(what, task), default="kappa", required=True, format_func=_PAIRS.get,
            key=f"{key}_pairs:{what}",
        )  # fmt: skip
    weighted = what == "birads" and statistic in ("linear", "quadratic")

    def work(_: object) -> tuple[PairwiseMatrix, PairwiseMatrix | None]:
        ratings, named = rated.ratings(what), positive if what == "label" else ""
        between = pairwise(ratings.only(BIRADS_ORDERED) if weighted else ratings, statistic, named)
        return between, rated.with_model(statistic, named) if what == "label" else None

    found = computed(("pairs", *rated.key, what, statistic), work)
    if found is None:
        return
    between, with_model = found
    several = len(between.rows) > 1
    left, right = st.columns(2, gap="large")
    if several:
        with left:
            _matrix(rated, between, f"{_PAIRS[statistic]}, reader and reader", f"{key}-readers")
    if with_model is not None:
        with right if several else left:
            _matrix(rated, with_model, f"{_PAIRS[statistic]}, model and reader", f"{key}-model")
    if weighted:
        _say_unordered(rated.ratings(what))


def _pair_statistics(what: What, task: Task) -> list[PairStatistic]:
    """Weights need an order of three at least: of two classes a weighted kappa is the plain one."""
    if what == "birads":
        return ["raw", "kappa", "linear", "quadratic"]
    if task.positive is None:
        return ["raw", "kappa"]
    return [s for s in PAIR_STATISTICS if len(task.classes) > 2 or s not in ("linear", "quadratic")]


def _matrix(rated: Rated, matrix: PairwiseMatrix, title: str, name: str) -> None:
    def data() -> pd.DataFrame:
        return pd.DataFrame([
            {"statistic": matrix.statistic, "row": a, "column": b, "value": e.value, "low": e.low, "high": e.high, "n": e.n}
            for (a, b), e in matrix.estimates.items()
        ])  # fmt: skip

    study_chart(rated, figures_readers.matrix_figure(matrix, title), name, data)


def groups(study: StudyReadings, phase: str, key: str, facts: Mapping[str, dict[str, object]]) -> None:
    """Pairs of readers who agree, by the group of the case: reference, model, certainty, and what the source states."""
    ratings = ratings_of(study, phase)
    if len(ratings.readers) < 2:
        st.caption("Agreement between readers needs two of them.")
        return
    choices = case_groups(study, phase, ratings.cases, facts)
    chosen = st.selectbox("Group cases by", list(choices), key=f"{key}_group", width=320)
    found = reader_agreement_in_groups(ratings, choices[chosen])
    rows = [{chosen: name.replace("_", " "), "Pairs of readers who agree": text(e)} for name, e in found.items()]
    left, right = st.columns([3, 2], gap="large")
    with left:
        figure = figures_readers.groups_figure(found, f"Agreement by {chosen.lower()}", "Pairs who agree")
        study_chart(study, figure, f"{key}-groups", lambda: estimate_rows(found).rename(columns={"figure": chosen}))
    with right:
        shown(pd.DataFrame(rows), "Agreement in groups")
        st.caption(
            "Share of pairs of readers who name the same class, with 95 % intervals over the cases of the group."
        )


def case_groups(
    study: StudyReadings, phase: str, cases: tuple[str, ...], facts: Mapping[str, dict[str, object]]
) -> dict[str, list[str]]:
    """Title -> one group name per case: groupings that split these cases into 2 to 12 groups, and always the reference.

    Readers are sure of their class by their confidence in it, or, where they gave likelihoods instead, by how far these lie from
    50: twice that distance, 0–100, as the mean over the readings of the phase.
    """
    first = study.readings.drop_duplicates("case").set_index("case").reindex(list(cases))
    score = first["score"].to_numpy(np.float64)
    sure = np.maximum(score, 1 - score)
    certainty = [
        "" if not np.isfinite(v) else band
        for v, band in zip(sure, bands(np.nan_to_num(sure).tolist(), _CERTAINTY), strict=True)
    ]
    said = study.readings[study.readings["phase"] == phase].assign(sure=lambda t: 2 * (t["likelihood"] - 50).abs())
    confidence, sureness = (_banded_means(said, name, cases) for name in ("confidence", "sure"))
    found = {"Reference standard": first["truth"].tolist()}
    more = {
        "Model's class": first["predicted"].tolist(),
        "Model's certainty": certainty,
        "Readers' mean confidence": confidence,
        "Readers' mean certainty, from likelihoods": sureness,
    }
    names = sorted({name for own in facts.values() for name in own})
    more |= {
        name.replace("_", " ").capitalize(): [fact_group(facts.get(case, {}).get(name)) for case in cases]
        for name in names
    }
    for title, own in more.items():
        if 2 <= len(set(own) - {""}) <= MOST_GROUPS:
            found[title] = own
    return found


def _banded_means(rows: pd.DataFrame, column: str, cases: tuple[str, ...]) -> list[str]:
    """The band of each case's mean of a column of 0–100, '' where nobody gave it."""
    means = rows.groupby("case")[column].mean().reindex(list(cases)).to_numpy(np.float64)
    named = bands(np.nan_to_num(means).tolist(), (25, 50, 75))
    return ["" if not np.isfinite(v) else band for v, band in zip(means, named, strict=True)]


def facts_of(table: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Study id -> what its source states, from `db.study_results.case_facts`."""
    return {row.study_id: json.loads(row.facts) for row in table.itertuples()}


def show(study: StudyReadings, key: str, facts: Mapping[str, dict[str, object]]) -> None:
    """All of it for a finished study; the parts that nobody opened do not run."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        phase = st.segmented_control(
            "Readings",
            study.phases,
            default=study.phases[-1],
            required=True,
            format_func=str.capitalize,
            key=f"{key}_phase",
        )
        part = st.segmented_control(
            "Show", ["Coefficients", "Two by two", "Groups", "Same reader twice"], default="Coefficients", required=True,
            key=f"{key}_part",
        )  # fmt: skip
    if part == "Coefficients":
        coefficients(of_study(study, phase), key)
    elif part == "Two by two":
        matrices(of_study(study, phase), key)
    elif part == "Same reader twice":
        study_repeats.show(study, phase, key)
    else:
        groups(study, phase, key, facts)
    say_patients(study)
    if part == "Coefficients":
        columns = ["case", "reader", "phase", "label", "birads", "likelihood"]
        study_csv(study, lambda: study.readings[columns], f"{key}-ratings", "All readings")
