"""Reader studies for tests: the public ones, and small ones made here."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.statistics.mrmc_data import CrossedRatings, crossed_ratings
from tests.core.reference import DATA


def public_study(name: str) -> CrossedRatings:
    """Van Dyke or Franken, beside the checkout."""
    return crossed_ratings(public_table(name))


def public_table(name: str) -> pd.DataFrame:
    """The same as a long table with our names of columns."""
    table = pd.read_csv(DATA / "reader_studies" / f"{name}.csv")
    return table.rename(columns={"treatment": "modality"})


def made_study(
    t: int, r: int, n: int, *, seed: int = 0, levels: int | None = None, gain: float = 1.0
) -> CrossedRatings:
    """Ratings of n cases, every other one positive, with shared case difficulty; rounded to `levels` where given."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    ratings = rng.normal(size=(t, r, n)) + rng.normal(size=n) + gain * truth
    if levels:
        ratings = np.clip(np.round(ratings + levels / 2), 1, levels)
    names = (tuple(f"m{i}" for i in range(t)), tuple(f"r{i}" for i in range(r)), tuple(f"c{i}" for i in range(n)))
    return CrossedRatings(*names, truth, ratings)


def as_table(study: CrossedRatings) -> pd.DataFrame:
    """The study as a long table, one row per reading."""
    rows = [
        (reader, modality, case, int(study.truth[c]), float(study.ratings[t, r, c]))
        for t, modality in enumerate(study.modalities)
        for r, reader in enumerate(study.readers)
        for c, case in enumerate(study.cases)
    ]
    return pd.DataFrame(rows, columns=["reader", "modality", "case", "truth", "rating"])
