"""No name anywhere: planted in every place a file can have, searched in everything that the program writes."""

from __future__ import annotations

import gzip
import io
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from core import settings
from db import engine
from db.__main__ import main
from tests import planted
from tests.core.dicom_factory import make_dicom

NAME = "Zebraquilla"


def picture(number: int) -> Pillow.Image:
    """An 8 × 8 picture, each number another."""
    return Pillow.fromarray(np.full((8, 8), number, dtype=np.uint8))


def files_with_a_name() -> dict[str, bytes]:
    """File name -> bytes; the name stands in both."""
    png, jpeg, tiff, bundle, npz = (io.BytesIO() for _ in range(5))
    text = PngInfo()
    text.add_text("Patient", NAME)
    text.add_itxt("Comment", NAME, zip=True)
    picture(1).save(png, "PNG", pnginfo=text)
    exif = Pillow.Exif()
    exif[0x010E] = exif[0x013B] = NAME  # description, artist
    picture(2).save(jpeg, "JPEG", exif=exif, comment=NAME.encode())
    tags = ImageFileDirectory_v2()
    tags[270] = tags[305] = tags[316] = NAME  # description, software, host
    picture(3).save(tiff, "TIFF", tiffinfo=tags)
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr(f"{NAME}/{NAME}.png", _png(4))
        archive.comment = NAME.encode()
    np.savez(npz, test_images=np.full((1, 8, 8), 5, dtype=np.uint8))
    return {
        f"{NAME}.png": png.getvalue(),
        f"{NAME}.jpg": jpeg.getvalue(),
        f"{NAME}.tif": tiff.getvalue(),
        f"{NAME}.zip": bundle.getvalue(),
        f"{NAME}.npz": npz.getvalue(),
        f"{NAME}.dcm": make_dicom(np.full((8, 8), 6, np.uint8), PatientName=NAME, PatientID=NAME, Manufacturer=NAME),
        f"{NAME}_broken.dcm": make_dicom(np.full((8, 8), 7, np.uint8), PatientName=NAME)[:-40],
        f"{NAME}_words.dcm": make_dicom(
            np.full((8, 8), 8, np.uint8), BodyPartExamined=NAME.upper(), ViewPosition=NAME.upper()
        ),
        f"{NAME}.csv": f"patient,image\n{NAME},a.png\n".encode(),
        f"{NAME}_noise.png": b"\x89PNG\r\n\x1a\n" + NAME.encode() * 9,
    }


def _png(number: int) -> bytes:
    stream = io.BytesIO()
    picture(number).save(stream, "PNG")
    return stream.getvalue()


def written(home: Path) -> bytes:
    """Everything below a folder, file names and unpacked pixels too."""
    parts = []
    for path in home.rglob("*"):
        parts.append(str(path.relative_to(home)).encode())
        if path.is_file():
            data = path.read_bytes()
            parts.append(gzip.decompress(data) if path.suffix == ".gz" else data)
    return b"\n".join(parts)


@pytest.fixture
def whole_store(store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose database lies in its home as well, so that one search finds everything."""
    monkeypatch.setenv("DATABASE_URL", "")
    engine.init()
    return settings.home()


def import_and_export(folder: Path, home: Path, capsys: pytest.CaptureFixture) -> bytes:
    """Import a folder and export what can be; all that was written, bar what the terminal says of the user's own files."""
    main(["import", str(folder), "--task", "breast-ultrasound"])
    capsys.readouterr()
    for form in ("csv", "json"):
        assert main(["export", "reviews", "--format", form, "--out", str(home / f"reviews.{form}")]) == 0
    assert main(["backup", str(home / "backup.db")]) == 0
    engine.dispose()
    return written(home)


def test_a_name_in_files_of_every_kind_is_nowhere(whole_store, tmp_path, capsys, caplog):
    """File names, PNG text, EXIF, JPEG comments, TIFF tags, ZIP comments and members, DICOM elements, folders, tables."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in files_with_a_name().items():
        (folder / name).write_bytes(data)
    tree, table = folder / "train" / "malignant" / NAME, folder / "table"
    tree.mkdir(parents=True)
    table.mkdir()
    (tree / f"{NAME}_1.png").write_bytes(_png(11))
    (table / f"{NAME}_77.png").write_bytes(_png(12))
    row = {key: NAME for key in ("patient_id", "laterality", "view", "age", "density", "implant", "birads", "site_id")}
    row |= {"image_id": "77", "cancer": "0"}
    (table / "train.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    with caplog.at_level(logging.DEBUG):
        found = import_and_export(folder, whole_store, capsys)
    assert found.count(b"breast-ultrasound") >= 5  # the studies are there
    assert NAME.lower().encode() not in found.lower()
    assert NAME.lower() not in caplog.text.lower()


@pytest.mark.parametrize("kept", ["nothing", "deidentified"])
def test_none_of_650_planted_identifiers_is_in_the_store(whole_store, tmp_path, capsys, caplog, monkeypatch, kept):
    """The planted DICOM file, imported: rows, pixels, kept copies, exports, backup and logs have none of its tokens."""
    monkeypatch.setenv("TUMORTRACE_KEEP", kept)
    # By lot a date may be moved onto another planted one.
    monkeypatch.setattr(settings, "installation_secret", lambda: bytes(32))
    data, tokens = planted.plant()
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(data)
    with caplog.at_level(logging.DEBUG):
        found = import_and_export(folder, whole_store, capsys) + caplog.text.encode()
    assert b"P-" in found  # the pseudonym
    assert len(tokens) >= planted.PLANTED_AT_LEAST
    assert [token for token in tokens if token in found] == []


def test_file_names_are_stored_where_the_installation_says_so(whole_store, tmp_path, capsys, monkeypatch):
    """`files`: for material that is pseudonymised by its file names already."""
    monkeypatch.setenv("TUMORTRACE_STUDY_NAMES", "files")
    (tmp_path / "case 12.png").write_bytes(_png(9))
    assert main(["import", str(tmp_path / "case 12.png"), "--task", "breast-mri"]) == 0
    engine.dispose()
    assert b"case 12" in written(whole_store)


def test_imported_ultrasound_is_held(whole_store, tmp_path, capsys):
    """The terminal's door has the same hold as the page's."""
    (tmp_path / "a.dcm").write_bytes(make_dicom(np.full((8, 8), 6, np.uint8), Modality="US"))
    assert main(["import", str(tmp_path / "a.dcm"), "--json"]) == 0
    assert '"held": 1' in capsys.readouterr().out
