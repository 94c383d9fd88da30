"""The mean, variance and median patterns as one would write them from their definitions: slow, exact, without NumPy.

The module docstring of `core/features/mean_patterns.py` states the definitions.
"""

from __future__ import annotations

from fractions import Fraction
from statistics import median

import numpy as np

CLOCKWISE = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def slow_patterns(levels: np.ndarray) -> dict[str, np.ndarray]:
    """Codes (H − 2, W − 2) by exact fractions."""
    h, w = levels.shape
    found = {name: np.zeros((h - 2, w - 2), int) for name in ("mean", "variance", "median", "mvmbp", "mbp")}
    for r in range(1, h - 1):
        for c in range(1, w - 1):
            g = [int(levels[r + i, c + j]) for i, j in CLOCKWISE] + [int(levels[r, c])]
            mean = Fraction(sum(g), 9)
            variance = sum((x - mean) ** 2 for x in g) / 9
            middle = median(g)
            at = (r - 1, c - 1)
            found["mean"][at] = sum((g[p] > mean) << p for p in range(8))
            found["variance"][at] = sum(((g[p] - mean) ** 2 > variance) << p for p in range(8))
            found["median"][at] = sum((g[p] > middle) << p for p in range(8))
            found["mvmbp"][at] = sum((g[p] > mean) << p for p in range(9))
            found["mbp"][at] = sum((g[p] >= middle) << p for p in range(9))
    return found


def slow_histogram(levels: np.ndarray) -> list[float]:
    """The 30 numbers of MVM-LBP from the exact codes."""
    codes = slow_patterns(levels)
    counts = []
    for name in ("mean", "variance", "median"):
        numbers = [_number([code >> p & 1 for p in range(8)]) for code in codes[name].ravel().tolist()]
        counts += [numbers.count(k) / len(numbers) for k in range(10)]
    return counts


def _number(bits: list) -> int:
    """Ones of a pattern that changes at most twice around the circle, else 9."""
    changes = sum(bits[p] != bits[p - 1] for p in range(8))
    return sum(bits) if changes <= 2 else 9
