"""Measured figures as rows: for CSV files, and for the tables of a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.explain.honesty.masks import CONTROLS, MEASURES
from core.explain.honesty.words import figure, not_offered, sentence, verdict
from core.explain.registry import METHODS

_FIGURE = {"value", "low", "high", "n", "method"}
COLUMNS = ("method", "part", "figure", "value", "low", "high", "n", "how", "reason", "dataset", "measured_at")
NOT_YET = "not yet checked"
# Stored under names that do not say which way they are subtracted; larger is better in all four.
_GAINS = {
    "deletion_random": "random_minus_deletion", "deletion_centre": "centre_minus_deletion",
    "insertion_random": "insertion_minus_random", "insertion_centre": "insertion_minus_centre",
}  # fmt: skip
_HEADS = {"centre": "vs image centre", "brightest": "vs brightest spot", "untrained": "vs untrained models"}


def long_rows(measures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Every figure of {method: {part: facts}} as a row of `COLUMNS`, in the order of the registry."""
    rows = []
    for method in METHODS:
        for part, facts in measures.get(method, {}).items():
            where = {name: facts.get(name, "") for name in ("dataset", "measured_at")}
            if "refused" in facts:
                rows.append({"method": method, "part": part, "figure": "", "reason": facts["refused"], **where})
            for name, found in _figures(facts):
                numbers = {key: found.get(key) for key in ("value", "low", "high", "n", "reason")}
                rows.append(
                    {
                        "method": method,
                        "part": part,
                        "figure": _GAINS.get(name, name),
                        **numbers,
                        "how": found["method"],
                        **where,
                    }
                )
    return [{column: row.get(column) for column in COLUMNS} for row in rows]


def _figures(facts: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            here = f"{path}{name}"
            if set(value) >= _FIGURE:
                yield here, value
            else:
                yield from _figures(value, f"{here}.")


def method_rows(
    measures: Mapping[str, Mapping[str, Mapping[str, Any]]], against: str = "masks"
) -> list[dict[str, Any]]:
    """One row of words for each method of the registry: what a lead reads first. `against` is `masks` or `reviewers`."""
    return [_row(name, measures.get(name, {}), against) for name in METHODS]


def _row(name: str, parts: Mapping[str, Mapping[str, Any]], against: str) -> dict[str, Any]:
    masks, faithful = parts.get(against, {}), parts.get("faithfulness", {})
    own = masks.get("own", {})
    row = {"Method": METHODS[name].title, "Randomisation": _randomisation(parts)}
    row["Points into it"] = _said(masks, own.get("hit"), percent=True)
    row |= {_HEADS[control]: _beside(masks, control) for control in CONTROLS}
    row |= {"Energy inside": _said(masks, own.get("energy"), percent=True), "IoU": _said(masks, own.get("iou"))}
    for head, curve in (("Random − deletion", "deletion"), ("Insertion − random", "insertion")):  # larger is better
        row[head] = _said(faithful, faithful.get(f"{curve}_random"))
    row["Stability"] = _said(parts.get("stability", {}), parts.get("stability", {}).get("correlation"))
    speed = parts.get("reference", {})
    row["ms per map"] = f"{speed['milliseconds']:.1f} (median, n = {speed['n']})" if "milliseconds" in speed else "–"
    row["In words"] = sentence(parts)
    return row


def _randomisation(parts: Mapping[str, Mapping[str, Any]]) -> str:
    facts = parts.get("randomisation")
    if not facts:
        return NOT_YET
    if "refused" in facts:
        return "cannot be made"
    word = "fails" if not_offered(parts) else "passes"
    sizes = f"; sizes {figure(facts['magnitudes'])}" if facts.get("magnitudes") else ""
    return f"{word}: {figure(facts['correlation'])}{sizes}"


def _verdict(facts: Mapping[str, Any], control: str) -> str:
    found = facts.get("differences", {}).get(control)
    return verdict(found["hit"]).removesuffix(" than") if found else "–"


def _beside(facts: Mapping[str, Any], control: str) -> str:
    hits = facts.get("controls", {}).get(control, {}).get("hit")
    return f"{_verdict(facts, control)} than {figure(hits, percent=True)}" if hits else "–"


def _said(facts: Mapping[str, Any], found: Mapping[str, Any] | None, *, percent: bool = False) -> str:
    if "refused" in facts:
        return "none"
    return figure(found, percent) if found else "–"


def control_rows(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The three measures of a method against masks or regions and of its controls, each with the paired difference."""
    names = {"hit": "Points into it", "energy": "Energy inside", "iou": "IoU"}
    gaps = {m: f"method − control, {names[m]}" for m in MEASURES}
    own = {names[m]: figure(facts["own"][m]) for m in MEASURES}
    rows = [{"": "the method", **own, **{gap: "–" for gap in gaps.values()}}]
    for control, title in CONTROLS.items():
        row = {"": title}
        for measure in MEASURES:
            row[names[measure]] = figure(facts["controls"][control][measure])
            gap = facts["differences"][control][measure]
            row[gaps[measure]] = figure(gap)
        rows.append(row)
    return rows


def region_rows(
    measures: Mapping[str, Mapping[str, Mapping[str, Any]]], against: str = "reviewers"
) -> list[dict[str, str]]:
    """One row for each method that was measured against masks or regions: its figures, each control's hits, and the verdicts."""
    rows = []
    for name in METHODS:
        facts = measures.get(name, {}).get(against)
        if facts is None:
            continue
        own, controls = facts.get("own", {}), facts.get("controls", {})
        row = {"Method": METHODS[name].title, "Points into it": _said(facts, own.get("hit"), percent=True)}
        row |= {"Energy inside": _said(facts, own.get("energy"), percent=True), "IoU": _said(facts, own.get("iou"))}
        for control, title in CONTROLS.items():
            row[f"Pointing, {title}"] = _said(facts, controls.get(control, {}).get("hit"), percent=True)
            row[_HEADS[control].capitalize()] = _verdict(facts, control)
        rows.append(row)
    return rows
