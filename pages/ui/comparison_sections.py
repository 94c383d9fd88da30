"""The sections of the comparison page; each runs only when it is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core import figures_comparison, figures_run
from core.records import Estimate
from core.run_comparison import places_in, shared_errors
from core.statistics.paired import holm
from pages.ui import run_data
from pages.ui.charts import chart, csv
from pages.ui.compared import Compared
from pages.ui.gallery import gallery
from pages.ui.metric_names import class_name, title_of

MOST_CURVES = 10
METRICS = ("auc", "accuracy", "sensitivity", "specificity", "balanced_accuracy", "f1", "brier")
COSTS = {"parameters": "Parameters", "seconds": "Seconds of evaluation"}
_PARTS = (("value", "Δ"), ("low", "Δ low"), ("high", "Δ high"))


def table(compared: Compared) -> None:
    """Every run with its figures, intervals, and the difference to the baseline."""
    rows = difference_table(compared)
    number = st.column_config.NumberColumn(format="%.4f")
    config: dict[str, Any] = {
        c: number for c in rows.columns if rows[c].dtype.kind == "f" or str(rows[c].dtype) == "Float64"
    }
    config |= {c: st.column_config.NumberColumn(format="%.3g") for c in rows.columns if c.startswith("p ")}
    config |= {"Run": st.column_config.TextColumn(pinned=True), "Seconds": st.column_config.NumberColumn(format="%.1f"),
               "Parameters": st.column_config.NumberColumn(format="compact")}  # fmt: skip
    st.dataframe(rows, hide_index=True, column_config=config, height=min(760, 38 + 35 * len(rows)), alt="Comparison")
    csv(lambda: rows, "comparison")
    count = len(compared.ids) - 1
    n = len(compared.baseline.run.labels)
    st.caption(
        f"Δ is the run less the baseline, {compared.names[0]}, on the same n = {n:,} cases, with 95 % intervals. "
        f"AUC: paired DeLong. Accuracy, each run at its own stored operating point: McNemar"
        f"{', by patients where they have several cases' if compared.baseline.patients is not None else ''}. "
        f"p values are Holm's over {count} comparison{'s' if count != 1 else ''}; the intervals are of single comparisons."
    )


def difference_table(compared: Compared) -> pd.DataFrame:
    """One row per run, the baseline first; numbers as numbers, so that the table sorts."""
    found = compared.differences()
    shown: dict[str, Any] = {"Run": compared.names, "n": compared.rows["n"]}
    for metric in METRICS:
        if metric not in compared.rows:
            continue
        title = title_of(metric)
        shown |= {title: compared.rows[metric], f"{title} low": compared.rows[f"{metric}_low"],
                  f"{title} high": compared.rows[f"{metric}_high"]}  # fmt: skip
        if metric in ("auc", "accuracy"):
            each = [d[metric] for d in found]
            shown |= {f"{name} {title}": [None, *(getattr(d, part) for d in each)] for part, name in _PARTS}
            shown[f"p {title}"] = [None, *holm([d.p for d in each])]
    shown |= {"Seconds": compared.rows["seconds"], "Parameters": compared.rows["parameters"]}
    table = pd.DataFrame(shown)
    deltas = [c for c in table if c.startswith(("Δ", "p "))]
    return table.astype(dict.fromkeys(deltas, "Float64"))


def curves(compared: Compared) -> None:
    """ROC curves over each other: the baseline and the best of the others."""
    known = [i for i, part in enumerate(compared.parts) if len(part.aucs)]
    if compared.task.positive is None or not known:
        st.info("One ROC curve per run needs a positive class with cases on both sides.")
        return
    best = sorted((i for i in known if i), key=lambda i: -compared.parts[i].aucs[0])
    options = [i for i in (0, *best) if i in known]
    chosen = st.multiselect(
        "Curves", options, default=options[:MOST_CURVES], format_func=lambda i: compared.names[i], max_selections=24,
        key=f"curves:{compared.ids[0]}:{len(options)}",
    )  # fmt: skip
    shown = {f"{compared.names[i]}, AUC {compared.parts[i].aucs[0]:.3f}": compared.curve(i) for i in chosen}
    figure = figures_run.rocs_figure(shown, "ROC curves", len(compared.baseline.run.labels))
    chart(figure, "compared-rocs", lambda: pd.concat(
        [pd.DataFrame({"run": name, "fpr": c.fpr, "tpr": c.tpr}) for name, c in shown.items()] or [pd.DataFrame()]
    ))  # fmt: skip
    if len(known) > len(chosen):
        st.caption(
            f"{len(chosen)} of {len(known)} runs are drawn: the baseline and the highest AUCs unless you choose others."
        )


def disagreement(compared: Compared, *, cases_open: bool) -> None:
    """Which cases one of two runs gets right and the other wrong."""
    others = list(range(1, len(compared.ids)))
    left, right = st.columns([2, 3])
    other = left.selectbox(
        "Baseline against", others, format_func=lambda i: compared.names[i], key=f"against:{compared.ids[0]}"
    )
    base, part = compared.parts[0].right, compared.parts[other].right
    kinds = {
        f"Only {compared.names[other]} is right": part & ~base, "Only the baseline is right": base & ~part,
        "Both are wrong": ~base & ~part, "Both are right": base & part,
    }  # fmt: skip
    counts = pd.DataFrame({"Cases": list(kinds), "n": [int(cases.sum()) for cases in kinds.values()]})
    with right:
        st.dataframe(counts, hide_index=True, alt="Paired disagreement", width="content")
        csv(lambda: counts, "disagreement")
    if not cases_open:
        st.caption("Project leads can open the cases: pictures with their reference standard would unblind a reading.")
        return
    kind = st.segmented_control(
        "Show", list(kinds), default=next(iter(kinds)), required=True, key=f"kind:{compared.ids[other]}"
    )
    places = np.flatnonzero(kinds[kind])
    gallery(compared.baseline, places, f"pair:{compared.ids[other]}:{kind}", _note(compared, other))


def _note(compared: Compared, other: int) -> Callable[[int], str]:
    """'malignant: 0.91 and 0.22': probabilities of the right class in the baseline and in the other run."""
    base, run = compared.baseline.run, run_data.load(compared.ids[other]).run
    places = None if run.case_ids == base.case_ids else places_in(base.case_ids, run.case_ids)

    def note(i: int) -> str:
        label, there = base.labels[i], i if places is None else places[i]
        both = (base.probabilities[i, label], run.probabilities[there, label])
        return f"**{class_name(base.classes[label])}**: {both[0]:.2f} baseline, {both[1]:.2f}"

    return note


def errors(compared: Compared) -> None:
    """How far the runs' errors are the same cases."""
    share = shared_errors([part.right for part in compared.parts])
    n = len(compared.baseline.run.labels)
    matrix = pd.DataFrame(share, index=pd.Index(compared.names, name="run"), columns=compared.names)
    chart(
        figures_comparison.shared_errors_figure(share, compared.names, n), "shared-errors", lambda: matrix.reset_index()
    )
    wrong = np.sum([~part.right for part in compared.parts], axis=0)
    every, nobody = int((wrong == len(compared.parts)).sum()), int((wrong == 0).sum())
    st.caption(
        f"1 means that two runs err on the same cases, 0 on different ones: then together they may do better. "
        f"All {len(compared.parts)} runs are wrong on {every:,} cases and right on {nobody:,}, of n = {n:,}."
    )


def cost(compared: Compared) -> None:
    """A metric against what it costs."""
    metrics = [m for m in METRICS if m in compared.rows]
    with st.container(horizontal=True):
        metric = st.selectbox("Metric", metrics, format_func=title_of, key="cost_metric", persist_state="session")
        axis = st.selectbox("Against", list(COSTS), format_func=COSTS.get, key="cost_axis", persist_state="session")
    rows = compared.rows
    estimates = [
        Estimate(
            *(None if pd.isna(v) else float(v) for v in (r[metric], r[f"{metric}_low"], r[f"{metric}_high"])),
            int(r["n"]),
            "",
        )
        for _, r in rows.iterrows()
    ]
    x = [None if pd.isna(value) else float(value) for value in rows[axis]]
    figure = figures_comparison.scatter_figure(compared.names, x, estimates, (COSTS[axis], title_of(metric)), 0)
    columns = ["model_name", "id", axis, metric, f"{metric}_low", f"{metric}_high"]
    chart(figure, "cost", lambda: rows[columns])
    st.caption(
        "Seconds are those of the whole evaluation on the machine that did it; compare them within one machine only."
    )
