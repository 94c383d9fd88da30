"""Saves that share a commit: nothing lost, nothing doubled, and one that fails fails alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from core.records import Refused
from db import audit, engine, reviews, writer
from db.engine import StoreError
from db.reviews import ReviewQuery
from tests.db import make


def save(study, reviewer, number=0):
    """One review through the writer."""
    review = make.review(study, f"{reviewer}-{number}", reviewer=reviewer, comment=f"{reviewer}-{number}")
    return writer.save(lambda session: reviews.add_review(session, review))


def stored():
    """All reviews, and whether the audit log holds."""
    with engine.read() as session:
        assert audit.verify(session) is None
        assert reviews.first_altered(session) is None
        return reviews.list_reviews(session, ReviewQuery(current_only=False))


class Together:
    """Holds the store until several saves wait, so that they come into one group."""

    def __enter__(self):
        self.free, held = threading.Event(), threading.Event()

        def hold(_session):
            held.set()
            self.free.wait(10)

        self.pool = ThreadPoolExecutor(60)
        self.pool.submit(writer.save, hold)
        held.wait(10)
        return self

    def save(self, work):
        """Queue one."""
        return self.pool.submit(writer.save, work)

    def __exit__(self, *_):
        self.free.set()
        self.pool.shutdown()


def test_fifty_reviewers_at_once_lose_nothing(store):
    """50 × 4 saves: 200 rows with ids of their own, an unbroken log."""
    (study,) = make.add_studies(1)
    with ThreadPoolExecutor(50) as pool:
        ids = set(pool.map(lambda job: save(study, f"r{job % 50}", job // 50).id, range(200)))
    table = stored()
    assert set(table["id"]) == ids
    assert len(set(table["comment"])) == 200


def test_one_refused_save_leaves_its_neighbours_alone(store):
    """A refusal, a programming fault and a broken constraint, each amid good saves of one group."""
    good, other, bad = make.add_studies(3)

    def half_done(session):
        reviews.add_review(session, make.review(bad, "bad"))
        raise Refused("not this one")

    with Together() as group:
        first = group.save(lambda s: reviews.add_review(s, make.review(good, "a")))
        refused = group.save(half_done)
        fault = group.save(lambda _: 1 / 0)
        broken = group.save(lambda s: s.execute(text("INSERT INTO users (key) VALUES ('x')")))
        last = group.save(lambda s: reviews.add_review(s, make.review(other, "b")))
    assert {first.result().study_id, last.result().study_id} == {good, other}
    for job, kind in ((refused, Refused), (fault, ZeroDivisionError), (broken, StoreError)):
        with pytest.raises(kind):
            job.result()
    assert sorted(stored()["study_id"]) == sorted([good, other])


def test_a_group_is_one_commit(sqlite_only, monkeypatch):
    """Twenty saves that wait together take one transaction."""
    (study,) = make.add_studies(1)
    begun = []
    write = engine.write
    with Together() as group:
        monkeypatch.setattr(engine, "write", lambda: begun.append(1) or write())
        for n in range(20):
            review = make.review(study, f"t{n}", reviewer=f"r{n}")
            group.save(lambda s, review=review: reviews.add_review(s, review))
        while len(writer._waiting) < 20:
            pass
    assert len(stored()) == 20
    assert len(begun) == 1


def test_what_fails_is_undone_and_told_once(store):
    """A save may run twice, the first time undone: nothing doubles, and the log's end is found again after the undoing."""
    (study,) = make.add_studies(1)
    runs = []

    def fails(session):
        reviews.add_review(session, make.review(study, "bad", reviewer="Bad"))
        raise Refused("not this one")

    def counted(session):
        runs.append(1)
        return reviews.add_review(session, make.review(study, "good", reviewer="Good"))

    with Together() as group:
        good, bad, after = (group.save(work) for work in (counted, fails, lambda s: audit.head(s)))
        while len(writer._waiting) < 3:
            pass
    assert good.result().reviewer == "Good"
    with pytest.raises(Refused):
        bad.result()
    assert len(runs) == 2
    assert list(stored()["reviewer"]) == ["Good"]
    with engine.read() as session:
        assert audit.head(session) == after.result()


def test_a_store_that_cannot_begin_is_asked_once(store, monkeypatch):
    """Every waiting save hears it; a second attempt would make them wait for nothing."""
    asked = []

    def shut():
        asked.append(1)
        raise StoreError("The store is busy with another writer, so nothing was saved; try again in a moment.")

    monkeypatch.setattr(engine, "write", shut)
    with pytest.raises(StoreError, match="busy"):
        writer.save(lambda _: None)
    assert len(asked) == 1


def test_a_repeat_in_the_same_group_is_one_review(store):
    """A double click whose two saves share a commit: both get the same review."""
    (study,) = make.add_studies(1)
    with Together() as group:
        jobs = [group.save(lambda s: reviews.add_review(s, make.review(study, "t"))) for _ in range(8)]
    assert len({job.result().id for job in jobs}) == 1
    assert len(stored()) == 1


def test_a_failed_commit_is_told_to_everybody(store, monkeypatch):
    """Where the group's commit fails nothing was saved, nobody is told "saved", and the next save works."""
    (study,) = make.add_studies(1)
    commit = engine.Session.commit

    def full(session):
        if session.new or session.in_transaction():
            raise StoreError("The store's disk is full, so nothing was saved.")
        commit(session)

    with Together() as group:
        jobs = [group.save(lambda s, n=n: reviews.add_review(s, make.review(study, f"t{n}", reviewer=f"r{n}")))
                for n in range(3)]  # fmt: skip
        while len(writer._waiting) < 3:
            pass
        monkeypatch.setattr(engine.Session, "commit", full)
    for job in jobs:
        with pytest.raises(StoreError, match="disk is full"):
            job.result()
    monkeypatch.setattr(engine.Session, "commit", commit)
    assert save(study, "Ann").reviewer == "Ann"
    assert list(stored()["reviewer"]) == ["Ann"]


def test_a_save_is_there_when_it_returns(store):
    """Another connection reads it at once: "Saved" is said after the commit."""
    (study,) = make.add_studies(1)
    for number in range(5):
        saved = save(study, "Ann", number)
        with engine.read() as session:
            assert reviews.latest_review(session, study, "Ann", "aided") == saved
