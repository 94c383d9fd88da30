"""Files made to do harm are refused for what they are, in time, and without a byte more than the limits allow."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import uid

from core.reading import Source, limits, read_exams, read_paths, read_upload, read_uploads
from core.records import StudyRejected
from tests.core.dicom_factory import encapsulated, make_dataset, make_dicom, to_bytes
from tests.core.reading import samples
from tests.core.reading.samples import MIB, NARROW, WIDE, packed, picture, zipped
from tests.core.reading.test_fuzz import state


def rle_header(rows: int, columns: int, frames: int) -> bytes:
    """4.5 KB of run lengths under a header of any size."""
    dataset = make_dataset(WIDE, Rows=rows, Columns=columns)
    dataset.NumberOfFrames = frames
    return encapsulated(dataset, [samples.run_lengths(WIDE) + b"\0" * 3000], uid.RLELossless)


def excess() -> bytes:
    """500 times the pixels that a header of 2 × 2 announces."""
    dataset = make_dataset(np.zeros((2, 2), np.uint8))
    dataset.PixelData = bytes(2000)
    return to_bytes(dataset)


def bitmap(side: int) -> bytes:
    """A black square PNG in few bytes."""
    stream = io.BytesIO()
    Pillow.new("1", (side, side)).save(stream, "PNG")
    return stream.getvalue()


def many_elements(count: int) -> bytes:
    """A DICOM file with private elements without number."""
    element = b"\x09\0\x10\x10UL\x04\0\0\0\0\0"
    return make_dicom(WIDE, PixelData=None) + element * count


def deep(levels: int) -> bytes:
    """A DICOM file with sequences inside sequences."""
    level = b"\x09\0\x01\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    return make_dicom(WIDE, PixelData=None) + level * levels


JPEG = uid.JPEGBaseline8Bit
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "deflated, 2 GB from 2 MB": (lambda: samples.deflated_bomb(2048 * MIB), "more than 100 times their size"),
    "JPEG of 2 GB inside DICOM": (
        lambda: packed(samples.lying_jpeg(40_000, 50_000, 4_600_000), NARROW, JPEG), "contradicts the DICOM header"
    ),
    "JPEG and header agree on 8,192 × 8,192": (
        lambda: packed(samples.lying_jpeg(8192, 8192), NARROW, JPEG, Rows=8192, Columns=8192), ""
    ),
    "JPEG of 2 gigapixels": (lambda: samples.lying_jpeg(40_000, 50_000, 4_600_000), "more than 50 million pixels"),
    "RLE of 215 TiB": (lambda: rle_header(65_535, 65_535, 27_500), "at most 8,192"),
    "RLE of one GiB": (lambda: rle_header(8192, 8192, 4), "announces 4 frames"),
    "RLE of one frame of 128 MiB": (lambda: rle_header(8192, 8192, 1), "could not be decoded"),
    "pixels beyond a header of 2 × 2": (excess, "holds 2,000 bytes of pixels where its header announces 4"),
    "PNG of 169 megapixels": (lambda: bitmap(13_000), "more than 50 million pixels"),
    "NPZ of 2 GB": (lambda: samples.npz_bomb((2000, 1024, 1024)), "2,000 MB large; at most 200 MB"),
    "NPZ that says less than it holds": (lambda: samples.npz_bomb((2, 1024, 1024)), "more than 100 times their size"),
    "ZIP whose entries overlap": (
        lambda: samples.zip_of_one_stream("a.png", samples.zeros_deflated(16 * MIB), 16 * MIB, 1280), "files overlap"
    ),
    "ZIP in a ZIP in a ZIP": (lambda: zipped({"a.zip": zipped({"b.zip": zipped({"c": b"x"})})}), "a ZIP inside a ZIP"),
    "10,000 sequences deep": (lambda: deep(10_000), "nested too deeply"),
    "110,000 elements": (lambda: many_elements(110_000), "too many elements"),
    "a terabyte in one element": (
        lambda: make_dicom(WIDE, PixelData=None) + struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 0xFFFFFFFE), ""
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BOMBS))
def test_bombs_are_refused(name: str) -> None:
    """In seconds, for the right reason, and with the program as it was."""
    make, expected = BOMBS[name]
    data = make()
    read_upload("good.png", picture(NARROW, "PNG"))
    before, start = state(), time.monotonic()
    outcomes = read_uploads([("bomb", data)])
    assert time.monotonic() - start < 20
    reasons = {outcome.rejected.reason for outcome in outcomes if outcome.rejected}
    assert len(reasons) >= 1, outcomes
    assert all(outcome.rejected for outcome in outcomes)
    assert any(expected in reason for reason in reasons), reasons
    assert not any("crash" in reason for reason in reasons), reasons
    assert state()["memory"] - before["memory"] < 300 * MIB
    assert read_upload("good.png", picture(NARROW, "PNG"))


PREAMBLES = {
    "a Windows program": b"MZ\x90\0" + b"\x4c" * 124,
    "a Linux program": b"\x7fELF\x02\x01\x01" + b"\x4c" * 121,
    "a ZIP": b"PK\x03\x04" + b"\x4c" * 124,
    "a PDF": b"%PDF-1.7\n" + b"\x4c" * 119,
    "a script": b"#!/bin/sh\nrm -rf x\n" + b"\x4c" * 109,
    "a TIFF": b"II*\0" + b"\x4c" * 124,
}


@pytest.mark.parametrize("what", list(PREAMBLES))
def test_a_preamble_is_dropped_whatever_it_is(what: str) -> None:
    """The 128 bytes before a DICOM file may be a program or an archive as well: pixels are read, the rest goes nowhere.

    Refusing it would keep a patient's pictures from a reader; nothing of the preamble reaches the store.
    """
    plain = make_dicom(WIDE)
    (clean,), (study,) = read_upload("a.dcm", plain), read_upload("a.dcm", PREAMBLES[what] + plain[128:])
    assert study.id == clean.id
    assert (study.metadata, study.name) == (clean.metadata, clean.name)
    assert "LLLL" not in repr(study)


def test_an_archive_behind_a_picture_is_not_opened() -> None:
    """A PNG with a ZIP at its end is a PNG: one study, and nothing of the archive."""
    (study,) = read_upload("a.png", picture(NARROW, "PNG") + zipped({"x.png": picture(WIDE, "PNG")}))
    assert study.images[0].pixels.tolist() == NARROW.tolist()


def test_odd_files_of_a_folder_are_refused_not_waited_for(tmp_path: Path) -> None:
    """Pipes, devices, loops and broken links: each its sentence; linked folders are passed over."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    (tmp_path / "good.png").write_bytes(picture(NARROW, "PNG"))
    reasons = {o.name: o.rejected.reason if o.rejected else "" for o in read_paths([tmp_path], task="breast-mri")}
    assert reasons == {
        "broken.png": "The file cannot be opened (No such file or directory).",
        "device.png": "This is no regular file.",
        "good.png": "",
        "pipe.png": "This is no regular file.",
        "round.png": "The file cannot be opened (Too many levels of symbolic links).",
    }


def test_damaged_members_of_an_archive_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a member with a wrong checksum unpacks to is taken from the archive's allowance all the same."""
    monkeypatch.setattr("core.reading.limits.ZIP_BYTES", 2 * MIB)
    data = zipped({f"{n}.png": np.random.default_rng(n).bytes(MIB) for n in range(4)})
    checksum = zlib.crc32(np.random.default_rng(0).bytes(MIB)).to_bytes(4, "little")
    outcomes = read_uploads([("a.zip", data.replace(checksum, b"\0\0\0\0"))])
    reasons = [outcome.rejected.reason for outcome in outcomes]
    assert reasons[0] == "The file is damaged inside its ZIP archive (BadZipFile)."
    assert [reason.startswith("Compressed contents unpack to more than") for reason in reasons] == [
        False,
        False,
        True,
        True,
    ]


def test_members_of_an_archive_come_exam_by_exam() -> None:
    """Each batch is one exam, whatever the order in the archive; all together they stand in the archive's order."""
    members = {}
    for number in range(2):
        for exam in (1, 2):
            members[f"{exam}-{number}"] = make_dicom(WIDE + 10 * exam + number, StudyInstanceUID=f"1.2.{exam}")
        members[f"p{number}.png"] = picture(NARROW + number, "PNG")
    data = zipped(members)
    batches = [
        [outcome.name.removeprefix("a.zip › ") for outcome in batch]
        for batch in read_exams([Source.of_bytes("a.zip", data)])
    ]
    assert batches == [["1-0", "1-1"], ["2-0", "2-1"], ["p0.png"], ["p1.png"]]
    assert [outcome.name.removeprefix("a.zip › ") for outcome in read_uploads([("a.zip", data)])] == list(members)


def test_a_slow_archive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence for the archive as a whole."""
    monkeypatch.setattr("core.reading.limits.DECODING", replace(limits.DECODING, wall_seconds=0.0))
    data = zipped({f"{n}.png": picture(NARROW + n, "PNG") for n in range(3)})
    (outcome,) = read_uploads([("a.zip", data)], trusted=True)
    assert outcome.rejected.reason == "Unpacking the archive takes longer than 0 seconds."


def test_names_from_outside_go_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with folders inside an archive are shown without them, and nothing is written under them."""
    monkeypatch.chdir(tmp_path)
    names = ["../../x.png", "/etc/y.png", "C:\\z.png", "<img onerror=a>.png", "a/\u202egnp.exe"]
    outcomes = read_uploads([("../../case.zip", zipped({name: picture(NARROW, "PNG") for name in names}))])
    shown = [outcome.name for outcome in outcomes]
    assert shown[:3] == ["case.zip › x.png", "case.zip › y.png", "case.zip › z.png"]
    assert not any(set("/\\<>\u202e") & set(name) for name in shown)
    assert list(tmp_path.iterdir()) == []


def test_files_of_one_exam_share_an_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exam that would not fit into memory is cut where it exceeds, and says so."""
    monkeypatch.setattr("core.reading.limits.EXAM_BYTES", 3 * WIDE.nbytes)
    outcomes = read_uploads([(f"{n}.dcm", make_dicom(WIDE + n, InstanceNumber=n)) for n in range(4)])
    assert [bool(outcome.rejected) for outcome in outcomes] == [False, False, False, True]
    assert outcomes[3].rejected.reason.startswith("The exam's pictures take more than")


def test_exams_are_told_apart_before_they_are_decoded() -> None:
    """Files of two exams, mixed and among pictures, plain and deflated, become two whole studies."""
    files = []
    for number in range(3):
        for exam in (1, 2):
            dataset = make_dataset(WIDE + 10 * exam + number, StudyInstanceUID=f"1.2.{exam}", InstanceNumber=number)
            if number == 2:
                dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
            files.append((f"{exam}-{number}", to_bytes(dataset)))
        files.append((f"p{number}", picture(NARROW, "PNG")))
    outcomes = read_uploads(files)
    assert [outcome.name for outcome in outcomes] == [name for name, _ in files]
    found = {o.name: [len(s.images) for s in o.studies] for o in outcomes if o.studies}
    assert found == {"1-0": [3], "2-0": [3], "p0": [1], "p1": [1], "p2": [1]}


def test_refusals_can_be_raised() -> None:
    """`read_upload` raises what `read_uploads` reports."""
    with pytest.raises(StudyRejected, match="The file is empty"):
        read_upload("a", b"")
