"""Copies of imported files: none unless the installation says so, gone with masking, never exported while held."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from core import settings
from core.deidentify import deidentify
from core.reading import Source
from core.records import Refused
from db import audit, copies, engine, holds, pixels, studies
from db.__main__ import main as db
from db.engine import StoreError
from db.importing import import_exams
from db.users import User
from tests import planted
from tests.core.dicom_factory import make_dataset, make_dicom, to_bytes
from tests.core.reading.samples import npz, picture

LEAD = User("Lea", "lead", "")
VALUES = np.arange(64, dtype=np.uint8).reshape(8, 8)


def brought_in(**files: bytes) -> list:
    """What each file became; `_` in a name stands for the full stop."""
    sources = [Source.of_bytes(name.replace("_", "."), data) for name, data in files.items()]
    return [one for exam in import_exams(sources, "breast-mri", by="Anna") for one in exam]


def files_kept() -> list[Path]:
    """All files below copies/."""
    return [path for path in (settings.home() / "copies").rglob("*") if path.is_file()]


def listed() -> list[copies.KeptCopy]:
    """Copies that may leave the store."""
    with engine.read() as session:
        return copies.list_copies(session)


def mask(study_id: str) -> None:
    """Black out the first image, as the page does it; the study is held first where it is not."""
    with engine.write() as session:
        if study_id not in holds.held_ids(session):
            holds.hold_again(session, study_id, LEAD, "a name")
        image = studies.get_study(session, study_id).images[0]
        holds.release(session, study_id, LEAD, {0: replace(image, pixels=np.zeros_like(image.pixels))})
    with engine.write() as session:
        holds.drop_replaced(session)


def keep(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The installation says so."""
    monkeypatch.setenv("TUMORTRACE_KEEP", what)


def test_nothing_is_kept_by_default(store, monkeypatch):
    """Neither rows nor files nor a folder; the study is there."""
    monkeypatch.delenv("TUMORTRACE_KEEP", raising=False)
    (one,) = brought_in(a_dcm=make_dicom(VALUES))
    assert one.added == (True,)
    assert listed() == []
    assert not (settings.home() / "copies").exists()


def test_originals_are_kept_as_they_were_sent(store, monkeypatch):
    """DICOM, a picture inside a ZIP and an NPZ of two studies, byte for byte; a table and a refused file are not kept."""
    keep(monkeypatch, "original")
    scan, photo, stack = make_dicom(VALUES), picture(VALUES, "PNG"), npz(test_images=np.stack([VALUES, VALUES + 1]))
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("x.png", photo)
    brought_in(
        a_dcm=scan, b_zip=bundle.getvalue(), c_npz=stack, d_csv=b"image_id,cancer\n1,0\n", e_png=b"\x89PNG\r\n\x1a\n"
    )
    assert {path.read_bytes() for path in files_kept()} == {scan, photo, stack}
    found = listed()
    assert sorted(copy.format for copy in found) == ["dcm", "npz", "npz", "png"]
    assert {copy.kind for copy in found} == {"original"}
    assert copies.load_copy(hashlib.sha256(scan).hexdigest()) == scan


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
def test_deidentified_copies_are_those_of_the_command(store, monkeypatch, syntax):
    """Made in the decoding process, which can open no file, and equal to what `python -m core deidentify` writes."""
    keep(monkeypatch, "deidentified")
    dataset = make_dataset(VALUES, PatientName="Zebraquilla", PatientID="Zebraquilla")
    if syntax == uid.RLELossless:
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax == uid.JPEG2000Lossless:
        import imagecodecs

        dataset.PixelData = encapsulate([imagecodecs.jpeg2k_encode(VALUES, codecformat="j2k", level=0)])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
    data = to_bytes(dataset)
    (one, _) = brought_in(a_dcm=data, b_png=picture(VALUES, "PNG"))
    assert one.notices == ()
    (copy,) = listed()
    assert (copy.kind, copy.format, copy.study_id) == ("deidentified", "dcm", one.study_ids[0])
    kept = copies.load_copy(copy.hash)
    assert kept == deidentify(data, settings.installation_secret()).data
    assert b"Zebraquilla" not in kept
    np.testing.assert_array_equal(pydicom.dcmread(io.BytesIO(kept)).pixel_array, VALUES)


def test_no_planted_identifier_is_in_a_kept_copy(store, monkeypatch):
    """650 identifiers planted in one file: none in the copy, nor in its name."""
    keep(monkeypatch, "deidentified")
    # Not by lot: some spans move one planted date onto another one, months away.
    monkeypatch.setattr(settings, "installation_secret", lambda: bytes(32))
    data, tokens = planted.plant()
    (one,) = brought_in(a_dcm=data)
    (path,) = files_kept()
    found = path.read_bytes() + str(path.relative_to(settings.home())).encode()
    assert one.added == (True,)
    assert len(tokens) >= planted.PLANTED_AT_LEAST
    assert [token for token in tokens if token in found] == []


def test_a_repeated_import_doubles_nothing_and_adds_what_was_not_wanted_then(store, monkeypatch):
    """First without copies, then with: one each for two files of one exam, the second time as the third."""
    exam = {f"f{n}_dcm": make_dicom(VALUES + n, SOPInstanceUID=f"1.2.3.{n}", InstanceNumber=n) for n in range(2)}
    monkeypatch.delenv("TUMORTRACE_KEEP", raising=False)
    brought_in(**exam)
    keep(monkeypatch, "deidentified")
    for _ in range(2):
        assert not any(one.added == (True,) for one in brought_in(**exam))
        assert len(listed()) == len(files_kept()) == 2


@pytest.mark.parametrize("what", ["deidentified", "original"])
def test_masking_deletes_the_copies_and_none_comes_again(store, monkeypatch, what):
    """Row and file go, the audit log says how many, and the same file again brings none back."""
    keep(monkeypatch, what)
    scan = make_dicom(VALUES, Modality="US")
    (one,) = brought_in(a_dcm=scan)
    assert one.held
    assert len(files_kept()) == 1
    mask(one.study_ids[0])
    assert (listed(), files_kept()) == ([], [])
    with engine.read() as session:
        released = audit.list_entries(session).query("action == 'study released'")["details"].iloc[0]
        assert audit.verify(session) is None
    assert json.loads(released)["copies_deleted"] == 1
    (again,) = brought_in(a_dcm=scan)
    assert (again.result, listed(), files_kept()) == ("Already stored", [], [])
    with engine.write() as session:
        holds.hold_again(session, one.study_ids[0], LEAD, "one more name")
        assert not copies.may_have_copies(session, one.study_ids[0])


def test_a_study_masked_while_its_file_is_read_again_keeps_no_copy(store, monkeypatch):
    """The file was put before the transaction; the transaction finds the study masked and takes it back."""
    keep(monkeypatch, "original")
    (one,) = brought_in(a_dcm=make_dicom(VALUES))
    mask(one.study_ids[0])
    late = copies.NewCopy(make_dicom(VALUES), "original", "dcm")
    copies.put_copy(late)
    with engine.write() as session:
        assert copies.add_copies(session, one.study_ids[0], [late]) == 0
    assert files_kept() == []


def test_releasing_without_masking_keeps_the_copies(store, monkeypatch):
    """Nothing to mask: the copy stays, and may leave from now on."""
    keep(monkeypatch, "original")
    (one,) = brought_in(a_dcm=make_dicom(VALUES, Modality="US"))
    assert listed() == []  # held
    with engine.write() as session:
        holds.release(session, one.study_ids[0], LEAD, {})
    with engine.write() as session:
        holds.drop_replaced(session)
    assert len(listed()) == len(files_kept()) == 1


def test_a_copy_that_another_study_has_stays(store, monkeypatch):
    """Two images of one NPZ are two studies of one file: masked in one, the file stays for the other, until that goes too."""
    keep(monkeypatch, "original")
    (one,) = brought_in(a_npz=npz(test_images=np.stack([VALUES, VALUES + 1])))
    mask(one.study_ids[0])
    assert [copy.study_id for copy in listed()] == [one.study_ids[1]]
    assert len(files_kept()) == 1
    mask(one.study_ids[1])
    assert (listed(), files_kept()) == ([], [])


def test_what_a_stopped_program_left_is_deleted_by_the_next_release(store, monkeypatch):
    """The commit of the masking stands, the deletion did not happen."""
    keep(monkeypatch, "original")
    (one,) = brought_in(a_dcm=make_dicom(VALUES))
    with engine.write() as session:
        copies.remove_copies(session, one.study_ids[0])
    assert listed() == []
    assert len(files_kept()) == 1
    with engine.write() as session:
        holds.drop_replaced(session)
    assert files_kept() == []
    draft = settings.home() / "copies" / "ab" / f".{'a' * 64}.0123"
    draft.parent.mkdir(parents=True)
    draft.touch()
    assert pixels.remove_drafts(older_than_seconds=-1) == 1


def test_a_file_without_a_sound_copy_is_stored_and_says_so(store, monkeypatch):
    """The picture can be read; why no copy is kept stands beside it."""
    keep(monkeypatch, "deidentified")
    monkeypatch.setattr("core.reading.intake._COPIES", "core.deidentify.copies:nothing_of_that_name")
    (one,) = brought_in(a_dcm=make_dicom(VALUES))
    assert one.added == (True,)
    assert any(notice.startswith("No de-identified copy is kept: ") for notice in one.notices)
    assert (listed(), files_kept()) == ([], [])


def test_a_misspelt_setting_stops_the_import_in_one_sentence(store, monkeypatch, tmp_path, capsys):
    """Before anything is stored."""
    keep(monkeypatch, "all")
    with pytest.raises(Refused, match="TUMORTRACE_KEEP is 'all'"):
        brought_in(a_dcm=make_dicom(VALUES))
    (tmp_path / "a.dcm").write_bytes(make_dicom(VALUES))
    assert db(["import", str(tmp_path / "a.dcm")]) == 1
    assert "it must be nothing, deidentified or original." in capsys.readouterr().err
    with engine.read() as session:
        assert studies.count_studies(session) == 0


def test_copies_are_exported_but_not_of_held_studies(store, monkeypatch, tmp_path, capsys):
    """One folder for each study; a held one is left out and said; without a folder it is refused."""
    keep(monkeypatch, "original")
    scan = make_dicom(VALUES)
    brought_in(a_dcm=scan, b_dcm=make_dicom(VALUES + 1, Modality="US", StudyInstanceUID="1.2.9"))
    assert db(["export", "copies"]) == 1
    assert "--out" in capsys.readouterr().err
    for _ in range(2):
        assert db(["export", "copies", "--out", str(tmp_path / "out"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"copies": 1, "originals": 1, "held_back": 1}
    assert [path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm")] == [scan]
    with engine.read() as session:
        assert audit.list_entries(session)["action"].iloc[0] == "copies exported"


def test_a_damaged_or_missing_copy_is_said(store, monkeypatch):
    """Never exported as if it were whole."""
    keep(monkeypatch, "original")
    brought_in(a_dcm=make_dicom(VALUES))
    (path,) = files_kept()
    path.write_bytes(b"x")
    with pytest.raises(StoreError, match="damaged"):
        copies.load_copy(path.name)
    path.unlink()
    with pytest.raises(StoreError, match="missing"):
        copies.load_copy(path.name)
