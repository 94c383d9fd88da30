"""Non-inferiority in multi-reader studies: is a new modality worse than the reference by no more than a margin?

A one-sided test of the difference against −margin with the standard error and degrees of freedom of the two-sided one (Chen,
Petrick & Sahiner, Acad Radiol 2012;19:1158; degrees of freedom of Hillis 2007). It rejects at 0.025 exactly where the lower 95 %
limit of the difference lies above −margin. The margin must have been chosen before the results were known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr

from core.records import Refused
from core.statistics.mrmc_records import Contrast

LEVEL = 0.025  # one-sided


@dataclass(frozen=True)
class NonInferiority:
    """`difference` is new − reference with `low`, the lower limit of its 95 % interval; `p` is one-sided, small where `new` is not
    worse than `reference` by `margin`. None where undefined, for `reason`.
    """

    new: str
    reference: str
    margin: float
    difference: float
    low: float | None
    p: float | None
    reason: str = ""

    @property
    def shown(self) -> bool:
        """Whether non-inferiority is shown at `LEVEL`."""
        return self.p is not None and self.p < LEVEL


def non_inferiority(contrast: Contrast, margin: float, new: str) -> NonInferiority:
    """The test of `contrast`, of whose two sides `new` is the one that may be a little worse. `Refused` for no positive margin."""
    if not 0 < margin < 1:
        raise Refused(f"A non-inferiority margin lies between 0 and 1, not at {margin:g}.")
    if new not in (contrast.first, contrast.second):
        raise ValueError(f"new must be {contrast.first!r} or {contrast.second!r}, not {new!r}")
    d, error = contrast.difference, contrast.standard_error
    turned = new == contrast.second
    reference = contrast.first if turned else contrast.second
    assert d.value is not None  # figures of both sides are always defined
    value = -d.value if turned else d.value
    if error is None or d.low is None or d.high is None:
        return NonInferiority(new, reference, margin, value, None, None, d.reason)
    t = (value + margin) / error
    p = float(ndtr(-t) if contrast.df is None or contrast.df == np.inf else stdtr(contrast.df, -t))
    return NonInferiority(new, reference, margin, value, -d.high if turned else d.low, p)
