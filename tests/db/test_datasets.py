"""Registered datasets: known by path and task, brought up to date, named once."""

import dataclasses

import pytest

from core.records import Refused
from db import audit, datasets, engine
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
