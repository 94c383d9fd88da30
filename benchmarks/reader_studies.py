"""Do the tests of reader studies keep their level, do power estimates come true, and how long does all this take?

Run with `OMP_NUM_THREADS=1 nice python -m benchmarks.reader_studies [studies]`. Null studies are simulated after Roe & Metz, Acad
Radiol 1997;4:298: ratings are sums of normal effects of readers, cases, modalities and their interactions, with their variances
for high (H) or low (L) correlation of the data and high or low variance of the readers. They equal those that
Chakraborty's simulator holds (github.com/dpc10ster/onlinebookk21778, CORCBMWIP/software/RoeMetzVarStr.R, structures 1, 2, 4, 7);
those of HH are also the defaults of sim.gRoeMetz.config in the R package iMRMC 2.1.0.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.statistics.agreement_alpha import krippendorff_alpha
from core.statistics.agreement_summary import agreement_summary, pairwise
from core.statistics.agreement_table import Ratings
from core.statistics.model_effect import model_effect
from core.statistics.mrmc import analyse
from core.statistics.mrmc_data import CrossedRatings
from core.statistics.mrmc_planning import power_grid
from core.statistics.proportions import wilson
from core.statistics.reading_strategies import Scenario, what_if


@dataclass(frozen=True)
class Structure:
    """Variances of one row of the table: readers (and modality × reader), cases, modality × case, reader × case, the rest."""

    readers: float
    cases: float
    modality_case: float
    reader_case: float
    rest: float


# The rows for a mean separation of 1.5 (AUC 0.855): data correlation, then reader variance.
SEPARATION = 1.5
SIZE = (5, 100)  # readers, and cases of which half are positive
STRUCTURES = {
    "HL": Structure(0.0055, 0.3, 0.3, 0.2, 0.2),
    "LL": Structure(0.0055, 0.1, 0.1, 0.2, 0.6),
    "HH": Structure(0.03, 0.3, 0.3, 0.2, 0.2),
    "LH": Structure(0.03, 0.1, 0.1, 0.2, 0.6),
}


def simulate(
    structure: Structure, readers: int, cases: int, rng: np.random.Generator, gain: float = 0.0
) -> CrossedRatings:
    """One study of two modalities with as many positive as negative of `cases`; the second separates by `gain` more."""
    truth = np.repeat([0, 1], cases // 2)
    ratings = np.zeros((2, readers, cases))
    for k in (0, 1):
        own, n = truth == k, cases // 2
        ratings[:, :, own] = (
            rng.normal(0, structure.readers**0.5, (1, readers, 1))
            + rng.normal(0, structure.readers**0.5, (2, readers, 1))
            + rng.normal(0, structure.cases**0.5, (1, 1, n))
            + rng.normal(0, structure.modality_case**0.5, (2, 1, n))
            + rng.normal(0, structure.reader_case**0.5, (1, readers, n))
            + rng.normal(0, structure.rest**0.5, (2, readers, n))
        )
    ratings += np.array([SEPARATION, SEPARATION + gain])[:, None, None] * truth
    names = (("a", "b"), tuple(f"r{i}" for i in range(readers)), tuple(f"c{i}" for i in range(cases)))
    return CrossedRatings(*names, truth, ratings)


def rejections(structure: Structure, size: tuple[int, int], studies: int, gain: float = 0.0) -> dict[str, list[bool]]:
    """Whether each study rejects at 5 %, by covariance, for random readers and cases."""
    rng, found = np.random.default_rng(1997), {"delong": [], "jackknife": [], "unbiased": []}
    for _ in range(studies):
        study = simulate(structure, *size, rng, gain)
        for covariance, each in found.items():
            test = analyse(study, covariance=covariance).analyses["readers and cases"].test
            each.append(test.p < 0.05)
    return found


def type_one_error(studies: int) -> None:
    """Share of null studies that are called different: 5 % is promised."""
    print(f"Type-I error at 5 %, {studies:,} null studies per line, random readers and random cases (95 % interval)")
    for name, structure in STRUCTURES.items():
        start, texts = time.perf_counter(), []
        for covariance, each in rejections(structure, SIZE, studies).items():
            e = wilson(sum(each), len(each))
            texts.append(f"{covariance} {e.value:.2%} ({e.low:.1%}–{e.high:.1%})")
        seconds = time.perf_counter() - start
        print(f"  {name}, {SIZE[0]} readers, {SIZE[1]} cases: {', '.join(texts)}; {seconds:.0f} s", flush=True)


def promised_power(studies: int) -> None:
    """Power promised from a large pilot's components against the share of smaller studies that reject."""
    structure, gain = STRUCTURES["HL"], 0.35
    pilot = analyse(simulate(structure, 60, 3000, np.random.default_rng(3), gain), covariance="delong")
    difference = -pilot.analyses["cases"].differences[0].difference.value
    for size in ((5, 100), (8, 200)):
        found = wilson(sum(rejections(structure, size, studies, gain)["delong"]), studies)
        power = power_grid(pilot.components, difference, [size[0]], [size[1]]).power[0, 0]
        print(
            f"Power, difference {difference:.3f}, {size[0]} readers, {size[1]} cases: promised {power:.3f}, "
            f"{studies:,} studies {found.value:.3f} ({found.low:.3f}–{found.high:.3f})"
        )


def best(run: Callable[[], object], rounds: int = 3) -> float:
    """Median seconds of some calls."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times)[rounds // 2]


def timings() -> None:
    """20 readers and 1,000 cases, the size that must take less than two seconds."""
    rng = np.random.default_rng(0)
    study = simulate(STRUCTURES["HL"], 20, 1000, rng)
    for covariance in ("delong", "jackknife", "unbiased"):
        print(
            f"MRMC, 20 readers × 1,000 cases × 2, {covariance}: {best(lambda c=covariance: analyse(study, covariance=c)):.3f} s"
        )
    codes = np.where(rng.random((1000, 20)) < 0.6, rng.integers(0, 5, (1000, 1)), rng.integers(0, 5, (1000, 20)))
    ratings = Ratings(study.cases, study.readers, tuple("12345"), codes)
    print(
        f"all agreement coefficients, 20 readers × 1,000 cases: {best(lambda: agreement_summary(ratings, 'ordinal')):.3f} s"
    )
    print(f"kappa of every two of 20 readers, 1,000 cases: {best(lambda: pairwise(ratings)):.3f} s")
    many = np.array([np.bincount(row, minlength=5) for row in rng.integers(0, 5, (100_000, 3))])
    print(f"ordinal alpha, 3 readers × 100,000 cases: {best(lambda: krippendorff_alpha(many, 'ordinal')):.3f} s")
    table = _readings(study)
    print(f"effect of the model, 20 readers × 1,000 cases: {best(lambda: model_effect(table, '1')):.3f} s")
    scenario = Scenario(0.006, 1.0, -0.5)
    recalls = table.assign(truth=table["truth"].astype(int), recalled=table["aided"].astype(int))
    print(f"reading strategies, 20 readers × 1,000 cases: {best(lambda: what_if(recalls, scenario)):.3f} s")


def _readings(study: CrossedRatings) -> pd.DataFrame:
    """Unaided and aided calls at 0.75, with reader 1's first ratings as the model's."""
    r, n = len(study.readers), len(study.cases)
    calls = (study.ratings > 0.75).astype(int).astype(str)
    return pd.DataFrame(
        {
            "case": np.tile(study.cases, r),
            "reader": np.repeat(study.readers, n),
            "truth": np.tile(study.truth.astype(str), r),
            "model": np.tile(calls[0, 0], r),
            "score": np.tile(study.ratings[0, 0], r),
            "unaided": calls[0].ravel(),
            "aided": calls[1].ravel(),
        }
    )


def main(studies: int = 2000) -> None:
    """Print every figure."""
    type_one_error(studies)
    timings()
    promised_power(max(1, studies // 2))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
