"""From where on a reading counts as positive: the class given, a BI-RADS category, or a likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from core.records import BIRADS, Refused

CutKind = Literal["class", "birads", "likelihood"]
CALLED = 0.5  # the threshold between 0 and 1 of `called`
_FROM = {name: BIRADS[BIRADS.index(name) :] for name in ("3", "4A", "4B", "4C", "5")}
# 0 (incomplete: further imaging) is a recall in screening. Sickles & D'Orsi, ACR BI-RADS Follow-up and Outcome Monitoring, 2013:
# a screening examination is positive at 0, 3, 4 and 5, a diagnostic one at 4 and 5.
BIRADS_CUTS: Mapping[str, tuple[str, ...]] = {
    "0, 3 and higher": ("0", *_FROM["3"]),
    "0, 4A and higher": ("0", *_FROM["4A"]),
    **{f"{name} and higher": own for name, own in _FROM.items()},
}


@dataclass(frozen=True)
class Cut:
    """What counts as positive: the positive class, `birads`, one of `BIRADS_CUTS`, or a likelihood of `least` (0–100) or more."""

    kind: CutKind = "class"
    birads: str = "0, 4A and higher"
    least: float = 50

    def __post_init__(self) -> None:
        if self.birads not in BIRADS_CUTS:
            raise Refused(f"BI-RADS is cut at one of {'; '.join(BIRADS_CUTS)}, not at '{self.birads}'.")
        if not 0 <= self.least <= 100:
            raise Refused(f"A likelihood is cut at a number from 0 to 100, not at {self.least:g}.")

    @property
    def words(self) -> str:
        """What stands behind "positive is"."""
        if self.kind == "class":
            return "the class given"
        return f"BI-RADS {self.birads}" if self.kind == "birads" else f"a likelihood of {self.least:g} or more"


CLASS = Cut()


def called(rows: pd.DataFrame, positive: str, cut: Cut = CLASS) -> np.ndarray:
    """(N,) float64 of readings with label, birads and likelihood: 1 where positive by `cut`, else 0; NaN where not given."""
    if cut.kind == "likelihood":
        values = rows["likelihood"].to_numpy(np.float64)
        given, yes = np.isfinite(values), np.nan_to_num(values, nan=-1.0) >= cut.least
    else:
        column = "label" if cut.kind == "class" else "birads"
        given = (rows[column] != "").to_numpy(bool)
        yes = rows[column].isin([positive] if cut.kind == "class" else BIRADS_CUTS[cut.birads]).to_numpy(bool)
    return np.where(given, yes.astype(np.float64), np.nan)


def kinds_given(rows: pd.DataFrame) -> tuple[CutKind, ...]:
    """The kinds of cut that these readings allow: of the class always, of the others where anybody gave them."""
    there = {"birads": (rows["birads"] != "").any(), "likelihood": rows["likelihood"].notna().any()}
    return ("class", *(kind for kind in ("birads", "likelihood") if there[kind]))  # type: ignore[return-value]
