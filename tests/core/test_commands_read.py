"""`python -m core read`: one line per file, what it would become or why not, and the picture as displayed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from core.__main__ import main
from tests.core.dicom_factory import make_dicom
from tests.core.test_reading_real_data import DATA, manifest

VALUES = np.array([[0, 100], [200, 300]], dtype=np.uint16)


def lines(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict]]:
    """Exit code and JSON objects of one run."""
    code = main(["read", *map(str, arguments), "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def mammogram(tmp_path: Path) -> Path:
    """A 2 × 2 mammogram with two windows in modality units: value = 2 * pixel - 10."""
    path = tmp_path / "mammogram.dcm"
    facts = {"Modality": "MG", "ImageLaterality": "R", "ViewPosition": "CC", "PatientName": "Doe^Jane"}
    window = {"WindowCenter": [290, 100], "WindowWidth": [400, 50], "WindowCenterWidthExplanation": ["NORMAL", "BONE"]}
    path.write_bytes(
        make_dicom(VALUES, RescaleSlope=2, RescaleIntercept=-10, PixelSpacing=[0.1, 0.2], **facts, **window)
    )
    return path


def test_a_mammogram_is_described(mammogram: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kind, size, windows in the file's own unit, side, view, spacing, and what was cleaned; no name."""
    code, (facts,) = lines(capsys, mammogram)
    assert code == 0
    expected = {
        "file": str(mammogram), "kind": "DICOM", "modality": "MG", "shape": [2, 2], "frames": 1, "bits": 16,
        "laterality": "R", "view": "CC", "spacing_mm": [0.1, 0.2], "window_stated": True, "notices": [], "studies": 1,
    }  # fmt: skip
    assert {key: facts[key] for key in expected} == expected
    assert facts["windows"] == [
        {"center": 290, "width": 400, "function": "LINEAR", "name": "NORMAL"},
        {"center": 100, "width": 50, "function": "LINEAR", "name": "BONE"},
    ]
    assert "PatientName" in facts["cleaned"]["identifiers"]
    assert "Doe" not in json.dumps(facts)


def test_pictures_are_written_as_displayed(mammogram: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-10, 190, 390 and 590 through LINEAR 290/400: 0, (190 - 289.5) / 399 + 0.5, …"""
    code, (facts,) = lines(capsys, mammogram, "--png", tmp_path / "out")
    (written,) = facts["png"]
    shown = np.array(Pillow.open(written))
    expected = [[0, round(255 * ((190 - 289.5) / 399 + 0.5))], [round(255 * ((390 - 289.5) / 399 + 0.5)), 255]]
    assert (code, shown.tolist()) == (0, expected)


def test_frames_and_colours_are_written_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A film of three colour frames becomes three PNGs, in order; files in a ZIP are named after both."""
    frames = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 2, 2, 3)
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.writestr("a/film.dcm", make_dicom(frames, NumberOfFrames=3, FrameTime=40))
    _, (facts,) = lines(capsys, tmp_path / "films.zip", "--png", tmp_path / "out")
    assert (facts["frames"], facts["frame_time_ms"], facts["windows"]) == (3, 40, [])
    assert len(facts["png"]) == 3
    for path, frame in zip(facts["png"], frames, strict=True):
        assert np.array(Pillow.open(path)).tolist() == frame.tolist()


def test_refusals_are_said_with_a_hint(tmp_path: Path, mammogram: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One refusal makes the exit code 1; the other files are described all the same, a missing file is refused too."""
    (tmp_path / "note.txt").write_text("hello")
    code, found = lines(capsys, mammogram, tmp_path / "note.txt", tmp_path / "absent.dcm")
    assert code == 1
    assert [sorted(facts) == ["file", "hint", "refused"] for facts in found] == [False, True, True]
    assert found[1]["refused"] == "The file is text, not a picture."


def test_files_of_one_exam_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files of one folder and exam carry the same study id, each with its own facts."""
    for number, side in enumerate("LR"):
        (tmp_path / f"{number}.dcm").write_bytes(make_dicom(VALUES + number, ImageLaterality=side))
    _, (first, second) = lines(capsys, tmp_path)
    assert first["study"] == second["study"]
    assert (first["laterality"], second["laterality"]) == ("L", "R")
    assert second["note"].startswith("part of study")


def test_people_read_one_line(mammogram: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json a line says the essentials."""
    main(["read", str(mammogram)])
    assert capsys.readouterr().out == (f"{mammogram}: DICOM MG · 2 × 2 · R CC · window LINEAR 290/400, LINEAR 100/50\n")


# What the files without a picture are, and why they are refused; every other one of the 65 is read.
REFUSED = {
    "breast_other/MR_UnspecifiedLength.dcm": "segmentation mask",
    "wsi_seg_sr/seg_image_ct_binary.dcm": "segmentation mask",
    "wsi_seg_sr/rtdose.dcm": "radiotherapy dose grid",
    "wsi_seg_sr/sr_document.dcm": "structured report",
    "malformed/badVR.dcm": "radiotherapy dose grid",
    "malformed/DICOMDIR": "DICOMDIR",
    "malformed/MR_truncated.dcm": "cut off",
    "malformed/GH133_first_1000000_bytes.dcm": "cut off",
    "malformed/GH1146.dcm": "pixels are empty",
    "malformed/GH178.dcm": "holds no pixels",
    "charset/chrKoreanMulti.dcm": "holds no pixels",
    "malformed/GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm": "lengths that it states do not fit",
    "malformed/JPEG2000-embedded-sequence-delimiter.dcm": "no readable header",
    "malformed/meta_missing_tsyntax.dcm": "Rows is missing",
    "malformed/no_meta.dcm": "does not stand at its beginning",
}


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the public data are not beside the checkout (../shared/data)")
def test_all_public_files_end_as_said_above(capsys: pytest.CaptureFixture[str]) -> None:
    """Of 65 files 50 are pictures; each of the other 15 is refused for what it is or lacks."""
    names = [row["file"].removeprefix("dicom/") for row in manifest()]
    code, found = lines(capsys, *(DATA / "dicom" / name for name in names))
    reasons = {str(Path(facts["file"]).relative_to(DATA / "dicom")): facts.get("refused", "") for facts in found}
    assert sorted(reasons) == sorted(names)
    assert code == 1
    assert {name for name, reason in reasons.items() if reason} == set(REFUSED)
    assert [name for name, words in REFUSED.items() if words not in reasons[name]] == []
