"""An evaluation run as one printable page of HTML that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from core.figures import estimate_text
from core.records import EvaluationRun
from core.statistics.discrimination import confusion_matrix, predicted_class, roc_curve, thin
from core.tasks import get_task

NOTICE = "Research use, not for diagnosis"
_STYLE = (
    "@page{size:A4;margin:14mm}body{font:12px/1.35 system-ui,sans-serif;color:#111;background:#fff;max-width:190mm;margin:auto}"
    "h1{font-size:19px;margin:0}h2{font-size:14px;margin:14px 0 4px}p{margin:3px 0}.notice{font-weight:700;color:#8a3b00}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:2px 6px;text-align:left;vertical-align:top}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}.two{display:flex;gap:8mm;align-items:flex-start}.two>*{flex:1}"
    "footer{margin-top:10px;border-top:1px solid #bbb;color:#444}code{font-size:10px;overflow-wrap:anywhere}"
)


def run_report(run: EvaluationRun) -> str:
    """The report: what was scored, every metric with interval and n, confusion matrix, ROC curve, provenance.

    Everything that comes from the run is escaped. Figures at a threshold are those of the stored operating point.
    """
    task = get_task(run.task)
    parts = [
        f"<h1>{escape(run.model_name)} on {escape(run.dataset)} / {escape(run.split)}</h1>",
        f'<p class="notice">{NOTICE}.</p>',
        f"<p>{escape(task.title)}, n = {len(run.labels):,} cases of {len(set(run.patient_ids)):,} patients. "
        f"{_operating_point(run)} Intervals are 95 %.</p>",
        '<div class="two">', _confusion(run), _roc(run), "</div>",
        "<h2>Metrics</h2>", _metrics(run),
        "<h2>Where these numbers come from</h2>", _provenance(run),
        f"<footer>{NOTICE}. Made by TumorTrace from evaluation run <code>{escape(run.id)}</code>.</footer>",
    ]  # fmt: skip
    head = f'<meta charset="utf-8"><title>{escape(run.model_name)}: evaluation</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _operating_point(run: EvaluationRun) -> str:
    point = run.operating_point
    if point is None:
        return "The predicted class is the most probable one: the run has no operating point."
    return (
        f"Operating point {escape(point.name)}: threshold {point.threshold:.4f}, chosen on {escape(point.chosen_on)}."
    )


def _confusion(run: EvaluationRun) -> str:
    threshold = run.operating_point.threshold if run.operating_point else None
    predicted = predicted_class(run.probabilities, get_task(run.task).positive_index, threshold)
    matrix = confusion_matrix(run.labels, predicted, len(run.classes))
    names = [name.replace("_", " ") for name in run.classes]
    rows = [
        ["Reference \\ predicted", *names],
        *([name, *row] for name, row in zip(names, matrix.tolist(), strict=True)),
    ]
    return f"<div><h2>Confusion matrix, n = {matrix.sum():,}</h2>{_table(rows)}</div>"


def _metrics(run: EvaluationRun) -> str:
    rows: list[Sequence[object]] = [["Metric", "Value (95 % interval), n", "Method"]]
    rows += [[name.replace("_", " "), estimate_text(e, 3), e.method] for name, e in run.metrics.items()]
    return _table(rows)


def _provenance(run: EvaluationRun) -> str:
    dataset = dict(run.provenance.get("dataset") or {})
    versions = _pairs(run.provenance.get("versions"))
    stated = {
        "Model version (SHA-256)": run.model_version,
        "Architecture": run.provenance.get("architecture"),
        "Preprocessing": _pairs(run.provenance.get("preprocessing")),
        "Dataset fingerprint": dataset.get("fingerprint"),
        "Predictions (SHA-256)": run.provenance.get("predictions_sha256"),
        "Evaluated": run.provenance.get("started"),
        "Device, libraries": ", ".join(part for part in (str(run.provenance.get("device") or ""), versions) if part),
        "Remarks on the dataset": "; ".join(dataset.get("leaks") or []) or "none",
    }
    return _table([["What", "Value"], *([name, value or "not stated"] for name, value in stated.items())])


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in dict(values or {}).items())


def _roc(run: EvaluationRun) -> str:
    """The curve as inline SVG, with the operating point; nothing where there is no positive class."""
    positive = get_task(run.task).positive_index
    if positive is None or len(run.classes) != 2:
        return ""
    scores, labels = run.probabilities[:, positive], (run.labels == positive).astype(np.int64)
    curve = thin(roc_curve(labels, scores), 200)
    points = " ".join(f"{10 + 200 * x:.1f},{210 - 200 * y:.1f}" for x, y in zip(curve.fpr, curve.tpr, strict=True))
    mark = ""
    if run.operating_point and len(curve.fpr):
        called = scores >= run.operating_point.threshold
        x, y = called[labels == 0].mean(), called[labels == 1].mean()
        mark = f'<circle cx="{10 + 200 * x:.1f}" cy="{210 - 200 * y:.1f}" r="4" fill="#D55E00"/>'
    area = estimate_text(run.metrics["auc"], 3) if "auc" in run.metrics else "not computed"
    return (
        f'<div><h2>ROC curve, n = {len(labels):,}</h2><svg viewBox="0 0 240 235" width="250" role="img" aria-label="ROC curve">'
        '<rect x="10" y="10" width="200" height="200" fill="none" stroke="#999"/>'
        '<line x1="10" y1="210" x2="210" y2="10" stroke="#999" stroke-dasharray="3"/>'
        f'<polyline points="{points}" fill="none" stroke="#0072B2" stroke-width="1.6"/>{mark}'
        '<text x="110" y="228" font-size="10" text-anchor="middle">1 − specificity (0–1); up: sensitivity (0–1)</text></svg>'
        f"<p>AUC {escape(area)}</p></div>"
    )


def _table(rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td{_NUMBER if isinstance(c, int) else ''}>{escape(str(c))}</td>" for c in row) + "</tr>"
        for row in rows[1:]
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


_NUMBER = ' class="n"'
