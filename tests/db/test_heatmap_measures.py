"""What is kept of a model's heatmaps, and which reviewers' regions they are held against."""

import json

import pytest

from core.records import Refused
from db import audit, engine, heatmap_measures, models, reviews
from db.__main__ import main
from tests.db.make import add_prediction, add_studies, model, reader_study, review, version

RECT = {"kind": "rect", "image": 0, "points": [[0, 0], [1, 1]]}


def keep(part="randomisation", facts=None, **more):
    """A measurement of Grad-CAM on the registered model."""
    with engine.write() as session:
        models.add_model(session, model())
        heatmap_measures.put_measure(session, version("model"), "gradcam", part, facts or {"passes": True}, **more)


def test_measures_come_back_by_method_and_part_and_are_replaced(store):
    """The newest stands, with its moment; each measuring is in the audit log; another model has none."""
    keep(actor="Lea")
    keep(facts={"passes": False, "correlation": {"value": 0.9}})
    keep("reference", {"quantiles": {"0.99": 1.5}})
    with engine.read() as session:
        found = heatmap_measures.get_measures(session, version("model"))
        assert heatmap_measures.get_measures(session, version("other")) == {}
        lines = [line for line in audit.list_entries(session)["action"] if line == "heatmap.measure"]
    assert set(found["gradcam"]) == {"randomisation", "reference"}
    kept = found["gradcam"]["randomisation"]
    assert (kept["passes"], kept["correlation"]) == (False, {"value": 0.9})
    assert kept["measured_at"].endswith("+00:00")
    assert len(lines) == 3


def test_an_unknown_model_is_refused(store):
    """And nothing is kept."""
    with pytest.raises(Refused, match="register it first"), engine.write() as session:
        heatmap_measures.put_measure(session, version("none"), "gradcam", "masks", {})


def test_a_file_of_the_benchmark_is_stored_twice_as_once(store, tmp_path, capsys):
    """`ingest-explanations` says what it stored; a file that is none, or of an unknown model, is refused."""
    with engine.write() as session:
        models.add_model(session, model())
    file = tmp_path / "found.json"
    methods = {"gradcam": {"randomisation": {"passes": True}, "reference": {"n": 3, "quantiles": {}}}}
    file.write_text(json.dumps({"format": 1, "model": version("model"), "methods": methods}))
    for _ in range(2):
        assert main(["ingest-explanations", str(file), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["stored"] == 2
    with engine.read() as session:
        assert list(heatmap_measures.get_measures(session, version("model"))) == ["gradcam"]
    file.write_text(json.dumps({"format": 1, "model": version("none"), "methods": methods}))
    assert main(["ingest-explanations", str(file)]) == 1
    file.write_text("nothing")
    assert main(["ingest-explanations", str(file)]) == 1


def add(study, token, **changes):
    """A review, saved."""
    with engine.write() as session:
        return reviews.add_review(session, review(study, token, **changes))


def test_regions_are_the_last_word_of_each_reviewer(store):
    """A correction replaces, the aided reading stands before the unaided, empty ones and other tasks are left out."""
    one, two = add_studies(2)
    add(one, "a", phase="unaided", label="benign", regions=(RECT, RECT))
    add(one, "b", regions=(RECT,))
    add(two, "c", reviewer="Bob", regions=())
    with engine.read() as session:
        (found,) = heatmap_measures.list_regions(session, "breast-mri")
        assert heatmap_measures.list_regions(session, "mammography") == []
    assert (found.study_id, found.label, found.regions) == (one, "malignant", (RECT,))
    add(one, "d", label="benign", regions=({**RECT, "image": 1},))
    with engine.read() as session:
        (found,) = heatmap_measures.list_regions(session, "breast-mri")
    assert (found.label, found.regions[0]["image"]) == ("benign", 1)


def test_regions_of_reader_studies_are_left_out(store):
    """What a reader marks in a study that runs does not show anywhere."""
    ids = add_studies(1)
    number = reader_study(ids, "aided")
    made = add_prediction(ids[0])
    add(ids[0], "x", regions=(RECT,), reader_study=number, prediction_id=made, likelihood=70, birads="4A")
    with engine.read() as session:
        assert heatmap_measures.list_regions(session, "breast-mri") == []


def test_a_few_regions_among_many_readings_are_found_by_their_index(store):
    """The newest come first, and no more than asked for; SQLite reads the small index, not the reviews."""
    cases = add_studies(4)
    for i, case in enumerate(cases):
        add(case, str(i), regions=(RECT,) if i else ())
    with engine.read() as session:
        found = heatmap_measures.list_regions(session, "breast-mri", limit=2)
        assert [marked.study_id for marked in found] == [cases[3], cases[2]]
        if session.get_bind().dialect.name == "sqlite":
            query = "EXPLAIN QUERY PLAN SELECT id FROM reviews WHERE CAST(regions AS TEXT) <> '[]' ORDER BY id DESC"
            plan = session.connection().exec_driver_sql(query).all()
            assert "ix_reviews_with_regions" in str(plan)
