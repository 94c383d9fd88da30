"""Performance, the further sections: calibration, classes, subgroups, training and provenance. Each runs only when open."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import streamlit as st

from core import figures, figures_run
from core.records import Estimate, Refused
from core.statistics.calibration import CalibrationBins, calibration_bins, ece, top_label
from core.statistics.decision import decision_curve
from core.statistics.multiclass import one_vs_rest_counts
from core.statistics.recalibration import recalibration
from core.statistics.report import classification_report
from core.statistics.subgroups import GapTest, bands, gap_test, subgroup_metrics
from core.statistics.summary import evaluate
from pages.ui import run_data
from pages.ui.charts import chart, csv
from pages.ui.metric_names import class_name, title_of
from pages.ui.run_data import RunData

MOST_GROUPS = 30


def calibration(data: RunData, threshold: float | None) -> None:
    """Calibration with counts, its slope and intercept, the scores of each class and the decision curve."""
    left, right = st.columns(2)
    with left:
        bins, error, outcome = _calibration(data)
        figure = figures_run.calibration_figure(bins, error, outcome)
        chart(figure, "calibration", lambda: _bins_table(bins))
    with right:
        _histogram(data, threshold)
    if not data.binary:
        st.caption("Calibration of the most probable class: does a probability of 0.8 mean right in 80 % of cases?")
        return
    left, right = st.columns(2)
    with left:
        curve = decision_curve(data.labels01, data.scores)
        columns = ("thresholds", "net_benefit", "low", "high", "treat_all")
        table = pd.DataFrame({name: getattr(curve, name) for name in columns})
        chart(figures_run.decision_figure(curve), "decision", lambda: table)
    with right:
        line = recalibration(data.labels01, data.scores, patients=data.patients)
        st.markdown("**Recalibration line**, log odds of the outcome over log odds of the prediction")
        parts = (("Slope", line.slope), ("Intercept", line.intercept), ("Intercept in the large", line.in_the_large))
        st.markdown("\n".join(f"- {name} {figures.estimate_text(estimate, 3)}" for name, estimate in parts))
        st.caption("Calibrated: slope 1, intercepts 0. A slope below 1 means predictions that are too extreme.")


def _calibration(data: RunData) -> tuple[CalibrationBins, Estimate, str]:
    if data.binary:
        outcomes, scores, outcome = data.labels01, data.scores, class_name(data.task.positive or "")
    else:
        outcomes, scores = top_label(data.run.labels, data.run.probabilities)
        outcome = "the predicted class"
    return (
        calibration_bins(outcomes, scores),
        data.run.metrics.get("ece") or _ece(data.key, outcomes, scores),
        outcome,
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _ece(key: str, _outcomes: np.ndarray, _scores: np.ndarray) -> Estimate:
    return ece(_outcomes, _scores)


def _bins_table(bins: CalibrationBins) -> pd.DataFrame:
    columns = {"from": bins.edges[:-1], "to": bins.edges[1:], "cases": bins.counts}
    return pd.DataFrame({**columns, "probability": bins.probability, "frequency": bins.frequency})


def _histogram(data: RunData, threshold: float | None) -> None:
    run = data.run
    if data.binary:
        scores, axis = data.scores, f"Probability of {class_name(data.task.positive or '')}"
    else:
        scores, axis = run.probabilities[np.arange(len(run.labels)), run.labels], "Probability given to the right class"
    figure = figures_run.histogram_figure(scores, run.labels, run.classes, axis, threshold)
    chart(figure, "scores", lambda: pd.DataFrame({"case_id": run.case_ids, "label": run.labels, "score": scores}))


def classes(data: RunData, threshold: float | None) -> None:
    """Classification report and TP / TN / FP / FN of each class."""
    matrix, names = data.matrix(threshold), [class_name(name) for name in data.run.classes]
    st.subheader(f"Classification report, n = {int(matrix.sum()):,}")
    report = pd.DataFrame(classification_report(matrix, names))
    number = {c: st.column_config.NumberColumn(format="%.4f") for c in report.columns if c not in ("class", "support")}
    st.dataframe(
        report, hide_index=True, column_config=number, height=38 + 35 * len(report), alt="Classification report"
    )
    csv(lambda: report, "classification-report")
    st.subheader("Each class against the rest")
    counts = pd.DataFrame(one_vs_rest_counts(matrix), columns=["TP", "TN", "FP", "FN"])
    counts.insert(0, "Class", names)
    counts["n"] = int(matrix.sum())
    st.dataframe(counts, hide_index=True, height=38 + 35 * len(counts), alt="Counts by class")
    csv(lambda: counts, "class-counts")
    if data.patients is not None:
        st.caption(
            "Some patients have several cases; the intervals of this report count cases. Those above count patients."
        )


def subgroups(data: RunData, threshold: float | None) -> None:
    """A forest plot of one metric over the values of one column, and whether the largest gap may be chance."""
    known = run_data.attributes(data.run.id)
    options = [name for name in known.columns if known[name].nunique() > 1]
    if not options:
        st.info(
            "This run has no case attributes that differ. Add columns (site, density, age …) after the probabilities in "
            "predictions.csv, or a manifest with them to the dataset, and ingest the run."
        )
        return
    metrics = [
        m for m in ("auc", "sensitivity", "specificity", "accuracy", "ppv", "npv", "f1") if m in data.run.metrics
    ]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        column = st.selectbox("Column", options, key=f"subgroup:{data.run.id}", persist_state="session")
        metric = st.selectbox("Metric", metrics, format_func=title_of, key="subgroup_metric", persist_state="session")
        edges_text = st.text_input("Bands", placeholder="e.g. 50, 60, 70", key=f"bands:{column}", persist_state="session",
                                   help="For numbers: edges between bands.")  # fmt: skip
    groups, overall = _groups(data, column, edges_text, threshold)
    rows = [
        (
            f"{g.name} (n = {g.n:,})",
            g.metrics.get(metric) or Estimate(None, None, None, g.n, "", g.reason or "not computed"),
        )
        for g in groups
    ]
    figure = figures_run.forest_figure(rows, overall[metric], f"{title_of(metric)} by {column}", title_of(metric))
    table = pd.DataFrame([{"group": name, **dataclasses.asdict(e)} for name, e in rows])
    chart(figure, "subgroups", lambda: table)
    _gap(data, column, edges_text, metric, threshold)


def _column(data: RunData, column: str, edges_text: str) -> list[str]:
    values = run_data.attributes(data.run.id)[column]
    if edges_text.strip():
        try:
            edges = sorted({float(part) for part in edges_text.replace(";", ",").split(",") if part.strip()})
        except ValueError as error:
            raise Refused("Bands are numbers separated by commas, e.g. 50, 60, 70.") from error
        return bands(pd.to_numeric(values.astype(object), errors="coerce"), edges)
    if values.nunique() > MOST_GROUPS:
        raise Refused(
            f"{column} has {values.nunique():,} different values; give bands for numbers, or choose another column."
        )
    return values.astype(object).where(values.notna(), "").tolist()


def _groups(data: RunData, column: str, edges_text: str, threshold: float | None) -> tuple:
    return _cached_groups(data.key, column, edges_text.strip(), threshold, data)


@st.cache_resource(max_entries=256, show_spinner=False)
def _cached_groups(key: str, column: str, edges_text: str, threshold: float | None, _data: RunData) -> tuple:
    run = _data.run
    groups = subgroup_metrics(
        run.labels,
        run.probabilities,
        _column(_data, column, edges_text),
        _data.task,
        threshold,
        patients=_data.patients,
    )
    overall = _data.metrics_at(threshold)
    if "auc" not in overall:
        overall = evaluate(run.labels, run.probabilities, _data.task, threshold, patients=_data.patients)
    return groups, overall


def _gap(data: RunData, column: str, edges_text: str, metric: str, threshold: float | None) -> None:
    if not data.binary or metric not in ("auc", "sensitivity", "specificity"):
        return
    if not st.button(
        "Test the largest gap", help="A permutation test; it takes a few seconds on large runs.", key="gap_test"
    ):
        st.caption("Several subgroups are several looks: a single wide gap may be chance. The test says how often.")
        return
    found = _cached_gap(data.key, column, edges_text.strip(), metric, threshold, data)
    if found.gap is None:
        st.caption(f"No test: {found.reason}.")
        return
    left = f" Left out: {', '.join(found.left_out)}." if found.left_out else ""
    st.markdown(
        f"Largest gap in {title_of(metric)}: **{found.gap:.3f}**, p = {found.p:.3f} ({found.method}, "
        f"{len(found.values)} groups, n = {len(data.run.labels):,}).{left}"
    )


@st.cache_resource(max_entries=256, show_spinner="Permuting…")
def _cached_gap(
    key: str, column: str, edges_text: str, metric: str, threshold: float | None, _data: RunData
) -> GapTest:
    return gap_test(
        _data.labels01, _data.scores, _column(_data, column, edges_text), metric=metric, threshold=threshold,
        patients=_data.patients, replicates=200 if len(_data.scores) > 20_000 else 1000,
    )  # fmt: skip


def training(data: RunData) -> None:
    """Loss and every other recorded curve over the epochs."""
    history = data.run.history
    if not history:
        st.info("This run's model came without its training history.")
        return
    recorded = {
        key.removeprefix(side) for row in history for key in row for side in ("train_", "val_") if key.startswith(side)
    }
    metrics = [m for m in ("loss", "accuracy", "auc") if m in recorded] + sorted(recorded - {"loss", "accuracy", "auc"})
    table = pd.DataFrame([dict(row) for row in history])
    columns = st.columns(2)
    for place, metric in enumerate(metrics):
        with columns[place % 2]:
            chart(figures.history_figure(history, metric), f"history-{metric}", lambda: table)


def provenance(data: RunData) -> None:
    """Where these numbers come from: run, model, dataset, preprocessing, versions."""
    run, dataset = data.run, dict(data.run.provenance.get("dataset") or {})
    if leaks := dataset.get("leaks"):
        st.warning(
            "Found when the dataset was read:\n" + "\n".join(f"- {text}" for text in leaks), icon=":material/warning:"
        )
    facts = {
        "Run": run.id, "Model": f"{run.model_name}, version {run.model_version}", "Dataset": f"{run.dataset}, split {run.split}",
        "Fingerprint": dataset.get("fingerprint", "not stated"), "Architecture": run.provenance.get("architecture", "not stated"),
        "Parameters": f"{run.provenance['parameters']:,}" if run.provenance.get("parameters") else "not stated",
        "Seconds of evaluation": run.provenance.get("seconds", "not stated"),
    }  # fmt: skip
    st.dataframe(
        pd.DataFrame({"Fact": facts.keys(), "Value": map(str, facts.values())}), hide_index=True, alt="Provenance"
    )
    st.json({"run": run.id, "model": run.model_version, **run.provenance}, expanded=1)
