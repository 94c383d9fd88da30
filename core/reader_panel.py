"""One reader beside the panel of the others, without names: own figures, their median and range, cases to look at again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.records import Estimate, Refused
from core.statistics.model_effect import SHARES, effect_by_reader
from core.study_readings import StudyReadings, effect_table, reader_figures

FEWEST = 3  # others: the range of two would be their two values


@dataclass(frozen=True)
class BesidePanel:
    """One figure of one reader: `own` with its interval, and `median`, `low`, `high` of `others` readers' values.

    The panel's numbers are None where fewer than `FEWEST` others have the figure.
    """

    figure: str
    phase: str
    own: Estimate
    median: float | None
    low: float | None
    high: float | None
    others: int


def beside_panel(study: StudyReadings, reader: str) -> list[BesidePanel]:
    """Every figure of `reader_figures` in every phase; raises `Refused` for somebody who read nothing."""
    if reader not in study.readers:
        raise Refused("You have no readings in this study.")
    found = reader_figures(study)
    rows = []
    for phase in study.phases:
        for figure, own in found[reader, phase].items():
            values = [found[name, phase][figure].value for name in study.readers if name != reader]
            rows.append(_row(figure, phase, own, values))
    return rows


def reliance_beside_panel(study: StudyReadings, reader: str, replicates: int = 1000) -> list[BesidePanel]:
    """The shares of `model_effect` (over- and under-reliance, switches) of one reader; raises `Refused` as `effect_table`."""
    table = effect_table(study)
    mine = table[table["reader"] == reader]
    if mine.empty:
        raise Refused("You have no case that you read both without and with the model.")
    own = effect_by_reader(mine, study.positive, replicates=replicates)[reader].shares
    # The others' values only: their intervals are not shown, so they are not drawn.
    others = (
        effect_by_reader(table[table["reader"] != reader], study.positive, replicates=2)
        if len(mine) < len(table)
        else {}
    )
    return [_row(name, "both", own[name], [e.shares[name].value for e in others.values()]) for name in SHARES]


def cases_again(study: StudyReadings, reader: str) -> pd.DataFrame:
    """The reader's own cases that differ from the reference standard in the end, worst first.

    Columns: case, why, unaided, aided, model, truth. First those that were right before the model was shown, then those where
    model and reference agreed against the reader, then the rest.
    """
    own = study.readings[(study.readings["reader"] == reader) & (study.readings["truth"] != "")]
    wide = (
        own.pivot(index="case", columns="phase", values="label")
        .reindex(columns=["unaided", "aided"], fill_value="")
        .fillna("")
    )
    facts = own.drop_duplicates("case").set_index("case")[["predicted", "truth"]]
    table = wide.join(facts).rename(columns={"predicted": "model"})
    final = table["aided"].where(table["aided"] != "", table["unaided"])
    wrong = table[final != table["truth"]]
    lost = (wrong["unaided"] == wrong["truth"]) & (wrong["aided"] != "")
    against = wrong["model"] == wrong["truth"]
    why = np.select(
        [lost, against],
        ["right before the model was shown", "the model was right"],
        "model and you differ from the reference",
    )
    order = np.select([lost, against], [0, 1], 2)
    ranked = wrong.assign(why=why, order=order).sort_values("order", kind="stable").reset_index()
    return ranked[["case", "why", "unaided", "aided", "model", "truth"]]


def _row(figure: str, phase: str, own: Estimate, values: list[float | None]) -> BesidePanel:
    known = [v for v in values if v is not None]
    if len(known) < FEWEST:
        return BesidePanel(figure, phase, own, None, None, None, len(known))
    return BesidePanel(figure, phase, own, float(np.median(known)), min(known), max(known), len(known))
