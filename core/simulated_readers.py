"""Simulated readers for the demo: from a stated simple model, labelled as simulated wherever they are shown.

A case has evidence e = ±1 (its truth) plus a difficulty that all readers share. Reader r perceives s_r · e plus own noise; the
likelihood is 100 / (1 + exp(−(1.6 · perceived + bias_r))), the class malignant from 50 on. With the model the reader adds
trust_r · log(p / (1 − p)) of the model's score p, and perceives with less noise of their own. The aided seconds are a second
look at a case just read, in one sitting: they come on top of the unaided ones.
Nothing here is fitted to people: it makes pages alive, and says nothing about radiologists.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SHARED, _OWN, _CLIP = 0.9, 0.9, 0.02
_SECOND_LOOK = 0.3  # of the unaided time
_CALLED = 50  # likelihood from which a simulated reader calls a case positive


@dataclass(frozen=True)
class SimulatedReader:
    """`skill` scales the evidence, `bias` leans to positive, `trust` weighs the model, `seconds` is the median unaided time."""

    skill: float
    bias: float
    trust: float
    seconds: float


@dataclass(frozen=True, eq=False)
class SimulatedReadings:
    """Of N cases in one phase: `likelihood` (N,) int 0–100, `positive` (N,) bool, `confidence` (N,) int 0–100, `seconds` (N,)."""

    likelihood: np.ndarray
    positive: np.ndarray
    confidence: np.ndarray
    seconds: np.ndarray


def draw_readers(count: int, seed: int) -> list[SimulatedReader]:
    """`count` readers who differ: skill 0.8–1.4, bias ±0.5, trust 0.1–0.9, 20–50 s a case."""
    rng = np.random.default_rng([seed, 1])
    return [
        SimulatedReader(*(float(rng.uniform(*span)) for span in ((0.8, 1.4), (-0.5, 0.5), (0.1, 0.9), (20, 50))))
        for _ in range(count)
    ]


def simulate(
    truth: np.ndarray, scores: np.ndarray, readers: list[SimulatedReader], seed: int, repeat: int = 0
) -> list[dict[str, SimulatedReadings]]:
    """Phase (unaided, aided) -> readings of the cases, for each reader: `truth` (N,) in {0, 1}, `scores` (N,) the model's 0–1.

    With `repeat` 1 another reading of the same cases: as difficult as before, with new noise of the readers' own.
    """
    rng = np.random.default_rng([seed, 2])
    evidence = 2 * np.asarray(truth, dtype=np.float64) - 1 + _SHARED * rng.normal(size=len(truth))
    if repeat:
        rng = np.random.default_rng([seed, 2, repeat])
    p = np.clip(np.asarray(scores, dtype=np.float64), _CLIP, 1 - _CLIP)
    said = np.log(p / (1 - p))
    found = []
    for reader in readers:
        noise = _OWN * rng.normal(size=len(evidence))
        unaided = 1.6 * (reader.skill * evidence + noise) + reader.bias
        again = 0.8 * noise + 0.2 * rng.normal(size=len(evidence))
        aided = 1.6 * (reader.skill * evidence + again) + reader.bias
        found.append(
            {
                "unaided": _readings(unaided, reader.seconds, rng),
                "aided": _readings(aided + reader.trust * said, _SECOND_LOOK * reader.seconds, rng),
            }
        )
    return found


def _readings(perceived: np.ndarray, seconds: float, rng: np.random.Generator) -> SimulatedReadings:
    likelihood = np.round(100 / (1 + np.exp(-perceived))).astype(int)
    hesitation = 1 + np.exp(-np.abs(perceived))  # doubtful cases take longer
    spent = np.round(seconds * hesitation / 1.5 * np.exp(0.35 * rng.normal(size=len(perceived))), 1)
    sure = np.round(np.abs(likelihood - 50) * 2 / 5).astype(int) * 5
    return SimulatedReadings(likelihood, likelihood >= _CALLED, sure, spent)
