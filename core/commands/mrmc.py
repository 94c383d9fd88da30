"""`python -m core mrmc`: a multi-reader multi-case analysis of ratings from a CSV or .imrmc file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.metrics import aligned, estimate_row
from core.commands.ratings import p_text, read_ratings, read_text, shown
from core.records import Refused

if TYPE_CHECKING:
    import pandas as pd

    from core.statistics.mrmc_margin import NonInferiority
    from core.statistics.mrmc_records import Contrast, MrmcResult, OverallTest
    from core.statistics.mrmc_standalone import StandAloneResult

_TITLES = {"readers and cases": "Random readers, random cases", "cases": "Fixed readers, random cases",
           "readers": "Random readers, fixed cases"}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `mrmc`."""
    text = "CSV with reader, modality, case, truth and rating (higher: more likely positive), or an .imrmc file"
    parser.add_argument("ratings", type=Path, help=text)
    parser.add_argument("--figure", default="auc", choices=["auc", "sensitivity", "specificity"], help="(default: auc)")
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="positive at T or more, for sensitivity, specificity"
    )
    methods = ["delong", "jackknife", "unbiased"]
    parser.add_argument(
        "--method", default="delong", choices=methods, help="covariance of the errors (default: delong)"
    )
    parser.add_argument("--positive", default="", metavar="TRUTH", help="the truth that is positive, where it is not 1")
    text = "the modalities to compare, in this order (default: all as they occur)"
    parser.add_argument("--modalities", nargs="+", default=[], metavar="NAME", help=text)
    text = "compare this reader, a stand-alone model, with the others; one modality"
    parser.add_argument("--model", default="", metavar="READER", help=text)
    parser.add_argument("--model-threshold", type=float, metavar="T", help="of the model (default: --threshold)")
    text = "also test that the second modality (or the model) is not worse than the first (the readers) by M or more"
    parser.add_argument("--margin", type=float, metavar="M", help=text)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Print the analysis of one file."""
    from core.statistics.mrmc import analyse
    from core.statistics.mrmc_data import crossed_ratings
    from core.statistics.mrmc_standalone import against_readers, split_model

    table = _table(options)
    if options.model:
        study, scores = split_model(table, options.model, positive=options.positive)
        own = options.threshold if options.model_threshold is None else options.model_threshold
        found = against_readers(study, scores, options.figure, options.method, (options.threshold, own))
        tested = _non_inferiority(found.differences, options.margin)
        print(json.dumps(_standalone_json(found) | _margin_json(tested)) if options.json
              else _standalone_text(found, options) + _margin_text(tested))  # fmt: skip
        return 0
    study = crossed_ratings(table, positive=options.positive, modalities=options.modalities)
    if options.margin is not None and len(study.modalities) != 2:
        raise Refused(f"--margin compares two modalities, not {len(study.modalities)}; pick them, the reference first.")
    result = analyse(study, options.figure, options.method, options.threshold)
    tested = _non_inferiority(
        {kind: a.differences[0] for kind, a in result.analyses.items() if a.differences}, options.margin
    )
    print(
        json.dumps(_json(result) | _margin_json(tested))
        if options.json
        else _text(result, options) + _margin_text(tested)
    )
    return 0


def _non_inferiority(contrasts: Mapping[str, Contrast], margin: float | None) -> dict[str, NonInferiority]:
    """By what it generalises to; nothing where no margin was asked for. New is the second modality, or the model."""
    from core.statistics.mrmc_margin import non_inferiority
    from core.statistics.mrmc_standalone import MODEL

    if margin is None:
        return {}
    return {
        kind: non_inferiority(c, margin, c.first if c.first == MODEL else c.second) for kind, c in contrasts.items()
    }


def _margin_json(tested: dict[str, NonInferiority]) -> dict[str, Any]:
    return {"non_inferiority": {kind: {**asdict(n), "shown": n.shown} for kind, n in tested.items()}} if tested else {}


def _margin_text(tested: dict[str, NonInferiority]) -> str:
    if not tested:
        return ""
    first = next(iter(tested.values()))
    rows = [
        (_TITLES[kind], n.reason or f"lower 95 % limit {n.low:+.4f}", p_text(n.p), "shown" if n.shown else "not shown")
        for kind, n in tested.items()
    ]
    title = f"{first.new} not worse than {first.reference} by {first.margin:g} or more (one-sided, level 0.025)"
    return f"\n\n{title}\n{aligned(rows)}"


def _table(options: argparse.Namespace) -> pd.DataFrame:
    from core.statistics.imrmc import read_imrmc
    from core.statistics.mrmc_data import COLUMNS

    if options.ratings.suffix.lower() == ".imrmc":
        return read_imrmc(read_text(options.ratings))
    if options.model:
        if options.modalities:
            raise Refused("--model compares within one modality, so --modalities has no meaning beside it.")
        return read_ratings(options.ratings, [name for name in COLUMNS if name != "modality"], ["modality"])
    return read_ratings(options.ratings, COLUMNS)


def _json(result: MrmcResult) -> dict[str, Any]:
    facts = ("figure", "covariance", "threshold", "modalities", "readers", "positives", "negatives")
    return {
        **{name: getattr(result, name) for name in facts},
        "by_reader": [{"modality": m, "reader": r, **estimate_row(e)} for (m, r), e in result.by_reader.items()],
        "components": asdict(result.components),
        "analyses": {
            kind: {
                "test": _test_row(a.test),
                "modalities": {name: estimate_row(e) for name, e in a.modalities.items()},
                "differences": [_contrast_row(c) for c in a.differences],
            }
            for kind, a in result.analyses.items()
        },
        "reader_differences": [_contrast_row(c) for c in result.reader_differences],
    }


def _standalone_json(found: StandAloneResult) -> dict[str, Any]:
    facts = ("figure", "covariance", "threshold", "readers", "positives", "negatives")
    return {
        **{name: getattr(found, name) for name in facts},
        "model": estimate_row(found.model),
        "panel": {kind: estimate_row(e) for kind, e in found.panel.items()},
        "differences": {kind: _contrast_row(c) for kind, c in found.differences.items()},
        "by_reader": {name: estimate_row(e) for name, e in found.by_reader.items()},
        "reader_differences": [_contrast_row(c) for c in found.reader_differences],
    }


def _test_row(test: OverallTest) -> dict[str, Any]:
    row = asdict(test)
    if row["df2"] == float("inf"):
        row["df2"] = None  # JSON knows no infinity; the p value is that of chi-square then
    return row if row["reason"] else {key: value for key, value in row.items() if key != "reason"}


def _contrast_row(c: Contrast) -> dict[str, Any]:
    names = {"first": c.first, "second": c.second, **({"reader": c.reader} if c.reader else {})}
    return {**names, **estimate_row(c.difference), "standard_error": c.standard_error, "df": c.df}


def _headline(found: MrmcResult | StandAloneResult, name: str) -> str:
    at = "" if found.threshold is None else f" at a rating of {found.threshold:g} or more"
    cases = f"{found.positives} positive and {found.negatives} negative cases"
    return f"{name}: {found.figure}{at}, {len(found.readers)} readers, {cases}; {found.covariance} covariance."


def _text(result: MrmcResult, options: argparse.Namespace) -> str:
    rows = [(reader, modality, *shown(e)) for (modality, reader), e in result.by_reader.items()]
    parts = [
        _headline(result, options.ratings.name),
        aligned([("reader", "modality", "value", "95 % interval"), *rows]),
    ]
    for kind, analysis in result.analyses.items():
        lines = [(name, *shown(e), "") for name, e in analysis.modalities.items()]
        lines += [_difference_line(c) for c in analysis.differences]
        parts.append(f"{_TITLES[kind]}: {_test_text(analysis.test)}\n{aligned(lines)}")
    known = [(name, f"{value:.8f}") for name, value in asdict(result.components).items() if isinstance(value, float)]
    parts.append("Variance components\n" + aligned(known))
    return "\n\n".join(parts)


def _standalone_text(found: StandAloneResult, options: argparse.Namespace) -> str:
    rows = [(options.model, *shown(found.model)), *((name, *shown(e)) for name, e in found.by_reader.items())]
    parts = [_headline(found, options.ratings.name), aligned(rows)]
    for kind, c in found.differences.items():
        lines = [("readers' mean", *shown(found.panel[kind]), ""), _difference_line(c)]
        parts.append(f"{_TITLES[kind]}\n{aligned(lines)}")
    return "\n\n".join(parts)


def _difference_line(c: Contrast) -> tuple[str, str, str, str]:
    return (f"{c.first} − {c.second}", *shown(c.difference, sign="+"), p_text(c.difference.p))


def _test_text(test: OverallTest) -> str:
    if test.statistic is None:
        return test.reason
    if test.df2 is None:
        return f"chi-square({test.df1}) = {test.statistic:.4f}, {p_text(test.p)}"
    return f"F({test.df1}, {test.df2:.2f}) = {test.statistic:.4f}, {p_text(test.p)}"
