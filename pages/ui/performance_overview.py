"""Performance, first section: threshold, headline tiles, confusion matrix, ROC and precision–recall with the operating point."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from core import figures, figures_run
from core.records import Estimate
from pages.ui import performance_cases
from pages.ui.charts import chart
from pages.ui.metric_names import class_name, title_of
from pages.ui.run_data import RunData

HEADLINE = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv")
MANY_HEADLINE = ("auc", "accuracy", "balanced_accuracy", "f1")
CELLS = (("True positives", 1, 1), ("False negatives", 1, 0), ("False positives", 0, 1), ("True negatives", 0, 0))


def threshold_control(data: RunData) -> float | None:
    """The slider, which starts at the stored operating point and says so once it is elsewhere; None without a threshold."""
    if not data.binary:
        return None
    stored, point = data.stored_threshold, data.run.operating_point
    start, key = round(0.5 if stored is None else stored, 3), f"threshold:{data.run.id}"
    left, right = st.columns([5, 4], vertical_alignment="bottom")
    with left:
        value = st.slider(
            f"Threshold on the probability of {class_name(data.task.positive or '')}", 0.0, 1.0, start, 0.001, "%.3f",
            key=key, persist_state="session",
        )  # fmt: skip
    at_start = abs(value - start) < 5e-4
    with right, st.container(horizontal=True, vertical_alignment="center"):
        if stored is None or point is None:
            st.badge("This run has no stored operating point", color="orange", icon=":material/warning:")
        elif at_start:
            st.badge(f"Stored operating point: {point.name}, {stored:.3f}", color="green", icon=":material/check:")
            st.caption(f"chosen on {point.chosen_on}")
        else:
            st.badge("Not the stored operating point", color="orange", icon=":material/warning:")
            st.button(f"Back to {stored:.3f}", on_click=_reset, args=(key, start), type="tertiary")
    return stored if at_start and stored is not None else float(value)


def _reset(key: str, start: float) -> None:
    st.session_state[key] = start


def tiles(data: RunData, metrics: dict[str, Estimate]) -> None:
    """n, prevalence and the headline figures, each with its interval and n."""
    wanted = HEADLINE if data.binary else MANY_HEADLINE
    shown = [name for name in wanted if name in metrics]
    n, patients = len(data.run.labels), len(set(data.run.patient_ids)) if data.patients is not None else None
    columns = st.columns([1.0, *([1.0] if data.binary else []), *([1.25] * len(shown))])
    _tile(columns[0], "Cases", f"{n:,}", f"{patients:,} patients" if patients else f"{len(data.run.classes)} classes")
    if data.binary:
        positives = int(data.labels01.sum())
        share = f"{positives / n:.1%}" if n else "undefined"
        _tile(columns[1], "Prevalence", share, f"{positives:,} {class_name(data.task.positive or '')}")
    for column, name in zip(columns[-len(shown) :] if shown else [], shown, strict=True):
        estimate = metrics[name]
        value = "undefined" if estimate.value is None else f"{estimate.value:.3f}"
        _tile(column, title_of(name), value, _below(estimate))


def _below(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate.reason or "no interval"
    return f"{estimate.low:.3f}–{estimate.high:.3f}, n = {estimate.n:,}"


def _short(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "undefined"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def _tile(column: st.delta_generator.DeltaGenerator, title: str, value: str, below: str) -> None:
    with column, st.container(border=True, gap=None):
        st.metric(title, value)
        st.caption(below)


def show(data: RunData, threshold: float | None, *, cases_open: bool) -> None:
    """The section. `cases_open` says whether cells lead to their cases."""
    metrics = data.metrics_at(threshold)
    tiles(data, metrics)
    _curves(data, threshold, metrics, cases_open) if data.binary else _many(data, cases_open)
    _all_numbers(metrics)


def _confusion(data: RunData, threshold: float | None, cases_open: bool) -> None:
    run = data.run
    matrix = data.matrix(threshold)
    title = "Confusion matrix" if threshold is None else f"Confusion matrix at {threshold:.3f}"
    key = f"confusion:{st.session_state.get('cells_opened', 0)}"  # a new chart forgets the last click

    def click() -> None:
        points = st.session_state[key]["selection"]["points"]
        if points:
            st.session_state["cells_opened"] = st.session_state.get("cells_opened", 0) + 1
            performance_cases.open_cell(run.id, int(points[0]["y"]), int(points[0]["x"]))

    def table() -> pd.DataFrame:
        return pd.DataFrame(
            matrix, index=pd.Index(run.classes, name="reference \\ predicted"), columns=run.classes
        ).reset_index()

    figure = figures.confusion_figure(matrix, run.classes, title)
    if data.binary:
        figure.update_layout(height=440)  # as high as the curves beside it
    if not cases_open:
        chart(figure, "confusion", table)
        return
    chart(figures_run.clickable(figure), key, table, file="confusion", on_select=click)
    if data.binary:
        _cell_buttons(data, matrix)
    else:
        st.caption("Click a cell to open its cases.")


def _cell_buttons(data: RunData, matrix: np.ndarray) -> None:
    with st.container(horizontal=True, gap="small"):
        for text, truth, called in CELLS:
            i, j = (data.positive if side else 1 - data.positive for side in (truth, called))
            st.button(
                f"{text} {matrix[i, j]:,}", key=f"cell:{truth}{called}", type="tertiary", icon=":material/photo_library:",
                on_click=performance_cases.open_cell, args=(data.run.id, i, j), disabled=not matrix[i, j],
            )  # fmt: skip


def _curves(data: RunData, threshold: float | None, metrics: dict[str, Estimate], cases_open: bool) -> None:
    left, middle, right = st.columns(3)
    with left:
        _confusion(data, threshold, cases_open)
    sensitivity, specificity, ppv = (metrics[name].value for name in ("sensitivity", "specificity", "ppv"))
    label = f"Threshold {threshold:.3f}" if threshold is not None else ""
    with middle:
        known = None not in (sensitivity, specificity, threshold)
        point = (1 - specificity, sensitivity, label) if known else None  # type: ignore[operator]
        figure = figures.roc_figure(data.roc, metrics["auc"], point, len(data.run.labels))
        roc = data.roc
        chart(figure, "roc", lambda: pd.DataFrame({"threshold": roc.thresholds, "fpr": roc.fpr, "tpr": roc.tpr}))
    with right:
        point = (sensitivity, ppv, label) if None not in (sensitivity, ppv, threshold) else None
        pr, n = data.pr, len(data.run.labels)
        prevalence = float(data.labels01.mean()) if n else float("nan")
        figure = figures_run.pr_figure(pr, data.average_precision, prevalence, point)
        chart(
            figure, "pr",
            lambda: pd.DataFrame({"threshold": pr.thresholds, "recall": pr.recall, "precision": pr.precision}),
        )  # fmt: skip


def _many(data: RunData, cases_open: bool) -> None:
    left, right = st.columns(2)
    with left:
        _confusion(data, None, cases_open)
    with right:
        curves = {
            f"{class_name(name)} {_short(estimate)}": curve for name, (curve, estimate) in data.class_curves.items()
        }
        figure = figures_run.rocs_figure(curves, "Each class against the rest", len(data.run.labels))
        chart(figure, "class-rocs", lambda: pd.concat(
            [pd.DataFrame({"class": name, "fpr": c.fpr, "tpr": c.tpr}) for name, c in curves.items()]
        ))  # fmt: skip
        st.caption("AUC with its 95 % interval beside each class.")


def _all_numbers(metrics: dict[str, Estimate]) -> None:
    st.subheader("All numbers")
    rows = [
        {
            "Metric": title_of(name),
            "Value": e.value,
            "Low": e.low,
            "High": e.high,
            "n": e.n,
            "Method": e.reason or e.method,
        }
        for name, e in metrics.items()
    ]
    number = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, column_config=dict.fromkeys(("Value", "Low", "High"), number),
        height=min(600, 38 + 35 * len(rows)), placeholder="–", alt="All numbers",
    )  # fmt: skip
