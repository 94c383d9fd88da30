"""Multi-reader multi-case analysis of variance (Obuchowski & Rockette 1995) with Hillis' degrees of freedom.

The figure of modality i and reader j is a mean, plus effects of modality, reader and both, plus an error whose covariances over
cases are estimated beside (`mrmc_covariance`): Cov1 for the same reader, Cov2 for the same modality, Cov3 for neither.
Sources: Obuchowski & Rockette, Commun Stat Simul Comput 1995;24:285 · Hillis et al., Stat Med 2005;24:1579 · Hillis,
Stat Med 2007;26:596 · Hillis, Berbaum & Metz, Acad Radiol 2008;15:647.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.special import chdtrc, fdtrc, stdtr, stdtrit

from core.records import Estimate
from core.statistics.estimates import Z, undefined
from core.statistics.mrmc_covariance import Covariance, FigureName, Figures, figures_of
from core.statistics.mrmc_data import CrossedRatings
from core.statistics.mrmc_records import (
    GENERALISATIONS,
    Analysis,
    Components,
    Contrast,
    Generalisation,
    MrmcResult,
    OverallTest,
)
from core.statistics.paired import Difference
from core.statistics.proportions import wilson

_ONE_READER = "random readers need at least two readers"
_NO_SPREAD = "the readers' figures have no spread"


def analyse(
    study: CrossedRatings, figure: FigureName = "auc", covariance: Covariance = "delong", threshold: float | None = None
) -> MrmcResult:
    """The Obuchowski–Rockette analysis of a study: three generalisations, per-reader results and variance components.

    Arguments and refusals as in `figures_of`. Figures' intervals are cut to [0, 1], differences' to [−1, 1]. n is the number
    of cases behind the figure. Undefined parts are None with the reason.
    """
    found = figures_of(study, figure, covariance, threshold)
    components = components_of(found)
    label = f"Obuchowski–Rockette, {found.method} covariance"
    own = {
        (modality, reader): reader_estimate(found, i, j)
        for i, modality in enumerate(study.modalities)
        for j, reader in enumerate(study.readers)
    }
    analyses = {
        kind: Analysis(
            kind,
            _test(kind, components, len(study.modalities)),
            {
                m: mean_over_readers(kind, found, i, f"{label}, generalises to {kind}")
                for i, m in enumerate(study.modalities)
            },
            _contrasts(kind, found, components, study.modalities, label),
        )
        for kind in GENERALISATIONS
    }
    return MrmcResult(
        figure, covariance, threshold, study.modalities, study.readers, study.positives, study.negatives,
        own, components, analyses, _reader_contrasts(found, study, f"{found.method}, normal"),
    )  # fmt: skip


def components_of(found: Figures) -> Components:
    """Mean squares, error covariances and variance components (Hillis et al. 2005, equations for the balanced design)."""
    values, covariance = found.values, found.covariance
    t, r = values.shape
    same_reader = np.eye(r, dtype=bool)[None, :, None, :]
    same_modality = np.eye(t, dtype=bool)[:, None, :, None]

    def mean(where: np.ndarray) -> float | None:
        chosen = covariance[np.broadcast_to(where, covariance.shape)]
        return float(chosen.mean()) if chosen.size else None

    cov1, cov2 = mean(same_reader & ~same_modality), mean(~same_reader & same_modality)
    cov3, error = mean(~same_reader & ~same_modality), mean(same_reader & same_modality)
    grand, rows, columns = values.mean(), values.mean(axis=1), values.mean(axis=0)
    ms_t = float(r * np.sum((rows - grand) ** 2) / (t - 1)) if t > 1 else None
    ms_r = float(t * np.sum((columns - grand) ** 2) / (r - 1)) if r > 1 else None
    ms_tr, between, within = None, None, None
    if ms_r is not None and t > 1:
        ms_tr = float(np.sum((values - rows[:, None] - columns[None] + grand) ** 2) / ((t - 1) * (r - 1)))
        within = ms_tr - error + cov1 + (cov2 - cov3)
        between = (ms_r - ms_tr) / t - cov1 + cov3
    elif ms_r is not None:
        between = ms_r - error + cov2  # one modality: readers and their interaction are one component
    return Components(error, cov1, cov2, cov3, between, within, ms_t, ms_r, ms_tr, r, found.n)


def _excess(c: Components) -> float:
    """Cov2 − Cov3, not below 0 (the constraint of Obuchowski & Rockette)."""
    return 0.0 if c.cov2 is None or c.cov3 is None else max(c.cov2 - c.cov3, 0.0)


def _denominator(kind: Generalisation, c: Components, t: int) -> tuple[float | None, float | None, str]:
    """What MS(modality) is divided by, its degrees of freedom (None: infinite), and why there is none."""
    if kind == "cases":
        value = c.error - (c.cov1 or 0.0) + (c.readers - 1) * _excess(c)
        return (value, None, "") if value > 1e-14 else (None, None, "the modalities' errors do not differ")
    if c.ms_modality_reader is None:
        return None, None, _ONE_READER
    df = float((t - 1) * (c.readers - 1))
    if kind == "readers":
        return (c.ms_modality_reader, df, "") if c.ms_modality_reader > 1e-15 else (None, None, _NO_SPREAD)
    value = c.ms_modality_reader + c.readers * _excess(c)
    if value < 1e-15:
        return None, None, _NO_SPREAD
    return value, (np.inf if c.ms_modality_reader < 1e-15 else value**2 / (c.ms_modality_reader**2 / df)), ""


def _test(kind: Generalisation, c: Components, t: int) -> OverallTest:
    name = "chi-square" if kind == "cases" else "F"
    if c.ms_modality is None:
        return OverallTest(name, None, 0, None, None, "a test needs at least two modalities")
    value, df, reason = _denominator(kind, c, t)
    if value is None:
        return OverallTest(name, None, t - 1, None, None, reason)
    ratio = c.ms_modality / value
    if kind == "cases":
        return OverallTest(name, (t - 1) * ratio, t - 1, None, float(chdtrc(t - 1, (t - 1) * ratio)))
    p = chdtrc(t - 1, (t - 1) * ratio) if df == np.inf else fdtrc(t - 1, df, ratio)
    return OverallTest(name, ratio, t - 1, float(df), float(p))


def reader_estimate(found: Figures, i: int, j: int) -> Estimate:
    """One reader's own figure in modality i: Wilson's interval for a share of cases, else normal from the covariance."""
    value, n = float(found.values[i, j]), found.n
    if found.name != "auc":
        return wilson(round(value * n), n)
    return _estimate(found, value, (_root(found.covariance[i, j, i, j]), None), f"{found.method}, normal")


def mean_over_readers(kind: Generalisation, found: Figures, i: int, method: str) -> Estimate:
    """Mean over readers of modality i, cut to [0, 1], from that modality's data alone (Hillis 2007)."""
    values, covariance = found.values[i], found.covariance[i, :, i, :]
    error, df, reason = mean_error(kind, values, covariance)
    if error is None:
        return undefined(found.n, method, reason)
    return _estimate(found, float(values.mean()), (error, df), method)


def mean_error(
    kind: Generalisation, values: np.ndarray, covariance: np.ndarray
) -> tuple[float | None, float | None, str]:
    """Standard error of the mean of (R,) values of one modality, its degrees of freedom (None: normal), why it is undefined.

    Hillis 2007 (`ddf_H_single`); `covariance` (R, R) is that of the errors over cases.
    """
    r = len(values)
    cov2 = max(0.0, float(covariance[~np.eye(r, dtype=bool)].mean())) if r > 1 else 0.0
    if kind == "cases":
        return _root((float(np.diag(covariance).mean()) + (r - 1) * cov2) / r), None, ""
    if r < 2:
        return None, None, _ONE_READER
    ms = float(np.var(values, ddof=1))
    if kind == "readers":
        return (_root(ms / r), float(r - 1), "") if ms > 1e-15 else (None, None, _NO_SPREAD)
    total = ms + r * cov2
    if total < 1e-15:
        return None, None, _NO_SPREAD
    return _root(total / r), (None if ms < 1e-15 else total**2 / (ms**2 / (r - 1))), ""


def _contrasts(
    kind: Generalisation, found: Figures, c: Components, modalities: tuple[str, ...], label: str
) -> tuple[Contrast, ...]:
    value, df, reason = _denominator(kind, c, len(modalities))
    error, means = None if value is None else _root(2 * value / c.readers), found.values.mean(axis=1)
    label = f"{label}, generalises to {kind}"
    return tuple(
        contrast((modalities[a], modalities[b]), (means[a], means[b]), (error, df, reason), found.n, label)
        for a, b in combinations(range(len(modalities)), 2)
    )


def _reader_contrasts(found: Figures, study: CrossedRatings, label: str) -> tuple[Contrast, ...]:
    """Each reader's own differences, with errors from that reader's pooled variance and covariance (Cov1) over modalities."""
    t, result = len(study.modalities), []
    if t < 2:
        return ()
    for j, reader in enumerate(study.readers):
        own = found.covariance[:, j, :, j]  # (T, T)
        value = 2 * (float(np.diag(own).mean()) - float(own[~np.eye(t, dtype=bool)].mean()))
        spread = (_root(value), None, "") if value > 1e-14 else (None, None, "the reader's errors do not differ")
        for a, b in combinations(range(t), 2):
            names, values = (study.modalities[a], study.modalities[b]), (found.values[a, j], found.values[b, j])
            result.append(contrast(names, values, spread, found.n, label, reader))
    return tuple(result)


def contrast(
    names: tuple[str, str],
    values: tuple[float, float],
    spread: tuple[float | None, float | None, str],
    n: int,
    method: str,
    reader: str = "",
) -> Contrast:
    """`values[0]` − `values[1]` from `spread`: standard error, degrees of freedom (None: normal), why it is undefined."""
    error, df, reason = spread
    a, b = (float(v) for v in values)
    if error is None or error < 1e-12:
        reason = reason or "the errors of both do not differ"
        return Contrast(*names, Difference(a, b, a - b, None, None, None, n, method, reason), None, None, reader)
    normal = df is None or df == np.inf
    quantile = Z if normal else float(stdtrit(df, 0.975))
    t = abs(a - b) / error
    p = float(chdtrc(1, t * t)) if normal else 2 * float(stdtr(df, -t))
    low, high = max(-1.0, a - b - quantile * error), min(1.0, a - b + quantile * error)
    return Contrast(
        *names, Difference(a, b, a - b, low, high, p, n, method), error, None if normal else float(df), reader
    )


def _estimate(found: Figures, value: float, spread: tuple[float, float | None], method: str) -> Estimate:
    """`value` from its standard error and degrees of freedom (None: normal), cut to [0, 1].

    Without spread (perfect readers) the limits are those that the numbers of cases alone give.
    """
    error, df = spread
    if error < 1e-12:
        low, high = found.limits_without_spread(value)
        return Estimate(value, low, high, found.n, f"{method}; no spread, so limits of the case numbers")
    half = (Z if df is None else float(stdtrit(df, 0.975))) * error
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), found.n, method)


def _root(variance: float) -> float:
    """Square root of a variance; what rounding leaves of 0, on either side of it, is 0."""
    return float(np.sqrt(variance)) if variance > 1e-14 else 0.0
