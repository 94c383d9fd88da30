"""The list of runs: filtered and paged in the database, without opening predictions; marks that leave the run alone."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from core.records import Estimate, EvaluationRun, Refused
from db import audit, engine, run_list, runs
from db.run_list import RunMarks, RunQuery
from tests.db import make


def keep(*made: EvaluationRun) -> None:
    """Keep them."""
    with engine.write() as session:
        for run in made:
            runs.add_run(session, run)


def mark(run_id: str, **marks) -> None:
    """Lea notes something."""
    with engine.write() as session:
        run_list.set_marks(session, run_id, RunMarks(**marks), "Lea")


def found(**query) -> list[str]:
    """Ids that a query finds; the count must say the same."""
    with engine.read() as session:
        ids = list(run_list.list_runs(session, RunQuery(**query))["id"])
        assert run_list.count_runs(session, RunQuery(**query)) == len(ids)
    return ids


def test_runs_are_listed_with_their_metrics(store):
    """Newest first; each metric with bounds and n; NA where it is undefined or the run has none."""
    keep(make.run("old", n=10), make.run("new", n=20, metrics={"auc": Estimate(0.5, 0.4, 0.6, 20, "DeLong")}))
    with engine.read() as session:
        table = run_list.list_runs(session)
    assert list(table["id"]) == ["new", "old"]
    assert list(table["n"]) == [20, 10]
    assert list(table.columns[-8:]) == [
        f"{name}{part}" for name in ("auc", "ppv") for part in ("", "_low", "_high", "_n")
    ]
    assert table.loc[0, ["auc", "auc_low", "auc_high", "auc_n"]].tolist() == [0.5, 0.4, 0.6, 20]
    assert table["ppv"].isna().tolist() == [True, True]
    assert table["ppv_n"].fillna(-1).tolist() == [-1, 0]
    assert not {"metrics", "provenance"} & set(table.columns)


def test_what_a_run_says_of_itself_is_a_column(store):
    """Architecture, fingerprint, seconds and parameters; NA where predictions were made elsewhere."""
    facts = {"architecture": "vgg16", "dataset": {"fingerprint": "f1"}, "seconds": 2.5, "parameters": 134_000_000}
    keep(make.run("ours", n=2, provenance=facts), make.run("elsewhere", n=2, provenance={}))
    with engine.read() as session:
        table = run_list.list_runs(session).set_index("id")
    columns = ["architecture", "fingerprint", "seconds", "parameters"]
    assert table.loc["ours", columns].tolist() == ["vgg16", "f1", 2.5, 134_000_000]
    assert table.loc["elsewhere", columns].isna().all()


def test_runs_are_filtered_and_paged(store):
    """By task and model; pages do not overlap; an empty page has the fixed columns."""
    keep(*(make.run(f"run-{i}", n=2, task=["a", "b"][i % 2], model_version=f"v{i % 3}") for i in range(6)))
    assert found(task="a") == ["run-4", "run-2", "run-0"]
    assert found(task="a", model_version="v2") == ["run-2"]
    with engine.read() as session:
        pages = [list(run_list.list_runs(session, RunQuery(limit=4, offset=o))["id"]) for o in (0, 4)]
        nothing = run_list.list_runs(session, RunQuery(task="none"))
    assert pages == [["run-5", "run-4", "run-3", "run-2"], ["run-1", "run-0"]]
    assert nothing.empty
    assert list(nothing.columns[:8]) == [
        "id", "created_at", "model_name", "model_version", "task", "dataset", "split", "n",
    ]  # fmt: skip


def test_search_looks_in_model_dataset_tags_notes_and_id(store):
    """Any case; a per cent sign means itself."""
    keep(make.run("abc1", n=2, model_name="VGG16"), make.run("def2", n=2, dataset="BreaDM 100%"))
    mark("abc1", tags=("first try",), notes="Ärzte fragen")
    for words, ids in {"vgg": ["abc1"], "breadm": ["def2"], "100%": ["def2"], "%": ["def2"], "FIRST": ["abc1"],
                       "fragen": ["abc1"], "ABC": ["abc1"], "bc1": [], "": ["def2", "abc1"]}.items():  # fmt: skip
        assert found(search=words) == ids, words


def test_dates_include_both_days(store, monkeypatch):
    """A run made on a day is found by that day as beginning and as end."""
    keep(make.run("r", n=2))
    with engine.write() as session:
        session.execute(text("UPDATE runs SET created_at = '2026-03-05T23:59:59.000+00:00'"))
    assert found(since="2026-03-05", until="2026-03-05") == ["r"]
    assert found(since="2026-03-06") == []
    assert found(until="2026-03-04") == []


def test_archived_runs_are_hidden_and_come_back(store):
    """Archiving deletes nothing: the run is found when asked for, opened as before, and can return."""
    keep(make.run("a", n=2), make.run("b", n=2))
    mark("a", archived=True)
    assert found() == ["b"]
    assert found(archived=True) == ["b", "a"]
    with engine.read() as session:
        assert list(run_list.name_runs(session)["id"]) == ["b"]
        assert len(runs.get_run(session, "a").case_ids) == 2
    mark("a", archived=False)
    assert found() == ["b", "a"]


def test_tags_are_trimmed_once_each_and_filter_whole(store):
    """A filter by "cnn" does not find the tag "small cnn"; choices list every tag once."""
    keep(make.run("a", n=2), make.run("b", n=2))
    mark("a", tags=(" cnn ", "cnn", "", "größer"))
    mark("b", tags=("small cnn",))
    assert found(tag="cnn") == ["a"]
    assert found(tag="größer") == ["a"]
    with engine.read() as session:
        assert run_list.get_marks(session, "a") == RunMarks(tags=("cnn", "größer"))
        assert run_list.get_marks(session, "unmarked") == RunMarks()
        assert run_list.run_choices(session)["tag"] == ["cnn", "größer", "small cnn"]
        assert run_list.run_choices(session)["dataset"] == ["phantoms"]


def test_marks_are_audited_and_leave_the_run_alone(store):
    """The log says who noted what, and its chain holds."""
    keep(make.run("a", n=2))
    mark("a", notes="good")
    with engine.read() as session:
        entry = audit.list_entries(session).iloc[0]
        assert audit.verify(session) is None
    assert (entry["actor"], entry["action"], entry["subject"]) == ("Lea", "run.mark", "run:a")


@pytest.mark.parametrize(
    ("run_id", "marks", "sentence"),
    [
        ("x", {}, "no evaluation run 'x'"),
        ("a", {"tags": tuple(map(str, range(21)))}, "at most 20 tags"),
        ("a", {"tags": ("t" * 41,)}, "at most 20 tags of at most 40"),
        ("a", {"notes": "n" * 4001}, "at most 4000"),
    ],
)
def test_unfit_marks_are_refused(store, run_id, marks, sentence):
    """In one sentence, and nothing is kept."""
    keep(make.run("a", n=2))
    with pytest.raises(Refused, match=sentence):
        mark(run_id, **marks)
    with engine.read() as session:
        assert run_list.get_marks(session, "a") == RunMarks()


def test_listing_does_not_open_predictions(sqlite_only):
    """With the predictions spoilt, the list is as before."""
    keep(make.run())
    with engine.write() as session:
        session.execute(text("UPDATE runs SET predictions = 'spoilt'"))
    with engine.read() as session:
        assert run_list.list_runs(session)["auc"].tolist() == [0.8]


def test_negative_pages_are_refused():
    """A page before the first is a mistake of the program."""
    with pytest.raises(ValueError, match="negative"):
        RunQuery(offset=-1)
