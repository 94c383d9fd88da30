"""Binary patterns against a neighbourhood's mean, variance and median: MVMBP, MBP and MVM-LBP.

Let g₀ … g₇ be the grey levels (256 of them) of a pixel's eight neighbours, clockwise from the upper left, g₈ its own, and
μ, σ² and m the mean, population variance and median of all nine. [·] is 1 where the condition holds, else 0.

    mean pattern      C_μ = Σₚ [gₚ > μ] 2ᵖ                p = 0 … 7
    variance pattern  C_σ = Σₚ [(gₚ − μ)² > σ²] 2ᵖ        p = 0 … 7
    median pattern    C_m = Σₚ [gₚ > m] 2ᵖ                p = 0 … 7
    MVMBP             C_a = Σₚ [gₚ > μ] 2ᵖ                p = 0 … 8, with the pixel itself; the picture is its ninth bit
    MBP               C_b = Σₚ [gₚ ≥ m] 2ᵖ                p = 0 … 8, with the pixel itself

MVM-LBP is the three patterns C_μ, C_σ and C_m side by side: each pattern's codes become the ten rotation-invariant
uniform numbers of Ojala et al. (2002), and the three histograms, each with sum 1, are joined to 30 numbers.

Sources. MBP is Hafiane, Seetharaman & Zavidovique, ICIAR 2007, LNCS 4633, 387–398, to the letter. MVM-LBP takes its name
and idea, patterns thresholded by a neighbourhood's mean, variance and median instead of its centre, from Arora & Sucharitha,
Int. J. Inf. Technol. 15 (2023), doi 10.1007/s41870-023-01204-y. Accounts of it differ in how the variance is compared and
how the three are joined, so the definition above is this program's own: strictly greater everywhere, so that flat
neighbourhoods give code 0, and no code depends on the rounding of a mean, since all comparisons are made in whole numbers.
Neighbourhoods that would leave the picture are left out: codes are (H − 2, W − 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.features.family import Family, entropy_bits, grey_levels, shares
from core.features.patterns import uniform_number

# Rows and columns of g₀ … g₈ in a 3 × 3 neighbourhood: clockwise from the upper left, then the centre.
PLACES = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (1, 1))
# Devillard's network: after these exchanges of nine values the fifth is their median.
_EXCHANGES = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
    (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip


@dataclass(frozen=True)
class Patterns:
    """Codes of every 3 × 3 neighbourhood inside a picture, each (H − 2, W − 2).

    `mean`, `variance` and `median` are uint8 (C_μ, C_σ, C_m), `mvmbp` and `mbp` uint16 below 512 (C_a, C_b).
    """

    mean: np.ndarray
    variance: np.ndarray
    median: np.ndarray
    mvmbp: np.ndarray
    mbp: np.ndarray


def patterns(levels: np.ndarray) -> Patterns:
    """All five patterns of grey levels uint8 (H, W), H and W at least 3."""
    h, w = levels.shape
    g = [np.ascontiguousarray(levels[r : r + h - 2, c : c + w - 2]) for r, c in PLACES]
    wide = [values.astype(np.int16) for values in g]
    total = sum(wide[1:], start=wide[0])  # 9 μ, at most 2,295
    median = _median_of_nine(g)
    mean, variance, exact, mbp = (np.zeros((h - 2, w - 2), np.uint8) for _ in range(4))
    spread = _spread(wide, total)
    for p in range(8):
        weight = np.uint8(1 << p)
        gap = 9 * wide[p] - total  # 9 (g − μ)
        mean |= (gap > 0) * weight
        variance |= (np.abs(gap) > spread) * weight
        exact |= (g[p] > median) * weight
        mbp |= (g[p] >= median) * weight
    above_mean, from_median = (9 * wide[8] > total).astype(np.uint16), (g[8] >= median).astype(np.uint16)
    return Patterns(mean, variance, exact, above_mean << 8 | mean, from_median << 8 | mbp)


def _spread(wide: list[np.ndarray], total: np.ndarray) -> np.ndarray:
    """⌊9 σ⌋, int16: |9 (g − μ)| is whole, so it exceeds 9 σ exactly where it exceeds this."""
    squares = np.zeros(total.shape, np.int32)
    for values in wide:
        squares += np.square(values, dtype=np.int32)
    root = np.sqrt((9 * squares - np.square(total, dtype=np.int32)).astype(np.float64))  # √(81 σ²)
    return root.astype(np.int16)  # exact: float64 square roots are correctly rounded and these squares are below 2²³


def _median_of_nine(g: list[np.ndarray]) -> np.ndarray:
    v = list(g)
    for i, j in _EXCHANGES:
        v[i], v[j] = np.minimum(v[i], v[j]), np.maximum(v[i], v[j])
    return v[4]


def binary_values(grey: np.ndarray) -> dict[str, float]:
    """Of MVMBP and MBP: the share of pixels whose own bit is set, the codes' entropy, and 20 shares of codes.

    These are the ten uniform numbers of the eight neighbours' bits, apart for pixels whose own bit is 0 and 1.
    """
    found = patterns(grey_levels(grey))
    values: dict[str, float] = {}
    for name, codes in (("mvmbp", found.mvmbp), ("mbp", found.mbp)):
        histogram = shares(codes, 512)
        values |= {f"{name}.own_bit": float(histogram[256:].sum()), f"{name}.entropy": entropy_bits(histogram)}
        for bit, half in enumerate(histogram.reshape(2, 256)):
            uniform = np.bincount(uniform_number(), weights=half, minlength=10)
            values |= {f"{name}.{bit}.uniform.{i}": float(share) for i, share in enumerate(uniform)}
    return values


def binary_pictures(grey: np.ndarray) -> dict[str, np.ndarray]:
    """Own bits and codes of MVMBP, and the codes of MBP."""
    found = patterns(grey_levels(grey))
    return {
        "MVMBP: brighter than the mean": (found.mvmbp >> 8).astype(np.float32),
        "MVMBP: codes against the mean": found.mvmbp / np.float32(511),
        "MBP: codes against the median": found.mbp / np.float32(511),
    }


def mvm_values(grey: np.ndarray) -> dict[str, float]:
    """The 30 numbers of MVM-LBP: ten for the mean pattern, ten for the variance pattern, ten for the median pattern."""
    found = patterns(grey_levels(grey))
    parts = {"mean": found.mean, "variance": found.variance, "median": found.median}
    return {
        f"{name}.uniform.{i}": float(share)
        for name, part in parts.items()
        for i, share in enumerate(np.bincount(uniform_number(), weights=shares(part, 256), minlength=10))
    }


def mvm_pictures(grey: np.ndarray) -> dict[str, np.ndarray]:
    """The three codes, and all three in one: mean in red, variance in green, median in blue."""
    found = patterns(grey_levels(grey))
    parts = [code / np.float32(255) for code in (found.mean, found.variance, found.median)]
    return {"All three": np.stack(parts, axis=2), **dict(zip(("Mean", "Variance", "Median"), parts, strict=True))}


BINARY = Family(
    "mbp",
    "Mean and median patterns (MVMBP, MBP)",
    "Which pixels of each 3 × 3 neighbourhood are brighter than its mean (MVMBP) or at least as bright as its median (MBP).",
    1,
    binary_values,
    binary_pictures,
    {"": "share of pixels", "mvmbp.entropy": "bit", "mbp.entropy": "bit"},
    "White where a pixel is brighter than the mean around it; in the code pictures each grey is one pattern.",
)

MVM = Family(
    "mvm-lbp",
    "MVM-LBP",
    "Which neighbours exceed the mean of their 3 × 3 neighbourhood, its spread and its median; "
    "three patterns in one, steadier under noise than a comparison with a single pixel.",
    1,
    mvm_values,
    mvm_pictures,
    {"": "share of pixels"},
    "Each grey is one pattern; in the colour picture mean is red, variance green, median blue.",
)
