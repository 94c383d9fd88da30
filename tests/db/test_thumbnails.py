"""A run's pictures in the store: kept once, under the hash of what they are."""

from __future__ import annotations

import hashlib

import pytest

from core.records import Refused
from db import thumbnails
from db.engine import StoreError


def test_a_file_is_kept_once_under_its_hash(store, tmp_path):
    """The copy equals the source; a second time nothing is copied."""
    source = tmp_path / "thumbnails.zip"
    source.write_bytes(b"pictures")
    digest = hashlib.sha256(b"pictures").hexdigest()
    assert thumbnails.put_thumbnails(source, digest)
    assert thumbnails.thumbnail_file(digest).read_bytes() == b"pictures"
    assert not thumbnails.put_thumbnails(source, digest)


@pytest.mark.parametrize("expected", ["0" * 64, "../../etc/passwd"])
def test_another_file_is_refused(store, tmp_path, expected):
    """A file that is not what the run names never enters the store, whatever the run names."""
    (tmp_path / "thumbnails.zip").write_bytes(b"pictures")
    with pytest.raises(Refused, match="not the file its run was made with"):
        thumbnails.put_thumbnails(tmp_path / "thumbnails.zip", expected)
    assert not (store / "thumbnails").exists()


def test_a_missing_file_is_a_sentence(store, tmp_path):
    """Not a traceback."""
    with pytest.raises(StoreError, match=r"pictures in absent\.zip cannot be read"):
        thumbnails.put_thumbnails(tmp_path / "absent.zip", "0" * 64)


def test_a_hash_that_is_none_names_no_file(store):
    """A name from outside cannot lead out of the folder."""
    with pytest.raises(ValueError, match="not a SHA-256"):
        thumbnails.thumbnail_file("../x")
