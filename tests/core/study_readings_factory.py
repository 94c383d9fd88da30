"""Small finished studies for tests, written out so that every expected value can be checked on paper."""

from __future__ import annotations

import pandas as pd

from core.study_readings import Origin, StudyReadings, normalised

TRUTHS = {"c1": "malignant", "c2": "malignant", "c3": "benign", "c4": "benign"}
MODEL = {"c1": 0.9, "c2": 0.2, "c3": 0.7, "c4": 0.1}  # right, missed, false alarm, right
# reader -> phase -> likelihoods of c1 … c4; malignant from 50 on
LIKELIHOODS = {
    "Ann": {"unaided": (80, 60, 40, 20), "aided": (90, 40, 40, 10)},  # perfect, then loses c2 to the model
    "Bob": {"unaided": (40, 30, 60, 20), "aided": (70, 30, 60, 10)},  # gains c1 from the model
    "Cid": {"unaided": (70, 70, 30, 30), "aided": (75, 70, 60, 30)},  # perfect, then the false alarm
    "Dee": {"unaided": (55, 45, 45, 10), "aided": (85, 45, 30, 10)},
}


def rows(**changes: object) -> pd.DataFrame:
    """Every reading, one row each; `changes` are further columns."""
    found = [
        {
            "case": case, "reader": reader, "phase": phase, "label": "malignant" if values[i] >= 50 else "benign",
            "likelihood": values[i], "seconds": 30.0 if phase == "unaided" else 20.0, "truth": TRUTHS[case],
            "predicted": "malignant" if MODEL[case] >= 0.5 else "benign", "score": MODEL[case], "regions": "[]",
        }
        for reader, phases in LIKELIHOODS.items() for phase, values in phases.items() for i, case in enumerate(TRUTHS)
    ]  # fmt: skip
    return pd.DataFrame(found).assign(**changes)


def study(table: pd.DataFrame | None = None, origin: Origin = "study") -> StudyReadings:
    """The study of those readings."""
    return StudyReadings("Four readers", "breast-mri", normalised(rows() if table is None else table), origin)
