"""What the figures say, in words; facts are the mappings that `benchmark` makes and the store keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.explain.honesty.masks import CONTROLS, better
from core.explain.honesty.randomisation import ALIKE, correlations, judged
from core.explain.honesty.reference import full_colour
from core.explain.registry import METHODS

Facts = Mapping[str, Any]


def not_offered(parts: Mapping[str, Facts]) -> str:
    """Why a method is not offered for a model, as a clause; empty where it is."""
    facts = parts.get("randomisation", {})
    if "refused" in facts:
        return str(facts["refused"])
    passes = judged(facts) if correlations(facts) else True
    if passes is None:
        return f"it cannot be told whether its maps depend on the weights: {_why_undefined(facts)}"
    if passes:
        return ""
    if facts["correlation"]["value"] < ALIKE:
        return (
            "with re-initialised weights its values are large, for or against, at the same places: rank correlation of their "
            f"sizes {figure(facts['magnitudes'])}"
        )
    return f"maps of re-initialised weights look the same: rank correlation {figure(facts['correlation'])}"


def randomised(parts: Mapping[str, Facts]) -> str:
    """One clause on weight randomisation: passed, failed, or not yet checked, with its figures."""
    facts = parts.get("randomisation")
    if not facts:
        return "weight randomisation not yet checked"
    if why := not_offered(parts):
        return f"weight randomisation failed: {why}"
    highs = [facts[name]["high"] for name in correlations(facts)]
    sure = None not in highs and max(highs) < ALIKE
    passed = "passed weight randomisation" + ("" if sure else ", not beyond doubt")
    sizes = f", of sizes {figure(facts['magnitudes'])}" if facts.get("magnitudes") else ""
    flat = facts.get("flat", 0)
    left_out = f"; {flat} maps of re-initialised models that are the same everywhere left out" if flat else ""
    return f"{passed} (rank correlation {figure(facts['correlation'])}{sizes}{left_out})"


def _why_undefined(facts: Facts) -> str:
    reasons = [facts[name].get("reason") for name in correlations(facts)]
    return next((reason for reason in reasons if reason), "every map is the same everywhere")


def figure(estimate: Facts, percent: bool = False) -> str:
    """An estimate as "0.12 (0.05 to 0.20, n = 12)"; undefined ones say why."""
    if estimate.get("value") is None:
        return f"undefined: {estimate.get('reason') or 'no cases'}"

    def text(value: float) -> str:
        return (f"{value:.0%}" if percent else f"{value:.2f}").replace("-", "−")

    value, low, high, n = (estimate[name] for name in ("value", "low", "high", "n"))
    if low is None or high is None:
        return f"{text(value)} (n = {n}, no interval)"
    return f"{text(value)} ({text(low)} to {text(high)}, n = {n})"


def verdict(difference: Facts) -> str:
    """`better than`, `worse than`, or `not better than`: only an interval that leaves 0 out on the good side is better."""
    return {True: "better than", False: "worse than", None: "not better than"}[better(difference)]


def pointing(facts: Facts | None, whose: str = "the lesion masks") -> str:
    """The pointing game against each control, in one sentence; empty where it was not measured."""
    if not facts or "own" not in facts:
        return ""
    by_word: dict[str, list[str]] = {}
    for name, title in CONTROLS.items():
        if name in facts["differences"]:
            by_word.setdefault(verdict(facts["differences"][name]["hit"]), []).append(title)
    said = "; ".join(f"{word} {_and(titles)}" for word, titles in by_word.items())
    return f"Points into {whose} in {figure(facts['own']['hit'], percent=True)}: {said}."


def no_better_than_centre(measures: Mapping[str, Mapping[str, Facts]], against: str) -> list[str]:
    """The methods measured `against` masks or reviewers whose maps point no better than the image centre does."""
    found = {
        name: parts[against]["differences"]["centre"]["hit"]
        for name, parts in measures.items()
        if "own" in parts.get(against, {})
    }
    return [name for name in METHODS if name in found and better(found[name]) is not True]


def curve(facts: Facts | None) -> str:
    """Deletion and insertion against random orders, in one sentence; empty where it was not measured."""
    if not facts or "deletion_random" not in facts:
        return ""
    words = {name: verdict(facts[f"{name}_random"]) for name in ("deletion", "insertion")}
    if len(set(words.values())) == 1:
        return f"Deletion and insertion are {words['deletion']} random orders."
    return f"Deletion is {words['deletion']} random orders, insertion {words['insertion']} them."


def sentence(parts: Mapping[str, Facts]) -> str:
    """What is known of one method on one model, honestly, in a few sentences."""
    if not parts:
        return "Not yet measured."
    if why := not_offered(parts):
        return f"Not offered to reviewers: {why.rstrip('.')}."
    said = [
        f"{_upper(randomised(parts))}.",
        pointing(parts.get("masks")),
        curve(parts.get("faithfulness")),
    ]
    said.append(pointing(parts.get("reviewers"), "reviewers' regions"))
    return " ".join(s for s in said if s)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def colours(parts: Mapping[str, Facts]) -> str:
    """What full colour means for a method with this reference, or that there is none."""
    facts = parts.get("reference")
    top = full_colour(facts)
    if not facts or top is None:
        return "No reference scale yet: colours are this picture's own and cannot be compared between pictures."
    return f"Colours relative to {facts['n']} validation maps: full colour is their 99th percentile, {top:.3g}."


def _and(titles: list[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
