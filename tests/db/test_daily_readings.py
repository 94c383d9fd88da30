"""What was added to daily work since, and the columns in memory that grow by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core import daily_readings as columns
from core.daily_readings import DailyReadings, fact_group, no_readings
from core.records import Image, full_range_window
from db import daily_readings, engine, reviews, studies
from db.reviews import ReviewQuery
from tests.db import make


def grown(known: DailyReadings, chunk: int = 1000) -> DailyReadings:
    """With what the store holds now."""
    with engine.read() as session:
        predictions = daily_readings.predictions_since(session, known.last[1])
        cases = daily_readings.cases_since(session, known.last[2])
        while True:
            rows = daily_readings.reviews_since(session, known.last[0], chunk)
            known = known.grown(rows, predictions, cases)
            predictions, cases = predictions[:0], cases[:0]
            if len(rows) < chunk:
                return known


def kept(found: DailyReadings) -> list[tuple]:
    """What the columns say of each reading, by id."""
    rows = found.reviews
    number = found.cases["case"].to_numpy()[rows["case"].to_numpy()] if len(rows) else []
    names = ["id", "reviewer", "label", "predicted", "model", "task", "month"]
    return list(zip(*(rows[name].tolist() for name in names), number, strict=True)) if len(rows) else []


def stored() -> list[tuple]:
    """The same from the store."""
    with engine.read() as session:
        table = reviews.list_reviews(session, ReviewQuery())
        number = dict(session.connection().exec_driver_sql("SELECT id, number FROM studies").all())
    rows = table[table["predicted"].notna()].sort_values("id")
    return [
        (r.id, r.reviewer, r.label, r.predicted, r.model_version, r.task, r.created_at[:7], number[r.study_id])
        for r in rows.itertuples()
    ]


def save(case: str, token: str, **changes) -> None:
    """One review of Ann's, aided, malignant."""
    with engine.write() as session:
        reviews.add_review(session, make.review(case, token, **changes))


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_the_columns_are_the_current_reviews_however_they_grew(store, chunk):
    """Corrections, unaided readings, a reader study, another model, new studies: at every step the same as in the store."""
    cases, known = make.add_studies(4), no_readings()
    assert kept(known := grown(known, chunk)) == stored() == []
    shown = {case: make.add_prediction(case, malignant=0.2 + 0.2 * i) for i, case in enumerate(cases)}
    for i, case in enumerate(cases):
        save(case, f"u{i}", phase="unaided")
        save(case, f"a{i}", prediction_id=shown[case], confidence=i, likelihood=100 - i, birads="4A")
    assert kept(known := grown(known, chunk)) == stored()
    assert len(known) == 4
    save(cases[1], "again", prediction_id=shown[cases[1]], label="benign")
    save(cases[2], "without", label="benign")  # a correction made without a model: nothing is left to compare
    save(cases[2], "Bob", reviewer="Bob", prediction_id=make.add_prediction(cases[2], "other"))
    number = make.reader_study(cases[3:], "aided", readers=("Cid",))
    assert number
    assert kept(known := grown(known, chunk)) == stored()
    with engine.write() as session:
        studies.add_study(session, late := make.study(9))
    save(late.id, "late", reviewer="Eve", prediction_id=make.add_prediction(late.id))
    assert kept(known := grown(known, chunk)) == stored()
    assert [row[1] for row in kept(known)] == ["Ann", "Ann", "Ann", "Bob", "Eve"]
    assert kept(grown(known, chunk)) == kept(known)


def test_a_scope_is_a_task_a_reviewer_and_what_is_not_hidden(store):
    """Each alone and together; what Ann reads blind in a running study is known by number."""
    cases = make.add_studies(3)
    for i, case in enumerate(cases):
        shown = make.add_prediction(case)
        for name in ("Ann", "Bob"):
            save(case, f"{name}{i}", reviewer=name, prediction_id=shown)
    found = grown(no_readings())
    make.reader_study(cases[:2], readers=("Ann",))
    with engine.read() as session:
        hidden = daily_readings.hidden_cases(session, "Ann")
        assert daily_readings.hidden_cases(session, "Bob") == []
        assert daily_readings.token_of(session, found.last[0]) == "Bob2"
        assert daily_readings.token_of(session, 10**6) == ""
    assert len(found.of("breast-mri")) == 6
    assert found.of("breast-mri") is found
    assert len(found.of("mammography")) == 0
    assert [row[1:3] for row in kept(found.of("breast-mri", "Ann", hidden))] == [("Ann", "malignant")]
    assert len(found.of(reviewer="Bob")) == 3


def test_what_is_stated_of_cases_groups_their_readings(store):
    """Sides of the images, ages by ten years; lists and missing facts in no group; a fact that all share is no grouping."""
    facts = [
        {"site": "1", "patient_age": "041Y", "source": "DICOM", "implant": True},
        {"site": "2", "patient_age": "049Y", "source": "DICOM", "implant": False},
        {"patient_age": "051Y", "source": "DICOM", "site": ["1", "2"]},
    ]
    for i, (own, sides) in enumerate(zip(facts, ("L", "R", "LR"), strict=True)):
        pixels = np.full((2, 2), i, dtype=np.uint16)
        images = tuple(Image(pixels + k, full_range_window(pixels), side) for k, side in enumerate(sides))
        one = make.study(i, metadata=own, patient_id="same" if i else "")
        one = type(one)(**{**vars(one), "images": images})
        with engine.write() as session:
            studies.add_study(session, one)
        save(one.id, str(i), prediction_id=make.add_prediction(one.id))
    found = grown(no_readings())
    groups = {name: list(own()) for name, own in found.groupings().items()}
    assert groups["laterality"][:2] == ["L", "R"]
    assert pd.isna(groups["laterality"][2])
    assert groups["patient_age"] == ["40–49 years", "40–49 years", "50–59 years"]
    assert groups["site"][:2] == ["1", "2"]
    assert pd.isna(groups["site"][2])
    assert groups["implant"][:2] == ["yes", "no"]
    assert set(groups) == {"laterality", "patient_age", "site", "implant"}
    patients = found.patients()
    assert patients[1] == patients[2] != patients[0]


def test_ratings_are_of_the_newest_reading_of_cases_that_several_read(store):
    """Two phases with a model count once; a case that one person read is left out while others have two."""
    cases = make.add_studies(3)
    shown = [make.add_prediction(case) for case in cases]
    save(cases[0], "early", phase="unaided", label="benign", prediction_id=shown[0], likelihood=7)
    for i, (name, label) in enumerate((("Ann", "malignant"), ("Bob", "benign"))):
        save(cases[0], f"{name}0", reviewer=name, label=label, prediction_id=shown[0], birads=("", "4A")[i])
        save(cases[1], f"{name}1", reviewer=name, label="malignant", prediction_id=shown[1])
    save(cases[2], "Cem", reviewer="Cem", label="benign", prediction_id=shown[2])
    found = grown(no_readings())
    ratings = found.ratings("breast-mri")
    assert ratings.readers == ("Ann", "Bob", "Cem")
    assert ratings.categories == ("benign", "malignant")
    assert ratings.codes.tolist() == [[1, 0, -1], [1, 1, -1]]
    assert found.ratings("breast-mri", "birads").codes.tolist() == [[4]]
    assert found.ratings("breast-mri", "likelihood").codes.tolist() == [[7]]
    assert found.given() == ("label", "birads", "likelihood")
    assert found.compared() == (2, 2)
    tables = found.model_tables("breast-mri")
    assert list(tables) == [(make.version("model"), name) for name in ("Ann", "Bob", "Cem")]
    assert tables[make.version("model"), "Ann"].tolist() == [[0, 0], [1, 2]]


def test_too_many_cases_are_those_read_last(store, monkeypatch):
    """With room for one case of two readers it is the newer one, and that is said."""
    monkeypatch.setattr(columns, "MOST_CELLS", 2)
    for i, case in enumerate(make.add_studies(2)):
        shown = make.add_prediction(case)
        for name in ("Ann", "Bob"):
            save(case, f"{name}{i}", reviewer=name, label=("benign", "malignant")[i], prediction_id=shown)
    found = grown(no_readings())
    assert found.ratings("breast-mri").codes.tolist() == [[1, 1]]
    assert found.compared() == (1, 2)


@pytest.mark.parametrize(
    ("fact", "group"),
    [("045Y", "40–49 years"), ("B", "B"), (3, "3"), (True, ""), (None, ""), (["a"], ""), ('["a", "b"]', ""), ("", "")],
)
def test_groups_of_facts(fact, group):
    """Ages by ten years, plain words and numbers as they are, all else in none."""
    assert fact_group(fact) == group
