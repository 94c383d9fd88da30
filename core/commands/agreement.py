"""`python -m core agreement`: how far readers agree, from a CSV of ratings."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.metrics import aligned, estimate_row
from core.commands.ratings import read_ratings, shown

if TYPE_CHECKING:
    from core.records import Estimate
    from core.statistics.agreement_numbers import LimitsOfAgreement
    from core.statistics.agreement_repeats import RepeatedClasses, RepeatedNumbers
    from core.statistics.agreement_summary import PairwiseMatrix
    from core.statistics.agreement_table import Ratings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `agreement`."""
    parser.add_argument("ratings", type=Path, help="CSV with case, reader and rating, one row per rating")
    text = "nominal: classes; ordinal: in order; interval: numbers (default: nominal)"
    parser.add_argument("--level", default="nominal", choices=["nominal", "ordinal", "interval"], help=text)
    text = "all categories there are, in order (default: those that occur, numbers by size, else by the alphabet)"
    parser.add_argument("--categories", nargs="+", default=[], metavar="NAME", help=text)
    parser.add_argument("--positive", default="", metavar="NAME", help="also the agreement on this category")
    text = "a second rating of a case by the same reader is a repeat: also each reader's agreement with themselves"
    parser.add_argument("--repeats", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Print every coefficient, the readers two by two, and repeats where asked."""
    from core.statistics.agreement_summary import agreement_summary, pairwise
    from core.statistics.agreement_table import COLUMNS, first_and_repeat, ratings_table

    table = read_ratings(options.ratings, COLUMNS)
    repeats = _repeats(table, options) if options.repeats else None
    first = first_and_repeat(table)[0] if options.repeats else table
    ratings = ratings_table(first, options.categories)
    found = agreement_summary(ratings, options.level, options.positive)
    weights = "kappa" if options.level == "nominal" else "quadratic"
    pairs = [pairwise(ratings, "raw"), pairwise(ratings, weights)]
    limits = _limits(ratings) if options.level == "interval" else {}
    if options.json:
        print(json.dumps(_json(ratings, (found, pairs, limits, repeats), options.level)))
    else:
        print(_text(ratings, (found, pairs, limits, repeats), options.ratings.name))
    return 0


def _repeats(table: Any, options: argparse.Namespace) -> Repeats:
    """Readers against their own second ratings, as numbers too at the interval level."""
    from core.statistics.agreement_repeats import repeated_classes, repeated_numbers

    classes = repeated_classes(table, tuple(options.categories))
    return classes, repeated_numbers(table) if options.level == "interval" else {}


def _limits(ratings: Ratings) -> dict[tuple[str, str], LimitsOfAgreement]:
    """Limits of agreement of every two readers' numbers."""
    import numpy as np

    from core.statistics.agreement_numbers import limits_of_agreement

    numbers = np.where(ratings.codes >= 0, ratings.values[ratings.codes], np.nan)
    names = ratings.readers
    return {
        (names[i], names[j]): limits_of_agreement(numbers[:, i], numbers[:, j])
        for i in range(len(names))
        for j in range(i + 1, len(names))
    }


Repeats = tuple["dict[str, RepeatedClasses]", "dict[str, RepeatedNumbers]"]
Parts = tuple[
    "dict[str, Estimate]",
    "list[PairwiseMatrix]",
    "dict[tuple[str, str], LimitsOfAgreement]",
    "Repeats | None",
]


def _json(ratings: Ratings, parts: Parts, level: str) -> dict[str, Any]:
    found, pairs, limits, repeats = parts
    result: dict[str, Any] = {
        "cases": len(ratings.cases),
        "readers": ratings.readers,
        "categories": ratings.categories,
        "level": level,
        "agreement": {name: estimate_row(e) for name, e in found.items()},
        "pairs": [
            {"statistic": matrix.statistic, "a": a, "b": b, **estimate_row(matrix.estimates[a, b])}
            for matrix in pairs
            for a, b in _upper(matrix)
        ],
    }
    if limits:
        names = ("bias", "lower", "upper")
        result["limits_of_agreement"] = [
            {"a": a, "b": b, "sd": x.sd, **{name: estimate_row(getattr(x, name)) for name in names}}
            for (a, b), x in limits.items()
        ]
    if repeats is not None:
        result["repeats"] = {
            name: {key: estimate_row(e) for key, e in _repeat_figures(name, repeats).items()} for name in repeats[0]
        }
    return result


def _repeat_figures(name: str, repeats: Repeats) -> dict[str, Estimate]:
    """All that is known of one reader's repeats, by name."""
    classes, numbers = repeats
    own = classes[name]
    found = {"raw": own.raw, "kappa": own.kappa, "AC1": own.ac1}
    if name in numbers:
        limits = numbers[name].limits
        found |= {"ICC(2,1)": numbers[name].icc, "mean difference": limits.bias}
        found |= {"lower limit": limits.lower, "upper limit": limits.upper}
    return found


def _upper(matrix: PairwiseMatrix) -> list[tuple[str, str]]:
    """Every two readers once."""
    place = {name: i for i, name in enumerate(matrix.rows)}
    return [(a, b) for a, b in matrix.estimates if place[a] < place[b]]


def _text(ratings: Ratings, parts: Parts, name: str) -> str:
    found, pairs, limits, repeats = parts
    facts = f"{len(ratings.cases)} cases, {len(ratings.readers)} readers, ratings {', '.join(ratings.categories[:12])}"
    blocks = [f"{name}: {facts}.", aligned([(key, *shown(e), f"n = {e.n}", e.method) for key, e in found.items()])]
    if len(ratings.readers) > 1:
        rows = [
            (f"{a}, {b}", matrix.statistic, *shown(matrix.estimates[a, b]), f"n = {matrix.estimates[a, b].n}")
            for matrix in pairs
            for a, b in _upper(matrix)
        ]
        blocks.append("Two by two\n" + aligned(rows))
    if limits:
        rows = [(f"{a} − {b}", *(shown(e)[0] for e in (x.bias, x.lower, x.upper))) for (a, b), x in limits.items()]
        blocks.append("Limits of agreement\n" + aligned([("", "mean", "lower", "upper"), *rows]))
    if repeats is not None:
        rows = [
            (reader, name, *shown(e), f"n = {e.n}")
            for reader in repeats[0] for name, e in _repeat_figures(reader, repeats).items()
        ]  # fmt: skip
        blocks.append("Repeats, second against first\n" + (aligned(rows) if rows else "No reader rated a case twice."))
    return "\n\n".join(blocks)
