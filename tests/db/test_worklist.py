"""The worklist: statuses, filters, paging, and the way from one study to the next."""

import dataclasses
import itertools

import pytest
from sqlalchemy import event, text

from db import drafts, engine, predictions, reviews, studies
from db.studies import WorklistQuery, count_statuses, count_worklist, list_worklist, neighbours, next_unread
from tests.db import make

COLUMNS = ["id", "name", "task", "modality", "patient_id", "images", "created_at", "status"]
ANN = WorklistQuery(reviewer="Ann")


def listed(query: WorklistQuery) -> list[str]:
    """Ids on that page."""
    with engine.read() as session:
        return list(list_worklist(session, query)["id"])


def read_aided(study: str, **changes) -> None:
    """Save an aided review by Ann."""
    with engine.write() as session:
        reviews.add_review(session, make.review(study, f"{study}{changes}", **changes))


# unaided review, draft, aided reviews (flagged?) in order -> status under each protocol
TRUTH = [
    (False, False, (), "unread", "unread"),
    (True, False, (), "draft", "unread"),
    (False, True, (), "draft", "draft"),
    (True, True, (), "draft", "draft"),
    (False, False, (False,), "done", "done"),
    (True, False, (False,), "done", "done"),
    (False, True, (False,), "done", "done"),
    (True, True, (False,), "done", "done"),
    (False, False, (True,), "flagged", "flagged"),
    (True, True, (True,), "flagged", "flagged"),
    (True, False, (True, False), "done", "done"),
    (True, False, (False, True), "flagged", "flagged"),
]


@pytest.mark.parametrize(("unaided", "draft", "aided", "expected", "expected_aided"), TRUTH)
def test_status(store, unaided, draft, aided, expected, expected_aided):
    """The status follows from what this reviewer has done, the newest aided review first; other reviewers see unread."""
    (study,) = make.add_studies(1)
    with engine.write() as session:
        if unaided:
            reviews.add_review(session, make.review(study, "u", phase="unaided", flagged=True))
        for number, flagged in enumerate(aided):
            reviews.add_review(session, make.review(study, f"a{number}", flagged=flagged))
        if draft:
            drafts.save_draft(session, study, "Ann", {"label": "benign"})
    with engine.read() as session:
        for protocol, status in (("unaided-then-aided", expected), ("aided", expected_aided)):
            query = WorklistQuery("Ann", protocol=protocol)
            assert list(list_worklist(session, query)["status"]) == [status]
            counts = dict.fromkeys(studies.STATUSES, 0) | {status: 1}
            assert count_statuses(session, "Ann", protocol=protocol) == counts
            for other in studies.STATUSES:
                assert count_worklist(session, dataclasses.replace(query, status=other)) == (other == status)
        assert list(list_worklist(session, WorklistQuery("Bob"))["status"]) == ["unread"]


def test_columns_say_nothing_of_a_model(store):
    """The table has these columns only, rows or no rows, whatever a model has predicted."""
    with engine.read() as session:
        empty = list_worklist(session, ANN)
    (study,) = make.add_studies(1)
    make.add_prediction(study)
    with engine.read() as session:
        table = list_worklist(session, ANN)
    assert list(empty.columns) == list(table.columns) == COLUMNS
    assert list(empty.dtypes) == list(table.dtypes)
    assert table.iloc[0].drop(["id", "created_at"]).to_dict() == {
        "name": "Study 0",
        "task": "breast-mri",
        "modality": "MR",
        "patient_id": "patient-0",
        "images": 1,
        "status": "unread",
    }
    assert "malignant" not in table.to_csv()


def test_predictions_do_not_move_the_worklist(store):
    """Order, page and next study are the same before and after models have spoken."""
    ids = make.add_studies(6)
    before = [listed(dataclasses.replace(ANN, sort=sort)) for sort in ("newest", "oldest", "name")]
    with engine.write() as session:
        for number, study in enumerate(reversed(ids)):
            models_prediction = make.prediction(study, make.version("model"), number / 10)
            if number == 0:
                from db.models import add_model

                add_model(session, make.model())
            predictions.add_prediction(session, models_prediction, requested_by="Ann")
    assert before == [listed(dataclasses.replace(ANN, sort=sort)) for sort in ("newest", "oldest", "name")]


def test_sorting(store):
    """Oldest and newest go by arrival, name by name without case; equal names by arrival."""
    made = [make.study(n, name) for n, name in enumerate(["b", "C", "a", "B"])]
    with engine.write() as session:
        for study in made:
            studies.add_study(session, study)
    names = {study.id: number for number, study in enumerate(made)}
    found = {sort: [names[i] for i in listed(WorklistQuery("Ann", sort=sort))] for sort in ("oldest", "newest", "name")}
    assert found == {"oldest": [0, 1, 2, 3], "newest": [3, 2, 1, 0], "name": [2, 0, 3, 1]}


@pytest.mark.parametrize("sort", ["newest", "oldest", "name"])
def test_pages_are_complete_and_do_not_overlap(store, sort):
    """23 studies in pages of 5 are the 23 studies, in the order of one long page, though names repeat."""
    with engine.write() as session:
        for number in range(23):
            studies.add_study(session, make.study(number, f"name {number % 3}"))
    query = WorklistQuery("Ann", sort=sort, limit=5)
    pages = [listed(dataclasses.replace(query, offset=offset)) for offset in range(0, 30, 5)]
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3, 0]
    assert list(itertools.chain(*pages)) == listed(dataclasses.replace(query, limit=100))
    with engine.read() as session:
        assert count_worklist(session, query) == 23


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("%", [0]),
        ("_", [1]),
        ("100%", [0]),
        ("LEFT", [1, 2]),
        ("/", [3]),
        ("\\", [4]),
        ("PATIENT-2", [2]),
        ("  left ", [1, 2]),
        ("' OR 1=1", []),
    ],
)
def test_search_is_literal(store, search, found):
    """%, _ and the escape characters stand for themselves; case and spaces around do not matter; names and patients count."""
    names = ["100% sure", "a_left", "Left", "a/b", "a\\b"]
    made = [make.study(number, name) for number, name in enumerate(names)]
    with engine.write() as session:
        for study in made:
            studies.add_study(session, study)
    query = WorklistQuery("Ann", search=search)
    assert listed(query) == [made[number].id for number in found]
    with engine.read() as session:
        assert count_worklist(session, query) == len(found)


def test_tasks_are_kept_apart(store):
    """Filter and counts by task."""
    with engine.write() as session:
        for number, task in enumerate(["breast-mri", "mammography", "mammography"]):
            studies.add_study(session, make.study(number, task=task))
    with engine.read() as session:
        assert count_worklist(session, WorklistQuery("Ann", task="mammography")) == 2
        assert count_statuses(session, "Ann", "mammography")["unread"] == 2
        assert count_statuses(session, "Ann")["unread"] == 3
        assert count_worklist(session, WorklistQuery("Ann", task="blood-cells")) == 0


@pytest.mark.parametrize("sort", ["newest", "oldest", "name"])
@pytest.mark.parametrize("status", ["", "unread"])
def test_neighbours_follow_the_list(store, sort, status):
    """Before and after each study stand those of the list, and as many as `place` says, in the filter or not."""
    ids = make.add_studies(12)  # by name: Study 0, 1, 10, 11, 2, …
    for study in ids[::3]:
        read_aided(study)
    query = WorklistQuery("Ann", sort=sort, status=status)
    order, shown = listed(dataclasses.replace(query, status="")), listed(query)
    with engine.read() as session:
        for place, study in enumerate(order):
            before = [other for other in order[:place] if other in shown]
            after = [other for other in order[place + 1 :] if other in shown]
            expected = (before[-1] if before else None, after[0] if after else None)
            assert neighbours(session, query, study) == expected
            assert studies.place(session, query, study) == len(before)
        assert neighbours(session, query, "unknown") == (None, None)
        assert studies.place(session, query, "unknown") == 0


def test_next_unread(store):
    """The next unread study after this one; from the end, the first; never itself; None when all are read."""
    ids = make.add_studies(5)
    read_aided(ids[2])
    query = WorklistQuery("Ann", status="done")
    with engine.read() as session:
        assert next_unread(session, query, ids[1]) == ids[3]
        assert next_unread(session, query, ids[4]) == ids[0]
        assert next_unread(session, query) == ids[0]
        assert next_unread(session, dataclasses.replace(query, sort="newest"), ids[3]) == ids[1]
        assert next_unread(session, dataclasses.replace(query, search="Study 3"), ids[3]) is None
    for study in (ids[0], ids[1], ids[3]):
        read_aided(study)
    with engine.read() as session:
        assert next_unread(session, query, ids[0]) == ids[4]
        assert next_unread(session, query, ids[4]) is None


@pytest.mark.parametrize(
    "wrong", [{"status": "read"}, {"sort": "probability"}, {"protocol": "blind"}, {"limit": -1}, {"offset": -1}]
)
def test_wrong_queries_are_refused(wrong):
    """A status, sort order, protocol, limit or offset that does not exist is refused when the query is made."""
    with pytest.raises(ValueError, match="|".join(wrong)):
        WorklistQuery("Ann", **wrong)


@pytest.mark.parametrize("status", ["", "unread"])
def test_reviews_are_looked_up_not_scanned(sqlite_only, status):
    """However many reviews there are, the worklist asks the index for this reviewer's alone."""
    statements = []
    event.listen(engine.current_engine(), "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    with engine.read() as session:
        list_worklist(session, dataclasses.replace(ANN, status=status))
        count_statuses(session, "Ann")
        asked = [(sql, values) for sql, values in statements if sql.startswith("SELECT")]
        plans = [
            row[3]
            for sql, values in asked
            for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    touching = [plan for plan in plans if "reviews" in plan or "drafts" in plan]
    assert len(touching) >= 6
    assert all("USING COVERING INDEX" in plan and "study_id=?" in plan for plan in touching), touching


def test_a_study_without_images_rows_still_counts_none(store):
    """The number of images is counted per study."""
    images = (make.grey(1), make.grey(2), make.grey(3))
    with engine.write() as session:
        studies.add_study(session, dataclasses.replace(make.study(1), images=images))
        studies.add_study(session, make.study(2))
        assert session.scalar(text("SELECT count(*) FROM images")) == 4
    with engine.read() as session:
        assert list(list_worklist(session, ANN)["images"]) == [3, 1]
