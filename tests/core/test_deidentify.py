"""De-identified copies: nothing that was planted stays, what a picture needs does, and the same stays the same."""

from __future__ import annotations

import io
import json
from datetime import datetime

import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from core.__main__ import main
from core.deidentify import cleaned, deidentify, rules
from core.deidentify.remap import Remap
from core.reading.dicom import read_instance
from core.records import StudyRejected
from tests.core.dicom_factory import encapsulated, make_dataset, make_dicom, to_bytes
from tests.planted import PLANTED_AT_LEAST, plant

SECRET, OTHER = b"s" * 32, b"t" * 32
GREY = np.arange(12, dtype=np.uint16).reshape(3, 4)


def read(data: bytes) -> Dataset:
    """The copy as a data set."""
    return pydicom.dcmread(io.BytesIO(data))


def test_none_of_650_planted_identifiers_is_in_the_copy():
    """Every VR that holds text, dates or UIDs; named by the profile or not; private, nested, preamble, meta, overlays, curves."""
    data, tokens = plant()
    assert len(tokens) >= PLANTED_AT_LEAST
    assert [token for token in tokens if token not in data] == []  # each was really planted
    copy = deidentify(data, SECRET).data
    assert [token for token in tokens if token in copy] == []


def test_the_rules_are_those_of_edition_2026c():
    """The table of the pinned package has 655 rows of that edition; the three actions checked here are in PS3.15 table E.1-1."""
    assert rules.EDITION == "2026c"
    assert rules.edition_2026c.__name__.endswith("dicomfields_2026c")
    assert len(rules.PROFILE) == 655
    assert rules.PROFILE[(0x0008, 0x0018)] == "U"  # SOP Instance UID
    assert rules.PROFILE[(0x0010, 0x0010)] == "Z"  # Patient's Name
    assert rules.PROFILE[(0x0008, 0x0081)] == "X"  # Institution Address


def test_no_element_that_the_profile_names_stays_as_it_is():
    """Whatever its action: the copy has none of those values, except the two characteristics that the store keeps too."""
    data, _ = plant()
    before, after = pydicom.dcmread(io.BytesIO(data)), read(deidentify(data, SECRET).data)
    named = [e for e in after if rules.profile_action(e.tag) and e.value and e.keyword not in rules.CHARACTERISTICS]
    assert named  # UIDs, moved dates and the pseudonym
    for element in named:
        if element.tag in before:
            assert element.value != before[element.tag].value, element.keyword


def test_pixels_and_what_they_need_are_the_same():
    """Window, slope, spacing, side and every pixel of the copy are the file's."""
    data = make_dicom(
        GREY, WindowCenter=5, WindowWidth=10, RescaleSlope="0.25", RescaleIntercept="-3", ImageLaterality="R",
        ViewPosition="MLO", PixelSpacing=["0.1234567890123", "0.2"], ImageType=["ORIGINAL", "PRIMARY"],
    )  # fmt: skip
    before, after = read_instance(data, SECRET), read_instance(deidentify(data, SECRET).data, SECRET)
    one, other = before.images[0], after.images[0]
    assert one.content_hash == other.content_hash
    assert (one.window, one.slope, one.laterality, one.view) == (
        other.window,
        other.slope,
        other.laterality,
        other.view,
    )
    assert one.spacing_mm == pytest.approx(other.spacing_mm, rel=1e-9)


def test_compressed_pixels_come_out_plain():
    """A JPEG stream holds comments: the copy has the pixels only."""
    picture, stream = Pillow.new("L", (16, 16), 128), io.BytesIO()
    picture.save(stream, "JPEG", comment=b"ZQX-IN-STREAM")
    assert b"ZQX-IN-STREAM" in stream.getvalue()
    dataset = make_dataset(np.zeros((16, 16), dtype=np.uint8))
    copy = deidentify(encapsulated(dataset, [stream.getvalue()], uid.JPEGBaseline8Bit), SECRET)
    assert (read(copy.data).pixel_array == 128).all()
    assert b"ZQX" not in copy.data


def test_bits_above_the_pixel_and_bytes_behind_it_are_cleared():
    """12-bit pixels keep 12 bits: an overlay of old times lay in the others; trailing bytes go."""
    values = (GREY + (0x9 << 12)).astype(np.uint16)
    dataset = make_dataset(values, BitsStored=12, HighBit=11)
    dataset.PixelData += b"ZQX-TRAILING"
    copy = read(deidentify(to_bytes(dataset), SECRET).data)
    assert copy.PixelData == GREY.tobytes()


def test_negative_pixels_stay_negative():
    """Signed 12-bit values: the spare bits are the sign."""
    values = np.array([[-5, 7], [-2048, 2047]], dtype=np.int16)
    copy = read(deidentify(make_dicom(values, BitsStored=12, HighBit=11), SECRET).data)
    assert copy.pixel_array.tolist() == values.tolist()


def test_big_endian_pixels_are_turned():
    """The retired big endian syntax: words are swapped for the little endian copy."""
    dataset = make_dataset(GREY)
    dataset.PixelData = GREY.astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    assert read(deidentify(to_bytes(dataset), SECRET).data).pixel_array.tolist() == GREY.tolist()


def test_uids_map_alike_across_files_and_not_across_installations():
    """Same UID, same new UID, also of another patient; well-known UIDs stay; another secret gives others."""
    one = read(deidentify(make_dicom(GREY, SOPInstanceUID="1.2.3.4"), SECRET).data)
    two = read(deidentify(make_dicom(GREY, SOPInstanceUID="1.2.3.5", PatientID="patient-2"), SECRET).data)
    foreign = read(deidentify(make_dicom(GREY, SOPInstanceUID="1.2.3.4"), OTHER).data)
    assert one.StudyInstanceUID == two.StudyInstanceUID != foreign.StudyInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID
    assert one.SOPClassUID == uid.MRImageStorage
    assert all(uid.UID(d.StudyInstanceUID).is_valid and d.StudyInstanceUID.startswith("2.25.") for d in (one, foreign))


def moments(patient: str, *stamps: str) -> list[datetime]:
    """Study dates and times of that patient's copies."""
    found = []
    for stamp in stamps:
        data = make_dicom(GREY, PatientID=patient, StudyDate=stamp[:8], StudyTime=stamp[8:])
        copy = read(deidentify(data, SECRET).data)
        found.append(datetime.strptime(copy.StudyDate + copy.StudyTime, "%Y%m%d%H%M%S.%f"))
    return found


def test_intervals_between_studies_stay_and_dates_do_not():
    """Two days, one hour and five seconds apart before and after; another patient is moved by another time."""
    first, second = moments("a", "20200228235958", "20200302005959")
    assert (second - first).total_seconds() == 2 * 86400 + 3600 + 1
    assert first < datetime(2020, 2, 28)
    assert moments("b", "20200228235958")[0] != first


def test_a_copy_says_what_it_is():
    """Pseudonym for name and id, method with codes, and nothing of the writing program in preamble and meta."""
    copy = deidentify(make_dicom(GREY, PatientName="Doe^Jane", PatientID="4711"), SECRET)
    dataset = read(copy.data)
    assert dataset.PatientName == dataset.PatientID == Remap(SECRET, "4711").pseudonym
    assert dataset.PatientIdentityRemoved == "YES"
    assert "2026c" in dataset.DeidentificationMethod
    assert [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence] == ["113100", "113107", "113108"]
    assert dataset.LongitudinalTemporalInformationModified == "MODIFIED"
    assert copy.data[:132] == b"\0" * 128 + b"DICM"
    assert "SourceApplicationEntityTitle" not in dataset.file_meta


def test_the_same_file_gives_the_same_copy_and_the_copy_of_a_copy_is_read():
    """Copies have stable hashes; a copy is a DICOM file like any other."""
    data = make_dicom(GREY, PatientName="Doe^Jane")
    copy = deidentify(data, SECRET)
    assert copy.digest == deidentify(data, SECRET).digest
    assert deidentify(copy.data, SECRET).data[128:132] == b"DICM"


def test_ages_above_89_are_one_class_and_odd_ones_go():
    """090Y stands for all above; what is no age is removed."""
    ages = {
        a: read(deidentify(make_dicom(GREY, PatientAge=a), SECRET).data).get("PatientAge")
        for a in ("045Y", "093Y", "DOEJ")
    }
    assert ages == {"045Y": "045Y", "093Y": "090Y", "DOEJ": None}


def test_codes_stay_with_the_standards_words():
    """A view code keeps its value, its meaning is the table's; an unknown code goes with its item."""
    known, unknown = Dataset(), Dataset()
    known.CodeValue, known.CodingSchemeDesignator, known.CodeMeaning = "R-10226", "SRT", "MLO of Jane Doe"
    unknown.CodeValue, unknown.CodingSchemeDesignator, unknown.CodeMeaning = "DOE", "99LOCAL", "Jane Doe"
    copy = read(deidentify(make_dicom(GREY, ViewCodeSequence=Sequence([known, unknown])), SECRET).data)
    assert [item.CodeMeaning for item in copy.ViewCodeSequence] == ["medio-lateral oblique"]


def test_cleaned_names_elements_and_never_values():
    """What is said of a file can be printed: keywords and what happened."""
    dataset = make_dataset(GREY, PatientName="Doe^Jane", InstitutionName="St. Elsewhere", StudyDate="20200101")
    dataset.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "Doe")
    said = cleaned(dataset)
    assert {"PatientName: replaced", "InstitutionName: removed", "StudyDate: shifted"} <= set(said)
    assert "private elements: removed (2)" in said
    assert "Doe" not in "".join(said)
    assert dataset.PatientName == "Doe^Jane"


@pytest.mark.parametrize(
    "data", [b"", b"DICM" * 40, b"\0" * 128 + b"DICM" + b"\xff" * 64], ids=["empty", "text", "noise"]
)
def test_what_is_no_picture_is_refused(data):
    """One sentence, no traceback."""
    with pytest.raises(StudyRejected):
        deidentify(data, SECRET)


def test_deep_nesting_is_refused():
    """Items in items beyond 16 end in a sentence."""
    item = Dataset()
    item.InstanceNumber = 1
    for _ in range(20):
        outer = Dataset()
        outer.PixelMeasuresSequence = Sequence([item])
        item = outer
    with pytest.raises(StudyRejected, match="nested"):
        deidentify(make_dicom(GREY, PixelMeasuresSequence=Sequence([item])), SECRET)


def run_command(*arguments: str) -> int:
    """`python -m core deidentify …`."""
    return main(["deidentify", *arguments])


def test_the_command_copies_a_folder_under_names_of_its_own(tmp_path, capsys):
    """Files named after patients: neither the copies' names nor their bytes have the name; repeating it writes nothing."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "Doe_Jane.dcm").write_bytes(make_dicom(GREY, PatientName="Doe^Jane", BurnedInAnnotation="NO"))
    (source / "notes.txt").write_text("Doe, Jane")
    assert run_command(str(source), "--out", str(out), "--json") == 1
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [("refused" in facts, facts.get("written")) for facts in said] == [(False, True), (True, None)]
    copies = [path for path in out.rglob("*") if path.is_file()]
    assert len(copies) == 1
    assert "Doe" not in str(copies[0].relative_to(out))
    assert b"Doe" not in copies[0].read_bytes()
    assert run_command(str(source / "Doe_Jane.dcm"), "--out", str(out)) == 0
    assert "already copied" in capsys.readouterr().out


def test_the_command_overwrites_nothing(tmp_path, capsys):
    """A different file at the copy's place is left alone."""
    source, out = tmp_path / "a.dcm", tmp_path / "out"
    source.write_bytes(make_dicom(GREY))
    assert run_command(str(source), "--out", str(out)) == 0
    assert "look at the pixels" in capsys.readouterr().out
    copy = next(path for path in out.rglob("*.dcm"))
    copy.write_bytes(b"mine")
    assert run_command(str(source), "--out", str(out)) == 1
    assert copy.read_bytes() == b"mine"
    assert run_command(str(tmp_path / "absent"), "--out", str(out)) == 1
