"""Intervals of proportions, and of figures that are proportions in disguise (F1, balanced accuracy)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betaincinv

from core.records import Estimate
from core.statistics.estimates import Z, undefined


def wilson_limits(k: float, n: float) -> tuple[float, float]:
    """95 % score limits of k successes in n > 0 trials (Wilson 1927); exactly 0 at k = 0 and exactly 1 at k = n."""
    p, z2 = k / n, Z * Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if k == 0 else float(centre - half)
    high = 1.0 if k == n else float(centre + half)
    return low, high


def wilson(k: int, n: int, *, note: str = "", reason: str = "no cases") -> Estimate:
    """The proportion k / n with Wilson's interval (Wilson 1927).

    `note` is added to the method; `reason` is given when n = 0. Raises ValueError unless 0 ≤ k ≤ n.
    """
    _check(k, n)
    method = f"Wilson, {note}" if note else "Wilson"
    if n == 0:
        return undefined(0, method, reason)
    return Estimate(k / n, *wilson_limits(k, n), int(n), method)


def clopper_pearson(k: int, n: int, *, reason: str = "no cases") -> Estimate:
    """The proportion k / n with the exact interval (Clopper & Pearson 1934), which covers at least 95 % at every n.

    `reason` is given when n = 0. Raises ValueError unless 0 ≤ k ≤ n.
    """
    _check(k, n)
    if n == 0:
        return undefined(0, "Clopper–Pearson", reason)
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, 0.025))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 0.975))
    return Estimate(k / n, low, high, int(n), "Clopper–Pearson")


def dice(both: int, either: int, *, reason: str) -> Estimate:
    """2a / (2a + d) of a = `both` and d = `either` − `both`: F1, or the agreement specific to one class.

    With x = both / either this is 2x / (1 + x), which only grows with x, and x is a proportion: so Wilson's limits of x,
    put through the same formula, are the limits. `either` is the estimate's n (cases that at least one side calls
    positive); `reason` is given when it is 0.
    """
    _check(both, either)
    method = "Wilson on TP / (TP + FP + FN), as 2x / (1 + x)"
    if either == 0:
        return undefined(0, method, reason)
    value, low, high = (2 * x / (1 + x) for x in (both / either, *wilson_limits(both, either)))
    return Estimate(value, low, high, int(either), method)


def mean_of_proportions(proportions: Sequence[Estimate]) -> Estimate:
    """Mean of independent proportions, e.g. balanced accuracy: the mean of the classes' sensitivities.

    The distances from each value to its own limits are squared and added (MOVER: Zou & Donner 2008; Newcombe 1998), so the
    interval keeps a width where a class is perfect. n is the sum of theirs. Undefined where one of them is, for its reason.
    """
    method, n = "Wilson limits combined by MOVER", sum(p.n for p in proportions)
    missing = [p.reason for p in proportions if p.value is None]
    if missing or not proportions:
        return undefined(n, method, missing[0] if missing else "no classes")
    value, low, high = np.array([(p.value, p.low, p.high) for p in proportions]).T
    mean, count = float(value.mean()), len(proportions)
    down, up = (float(np.sqrt(np.sum((value - limit) ** 2))) / count for limit in (low, high))
    return Estimate(mean, max(0.0, mean - down), min(1.0, mean + up), n, method)


def _check(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"a proportion needs 0 ≤ k ≤ n, not k = {k}, n = {n}")
