"""What a multi-reader multi-case analysis says, as records that a page can show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.records import Estimate
from core.statistics.mrmc_covariance import Covariance, FigureName
from core.statistics.paired import Difference

Generalisation = Literal["readers and cases", "cases", "readers"]
GENERALISATIONS: tuple[Generalisation, ...] = ("readers and cases", "cases", "readers")


@dataclass(frozen=True)
class Components:
    """Variance components of a figure, on its own scale squared: what a future study is planned from.

    `error`, `cov1`, `cov2` and `cov3` are the errors' mean variance and covariances over cases; `reader` and
    `modality_reader` are ANOVA estimates, which can be negative (None below two readers or modalities). `ms_*` are the mean
    squares. Covariances that a study of one reader or modality does not have are None.
    """

    error: float
    cov1: float | None
    cov2: float | None
    cov3: float | None
    reader: float | None
    modality_reader: float | None
    ms_modality: float | None
    ms_reader: float | None
    ms_modality_reader: float | None
    readers: int
    cases: int


@dataclass(frozen=True)
class OverallTest:
    """The hypothesis that all modalities have the same mean figure. `df2` is None for chi-square (`statistic` is X² then)."""

    name: str
    statistic: float | None
    df1: int
    df2: float | None
    p: float | None
    reason: str = ""


@dataclass(frozen=True)
class Contrast:
    """Modality `first` less modality `second`; `reader` is empty for the mean over readers.

    `standard_error` and `df` (None: normal) are what the interval and p of `difference` were made from.
    """

    first: str
    second: str
    difference: Difference
    standard_error: float | None
    df: float | None
    reader: str = ""


@dataclass(frozen=True)
class Analysis:
    """What can be said of the population that `generalises_to` names: test, mean of each modality, pairwise differences."""

    generalises_to: Generalisation
    test: OverallTest
    modalities: Mapping[str, Estimate]
    differences: tuple[Contrast, ...]


@dataclass(frozen=True)
class MrmcResult:
    """A whole analysis. `by_reader` maps (modality, reader) to that reader's own figure; `reader_differences` are each reader's
    own differences between modalities (generalising to cases). `analyses` has one entry per `GENERALISATIONS`.
    """

    figure: FigureName
    covariance: Covariance
    threshold: float | None
    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    positives: int
    negatives: int
    by_reader: Mapping[tuple[str, str], Estimate]
    components: Components
    analyses: Mapping[Generalisation, Analysis]
    reader_differences: tuple[Contrast, ...]
