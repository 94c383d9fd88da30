"""Models: registered once, activated, withdrawn; their files are what their version says."""

import dataclasses
import hashlib

import pytest

from core.records import Refused
from db import audit, engine, models
from db.engine import StoreError
from tests.db import make


def test_a_model_comes_back(store):
    """Every field, and the moment of registration where none was given."""
    model = make.model(created_at="2026-01-02T03:04:05+00:00")
    with engine.write() as session:
        assert models.add_model(session, model)
        assert not models.add_model(session, dataclasses.replace(model, name="other"))
        models.add_model(session, make.model("second"))
    with engine.read() as session:
        assert models.get_model(session, model.version) == model
        second = models.get_model(session, make.version("second"))
        assert models.get_model(session, "x") is None
    assert second is not None
    assert second.created_at.endswith("+00:00")


def test_models_are_listed_by_task_and_status(store):
    """Oldest first; empty words mean any."""
    with engine.write() as session:
        for number, (task, status) in enumerate([("a", "active"), ("a", "candidate"), ("b", "active")]):
            made = make.model(f"m{number}", task=task, status=status, created_at=f"2026-01-0{number + 1}")
            models.add_model(session, made)
    with engine.read() as session:

        def names(*filters: str) -> list[str]:
            return [model.name for model in models.list_models(session, *filters)]

        assert names() == ["m0", "m1", "m2"]
        assert names("a") == ["m0", "m1"]
        assert names("", "active") == ["m0", "m2"]
        assert names("b", "candidate") == []


def test_the_default_is_the_one_activated_last(store):
    """Not the newest: the one that a lead activated last and that still is active."""
    first, second, third = (make.version(name) for name in ("first", "second", "third"))
    with engine.write() as session:
        for name in ("first", "second", "third"):
            models.add_model(session, make.model(name))
        assert models.default_model(session, "breast-mri") is None
        for version in (first, third, second, first):
            models.set_model_status(session, version, "active", "Lea")

    def default() -> str:
        with engine.read() as session:
            model = models.default_model(session, "breast-mri")
            assert models.default_model(session, "mammography") is None
        return model.name if model else ""

    assert default() == "first"
    with engine.write() as session:
        models.set_model_status(session, first, "withdrawn", "Lea")
    assert default() == "second"
    with engine.write() as session:
        models.set_model_status(session, second, "candidate", "Lea")
    assert default() == "third"


def test_a_model_registered_as_active_can_be_the_default(store):
    """An import may bring an active model."""
    with engine.write() as session:
        models.add_model(session, make.model(status="active"))
        assert models.default_model(session, "breast-mri") is not None


def test_status_changes_are_audited(store):
    """Who changed what from what to what."""
    with engine.write() as session:
        models.add_model(session, make.model(), actor="Lea")
        models.set_model_status(session, make.version("model"), "active", "Max")
    with engine.read() as session:
        entries = audit.list_entries(session)
    assert list(entries["actor"]) == ["Max", "Lea"]
    assert entries["details"][0] == '{"from":"candidate","to":"active"}'
    assert set(entries["subject"]) == {f"model:{make.version('model')}"}


def test_unknown_models_and_statuses_are_refused(store):
    """A sentence for a model that is not there, an error for a status that does not exist."""
    with pytest.raises(Refused, match="no model"), engine.write() as session:
        models.set_model_status(session, "0" * 64, "active", "Lea")
    with pytest.raises(ValueError, match="candidate"), engine.write() as session:
        models.add_model(session, make.model(status="best"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="SHA-256"), engine.write() as session:
        models.add_model(session, dataclasses.replace(make.model(), version="../x"))


def test_a_checkpoint_is_copied_under_its_version(store, tmp_path):
    """The copy is whole, and stays when the same file is stored again."""
    source = tmp_path / "checkpoint.pt"
    source.write_bytes(b"weights" * 1000)
    version = hashlib.sha256(source.read_bytes()).hexdigest()
    path = models.store_model_file(source, version)
    assert path == models.model_file(version) == store / "models" / f"{version}.pt"
    assert path.read_bytes() == source.read_bytes()
    assert models.store_model_file(tmp_path / "gone.pt", version) == path
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_checkpoint_that_is_another_is_refused(store, tmp_path):
    """The file must be what the version says; one that cannot be read gives a sentence."""
    source = tmp_path / "checkpoint.pt"
    source.write_bytes(b"other weights")
    with pytest.raises(Refused, match="content differs"):
        models.store_model_file(source, make.version("model"))
    with pytest.raises(StoreError, match="cannot be read"):
        models.store_model_file(tmp_path / "gone.pt", make.version("model"))
    with pytest.raises(ValueError, match="SHA-256"):
        models.model_file("../../etc/passwd")
