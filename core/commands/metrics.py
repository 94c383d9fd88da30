"""`python -m core metrics` and `python -m core compare`: figures of predictions made anywhere, from CSV files."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.ratings import p_text
from core.records import Estimate, Refused
from core.tasks import TASKS, Task, get_task

if TYPE_CHECKING:
    import numpy as np

    from core.statistics.comparison import ComparisonResult, Difference

POSITIVE = ("malignant", "cancer", "positive")
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Table:
    """A predictions file: case and patient ids, labels (N,) as indices into the task's classes, probabilities (N, C)."""

    name: str
    task: Task
    case_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray


def add_metrics_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `metrics`."""
    text = "CSV with case_id, label and prob_<class> for every class; patient_id where patients have several cases"
    parser.add_argument("predictions", type=Path, help=text)
    _add_shared(parser, "of the positive class (default: 0.5)")


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `compare`."""
    parser.add_argument("a", type=Path, metavar="A.csv", help="predictions, as for metrics")
    parser.add_argument("b", type=Path, metavar="B.csv", help="the baseline's predictions for the same cases")
    _add_shared(parser, "of the positive class, for both (default: 0.5)")
    parser.add_argument("--threshold-b", type=float, metavar="T", help="of the baseline, where it has its own")


def _add_shared(parser: argparse.ArgumentParser, threshold: str) -> None:
    text = "(default: the classes of the columns; the positive one is called malignant, cancer or positive)"
    parser.add_argument("--task", choices=list(TASKS), help=text)
    parser.add_argument("--threshold", type=float, metavar="T", help=threshold)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run_metrics(options: argparse.Namespace) -> int:
    """Print every figure of one predictions file."""
    from core.statistics.summary import evaluate

    table = read_table(options.predictions, options.task)
    threshold = _threshold(options.threshold, table.task)
    figures = evaluate(table.labels, table.probabilities, table.task, threshold, patients=table.patient_ids)
    if options.json:
        print(json.dumps({**_facts(table, threshold), "metrics": {k: estimate_row(e) for k, e in figures.items()}}))
        return 0
    print(_headline(table, threshold))
    print(aligned([(name, *_shown(e), f"n = {e.n}", e.method) for name, e in figures.items()]))
    return 0


def run_compare(options: argparse.Namespace) -> int:
    """Print the differences a − b of two predictions files with the same cases."""
    from core.statistics.comparison import compare

    a = read_table(options.a, options.task)
    b = matched(a, read_table(options.b, options.task))
    thresholds = (
        _threshold(options.threshold, a.task),
        _threshold(options.threshold if options.threshold_b is None else options.threshold_b, a.task),
    )
    result = compare(a.labels, a.probabilities, b.probabilities, a.task, thresholds, patients=a.patient_ids)
    if options.json:
        print(json.dumps(_comparison_json(result, a, b, thresholds)))
        return 0
    print(_headline(a, thresholds[0]) + f" Differences: {a.name} − {b.name}.")
    print(aligned([(name, *_shown(d, sign="+"), p_text(d.p), d.method) for name, d in result.differences.items()]))
    counts = result.disagreement
    print(
        f"Right: both {counts['both']}, only {a.name} {counts['only_a']}, only {b.name} {counts['only_b']}, "
        f"neither {counts['neither']}."
    )
    return 0


def read_table(path: Path, task_name: str | None) -> Table:
    """A predictions file, for a named task or for the classes of its own columns; raises `Refused` in one sentence."""
    from core.runs import parse_predictions

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise Refused(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as e:
        raise Refused(f"{path.name} cannot be read as text ({type(e).__name__}).") from e
    task = get_task(task_name) if task_name else task_of_columns(next(csv.reader(text.splitlines()), []), path.name)
    return Table(path.name, task, *parse_predictions(text, task, path.name))


def task_of_columns(columns: Sequence[str], name: str) -> Task:
    """A task with the classes of the `prob_<class>` columns; of two classes, one must be called as `POSITIVE` says."""
    classes = tuple(column.removeprefix("prob_") for column in columns if column.startswith("prob_"))
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise Refused(f"{name} needs a column prob_<class> for each of at least two classes.")
    positive = [c for c in classes if c.lower() in POSITIVE]
    if len(classes) == 2 and len(positive) != 1:
        raise Refused(
            f"{name} has the classes {' and '.join(classes)}, of which none or both could be the positive one; "
            "name its task with --task."
        )
    only = positive[0] if len(classes) == 2 else None
    return Task(name, name, classes, only, 1, "", {c.lower(): c for c in classes})


def matched(a: Table, b: Table) -> Table:
    """`b` with its cases and classes in the order of `a`; raises `Refused` where cases, classes or labels differ."""
    import numpy as np

    if set(a.task.classes) != set(b.task.classes):
        raise Refused(f"{a.name} and {b.name} cannot be compared: their classes differ.")
    only_a, only_b = set(a.case_ids) - set(b.case_ids), set(b.case_ids) - set(a.case_ids)
    if only_a or only_b:
        example = min(only_a or only_b)
        raise Refused(
            f"{a.name} and {b.name} cannot be compared: {len(only_a)} case(s) are only in the first and {len(only_b)} only "
            f"in the second, e.g. {example}."
        )
    place = {case: i for i, case in enumerate(b.case_ids)}
    rows = np.array([place[case] for case in a.case_ids])
    columns = [b.task.classes.index(c) for c in a.task.classes]
    labels = np.array([a.task.classes.index(c) for c in b.task.classes])[b.labels][rows]
    other = np.flatnonzero(labels != a.labels)
    if len(other):
        case, mine, its = a.case_ids[other[0]], a.labels[other[0]], labels[other[0]]
        raise Refused(
            f"{a.name} and {b.name} cannot be compared: {len(other)} label(s) differ, e.g. {case} is "
            f"{a.task.classes[mine]} in the first and {a.task.classes[its]} in the second."
        )
    patients = tuple(b.patient_ids[i] for i in rows)
    return Table(b.name, a.task, a.case_ids, patients, labels, b.probabilities[rows][:, columns])


def estimate_row(estimate: Estimate | Difference) -> dict[str, Any]:
    """JSON of an estimate; the reason only where there is one."""
    row = asdict(estimate)
    return row if row["reason"] else {key: value for key, value in row.items() if key != "reason"}


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length as text, in columns of the width they need."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _threshold(given: float | None, task: Task) -> float | None:
    if task.positive is None or len(task.classes) != 2:
        return None
    if given is not None and not 0 <= given <= 1:
        raise Refused(f"A threshold must lie in 0–1, not {given:g}.")
    return DEFAULT_THRESHOLD if given is None else given


def _facts(table: Table, threshold: float | None) -> dict[str, Any]:
    return {
        "n": len(table.labels),
        "patients": len(set(table.patient_ids)),
        "classes": list(table.task.classes),
        "positive": table.task.positive,
        "threshold": threshold,
    }


def _headline(table: Table, threshold: float | None) -> str:
    facts = f"{table.name}: {len(table.labels)} cases of {len(set(table.patient_ids))} patients"
    if threshold is None:
        return f"{facts}; classes {', '.join(table.task.classes)}."
    return f"{facts}; positive is {table.task.positive} at {threshold:g} or more."


def _shown(estimate: Any, sign: str = "") -> tuple[str, str]:
    """Value and interval as text."""
    if estimate.value is None:
        return "undefined", estimate.reason
    if estimate.low is None:
        return f"{estimate.value:{sign}.4f}", estimate.reason
    return f"{estimate.value:{sign}.4f}", f"({estimate.low:{sign}.4f} to {estimate.high:{sign}.4f})"


def _comparison_json(
    result: ComparisonResult, a: Table, b: Table, thresholds: tuple[float | None, float | None]
) -> dict[str, Any]:
    """a − b of every figure, and who is right how often."""
    differences = {name: estimate_row(d) for name, d in result.differences.items()}
    facts = _facts(a, thresholds[0]) | {"threshold_b": thresholds[1], "a": a.name, "b": b.name}
    return {**facts, "differences": differences, "disagreement": dict(result.disagreement)}
