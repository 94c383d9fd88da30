"""Sections of the results page about many readers and cases: choice of readers, MRMC analysis, comparison with the model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st

from core import figures_readers
from core.mrmc_tables import components_table, mrmc_table, standalone_table
from core.statistics.mrmc import analyse
from core.statistics.mrmc_covariance import COVARIANCES, FIGURES, Covariance, FigureName
from core.statistics.mrmc_margin import LEVEL, non_inferiority
from core.statistics.mrmc_records import GENERALISATIONS, Contrast, MrmcResult, OverallTest
from core.statistics.mrmc_standalone import StandAloneResult, against_readers
from core.statistics.paired import Difference
from core.study_crossed import Crossed, Rating, completeness, crossed
from core.study_cuts import CALLED, Cut
from core.study_readings import StudyReadings, model_scores, model_threshold
from pages.ui.messages import plain
from pages.ui.study_cut import choose_cut
from pages.ui.study_data import computed
from pages.ui.study_tables import FIGURES as TITLES
from pages.ui.study_tables import difference_text, p_text, say_patients, shown, study_chart, study_csv, text, without_n

KINDS = {
    "readers and cases": "Random readers, random cases (RRRC)",
    "cases": "Fixed readers, random cases (FRRC)",
    "readers": "Random readers, fixed cases (RRFC)",
}
_COVARIANCE = {"delong": "DeLong", "jackknife": "Jackknife", "unbiased": "Unbiased"}


@dataclass(frozen=True)
class Choice:
    """What is analysed: a figure of some readers, with the errors' covariance; `cut` is None for the AUC."""

    study: StudyReadings
    figure: FigureName
    covariance: Covariance
    cut: Cut | None
    readers: tuple[str, ...]

    @property
    def rating(self) -> Rating:
        """What `crossed` makes numbers of."""
        return self.cut or "likelihood"

    @property
    def threshold(self) -> float | None:
        """From which rating on a reader calls a case positive."""
        return None if self.cut is None else CALLED

    @property
    def key(self) -> tuple[str, ...]:
        """What distinguishes its results from others."""
        return self.study.fingerprint, self.figure, self.covariance, str(self.cut), "|".join(self.readers)

    def cube(self, *phases: str) -> Crossed:
        """The cases that all chosen readers rated in those phases, by default in all; `Refused` where there are too few."""
        return crossed(self.study, self.rating, phases, self.readers)


def choose(study: StudyReadings) -> Choice | None:
    """The analysis that the widgets ask for; None where they leave nobody."""
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
        cut = None if figure == "auc" else choose_cut(study)
        covariance = st.selectbox(
            "Covariance of errors",
            COVARIANCES,
            format_func=_COVARIANCE.get,
            key="sr_cov",
            persist_state="session",
            width=180,
        )
    readers = st.multiselect(
        "Readers who must have read a case", study.readers, default=list(study.readers), persist_state="session",
        key=f"sr_readers:{study.fingerprint[:8]}",
    )  # fmt: skip
    if not readers:
        st.info("Choose at least one reader.")
        return None
    found = Choice(study, figure, covariance, cut, tuple(sorted(readers)))
    _say_what_stays(found)
    return found


def _say_what_stays(choice: Choice) -> None:
    """How many cases each reader has, how many stay of all, and whose gaps cost most."""
    found = completeness(choice.study, choice.rating, (), choice.readers)
    words = (
        f"{found.stay} of {found.cases} cases stay, {found.positives} positive and {found.stay - found.positives} negative: those "
        "with a reading of all chosen readers in every phase and a reference standard."
    )
    if set(found.own.values()) != {found.stay}:
        words += f" Complete cases of each reader: {', '.join(f'{plain(name)} {n}' for name, n in found.own.items())}."
    if found.without:
        words += (
            " Without "
            + ", without ".join(f"{plain(name)} {count} would stay" for name, count in found.without.items())
            + "."
        )
    st.caption(f":orange[{words}]" if found.stay < found.cases else words)


def _say_left_out(cube: Crossed) -> None:
    if cube.readers_left_out:
        why = "; ".join(f"{plain(name)} {reason}" for name, reason in cube.readers_left_out.items())
        st.caption(f":orange[Left out: {why}.]")


def mrmc(study: StudyReadings) -> None:
    """Obuchowski–Rockette analysis of unaided against aided, and the ROC curves."""
    choice = choose(study)
    if choice is None:
        return
    cube = choice.cube()
    _say_left_out(cube)
    result = analysed(choice, cube)
    if result is None:
        return
    say_patients(study)
    margin = st.number_input(
        "Non-inferiority margin (0: none)", 0.0, 0.5, 0.0, 0.005, format="%.3f", key="sr_margin", width=230,
        help="How much worse may be taken for as good. It must have been fixed before the results were known.",
    )  # fmt: skip
    _mrmc_table(study, result, choice.cut, margin)  # over the whole width: p and test stand in its last columns
    beside = st.container(horizontal=True, gap="large")  # one below the other where there is no room
    with beside.container(width=640):
        _by_reader(study, result)
    with beside.container(width=480):
        if choice.figure == "auc":
            drawn = figures_readers.readers_roc_figure(cube.ratings, _scores(study, cube))
            study_chart(study, drawn, "readers-roc", lambda: _roc_data(cube))
            st.caption("Thin: one reader each. Thick: mean sensitivity at equal specificity, for the eye.")
    _alone(choice, cube, margin)


def analysed(choice: Choice, cube: Crossed) -> MrmcResult | None:
    """The analysis of a choice, kept; None while it is being made."""
    return computed(
        ("mrmc", *choice.key), lambda job: analyse(cube.ratings, choice.figure, choice.covariance, choice.threshold)
    )


def _mrmc_table(study: StudyReadings, result: MrmcResult, cut: Cut | None, margin: float) -> None:
    at = "" if cut is None else f", positive is {cut.words}"
    st.markdown(
        f"**{TITLES[result.figure]}{at}: {len(result.readers)} readers, {result.positives} positive and {result.negatives} "
        "negative cases**"
    )
    rows = []
    for kind in GENERALISATIONS:
        analysis = result.analyses[kind]
        row = {"Generalises to": KINDS[kind]}
        row |= {name.capitalize(): without_n(e) for name, e in analysis.modalities.items()}
        for c in analysis.differences:
            row |= {
                "Aided − unaided": _turned(c.difference),
                "p": p_text(c.difference.p),
                "Test": _test_text(analysis.test),
                **_margin_cell(c, margin, c.second),
            }
        rows.append(row)
    shown(pd.DataFrame(rows), "MRMC analysis")
    st.caption(
        "Obuchowski–Rockette with Hillis' degrees of freedom; 95 % intervals. RRRC speaks of other readers and other cases, FRRC "
        "of these readers on other cases, RRFC of other readers on these cases."
    )
    _say_margin(margin, "aided reading is not worse than unaided")
    study_csv(study, lambda: mrmc_table(result, margin), "mrmc")


def _margin_cell(c: Contrast, margin: float, new: str) -> dict[str, str]:
    """What the test against the margin says, in a column of its own."""
    if not margin:
        return {}
    found = non_inferiority(c, margin, new)
    words = found.reason if found.p is None else f"p {p_text(found.p)}: {'shown' if found.shown else 'not shown'}"
    return {f"Not worse by {margin:g}": words}


def _say_margin(margin: float, words: str) -> None:
    if margin:
        st.caption(
            f"Non-inferiority: that {words} by {margin:g} or more, one-sided at {LEVEL:g}, which is where the lower 95 % limit of "
            "the difference lies above −margin (Chen, Petrick & Sahiner 2012). It counts only if the margin was fixed beforehand."
        )


def _by_reader(study: StudyReadings, result: MrmcResult) -> None:
    gains = {c.reader: {"Aided − unaided": _turned(c.difference)} for c in result.reader_differences}
    own = [
        {"Reader": r, **{m.capitalize(): text(result.by_reader[m, r], 3) for m in result.modalities},
         **gains.get(r, {})}
        for r in result.readers
    ]  # fmt: skip
    shown(pd.DataFrame(own), "By reader")
    with st.expander("Variance components"):
        parts = components_table(result)
        table = pd.DataFrame({"Component": parts["component"], "Value": [f"{v:.6g}" for v in parts["value"]]})
        shown(table, "Variance components")
        study_csv(study, lambda: parts, "variance-components")


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


def _alone(choice: Choice, cube: Crossed, margin: float) -> None:
    st.markdown("#### The model alone against the readers")
    phase = st.segmented_control(
        "Readers", cube.ratings.modalities, default=cube.ratings.modalities[0], required=True, format_func=str.capitalize,
        key="sr_alone", label_visibility="collapsed",
    )  # fmt: skip
    one, own = choice.cube(phase), model_threshold(choice.study)
    known = _scores(choice.study, one)
    if known is None:
        st.caption("The model has no stored result of some of these cases, so it cannot be compared.")
        return
    limits = (None, None) if choice.cut is None else (CALLED, own if own is not None else 2.0)
    found = computed(
        ("alone", *choice.key, phase, str(limits)),
        lambda job: against_readers(one.ratings, known, choice.figure, choice.covariance, limits),
    )
    if found is not None:
        _alone_tables(choice.study, found, phase, margin)


def _alone_tables(study: StudyReadings, found: StandAloneResult, phase: str, margin: float) -> None:
    rows = [
        {
            "Generalises to": KINDS[kind], "Model": text(found.model, 3), f"Readers, {phase}": text(found.panel[kind], 3),
            "Model − readers": difference_text(c.difference), "p": p_text(c.difference.p),
            **_margin_cell(c, margin, c.first),
        }
        for kind, c in found.differences.items()
    ]  # fmt: skip
    shown(pd.DataFrame(rows), "Model against readers")
    worse = sum(1 for c in found.reader_differences if (c.difference.value or 0) > 0)
    st.caption(
        f"The model's own scores{'' if found.figure == 'auc' else ', cut as its stored classes are'}, against the mean of the "
        f"readers on the same cases; its value is higher than that of {worse} of {len(found.readers)} readers."
    )
    _say_margin(margin, "the model is not worse than the readers")
    study_csv(study, lambda: standalone_table(found, margin).assign(phase=phase), "model-against-readers")
