"""Reviews: only ever added, corrected by newer ones; drafts; agreement with the model."""

import dataclasses
import hashlib

import pandas as pd
import pytest
from sqlalchemy import text

from core.records import Refused, Review
from db import audit, drafts, engine, reviews
from db.audit import canonical
from db.engine import StoreError
from db.reviews import ReviewQuery
from tests.db import make

ALL = ReviewQuery(current_only=False)


def save(review: Review) -> Review:
    """Save it in a transaction of its own."""
    with engine.write() as session:
        return reviews.add_review(session, review)


@pytest.fixture
def study(store):
    """Id of a study."""
    return make.add_studies(1)[0]


def test_a_review_comes_back(study):
    """Every field, with id and time."""
    regions = ({"kind": "rectangle", "image": 0, "points": [[1.5, 2], [3, 4]]},)
    given = make.review(
        study,
        "t",
        confidence=80,
        heatmap_verdict="partly",
        comment="Größe ' \"",
        flagged=True,
        regions=regions,
        seconds=1.25,
    )
    saved = save(given)
    assert saved.id is not None
    assert saved.created_at.endswith("+00:00")
    assert dataclasses.replace(saved, id=None, created_at="") == given
    with engine.read() as session:
        assert reviews.latest_review(session, study, "Ann", "aided") == saved
        assert reviews.latest_review(session, study, "Ann", "unaided") is None
        assert reviews.latest_review(session, study, "Bob", "aided") is None


def test_a_repeated_save_is_harmless(study):
    """The same token gives the stored review, also when the repetition took longer, and adds no audit line."""
    first = save(make.review(study, "t", seconds=1.0))
    assert save(make.review(study, "t", seconds=9.0)) == first
    with engine.read() as session:
        assert len(reviews.review_history(session, study, "Ann")) == 1
        assert len(audit.list_entries(session)) == 1


@pytest.mark.parametrize("change", [{"label": "benign"}, {"reviewer": "Bob"}, {"comment": "x"}, {"phase": "unaided"}])
def test_a_token_cannot_swallow_another_review(study, change):
    """A token that comes with other content is an error, since "Saved" would be untrue."""
    save(make.review(study, "t"))
    with pytest.raises(ValueError, match="another review"):
        save(make.review(study, "t", **change))
    with pytest.raises(ValueError, match="client_token"):
        save(make.review(study, ""))


def test_a_correction_points_to_what_it_corrects(study):
    """Each newer review of the same study, reviewer and phase supersedes the last one; all stay."""
    unaided = save(make.review(study, "u", phase="unaided"))
    first = save(make.review(study, "a"))
    other = save(make.review(study, "o", reviewer="Bob"))
    second = save(make.review(study, "b", label="benign"))
    third = save(make.review(study, "c", supersedes=first.id))  # what the caller believes does not matter
    assert [r.supersedes for r in (unaided, first, other, second, third)] == [None, None, None, first.id, second.id]
    with engine.read() as session:
        assert reviews.latest_review(session, study, "Ann", "aided") == third
        assert reviews.review_history(session, study, "Ann") == [unaided, first, second, third]
        current = reviews.list_reviews(session, ReviewQuery())
        assert list(current["id"]) == [third.id, other.id, unaided.id]
        assert reviews.count_reviews(session, ALL) == 5


def test_the_unaided_review_is_closed_by_the_aided_one(study):
    """Before the model is shown it may be corrected; afterwards it may not, though others still can give theirs."""
    save(make.review(study, "u1", phase="unaided"))
    save(make.review(study, "u2", phase="unaided", label="benign"))
    save(make.review(study, "a"))
    with pytest.raises(Refused, match="no longer change"):
        save(make.review(study, "u3", phase="unaided"))
    save(make.review(study, "u4", phase="unaided", reviewer="Bob"))


def test_a_review_needs_its_study(study):
    """No review hangs in the air."""
    with pytest.raises(StoreError):
        save(make.review("no such study", "t"))
    with pytest.raises(StoreError):
        save(make.review(study, "t", prediction_id=10**6))


def test_reviews_are_audited_with_their_fingerprint(study):
    """The audit line proves later what the review said, without repeating it."""
    saved = save(make.review(study, "t", comment="something private"))
    with engine.read() as session:
        entry = audit.list_entries(session).iloc[0]
    assert (entry["actor"], entry["action"], entry["subject"]) == ("Ann", "review.add", f"study:{study}")
    assert reviews.fingerprint(saved) in entry["details"]
    assert "private" not in entry["details"]
    assert reviews.fingerprint(dataclasses.replace(saved, label="benign")) != reviews.fingerprint(saved)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE reviews SET label = 'benign' WHERE id = 2",
        "UPDATE reviews SET seconds = 3 WHERE id = 2",
        "UPDATE reviews SET client_token = 'x' WHERE id = 2",
        "DELETE FROM reviews WHERE id = 2",
    ],
)
def test_an_altered_review_is_found(study, change):
    """Whoever drops the triggers and changes or removes a review is given away by the audit log."""
    for reviewer in ("Ann", "Bob", "Cem"):
        save(make.review(study, reviewer, reviewer=reviewer, regions=({"kind": "point", "points": [[1, 2.5]]},)))
    with engine.read() as session:
        assert reviews.first_altered(session) is None
    kind = engine.current_engine().dialect.name
    triggers = {"sqlite": ["reviews_no_update", "reviews_no_delete"], "postgresql": ["reviews_no_change ON reviews"]}
    with engine.write() as session:
        for trigger in triggers[kind]:
            session.execute(text(f"DROP TRIGGER {trigger}"))
        session.execute(text(change))
    with engine.read() as session:
        assert reviews.first_altered(session) == 2


def test_drafts(study):
    """One per study and reviewer, replaced as a whole, gone with the review that it became, without and with the model."""
    with engine.write() as session:
        drafts.save_draft(session, study, "Ann", {"label": "benign", "n": 1})
        drafts.save_draft(session, study, "Bob", {"label": "malignant"})
        drafts.save_draft(session, study, "Ann", {"confidence": None, "points": [[1, 2]]})
    with engine.read() as session:
        assert drafts.get_draft(session, study, "Ann") == {"confidence": None, "points": [[1, 2]]}
    save(make.review(study, "u", phase="unaided"))
    with engine.write() as session:
        assert drafts.get_draft(session, study, "Ann") is None
        drafts.save_draft(session, study, "Ann", {"label": "malignant"})
    save(make.review(study, "a"))
    with engine.write() as session:
        assert drafts.get_draft(session, study, "Ann") is None
        assert drafts.get_draft(session, study, "Bob") == {"label": "malignant"}
        drafts.delete_draft(session, study, "Bob")
        drafts.delete_draft(session, study, "Bob")
        assert drafts.get_draft(session, study, "Bob") is None


def test_a_failed_save_keeps_the_draft(study):
    """When the review cannot be saved, the reviewer's answers are still there."""
    with engine.write() as session:
        drafts.save_draft(session, study, "Ann", {"label": "benign"})
    with pytest.raises(StoreError):
        save(make.review(study, "t", prediction_id=10**6))
    with engine.read() as session:
        assert drafts.get_draft(session, study, "Ann") == {"label": "benign"}


@pytest.fixture
def readings(store):
    """Three studies, two models (A says malignant, malignant, benign; B benign of the first), reviews by Ann and Bob."""
    ids = make.add_studies(3)
    a = [make.add_prediction(study, "A", p) for study, p in zip(ids, (0.9, 0.8, 0.1), strict=True)]
    b = make.add_prediction(ids[0], "B", 0.2)
    for token, study, label, prediction, reviewer in [
        ("1", 0, "malignant", a[0], "Ann"),
        ("2", 1, "malignant", a[1], "Ann"),  # corrected below
        ("3", 1, "benign", a[1], "Ann"),
        ("4", 2, "benign", a[2], "Ann"),
        ("5", 0, "malignant", b, "Bob"),
        ("6", 2, "malignant", None, "Bob"),  # no prediction was shown
    ]:
        save(make.review(ids[study], token, label=label, prediction_id=prediction, reviewer=reviewer))
    return ids


def test_reviews_are_listed_with_what_they_are_about(readings):
    """Study, prediction, model and agreement stand beside each review, newest first; NA where no model was shown."""
    with engine.read() as session:
        table = reviews.list_reviews(session, ReviewQuery())
        empty = reviews.list_reviews(session, ReviewQuery(reviewer="nobody"))
    assert list(table["study_name"]) == ["Study 2", "Study 0", "Study 2", "Study 1", "Study 0"]
    assert list(table["reviewer"]) == ["Bob", "Bob", "Ann", "Ann", "Ann"]
    assert table["model_name"].fillna("-").tolist() == ["-", "B", "A", "A", "A"]
    assert table["predicted"].fillna("-").tolist() == ["-", "benign", "benign", "malignant", "malignant"]
    assert table["agrees"].tolist() == [pd.NA, False, True, False, True]
    assert table["model_version"][1] == make.version("B")
    assert list(empty.columns) == list(table.columns)
    assert list(empty.dtypes) == list(table.dtypes)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (ReviewQuery(), 5),
        (ALL, 6),
        (ReviewQuery(reviewer="Ann"), 3),
        (ReviewQuery(model_version=make.version("A")), 3),
        (ReviewQuery(task="breast-mri"), 5),
        (ReviewQuery(task="mammography"), 0),
        (ReviewQuery(phase="unaided"), 0),
        (ReviewQuery(since="2000-01-01"), 5),
        (ReviewQuery(since="2999-01-01"), 0),
        (ReviewQuery(reviewer="Bob", model_version=make.version("B"), phase="aided", since="2000"), 1),
    ],
)
def test_filters(readings, query, expected):
    """Each filter alone and several together; list and count agree."""
    with engine.read() as session:
        assert len(reviews.list_reviews(session, query)) == expected
        assert reviews.count_reviews(session, query) == expected


def test_pages(readings):
    """Pages of two are the list in pieces."""
    with engine.read() as session:
        whole = list(reviews.list_reviews(session, ReviewQuery())["id"])
        pages = [list(reviews.list_reviews(session, ReviewQuery(limit=2, offset=o))["id"]) for o in (0, 2, 4, 6)]
    assert pages == [whole[0:2], whole[2:4], whole[4:5], []]


def test_lists_of_ids_and_before_an_id(readings):
    """By id within what the query may see, and going on from a later review, as long downloads do."""
    with engine.read() as session:
        whole = list(reviews.list_reviews(session, ReviewQuery())["id"])
        some = (int(whole[0]), int(whole[3]))
        assert list(reviews.list_reviews(session, ReviewQuery(ids=some))["id"]) == list(some)
        assert len(reviews.list_reviews(session, ReviewQuery(ids=some, reviewer="nobody"))) == 0
        assert list(reviews.list_reviews(session, ReviewQuery(before=int(whole[1]), limit=2))["id"]) == whole[2:4]


def test_second_readings_leave_the_fingerprints_of_first_ones_alone(study):
    """What was logged before second readings were known still fits: only a second reading says in its hash that it is one."""
    first = make.review(study, "t", reader_study=1, id=4, likelihood=0)
    before = {name: value for name, value in vars(first).items() if name not in ("repeat", "birads")}
    logged = canonical(before | {"regions": []})
    assert reviews.fingerprint(first) == hashlib.sha256(logged.encode()).hexdigest()
    assert reviews.fingerprint(dataclasses.replace(first, repeat=1)) != reviews.fingerprint(first)
    with pytest.raises(ValueError, match="repeat must be 0"):
        make.review(study, "t", repeat=1)
