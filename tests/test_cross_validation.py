"""The choice by cross-validation: no network is asked about what it was shown, and the test split takes no part."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import cross_validation as cv
from benchmarks.cross_validation_text import comparison, lookalikes, outcome, without_lookalikes
from benchmarks.results import Trained
from core.datasets import Dataset
from core.datasets.dataset import Case
from core.records import EvaluationRun, Image, full_range_window
from core.statistics.discrimination import auc
from core.statistics.summary import evaluate
from core.tasks import get_task

TASK = get_task("breast-ultrasound")


def dataset(n: int, pictures: np.ndarray | None = None) -> Dataset:
    """n cases in training, validation and test by turns of 4 : 1 : 1, every third malignant (label 0)."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (n, 32, 32)).astype(np.uint8) if pictures is None else pictures
    splits = ("train", "train", "val", "train", "train", "test")
    cases = []
    for i in range(n):
        image = Image(pictures[i], full_range_window(pictures[i]))
        load = lambda image=image: image  # noqa: E731
        cases.append(Case(f"{splits[i % 6]}/{i}", str(i), splits[i % 6], int(i % 3 > 0), image.content_hash, load))
    return Dataset("made", TASK.name, "0" * 64, tuple(cases))


def test_lookalikes_form_groups(tmp_path):
    """Three pictures that differ by a little light are one group though the first and third were never compared; noise is not."""
    pictures = np.random.default_rng(1).integers(20, 200, (12, 32, 32)).astype(np.uint8)
    pictures[4], pictures[7] = pictures[2] + 3, pictures[2] + 6
    groups = cv.groups_of_lookalikes(dataset(12, pictures), tmp_path)
    assert len(set(groups)) == 10
    assert groups[2] == groups[4] == groups[7]


def test_every_picture_is_asked_once_without_having_been_shown():
    """No look-alike of an asked picture is trained on, classes stay in proportion, and no test case comes up."""
    data = dataset(120)
    groups = np.arange(120) // 2
    dealt = list(cv.folds(data, groups))
    group = {case.case_id: groups[i] for i, case in enumerate(data.cases)}
    asked = [case.case_id for fold in dealt for case in fold.split("val")]
    assert sorted(asked) == sorted(case.case_id for case in data.cases if case.split != "test")
    for fold in dealt:
        shown, questions = ({group[c.case_id] for c in fold.split(s)} for s in ("train", "val"))
        assert not shown & questions
        counts = fold.counts()["val"]
        assert counts["malignant"] / sum(counts.values()) == pytest.approx(0.4, abs=0.06)
    assert len({fold.fingerprint for fold in dealt}) == cv.FOLDS


def test_the_largest_area_on_unseen_pictures_is_chosen(tmp_path, monkeypatch):
    """Two networks alone err on different pictures, their mean on none: the mean is chosen."""
    y, good = np.array([1, 1, 0, 0]), {cv.LARGE[0]: [0.9, 0.3, 0.4, 0.1], cv.LARGE[1]: [0.3, 0.9, 0.1, 0.4]}

    class Run:
        def __init__(self, scores):
            self.labels, self.probabilities = 1 - y, np.column_stack([scores, 1 - np.array(scores)])

    def read(folder):
        name = folder.parent.name.rsplit("_", 1)[0]
        return Run(next((s for n, s in good.items() if n.key == name), [0.1, 0.2, 0.3, 0.4]))

    both = cv.Candidate((cv.LARGE[0], cv.LARGE[1]), mirror=False)
    alone = [cv.Candidate((network,), mirror=False) for network in good]
    monkeypatch.setattr(cv, "read_run", read)
    monkeypatch.setattr(cv, "CANDIDATES", (*alone, both))
    chosen, found = cv.best(tmp_path)
    assert chosen == both
    assert found[both].value == 1.0
    assert found[alone[0]].value == pytest.approx(auc(np.tile(y, 3), np.tile([0.9, 0.3, 0.4, 0.1], 3)).value)
    assert found[both].n == 12


def test_the_section_counts_what_was_seen_before():
    """Test pictures with a look-alike in training or validation are counted and left out; a missed aim is called missed."""
    data = dataset(60)
    groups = np.arange(60)
    groups[5] = groups[0]  # test/5 looks like train/0
    cases = data.split("test")
    rng = np.random.default_rng(2)
    y = np.array([i % 2 for i in range(len(cases))])
    p = np.column_stack([s := rng.uniform(size=len(y)), 1 - s])
    ids = tuple(case.case_id for case in cases)
    run = EvaluationRun(
        "r", "v", "m", TASK.name, TASK.classes, "d", "test", ids, ids, y, p, None, evaluate(y, p, TASK, 0.5)
    )
    assert without_lookalikes(run, data, groups).tolist() == [False] + [True] * 9
    whole = Trained(-1, None, 60.0, 0, run, run, 3)
    chosen = cv.CANDIDATES[0]
    lines = [*comparison(chosen, {chosen: run.metrics["auc"]}, 120.0), *outcome(chosen, [], whole)]
    text = "\n".join([*lines, *lookalikes(run, data, groups)])
    assert f"| **{chosen.name}** |" in text
    assert "1 of the 10 test pictures have a look-alike" in text
    assert "(missed)" in text
