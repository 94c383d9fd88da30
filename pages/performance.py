"""Performance: one evaluation run, every number with its n and interval."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core import figures
from core.records import EvaluationRun
from core.statistics.discrimination import confusion_matrix, predicted_class, roc_curve
from core.tasks import TASKS
from db import engine as store
from db import run_list, runs
from pages.ui import identity, messages

HEADLINE = ("auc", "accuracy", "sensitivity", "specificity")
TITLES = {"auc": "AUC", "ppv": "PPV", "npv": "NPV", "f1": "F1", "brier": "Brier score", "log_loss": "Log loss"}


def title_of(name: str) -> str:
    return TITLES.get(name, name.replace("_", " ").capitalize())


def choose() -> EvaluationRun | None:
    with store.read() as db_session:
        listed = run_list.name_runs(db_session)
    if listed.empty:
        return None
    label = {
        row.id: f"{row.model_name} · {TASKS[row.task].title} · {row.dataset} / {row.split} · n = {row.n} · {row.created_at[:16]}"
        for row in listed.itertuples()
    }
    wanted = st.query_params.get("run")
    ids = list(label)
    chosen = st.selectbox(
        "Evaluation run", ids, index=ids.index(wanted) if wanted in label else 0, format_func=label.get
    )
    st.query_params["run"] = chosen
    with store.read() as db_session:
        return runs.get_run(db_session, chosen)


def tiles(run: EvaluationRun) -> None:
    shown = [name for name in HEADLINE if name in run.metrics] or list(run.metrics)[:4]
    for column, name in zip(st.columns(len(shown)), shown, strict=True):
        estimate = run.metrics[name]
        with column, st.container(border=True):
            st.metric(title_of(name), "undefined" if estimate.value is None else f"{estimate.value:.3f}")
            st.caption(figures.estimate_text(estimate))


def curves(run: EvaluationRun) -> None:
    positive = TASKS[run.task].positive_index
    threshold = run.operating_point.threshold if run.operating_point else None
    predicted = predicted_class(run.probabilities, positive, threshold)
    matrix = confusion_matrix(run.labels, predicted, len(run.classes))
    left, right = st.columns(2)
    with left:
        st.plotly_chart(figures.confusion_figure(matrix, run.classes, "Confusion matrix"), key="confusion")
    with right:
        if positive is None:
            st.info(
                "One ROC curve needs a positive class; this task has none. The per-class numbers are in the table below."
            )
            return
        curve = roc_curve((run.labels == positive).astype(int), run.probabilities[:, positive])
        point = None
        sensitivity, specificity = run.metrics["sensitivity"].value, run.metrics["specificity"].value
        if run.operating_point and sensitivity is not None and specificity is not None:
            point = (
                1 - specificity,
                sensitivity,
                f"{run.operating_point.name}, threshold {run.operating_point.threshold:.3f}",
            )
        st.plotly_chart(figures.roc_figure(curve, run.metrics["auc"], point, len(run.labels)), key="roc")


def training(run: EvaluationRun) -> None:
    st.subheader("Training")
    if not run.history:
        st.caption("This run's model came without its training history.")
        return
    for column, metric in zip(st.columns(2), ("loss", "accuracy"), strict=True):
        column.plotly_chart(figures.history_figure(run.history, metric), key=f"history-{metric}")


def details(run: EvaluationRun) -> None:
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
        for name, e in run.metrics.items()
    ]
    number = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=dict.fromkeys(("Value", "Low", "High"), number))
    with st.expander("Where these numbers come from", icon=":material/account_tree:"):
        st.json({"run": run.id, "model": run.model_version, **run.provenance}, expanded=1)


identity.current_user()
st.title("Performance")
run = choose()
if run is None:
    messages.empty(
        "No evaluation runs yet", "Score a model with `python -m core evaluate`, then `python -m db ingest RUN_DIR`."
    )
else:
    if run.operating_point:
        point = run.operating_point
        st.caption(
            f"Sensitivity, specificity and predictive values are at the operating point **{point.name}**, threshold "
            f"{point.threshold:.3f}, chosen on {point.chosen_on}. Intervals are 95 %."
        )
    tiles(run)
    curves(run)
    training(run)
    details(run)
