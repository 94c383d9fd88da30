"""Studies whose class is known."""

from __future__ import annotations

import dataclasses

import numpy as np

from core.records import Image, Study, full_range_window, study_id
from db import engine
from db.references import list_references
from db.studies import add_study


def add(session, number, task, label, images=1):
    """A study of flat pictures, each of its own grey."""
    pixels = [np.full((3, 4), 10 * number + i, np.uint8) for i in range(images)]
    pictures = tuple(Image(p, full_range_window(p)) for p in pixels)
    study = Study(study_id(pictures), f"S{number}", "MR", pictures, task=task)
    add_study(session, dataclasses.replace(study, reference_standard=label))
    return study


def test_only_studies_of_the_task_that_state_a_class(store):
    """Newest first, with the hash of the first image; other tasks and unknown classes are left out."""
    with engine.write() as session:
        first = add(session, 1, "breast-mri", "benign", images=2)
        add(session, 2, "breast-mri", None)
        add(session, 3, "mammography", "cancer")
        last = add(session, 4, "breast-mri", "malignant")
    with engine.read() as session:
        found = list_references(session, "breast-mri")
        newest = list_references(session, "breast-mri", limit=1)
    assert found == [
        (last.id, "malignant", last.images[0].content_hash),
        (first.id, "benign", first.images[0].content_hash),
    ]
    assert newest == found[:1]
