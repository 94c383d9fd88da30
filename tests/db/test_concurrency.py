"""Many writers at once: nobody is turned away, nothing is lost or doubled."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from db import audit, engine, predictions, reviews
from db.reviews import ReviewQuery
from tests.db import make

THREADS, EACH = 8, 40


def save(study: str, reviewer: str, number: int) -> int:
    """Save one review in a transaction of its own and give its id."""
    token = f"{reviewer}-{number}"
    with engine.write() as session:
        saved = reviews.add_review(session, make.review(study, token, reviewer=reviewer, comment=token))
    assert saved.id is not None
    return saved.id


def test_threads_lose_no_review(store):
    """8 threads × 40 reviews: 320 rows with ids of their own, one current per reviewer, an unbroken audit log."""
    (study,) = make.add_studies(1)
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [pool.submit(save, study, f"reviewer {t}", n) for n in range(EACH) for t in range(THREADS)]
    ids = {job.result() for job in jobs}
    assert len(ids) == THREADS * EACH
    with engine.read() as session:
        every = reviews.list_reviews(session, ReviewQuery(current_only=False))
        assert set(every["id"]) == ids
        assert len(set(every["comment"])) == THREADS * EACH
        assert reviews.count_reviews(session, ReviewQuery()) == THREADS
        assert audit.verify(session) is None
        assert len(audit.list_entries(session, limit=1000)) == THREADS * EACH


def test_threads_saving_the_same_review_save_one(store):
    """A double click that arrives on eight threads is one review."""
    (study,) = make.add_studies(1)
    with ThreadPoolExecutor(THREADS) as pool:
        ids = set(pool.map(lambda _: save(study, "Ann", 1), range(THREADS)))
    assert len(ids) == 1


def test_threads_asking_for_one_prediction_keep_one(store):
    """The same prediction made by eight sessions at once is kept once, and all get its id."""
    (study,) = make.add_studies(1)
    first = make.add_prediction(study)

    def keep(_: int) -> int:
        with engine.write() as session:
            return predictions.add_prediction(
                session, make.prediction(study, make.version("model")), requested_by="Bob"
            )

    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(keep, range(THREADS))) == {first}


def test_processes_lose_no_review(store):
    """Two programs that save at once lose none of 2 × 40 reviews, and the audit log stays one chain."""
    (study,) = make.add_studies(1)
    program = textwrap.dedent("""
        import sys
        from tests.db.test_concurrency import save
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(40):
            save(sys.argv[1], sys.argv[2], number)
    """)
    started = [
        subprocess.Popen([sys.executable, "-c", program, study, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("Ann", "Bob")
    ]
    for process in started:
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=60)
    assert [process.returncode for process in started] == [0, 0]
    with engine.read() as session:
        table = reviews.list_reviews(session, ReviewQuery(current_only=False))
        assert table.groupby("reviewer").size().to_dict() == {"Ann": 40, "Bob": 40}
        assert audit.verify(session) is None


def test_a_write_holds_the_store_from_its_first_query(sqlite_only, tmp_path):
    """Another program cannot slip in between what a write block reads and what it then saves."""
    other = engine.sqlite.connect(tmp_path / "store.db", isolation_level=None, timeout=0)
    with engine.write() as session:
        reviews.count_reviews(session, ReviewQuery())
        with pytest.raises(engine.sqlite.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
