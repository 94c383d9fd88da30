"""Sections of the results page about readers: completeness, figures of each, MRMC analysis, comparison with the model, planning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from core import figures_readers
from core.records import Estimate
from core.statistics.mrmc import analyse
from core.statistics.mrmc_covariance import COVARIANCES, FIGURES, FigureName
from core.statistics.mrmc_planning import cases_needed, power_grid
from core.statistics.mrmc_records import GENERALISATIONS, MrmcResult, OverallTest
from core.statistics.mrmc_standalone import StandAloneResult, against_readers
from core.statistics.paired import Difference
from core.study_readings import CALLED, Crossed, StudyReadings, crossed, model_scores, reader_figures
from core.tasks import TASKS
from pages.ui import messages
from pages.ui.study_data import computed
from pages.ui.study_tables import FIGURES as TITLES
from pages.ui.study_tables import ON_TOP, difference_text, p_text, shown, study_chart, study_csv, text, without_n

_KINDS = {
    "readers and cases": "Random readers, random cases (RRRC)",
    "cases": "Fixed readers, random cases (FRRC)",
    "readers": "Random readers, fixed cases (RRFC)",
}
_COVARIANCE = {"delong": "DeLong", "jackknife": "Jackknife", "unbiased": "Unbiased"}


def readers(study: StudyReadings) -> None:
    """Who read how much, and each reader's own figures without and with the model."""
    _completeness(study)
    found = reader_figures(study)
    figures = [name for name in TITLES if name in next(iter(found.values()))]
    if "sensitivity" in figures:
        figures.remove("accuracy")
    for start in range(0, len(figures), 2):
        for column, figure in zip(st.columns(2, gap="medium"), figures[start : start + 2], strict=False):
            with column:
                _one_figure(study, found, figure)
    st.caption(
        "Sensitivity and specificity of the class given (Wilson), AUC of the likelihood (DeLong), seconds with Student's t; "
        "95 % intervals over this study's cases, each reader alone."
        + (ON_TOP if study.protocol == "sequential" else "")
    )
    study_csv(study, lambda: _figures_csv(found), "reader-figures")


def _completeness(study: StudyReadings) -> None:
    """How much of what the study asks for was read, and who and what is missing altogether."""
    cases, asked = len(study.cases_asked), study.readers_asked
    counts = study.readings.groupby(["reader", "phase"]).size().unstack(fill_value=0)
    counts = counts.reindex(index=list(asked), columns=list(study.phases_asked), fill_value=0)
    whole, total = int((counts.to_numpy() == cases).all(axis=1).sum()), len(study.readings)
    wanted = cases * len(asked) * len(study.phases_asked)
    st.progress(
        total / wanted, text=f"{total:,} of {wanted:,} readings; {whole} of {len(asked)} readers read everything"
    )
    read, silent = study.readings["case"].nunique(), sorted(set(asked) - set(study.readers))
    parts = [f"{cases - read} of {cases} cases were read by nobody"] * (read < cases)
    parts += [f"no reading at all by {messages.plain(', '.join(silent))}"] * bool(silent)
    if parts:
        st.caption(f":orange[{'; '.join(parts)}.]")
    if unknown := study.readings.loc[study.readings["truth"] == "", "case"].nunique():
        st.caption(f"{unknown} of {read} cases that were read have no reference standard and count in agreement only.")


def _one_figure(study: StudyReadings, found: dict[tuple[str, str], dict[str, Estimate]], figure: str) -> None:
    digits = 1 if figure == "seconds" else 2
    rows = [
        {"Reader": reader, **{phase.capitalize(): text(found[reader, phase][figure], digits) for phase in study.phases}}
        for reader in study.readers
    ]
    st.markdown(f"**{TITLES[figure]}**")
    shown(pd.DataFrame(rows), f"{TITLES[figure]} by reader")


def _figures_csv(found: dict[tuple[str, str], dict[str, Estimate]]) -> pd.DataFrame:
    return pd.DataFrame([
        {"reader": reader, "phase": phase, "figure": name, "value": e.value, "low": e.low, "high": e.high, "n": e.n,
         "method": e.method}
        for (reader, phase), own in found.items() for name, e in own.items()
    ])  # fmt: skip


def _choice(study: StudyReadings) -> tuple[Crossed, FigureName, str, float | None] | None:
    """The cube, figure, covariance and threshold that the widgets ask for."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        figure = st.segmented_control(
            "Figure",
            FIGURES,
            default="auc",
            required=True,
            format_func=TITLES.get,
            key="sr_figure",
            persist_state="session",
        )
        called = "class"
        if figure != "auc":
            called = st.segmented_control(
                "Positive is", ["class", "likelihood"], default="class", required=True, key="sr_called", persist_state="session",
                format_func={"class": "the class given", "likelihood": "a likelihood from …"}.get,
            )  # fmt: skip
        covariance = st.selectbox(
            "Covariance of errors",
            COVARIANCES,
            format_func=_COVARIANCE.get,
            key="sr_cov",
            persist_state="session",
            width=180,
        )
        threshold = None if figure == "auc" else CALLED
        if called == "likelihood":
            threshold = float(st.number_input("From", 0, 100, 50, key="sr_from", persist_state="session", width=120))
    cube = crossed(study, "likelihood" if figure == "auc" or called == "likelihood" else "class")
    parts = [f"{cube.cases_left_out} cases left out: a reading or the reference standard is missing"] * (
        cube.cases_left_out > 0
    )
    parts += [f"left out for an unread phase: {', '.join(cube.readers_left_out)}"] * bool(cube.readers_left_out)
    if parts:
        st.caption(f":orange[{'; '.join(parts)}.]")
    return cube, figure, covariance, threshold


def mrmc(study: StudyReadings) -> None:
    """Obuchowski–Rockette analysis of unaided against aided, and the ROC curves."""
    cube, figure, covariance, threshold = _choice(study)
    key = ("mrmc", study.fingerprint, figure, covariance, str(threshold))
    result = computed(key, lambda job: analyse(cube.ratings, figure, covariance, threshold))
    if result is None:
        return
    _mrmc_table(result)  # over the whole width: p and test stand in its last columns
    beside = st.container(horizontal=True, gap="large")  # one below the other where there is no room
    with beside.container(width=640):
        _by_reader(result)
    with beside.container(width=480):
        scores = _scores(study, cube)
        roc = cube if figure == "auc" else None
        if roc is not None:
            drawn = figures_readers.readers_roc_figure(roc.ratings, scores)
            study_chart(study, drawn, "readers-roc", lambda: _roc_data(cube))
            st.caption("Thin: one reader each. Thick: mean sensitivity at equal specificity, for the eye.")
    _alone(study, cube, (figure, covariance, threshold))


def _mrmc_table(result: MrmcResult) -> None:
    at = "" if result.threshold in (None, CALLED) else f" at a likelihood of {result.threshold:g} or more"
    st.markdown(
        f"**{TITLES[result.figure]}{at}: {len(result.readers)} readers, {result.positives} positive and {result.negatives} "
        "negative cases**"
    )
    rows = []
    for kind in GENERALISATIONS:
        analysis = result.analyses[kind]
        row = {"Generalises to": _KINDS[kind]}
        row |= {name.capitalize(): without_n(e) for name, e in analysis.modalities.items()}
        for c in analysis.differences:
            row |= {
                "Aided − unaided": _turned(c.difference),
                "p": p_text(c.difference.p),
                "Test": _test_text(analysis.test),
            }
        rows.append(row)
    shown(pd.DataFrame(rows), "MRMC analysis")
    st.caption(
        "Obuchowski–Rockette with Hillis' degrees of freedom; 95 % intervals. RRRC speaks of other readers and other cases, FRRC "
        "of these readers on other cases, RRFC of other readers on these cases."
    )


def _by_reader(result: MrmcResult) -> None:
    gains = {c.reader: {"Aided − unaided": _turned(c.difference)} for c in result.reader_differences}
    own = [
        {"Reader": r, **{m.capitalize(): text(result.by_reader[m, r], 3) for m in result.modalities},
         **gains.get(r, {})}
        for r in result.readers
    ]  # fmt: skip
    shown(pd.DataFrame(own), "By reader")
    with st.expander("Variance components"):
        parts = {k: v for k, v in vars(result.components).items() if v is not None}
        shown(
            pd.DataFrame({"Component": list(parts), "Value": [f"{v:.6g}" for v in parts.values()]}),
            "Variance components",
        )


def _turned(d: Difference) -> str:
    """Aided − unaided, where the analysis has unaided − aided."""
    low, high = (None if limit is None else -limit for limit in (d.high, d.low))
    return difference_text(replace(d, value=None if d.value is None else -d.value, low=low, high=high))


def _test_text(test: OverallTest) -> str:
    if test.statistic is None:
        return f"undefined: {test.reason}"
    return f"{test.name} {test.statistic:.3f}, df {test.df1}" + (f"; {test.df2:.1f}" if test.df2 else "")


def _roc_data(cube: Crossed) -> pd.DataFrame:
    study = cube.ratings
    return pd.DataFrame([
        {"modality": m, "reader": r, "case": c, "truth": int(study.truth[k]), "rating": study.ratings[i, j, k]}
        for i, m in enumerate(study.modalities) for j, r in enumerate(study.readers) for k, c in enumerate(study.cases)
    ])  # fmt: skip


def _scores(study: StudyReadings, cube: Crossed) -> np.ndarray | None:
    try:
        return model_scores(study, cube.ratings.cases)
    except ValueError:
        return None


def model_threshold(study: StudyReadings) -> float | None:
    """The lowest score that the model called positive: its operating point as far as this study's cases tell."""
    known = study.readings.dropna(subset=["score"])
    called = known.loc[known["predicted"] == TASKS[study.task].positive, "score"]
    return None if called.empty else float(called.min())


def _alone(study: StudyReadings, cube: Crossed, what: tuple[FigureName, str, float | None]) -> None:
    figure, covariance, threshold = what
    scores, own = _scores(study, cube), model_threshold(study)
    st.markdown("#### The model alone against the readers")
    if scores is None:
        st.caption("The model has no stored result of some of these cases, so it cannot be compared.")
        return
    phase = st.segmented_control(
        "Readers", cube.ratings.modalities, default=cube.ratings.modalities[0], required=True, format_func=str.capitalize,
        key="sr_alone", label_visibility="collapsed",
    )  # fmt: skip
    rating = "class" if threshold == CALLED else "likelihood"
    one = crossed(study, rating, (phase,)).ratings
    known = model_scores(study, one.cases)
    limits = (None, None) if figure == "auc" else (threshold, own if own is not None else 2.0)
    key = ("alone", study.fingerprint, figure, covariance, phase, str(limits))
    found = computed(key, lambda job: against_readers(one, known, figure, covariance, limits))
    if found is not None:
        _alone_tables(found, phase)


def _alone_tables(found: StandAloneResult, phase: str) -> None:
    rows = [
        {
            "Generalises to": _KINDS[kind], "Model": text(found.model, 3), f"Readers, {phase}": text(found.panel[kind], 3),
            "Model − readers": difference_text(c.difference), "p": p_text(c.difference.p),
        }
        for kind, c in found.differences.items()
    ]  # fmt: skip
    shown(pd.DataFrame(rows), "Model against readers")
    worse = sum(1 for c in found.reader_differences if (c.difference.value or 0) > 0)
    st.caption(
        f"The model's own scores{'' if found.figure == 'auc' else ', cut as its stored classes are'}, against the mean of the "
        f"readers on the same cases; its value is higher than that of {worse} of {len(found.readers)} readers."
    )


def planner(study: StudyReadings) -> None:
    """Readers and cases that a next study needs, from this one's variance components."""
    cube, figure, covariance, threshold = _choice(study)
    key = ("mrmc", study.fingerprint, figure, covariance, str(threshold))
    result = computed(key, lambda job: analyse(cube.ratings, figure, covariance, threshold))
    if result is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        difference = st.number_input(
            "Difference to find", 0.005, 0.5, 0.05, 0.005, format="%.3f", key="sr_d", width=170
        )
        power = st.number_input("Power", 0.5, 0.99, 0.8, 0.05, key="sr_power", width=130)
        alpha = st.number_input("Level", 0.001, 0.2, 0.05, 0.005, format="%.3f", key="sr_alpha", width=130)
        most = int(st.number_input("Readers up to", 3, 60, 12, key="sr_most", width=150))
        kind = st.selectbox("Generalises to", GENERALISATIONS, format_func=_KINDS.get, key="sr_kind", width=320)
    pilot = result.components
    counts = sorted({2, 3, 4, 6, 8, 12, 20, 40, most})
    counts = [count for count in counts if count <= most]
    sizes = np.unique(np.geomspace(20, 5000, 60).astype(int)).tolist()
    grid = power_grid(pilot, difference, counts, sizes, generalises_to=kind, alpha=alpha)
    needed = cases_needed(pilot, difference, counts, power=power, generalises_to=kind, alpha=alpha)
    left, right = st.columns([3, 2], gap="large")
    with left:
        data = pd.DataFrame(grid.power, index=grid.readers, columns=grid.cases).reset_index(names="readers")
        study_chart(study, figures_readers.power_figure(grid, power), "power", lambda: data)
    with right:
        table = pd.DataFrame({
            "Readers": list(needed),
            f"Cases for a power of {power:g}": [f"{n:,}" if n else "not reached: more readers are needed" for n in needed.values()],
        })  # fmt: skip
        shown(table, "Sample size")
        what = "of both classes, mixed as here" if figure == "auc" else "of the one class that the figure is of"
        st.caption(
            f"After Hillis, Obuchowski & Berbaum 2011, from this study's {len(result.readers)} readers and {pilot.cases} cases; "
            f"cases {what}. Components of so small a pilot are themselves uncertain."
        )
