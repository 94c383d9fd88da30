"""Registered datasets: known by path and task, brought up to date, named once."""

import dataclasses
import json

import pytest

from core.datasets.profile import profile_folder, read_profile
from core.records import Refused
from db import audit, datasets, engine
from db.__main__ import main
from db.datasets import DatasetEntry

COUNTS = {"train": {"malignant": 1, "benign": 2}}
ENTRY = DatasetEntry("BreastMNIST", "/data/b.npz", "breast-ultrasound", "a" * 64, COUNTS, "2026-01-02")


def test_a_dataset_comes_back(store):
    """Every field, by name; an unknown name is None; the moment is filled in where none was given."""
    with engine.write() as session:
        assert datasets.add_dataset(session, ENTRY)
        assert datasets.add_dataset(
            session, dataclasses.replace(ENTRY, name=" Other ", path="/data/o.npz", created_at="")
        )
    with engine.read() as session:
        assert datasets.get_dataset(session, "BreastMNIST") == ENTRY
        assert datasets.get_dataset(session, "Other").created_at.endswith("+00:00")
        assert datasets.get_dataset(session, "nothing") is None
        assert [entry.name for entry in datasets.list_datasets(session)] == ["BreastMNIST", "Other"]


def test_the_same_path_for_the_same_task_is_brought_up_to_date(store):
    """Registering again changes name, fingerprint and counts in place; for another task it is another dataset."""
    changed = dataclasses.replace(
        ENTRY, name="New", fingerprint="b" * 64, counts={"test": {"malignant": 3, "benign": 4}}
    )
    with engine.write() as session:
        datasets.add_dataset(session, ENTRY)
        assert not datasets.add_dataset(session, changed)
        assert datasets.add_dataset(session, dataclasses.replace(ENTRY, task="breast-mri"))
    with engine.read() as session:
        assert datasets.list_datasets(session) == [dataclasses.replace(ENTRY, task="breast-mri"), changed]


def test_who_registered_what_is_in_the_audit_log(store):
    """One line each, with the fingerprint, in an unbroken chain."""
    with engine.write() as session:
        datasets.add_dataset(session, ENTRY, actor="Lea")
        datasets.add_dataset(session, ENTRY, actor="Max")
    with engine.read() as session:
        log = audit.list_entries(session)
        assert sorted(zip(log["action"], log["actor"], strict=True)) == [
            ("dataset.add", "Lea"),
            ("dataset.update", "Max"),
        ]
        assert log["details"].str.contains("a" * 64).all()


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\nb"])
def test_a_name_must_be_readable(store, name):
    """Empty, too long and unprintable names are refused."""
    with engine.write() as session, pytest.raises(Refused, match="1 to 80 printable"):
        datasets.add_dataset(session, dataclasses.replace(ENTRY, name=name))


def test_a_name_belongs_to_one_dataset(store):
    """Another path may not take it, neither new nor by an update."""
    other = dataclasses.replace(ENTRY, name="Other", path="/data/o.npz")
    with engine.write() as session:
        datasets.add_dataset(session, ENTRY)
        datasets.add_dataset(session, other)
        with pytest.raises(Refused, match="already a dataset called 'BreastMNIST'"):
            datasets.add_dataset(session, dataclasses.replace(other, name="BreastMNIST"))
        with pytest.raises(Refused, match="already"):
            datasets.add_dataset(session, dataclasses.replace(ENTRY, path="/data/third.npz"))


def test_a_fingerprint_is_a_hash(store):
    """It becomes the name of a folder, so anything else is an error of the caller."""
    with engine.write() as session, pytest.raises(ValueError, match="SHA-256"):
        datasets.add_dataset(session, dataclasses.replace(ENTRY, fingerprint="../x"))


def test_a_dataset_is_registered_from_the_terminal(store, tmp_path, capsys):
    """`python -m db add-dataset` stores path, task, counts and what pages show; repeating it doubles nothing."""
    rows = [f"{i}.png,{'benign' if i % 2 else 'malignant'},P{i},{('train', 'val', 'test')[i % 3]}" for i in range(12)]
    path = tmp_path / "set.csv"
    path.write_text("\n".join(["file,label,patient_id,split", *rows]) + "\n")
    command = ["add-dataset", str(path), "--task", "breast-mri", "--name", "Mine", "--json"]
    assert [main(command), main(command)] == [0, 0]
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["stored"] for line in said] == [True, False]
    with engine.read() as session:
        (entry,) = datasets.list_datasets(session)
    assert (entry.name, entry.path, entry.task) == ("Mine", str(path), "breast-mri")
    assert entry.counts["val"] == {"benign": 2, "malignant": 2}
    assert len(read_profile(profile_folder(entry.fingerprint, entry.task)).table) == 12
    assert main(["add-dataset", str(tmp_path / "nothing"), "--task", "breast-mri"]) == 1
    assert "There is no dataset" in capsys.readouterr().err
