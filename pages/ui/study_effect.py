"""Sections of the results page about the model: what seeing it does to readers, other ways of reading, maps against regions."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.records import Estimate
from core.statistics.model_effect import GROUPS, SHARES, ModelEffect, effect_by_reader, model_effect
from core.statistics.reading_strategies import FIGURES, STRATEGIES, Scenario, Strategy, what_if
from core.study_readings import StudyReadings, effect_table, model_threshold, strategy_table
from pages.ui.jobs import Job
from pages.ui.study_cut import choose_cut
from pages.ui.study_data import computed
from pages.ui.study_tables import n_below, percent, say_few_readers, shown, study_csv, text

SHARE_TITLES = {
    "changed": "Changed their class",
    "switched_to_right_model": "Switched to a right model",
    "switched_to_wrong_model": "Switched to a wrong model",
    "over_reliance": "Over-reliance",
    "under_reliance": "Under-reliance",
}
_GROUPS = {
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "sensitivity_missed": "Sensitivity, cancers that the model missed",
    "sensitivity_found": "Sensitivity, cancers that the model found",
    "specificity_false_alarms": "Specificity, the model's false alarms",
    "specificity_cleared": "Specificity, cleared by the model",
}
_FIGURES = {
    "recall_rate": "Recall rate", "sensitivity": "Sensitivity", "specificity": "Specificity",
    "found_per_1000": "Found per 1,000", "ppv": "PPV", "reads_per_1000": "Readings per 1,000",
}  # fmt: skip
_STRATEGIES = {
    "single": "Single reading", "double": "Double reading", "model_second": "Model as second reader", "triage": "Model as triage",
}  # fmt: skip

_TIME_WORDS = {
    "sequential": "The model was shown after the unaided reading, in one sitting: what is read with it comes on top. Whether it "
    "saves time only two sessions can tell.",
    "washout": "Each case was read twice, in two sessions: time saved is the share of the unaided time.",
    "aided": "",
    "": "The file does not say whether the aided seconds are a reading of their own or come on top of the unaided ones (column "
    "protocol: washout or sequential), so no time saved is told.",
}


def effect(study: StudyReadings) -> None:
    """Switches, reliance, time and sensitivity without and with the model."""
    if study.phases != ("unaided", "aided"):
        st.info("The effect of the model needs readings without and with it; this study has one kind only.")
        return
    table = effect_table(study)
    found = computed(("effect", study.fingerprint), lambda job: _effects(table, study.positive, job))
    if found is None:
        return
    whole, by_reader = found
    say_few_readers(len(whole.readers))
    # One below the other: side by side the last columns are cut off in a narrow window.
    st.markdown("**What readers did when the model was shown**")
    rows = [
        {"": SHARE_TITLES[name], "Share": percent(whole.shares[name]), "Of which readings": SHARES[name]}
        for name in SHARES
    ]
    shown(pd.DataFrame(rows), "Switches and reliance")
    st.markdown("**Right readings without and with the model**")
    rows = [
        {"": _GROUPS[name], "Unaided": percent(g.unaided), "Aided": percent(g.aided), "Change": percent(g.change)}
        for name, g in ((name, whole.groups[name]) for name in GROUPS)
    ]
    shown(pd.DataFrame(rows), "Without and with the model")
    st.markdown("**Time and likelihood**")
    shown(pd.DataFrame(_times(whole, study)), "Time")
    st.caption(_TIME_WORDS[study.protocol])
    st.markdown("**By reader**")
    rows = [
        {"Reader": reader, **{title: percent(own.shares[name]) for name, title in SHARE_TITLES.items()},
         **_time_of(own, study)}
        for reader, own in by_reader.items()
    ]  # fmt: skip
    shown(pd.DataFrame(rows), "Effect by reader")
    st.caption(
        "95 % bootstrap intervals over cases (within the truth) and readers together; a reader's own over cases. Where patients "
        "have several cases, patients are drawn. n counts readings."
    )
    study_csv(study, lambda: pd.DataFrame(_effect_rows(whole, by_reader, study)), "effect")


def _effects(table: pd.DataFrame, positive: str, job: Job) -> tuple[ModelEffect, dict[str, ModelEffect]]:
    readers = list(table["reader"].unique())
    total, own = len(readers) + 1, {}
    job.report(0, total, "Resampling all readers")
    whole = model_effect(table, positive)
    for place, reader in enumerate(readers, start=1):
        job.report(place, total, "Resampling each reader")
        own |= effect_by_reader(table[table["reader"] == reader], positive, replicates=1000)
    return whole, own


def _time_parts(effect: ModelEffect, study: StudyReadings) -> dict[str, Estimate | None]:
    """Title -> estimate of reading times. Time saved is told of two sessions alone: in one sitting aided seconds come on top."""
    if effect.seconds is None:
        return {}
    unaided, aided = effect.seconds.unaided, effect.seconds.aided
    if study.protocol == "sequential":
        return {
            "Seconds per case, unaided": unaided, "Seconds added with the model": aided,
            "Seconds per case in all": effect.seconds_total,
        }  # fmt: skip
    saved = {"Time saved": effect.time_saved} if study.protocol == "washout" else {}
    return {"Seconds per reading, unaided": unaided, "Seconds per reading, aided": aided} | saved


def _time_of(own: ModelEffect, study: StudyReadings) -> dict[str, str]:
    """The cell of one reader that says what the model does to their time."""
    parts = _time_parts(own, study)
    wanted = [title for title in ("Time saved", "Seconds added with the model") if title in parts]
    return {title: percent(parts[title]) if title == "Time saved" else text(parts[title], 1) for title in wanted}


def _times(whole: ModelEffect, study: StudyReadings) -> list[dict[str, str]]:
    rows = [
        {"": title, "Value": percent(value) if title == "Time saved" else text(value, 1)}
        for title, value in _time_parts(whole, study).items()
    ]
    if whole.likelihood_gain is not None:
        rows.append({"": "Likelihood moved to the truth, points", "Value": text(whole.likelihood_gain, 1)})
    return rows


def _effect_rows(
    whole: ModelEffect, by_reader: dict[str, ModelEffect], study: StudyReadings
) -> list[dict[str, object]]:
    rows = []
    for who, e in (("all", whole), *by_reader.items()):
        parts: dict[str, Estimate | None] = dict(e.shares)
        for name, group in e.groups.items():
            parts |= {f"{name}.{part}": getattr(group, part) for part in ("unaided", "aided", "change")}
        times = _time_parts(e, study)
        parts |= {title.lower().replace(",", "").replace(" ", "_"): value for title, value in times.items()}
        parts["likelihood_gain"] = e.likelihood_gain
        rows += [
            {"reader": who, "figure": name, "value": p.value, "low": p.low, "high": p.high, "n": p.n, "method": p.method}
            for name, p in parts.items() if p is not None
        ]  # fmt: skip
    return rows


def strategies(study: StudyReadings) -> None:
    """What if cases were read otherwise, at another prevalence, by another pool of readers?"""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        phase = st.segmented_control(
            "Readings",
            study.phases,
            default=study.phases[0],
            required=True,
            format_func=str.capitalize,
            key="sr_wi_phase",
        )
        per_mille = st.slider("Positive cases per 1,000", 1, 500, 10, key="sr_prevalence", width=260)
        arbitration = st.segmented_control(
            "Arbitration", ["third reader", "consensus"], default="third reader", required=True, format_func=str.capitalize,
            key="sr_arbitration",
        )  # fmt: skip
        cut = choose_cut(study)
        own = model_threshold(study)
        recalls = st.number_input(
            "Model recalls from", 0.0, 1.0, own or 0.5, 0.01, format="%.3f", key="sr_recalls", width=150
        )
        out = st.number_input(
            "Triage rules out below", 0.0, 1.0, round((own or 0.5) / 2, 3), 0.01, format="%.3f", key="sr_out", width=170
        )
    pool = st.multiselect(
        "Reader pool", study.readers, default=list(study.readers), key=f"sr_pool:{study.fingerprint[:8]}"
    )
    table = strategy_table(study, phase, cut)
    table = table[table["reader"].isin(pool)]
    if table.empty:
        st.info("Choose at least one reader who gave what positive is asked of.")
        return
    scored = "score" in table.columns
    scenario = Scenario(per_mille / 1000, recalls if scored else None, out if scored else None, arbitration)
    key = ("what-if", study.fingerprint, phase, str(scenario), str(cut), "|".join(sorted(pool)))
    found = computed(key, lambda job: what_if(table, scenario))
    if found is None:
        return
    say_few_readers(len(pool))
    _strategy_tables(study, found)
    notes = ["The model's thresholds begin at the lowest score among these cases that it called positive, an estimate."
             if scored and own else "",
             "" if scored else "The model has no result of some cases, so strategies with it are left out.",
             "Aided readings are not independent of the model: strategies that combine both flatter it."
             if phase == "aided" and scored else ""]  # fmt: skip
    st.caption(
        f"Recalled is {cut.words}. Worked out from stored readings, each made without knowing another reader's, averaged over all "
        "ways to pick readers of a case; 95 % bootstrap intervals over cases (patients where these have several) and, from four "
        "readers on, readers. The prevalence is taken as given. " + " ".join(filter(None, notes))
    )


def _strategy_tables(study: StudyReadings, found: dict[str, Strategy]) -> None:
    def cell(figure: str, e: Estimate | None) -> str:
        if e is not None and figure in ("found_per_1000", "reads_per_1000"):
            return text(e, 1 if figure == "found_per_1000" else 0)
        return percent(e)

    rows = [
        {
            "Strategy": _STRATEGIES[name],
            **{t: cell(f, s.figures.get(f)) for f, t in _FIGURES.items()},
        }
        for name, s in found.items()
    ]
    table, n = n_below(pd.DataFrame(rows))
    shown(table, "Strategies")
    said = "; ".join(f"**{_STRATEGIES[name]}**: {STRATEGIES[name].replace(';', ',')}" for name in found)
    st.caption(f"{n} {said}.")
    changes = [
        {"Against single reading": _STRATEGIES[name], **{t: cell(f, s.changes.get(f)) for f, t in _FIGURES.items()}}
        for name, s in found.items() if name != "single"
    ]  # fmt: skip
    if changes:
        shown(n_below(pd.DataFrame(changes))[0], "Changes")
    study_csv(study, lambda: pd.DataFrame([
        {"strategy": name, "figure": f, "value": e.value, "low": e.low, "high": e.high, "n": e.n}
        for name, s in found.items() for f, e in s.figures.items() if f in FIGURES
    ]), "what-if")  # fmt: skip
