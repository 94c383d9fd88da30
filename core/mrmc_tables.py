"""Multi-reader analyses as long tables, one row per number, for files that leave the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import pandas as pd

from core.records import Estimate
from core.statistics.mrmc_margin import non_inferiority
from core.statistics.mrmc_records import Contrast, MrmcResult
from core.statistics.mrmc_standalone import StandAloneResult

COLUMNS = (
    "figure", "generalises_to", "what", "reader", "value", "low", "high", "p", "n", "standard_error", "df", "test", "statistic",
    "df1", "df2", "test_p", "margin", "margin_p", "positives", "negatives", "method", "reason",
)  # fmt: skip


def mrmc_table(result: MrmcResult, margin: float = 0.0) -> pd.DataFrame:
    """`COLUMNS` of an analysis: means and differences of modalities by what they generalise to, with the test of all modalities,
    then each reader's own figures and differences. Differences are "first - second"; with a `margin` above 0, margin_p is that of
    the one-sided test that the second is not worse than the first by as much.
    """
    rows = []
    for kind, analysis in result.analyses.items():
        t = analysis.test
        tested = {"test": t.name, "statistic": t.statistic, "df1": t.df1, "df2": t.df2, "test_p": t.p}
        parts = [
            *(_estimate(name, e) for name, e in analysis.modalities.items()),
            *({**_contrast(c), **_margin(c, margin, c.second)} for c in analysis.differences),
        ]
        rows += [{"generalises_to": kind, **part, **tested} for part in parts]
    rows += [{"reader": reader, **_estimate(modality, e)} for (modality, reader), e in result.by_reader.items()]
    rows += [_contrast(c) for c in result.reader_differences]
    return _table(rows, result)


def standalone_table(found: StandAloneResult, margin: float = 0.0) -> pd.DataFrame:
    """`COLUMNS` of a stand-alone model's figure, the readers' means and own figures, and the model less each of these; a
    `margin` above 0 is tested as in `mrmc_table`, for the model.
    """
    rows = [_estimate("model", found.model)]
    for kind, e in found.panel.items():
        c = found.differences[kind]
        parts = (_estimate("readers", e), {**_contrast(c), **_margin(c, margin, c.first)})
        rows += [{"generalises_to": kind, **part} for part in parts]
    rows += [{"reader": reader, **_estimate("reader", e)} for reader, e in found.by_reader.items()]
    rows += [{**_contrast(c), "what": "model - reader"} for c in found.reader_differences]
    return _table(rows, found)


def components_table(result: MrmcResult) -> pd.DataFrame:
    """figure, component, value: variance components and mean squares; those that the study does not have are left out."""
    known = {name: value for name, value in asdict(result.components).items() if value is not None}
    return pd.DataFrame(
        {"figure": result.figure, "component": list(known), "value": [float(v) for v in known.values()]}
    )


def _estimate(what: str, e: Estimate) -> dict[str, object]:
    return {"what": what, **{name: getattr(e, name) for name in ("value", "low", "high", "n", "method", "reason")}}


def _contrast(c: Contrast) -> dict[str, object]:
    d = c.difference
    numbers = {name: getattr(d, name) for name in ("value", "low", "high", "p", "n", "method", "reason")}
    return {
        "what": f"{c.first} - {c.second}",
        "reader": c.reader,
        **numbers,
        "standard_error": c.standard_error,
        "df": c.df,
    }


def _margin(c: Contrast, margin: float, new: str) -> dict[str, object]:
    return {"margin": margin, "margin_p": non_inferiority(c, margin, new).p} if margin else {}


def _table(rows: list[Mapping[str, object]], of: MrmcResult | StandAloneResult) -> pd.DataFrame:
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    table = table.assign(figure=of.figure, positives=of.positives, negatives=of.negatives)
    texts = ("generalises_to", "reader", "test", "reason")
    return table.assign(**{name: table[name].astype(object).where(table[name].notna(), "") for name in texts})
