"""The `Dataset` record, its fingerprint and its leaks."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.records import Image, Refused
from core.tasks import get_task

SPLITS = ("train", "val", "test")
Progress = Callable[[int, int, str], None]  # (done, total, what is being done)

_NAMED_LEAKS = 20  # a set split by image leaks thousands of patients; the first ones make the point


@dataclass(frozen=True)
class Case:
    """One image with its reference standard.

    `label` indexes the task's classes, `pixel_hash` is `Image.content_hash`, or empty where the dataset lacks the picture.
    `load` gives the image; it may read the file again, and raises `Refused` where there is none. `attributes` is what else
    the source says of the case (age, view, machine …), None where it says nothing.
    """

    case_id: str
    patient_id: str
    split: str
    label: int
    pixel_hash: str
    load: Callable[[], Image] = field(repr=False, compare=False)
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Dataset:
    """Cases of one task in splits. `leaks` holds one sentence per finding that makes its figures too good."""

    name: str
    task: str
    fingerprint: str
    cases: tuple[Case, ...]
    leaks: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Case, ...]:
        """The cases of a split; raises `Refused` naming the splits there are when it has none."""
        cases = tuple(case for case in self.cases if case.split == name)
        if not cases:
            there = ", ".join(self.counts()) or "none"
            raise Refused(f"{self.name} has no split '{name}'; its splits are: {there}.")
        return cases

    def counts(self) -> dict[str, dict[str, int]]:
        """Images of each class in each split that has any: {"train": {"benign": 12, …}, …}."""
        classes = get_task(self.task).classes
        table: dict[str, dict[str, int]] = {}
        for split in SPLITS:
            labels = [case.label for case in self.cases if case.split == split]
            if labels:
                table[split] = {name: labels.count(i) for i, name in enumerate(classes)}
        return table


def fingerprint(cases: Iterable[Case]) -> str:
    """SHA-256 (hex) over the sorted (case id, split, label, pixel hash): the same pictures in the same roles, wherever they lie."""
    rows = sorted((case.case_id, case.split, case.label, case.pixel_hash) for case in cases)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def find_leaks(cases: Sequence[Case], classes: Sequence[str]) -> tuple[str, ...]:
    """One sentence for every patient, and for every picture, that stands on two sides of the split; it names the cases.

    The first 20 are named, one more sentence counts the rest.
    """
    found = _same_patient(cases) + _same_pixels(cases, classes)
    if len(found) > _NAMED_LEAKS:
        found = [*found[:_NAMED_LEAKS], f"{len(found) - _NAMED_LEAKS} further patients or pictures are on two sides."]
    return tuple(found)


def without_leaks(dataset: Dataset) -> tuple[Dataset, tuple[str, ...]]:
    """The dataset without the cases that leak, and the ids of those left out.

    A training case goes when its picture or its patient also stands in validation or test, a validation case when it stands
    in test: the test split stays whole, so that figures on it can be compared.
    """
    gone: set[str] = set()
    for side, others in (("train", ("val", "test")), ("val", ("test",))):
        there = [case for case in dataset.cases if case.split in others]
        patients, pictures = {case.patient_id for case in there}, {case.pixel_hash for case in there} - {""}
        gone |= {
            case.case_id
            for case in dataset.cases
            if case.split == side and (case.patient_id in patients or case.pixel_hash in pictures)
        }
    if not gone:
        return dataset, ()
    cases = tuple(case for case in dataset.cases if case.case_id not in gone)
    classes = get_task(dataset.task).classes
    found = find_leaks(dataset.cases, classes)
    leaks = tuple(sentence for sentence in dataset.leaks if sentence not in found) + find_leaks(cases, classes)
    clean = replace(dataset, cases=cases, fingerprint=fingerprint(cases), leaks=leaks)
    return clean, tuple(case.case_id for case in dataset.cases if case.case_id in gone)


def _same_patient(cases: Sequence[Case]) -> list[str]:
    sides: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        sides[case.patient_id].add(case.split)
    return [
        f"Patient {patient} is on two sides: {' and '.join(s for s in SPLITS if s in splits)}."
        for patient, splits in sides.items()
        if len(splits) > 1
    ]


def _same_pixels(cases: Sequence[Case], classes: Sequence[str]) -> list[str]:
    same: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.pixel_hash:
            same[case.pixel_hash].append(case)
    sentences = []
    for group in same.values():
        if len({case.split for case in group}) < 2:
            continue
        labels_differ = len({case.label for case in group}) > 1
        names = [f"{c.case_id} ({classes[c.label]})" if labels_differ else c.case_id for c in group]
        remark = ", with different labels" if labels_differ else ""
        sentences.append(f"{' and '.join(names)} are the same picture on two sides{remark}.")
    return sentences


def base_name(path: Path) -> str:
    """The last part of a path, without the folders above it: those may name people or places."""
    return path.resolve().name
