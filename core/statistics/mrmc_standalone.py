"""A stand-alone model against the readers of one modality: is the model as good as the population of readers?

The readers' figures less the model's are analysed as the figures of one modality, their errors' covariance taken from readers
and model together (Hillis, Obuchowski, Schartz & Berbaum 2005 and Hillis 2007 for one modality; Hupse et al., Eur Radiol 2013;
23:93, is such a study).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.records import Estimate, Refused
from core.statistics.mrmc import contrast, mean_error, mean_over_readers, reader_estimate
from core.statistics.mrmc_covariance import Covariance, FigureName, Figures, figures_of
from core.statistics.mrmc_data import CrossedRatings, crossed_ratings
from core.statistics.mrmc_records import GENERALISATIONS, Contrast, Generalisation

MODEL, PANEL = "model", "readers"


@dataclass(frozen=True)
class StandAloneResult:
    """The model's own figure, the mean of the readers by what it generalises to, and the model less the readers.

    `by_reader` are the readers' own figures, `reader_differences` the model less each of them on the same cases.
    """

    figure: FigureName
    covariance: Covariance
    threshold: float | None
    readers: tuple[str, ...]
    positives: int
    negatives: int
    model: Estimate
    panel: Mapping[Generalisation, Estimate]
    differences: Mapping[Generalisation, Contrast]
    by_reader: Mapping[str, Estimate]
    reader_differences: tuple[Contrast, ...]


def against_readers(
    study: CrossedRatings,
    model: np.ndarray,
    figure: FigureName = "auc",
    covariance: Covariance = "jackknife",
    thresholds: tuple[float | None, float | None] = (None, None),
) -> StandAloneResult:
    """Scores `model` (N,) of the cases of a study of one modality against its readers.

    `thresholds` are the readers' and the model's, at which a case is called positive; only for sensitivity and specificity.
    Raises `Refused` as `figures_of` does, and for a study of several modalities.
    """
    if len(study.modalities) != 1:
        raise Refused(f"A stand-alone model is compared in one modality, not in {len(study.modalities)}; pick one.")
    scores, ratings, cut = np.asarray(model, dtype=np.float64), study.ratings, None
    if scores.shape != study.truth.shape or not np.isfinite(scores).all():
        raise ValueError(f"the model needs a finite score for each of {len(study.truth)} cases")
    if figure != "auc":
        if None in thresholds:
            raise Refused(f"The {figure} needs a threshold for the readers and one for the model.")
        ratings, scores, cut = ratings >= thresholds[0], scores >= thresholds[1], 0.5  # each by its own: calls, 1 or 0
    both = np.concatenate([ratings, scores[None, None]], axis=1).astype(np.float64)  # (1, R + 1, N)
    names = (*study.readers, MODEL)
    found = figures_of(CrossedRatings(study.modalities, names, study.cases, study.truth, both), figure, covariance, cut)
    return _result(found, study, thresholds[0], covariance)


def _result(found: Figures, study: CrossedRatings, threshold: float | None, covariance: Covariance) -> StandAloneResult:
    r, label = len(study.readers), f"Obuchowski–Rockette of the differences, {found.method} covariance"
    values, errors = found.values[0], found.covariance[0, :, 0, :]  # (R + 1,), (R + 1, R + 1)
    less = np.hstack([-np.eye(r), np.ones((r, 1))])  # (R, R + 1): the model less each reader
    gaps, spread = less @ values, less @ errors @ less.T
    panel = Figures(
        found.name, found.values[:, :r], found.covariance[:, :r, :, :r], found.n, found.positives, found.method
    )
    means = (float(values[r]), float(values[:r].mean()))
    differences = {
        kind: contrast(
            (MODEL, PANEL), means, mean_error(kind, gaps, spread), found.n, f"{label}, generalises to {kind}"
        )
        for kind in GENERALISATIONS
    }
    own = []
    for j, reader in enumerate(study.readers):
        error = float(np.sqrt(max(0.0, spread[j, j])))
        known = (error, None, "") if error > 1e-12 else (None, None, "the errors do not differ")
        own.append(contrast((MODEL, reader), (values[r], values[j]), known, found.n, f"{found.method}, normal", reader))
    label = f"Obuchowski–Rockette, {found.method} covariance"
    return StandAloneResult(
        found.name, covariance, threshold, study.readers, study.positives, study.negatives,
        reader_estimate(found, 0, r),
        {kind: mean_over_readers(kind, panel, 0, f"{label}, generalises to {kind}") for kind in GENERALISATIONS},
        differences,
        {reader: reader_estimate(panel, 0, j) for j, reader in enumerate(study.readers)},
        tuple(own),
    )  # fmt: skip


def split_model(table: pd.DataFrame, model: str, *, positive: str = "") -> tuple[CrossedRatings, np.ndarray]:
    """The readers' study and the model's scores (N,) from one long table in which `model` stands as one of the readers.

    A table without the column `modality` is one modality. Raises `Refused` as `crossed_ratings` does.
    """
    rows = table if "modality" in table.columns else table.assign(modality="all readings")
    study = crossed_ratings(rows, positive=positive)
    if model not in study.readers:
        raise Refused(f"No reader is called '{model}'; there are {', '.join(study.readers[:8])}.")
    if len(study.modalities) != 1:
        raise Refused(f"A stand-alone model is compared in one modality, not in {len(study.modalities)}; pick one.")
    if len(study.readers) < 2:
        raise Refused("There is no reader beside the model.")
    place = study.readers.index(model)
    others = tuple(name for name in study.readers if name != model)
    ratings = np.delete(study.ratings, place, axis=1)
    return CrossedRatings(study.modalities, others, study.cases, study.truth, ratings), study.ratings[0, place]
