"""DICOM files become studies whose every pixel, window and fact can be checked on paper."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable

import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_voi_lut
from pydicom.sequence import Sequence

from core.deidentify import deidentify, left_behind
from core.preprocess import display_values
from core.reading import read_upload, read_uploads
from core.records import Image, Study, StudyRejected, Window
from tests.core.dicom_factory import STUDY, encapsulated, make_dataset, make_dicom, rle_frame, to_bytes

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4)


def study_of(data: bytes, **options: object) -> Study:
    """The one study of a file."""
    (study,) = read_upload("file.dcm", data, **options)
    return study


def image_of(data: bytes) -> Image:
    """The one image of a file."""
    (image,) = study_of(data).images
    return image


def reason(data: bytes) -> str:
    """Why a file is refused."""
    with pytest.raises(StudyRejected) as refusal:
        read_upload("file.dcm", data)
    assert refusal.value.hint
    return refusal.value.reason


def item(**elements: object) -> Dataset:
    """A sequence item."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def modality_values(image: Image) -> np.ndarray:
    """What the record promises: value = pixel * slope + intercept."""
    return image.pixels * image.slope + image.intercept


def test_unsigned_pixels_stay_as_stored() -> None:
    """Unsigned MONOCHROME2 values are the pixels, and without a window the smallest is black and the largest white."""
    image = image_of(make_dicom(RAMP))
    assert image.pixels.dtype == np.uint16
    assert image.pixels.tolist() == RAMP.tolist()
    assert image.window == Window(5.5, 11.0, "LINEAR_EXACT")
    assert display_values(image)[[0, -1], [0, -1]].tolist() == [0.0, 1.0]


def test_signed_pixels_are_shifted() -> None:
    """Signed 12-bit values are shifted by 2048, and the intercept takes it back."""
    values = np.array([[-2048, -1], [0, 2047]], dtype=np.int16)
    image = image_of(make_dicom(values, BitsStored=12))
    assert image.pixels.tolist() == [[0, 2047], [2048, 4095]]
    assert modality_values(image).tolist() == values.tolist()


def test_signed_bytes_stay_bytes() -> None:
    """Signed 8-bit values become uint8."""
    image = image_of(make_dicom(np.array([[-128, 127]], dtype=np.int8)))
    assert image.pixels.dtype == np.uint8
    assert image.pixels.tolist() == [[0, 255]]


def test_rescale_moves_the_window_into_pixel_units() -> None:
    """A CT-like window of -100..100 on slope 2, intercept -1000 is centred where the pixel's value is its centre."""
    values = np.array([[450, 500, 550]], dtype=np.uint16)
    image = image_of(
        make_dicom(
            values,
            RescaleSlope=2,
            RescaleIntercept=-1000,
            WindowCenter=0,
            WindowWidth=200,
            VOILUTFunction="LINEAR_EXACT",
        )
    )
    assert modality_values(image).tolist() == [[-100, 0, 100]]
    assert image.window == Window(500.0, 100.0, "LINEAR_EXACT")
    assert display_values(image).tolist() == [[0.0, 0.5, 1.0]]


def test_monochrome1_is_inverted_with_its_window() -> None:
    """In MONOCHROME1 value 0 becomes the brightest pixel; window and slope are mirrored with it."""
    values = np.array([[0, 100, 300, 1023]], dtype=np.uint16)
    image = image_of(
        make_dicom(
            values,
            BitsStored=10,
            PhotometricInterpretation="MONOCHROME1",
            WindowCenter=200,
            WindowWidth=200,
            VOILUTFunction="LINEAR_EXACT",
        )
    )
    assert image.pixels.tolist() == [[1023, 923, 723, 0]]
    assert modality_values(image).tolist() == values.tolist()
    assert image.window == Window(823.0, 200.0, "LINEAR_EXACT")
    assert display_values(image).tolist() == [[1.0, 1.0, 0.0, 0.0]]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("slope", [0.5, 3.0, -2.0])
def test_display_equals_pydicom(function: str, photometric: str, slope: float) -> None:
    """Signed, rescaled, windowed values are shown as pydicom's own rescale and VOI functions show them."""
    values = np.arange(-512, 512, dtype=np.int16).reshape(32, 32)
    elements = {"RescaleSlope": slope, "RescaleIntercept": 7, "VOILUTFunction": function, "BitsStored": 12}
    elements |= {"WindowCenter": [40, 1], "WindowWidth": [350, 2], "PhotometricInterpretation": photometric}
    dataset = make_dataset(values, **elements)
    shown = apply_voi_lut(values * slope + 7, dataset)
    first, last = -2048 * slope + 7, 2047 * slope + 7  # pydicom spreads 0..1 over the rescaled 12-bit range
    expected = (shown - first) / (last - first)
    expected = 1 - expected if photometric == "MONOCHROME1" else expected
    assert display_values(image_of(to_bytes(dataset))) == pytest.approx(expected, abs=2e-6)


def test_padding_is_left_out_of_the_window() -> None:
    """Without a stated window, padding values do not stretch the grey scale."""
    values = np.array([[-2000, 10], [20, 30]], dtype=np.int16)
    image = image_of(make_dicom(values, PixelPaddingValue=-2000))
    low, high = (image.window.center + sign * image.window.width / 2 for sign in (-1, 1))
    assert (low + image.intercept, high + image.intercept) == (10, 30)


def lookup(lowest: int, bits: int, entries: Iterable[int]) -> Dataset:
    """One look-up table."""
    data = np.array([*entries], dtype="<u2")
    return item(LUTDescriptor=[len(data), lowest, bits], LUTData=data.tobytes())


def test_padding_range_is_left_out_of_the_window() -> None:
    """All values from the padding value to its limit are left out, in either order, also under a modality table."""
    values = np.array([[0, 1, 2], [10, 20, 30]], dtype=np.uint16)
    image = image_of(make_dicom(values, PixelPaddingValue=2, PixelPaddingRangeLimit=0))
    assert image.window == Window(20.0, 20.0, "LINEAR_EXACT")
    table = lookup(0, 16, range(100, 131))
    image = image_of(
        make_dicom(values, PixelPaddingValue=0, PixelPaddingRangeLimit=2, ModalityLUTSequence=Sequence([table]))
    )
    assert image.window == Window(120.0, 20.0, "LINEAR_EXACT")


def test_all_windows_and_tables_can_be_chosen() -> None:
    """Tables come first, then windows, each with its name where that consists of known words; unusable ones are left out."""
    table = lookup(2, 8, [0, 51, 102, 255])
    table.LUTExplanation = "Harder"
    broken = lookup(0, 8, [1, 2])
    broken.LUTDescriptor = [400, 0, 8]
    image = image_of(
        make_dicom(
            RAMP,
            VOILUTSequence=Sequence([table, broken]),
            WindowCenter=[5, 6, 7],
            WindowWidth=[10, 0, 4],
            WindowCenterWidthExplanation=["NORMAL", "x", "Smith John"],
        )
    )
    levels = np.array([0, 51 * 257, 102 * 257, 65535], "<u2").tobytes()
    lut = Window(3.5, 4.0, "TABLE", "HARDER", levels)
    assert image.windows == (lut, Window(5.0, 10.0, "LINEAR", "NORMAL"), Window(7.0, 4.0, "LINEAR"))
    assert image.window == lut
    shown = display_values(image).reshape(-1)[:7]
    assert shown == pytest.approx([0, 0, 0, 0.2, 0.4, 1, 1], abs=1e-6)


def test_table_is_mirrored_with_inverted_pixels() -> None:
    """MONOCHROME1 inverts after the table: what it makes white is shown black."""
    table = lookup(0, 8, [0, 51, 102, 255])
    image = image_of(
        make_dicom(RAMP, PhotometricInterpretation="MONOCHROME1", BitsStored=4, VOILUTSequence=Sequence([table]))
    )
    assert display_values(image).reshape(-1)[:5] == pytest.approx([1, 0.8, 0.6, 0, 0], abs=1e-6)


def test_table_below_zero_is_found_under_an_unsigned_type() -> None:
    """A first value of 64512 means -1024 where rescaled values can be negative."""
    table = lookup(64512, 8, [0, 255])
    image = image_of(make_dicom(RAMP, RescaleSlope=1, RescaleIntercept=-1024, VOILUTSequence=Sequence([table])))
    assert display_values(image).reshape(-1)[:3].tolist() == [0, 1, 1]


def test_step_window_keeps_its_edge_when_inverted() -> None:
    """Width 1: the level at centre - 0.5 is below the step, so black in MONOCHROME2 and white in MONOCHROME1."""
    for photometric, expected in (("MONOCHROME2", [0, 0, 1]), ("MONOCHROME1", [1, 1, 0])):
        image = image_of(
            make_dicom(RAMP, WindowCenter=1.5, WindowWidth=1, BitsStored=8, PhotometricInterpretation=photometric)
        )
        assert display_values(image)[0, :3].tolist() == expected


def test_values_above_the_lowest_bit_are_shifted_down() -> None:
    """High bit 15 with 12 bits stored: the lowest four bits are no part of the value."""
    image = image_of(make_dicom((RAMP << 4) + 7, BitsStored=12, HighBit=15))
    assert image.pixels.tolist() == RAMP.tolist()
    signed = (RAMP.astype(np.int16) - 6) << 4
    image = image_of(make_dicom(signed, BitsStored=12, HighBit=15, PhotometricInterpretation="MONOCHROME1"))
    assert modality_values(image).tolist() == (RAMP.astype(int) - 6).tolist()
    assert image.slope == -1


def test_bits_beyond_the_value_are_no_part_of_it() -> None:
    """Old files keep overlays in the unused high bits."""
    assert image_of(make_dicom(RAMP | 0x8000, BitsStored=12)).pixels.tolist() == RAMP.tolist()


def test_frames_of_a_film_share_their_range() -> None:
    """Without a stated window all frames are shown on one scale; floats also share their steps."""
    frames = np.stack([RAMP, RAMP + 100])
    images = study_of(make_dicom(frames, NumberOfFrames=2)).images
    assert {image.window for image in images} == {Window(55.5, 111.0, "LINEAR_EXACT")}
    floats = (frames / 4).astype(np.float32)
    images = study_of(make_dicom(frames, NumberOfFrames=2, **float_elements(floats))).images
    assert len({(image.slope, image.intercept, image.window) for image in images}) == 1
    assert modality_values(images[1]) == pytest.approx(floats[1], abs=1e-3)


def float_elements(values: np.ndarray) -> dict[str, object]:
    """What turns an integer file into one of float pixels."""
    wide = values.dtype.itemsize == 8
    return {
        "PixelData": None,
        "DoubleFloatPixelData" if wide else "FloatPixelData": values.tobytes(),
        "BitsAllocated": 8 * values.dtype.itemsize,
    }


def test_double_float_pixels_are_read() -> None:
    """64-bit floats keep their unit."""
    values = np.array([[-1.5, 0.0], [0.25, 2.5]])
    assert modality_values(image_of(make_dicom(values, **float_elements(values)))) == pytest.approx(values, abs=1e-4)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"FrameTime": 40}, [40, 40]),
        ({"FrameTimeVector": [0, 25], "FrameTime": 40}, [25, 40]),
        ({"CineRate": 20}, [50, 50]),
        ({"RecommendedDisplayFrameRate": 10}, [100, 100]),
        ({"FrameTime": 0}, [None, None]),
        ({}, [None, None]),
    ],
)
def test_films_know_how_long_a_frame_is_shown(elements: dict[str, object], expected: list[float | None]) -> None:
    """From the time vector, the frame time, or a rate; a still picture has none."""
    images = study_of(make_dicom(np.stack([RAMP, RAMP]), NumberOfFrames=2, **elements)).images
    assert [image.frame_time_ms for image in images] == expected
    assert image_of(make_dicom(RAMP, FrameTime=40)).frame_time_ms is None


def test_constant_picture_has_a_window() -> None:
    """A slice without any contrast is read, and shown black."""
    image = image_of(make_dicom(np.full((2, 2), 7, dtype=np.uint16)))
    assert display_values(image).tolist() == [[0, 0], [0, 0]]


def test_float_pixels_are_scaled_with_their_unit() -> None:
    """Float pixels fill 0..65535, and slope and intercept give them back to half a step."""
    values = np.array([[-1.0, 0.0], [0.25, 3.0]], dtype=np.float32)
    dataset = make_dataset(np.zeros((2, 2), dtype=np.uint32), PixelData=None, PixelRepresentation=None)
    dataset.FloatPixelData = values.tobytes()
    image = image_of(to_bytes(dataset))
    assert (image.pixels.min(), image.pixels.max()) == (0, 65535)
    assert modality_values(image) == pytest.approx(values, abs=4 / 65535 / 2 + 1e-9)


def test_modality_table_is_applied() -> None:
    """Stored values go through a modality look-up table before anything else."""
    table = item(LUTDescriptor=[3, 1, 16], ModalityLUTType="US", LUTData=[100, 300, 900])
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    image = image_of(make_dicom(np.array([[0, 1, 2, 3, 4]], dtype=np.uint16), ModalityLUTSequence=Sequence([table])))
    assert image.pixels.tolist() == [[100, 100, 300, 900, 900]]


def test_frames_become_images_in_order() -> None:
    """Every frame is an image of the study, numbered from 0."""
    frames = np.arange(24, dtype=np.uint16).reshape(3, 2, 4)
    study = study_of(make_dicom(frames, NumberOfFrames=3))
    assert [image.frame for image in study.images] == [0, 1, 2]
    assert np.stack([image.pixels for image in study.images]).tolist() == frames.tolist()


def test_functional_groups_speak_for_each_frame() -> None:
    """An enhanced object's window, rescale and spacing are taken per frame, else from the shared groups."""
    windows = [
        item(FrameVOILUTSequence=[item(WindowCenter=c, WindowWidth=10, VOILUTFunction="LINEAR_EXACT")])
        for c in (20, 40)
    ]
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25])],
        PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=0)],
    )
    study = study_of(
        make_dicom(
            np.arange(8, dtype=np.uint16).reshape(2, 2, 2),
            NumberOfFrames=2,
            PerFrameFunctionalGroupsSequence=Sequence(windows),
            SharedFunctionalGroupsSequence=Sequence([shared]),
        )
    )
    assert [image.window for image in study.images] == [Window(c, 5.0, "LINEAR_EXACT") for c in (10.0, 20.0)]
    assert [image.spacing_mm for image in study.images] == [(0.5, 0.25)] * 2


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PatientOrientation": ["P", "FL"]}, ("P", "FL")),
        ({"PatientOrientation": ["A", "F"], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, ("A", "F")),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, ("L", "P")),  # axial: patient's left is on the right
        ({"ImageOrientationPatient": [0, -1, 0, 0, 0, -1]}, ("A", "F")),  # sagittal, turned
        ({"ImageOrientationPatient": [0.9, 0.3, 0.3, 0, 0.6, -0.8]}, ("L", "F")),  # oblique: the nearest axes
        ({"PatientOrientation": ["A", "DOE^JANE"]}, None),
        ({"PatientOrientation": ["P"]}, None),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, None),
        ({"FieldOfViewHorizontalFlip": "YES"}, None),
        ({}, None),
    ],
)
def test_orientation_is_told_by_letters_or_axes(elements: dict[str, object], expected: tuple[str, str] | None) -> None:
    """Where rows and columns lead: the file's own letters first, and nothing that is no such letter."""
    assert image_of(make_dicom(RAMP, **elements)).orientation == expected


def test_palette_becomes_rgb() -> None:
    """Palette indices take the table's colours; indices beyond it take its last one."""
    elements: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, entries in (("Red", [0, 255, 0]), ("Green", [0, 10, 200]), ("Blue", [0, 0, 90])):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [3, 0, 16]
        elements[f"{colour}PaletteColorLookupTableData"] = np.array(entries, dtype="<u2").__mul__(257).tobytes()
    dataset = make_dataset(np.array([[0, 1, 2, 9]], dtype=np.uint8))
    for keyword, value in elements.items():
        if keyword.endswith("Descriptor"):
            dataset.add_new(keyword, "US", value)
        elif keyword.endswith("Data"):
            dataset.add_new(keyword, "OW", value)
        else:
            setattr(dataset, keyword, value)
    image = image_of(to_bytes(dataset))
    assert image.pixels.tolist() == [[[0, 0, 0], [255, 10, 0], [0, 200, 90], [0, 200, 90]]]
    assert image.window is None


def test_planar_rgb_is_interleaved() -> None:
    """RGB stored plane by plane gives the same picture as RGB stored pixel by pixel."""
    colours = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    planes = np.ascontiguousarray(colours.transpose(2, 0, 1)).tobytes()
    image = image_of(make_dicom(colours, PlanarConfiguration=1, PixelData=planes))
    assert image.pixels.tolist() == colours.tolist()


def test_sixteen_bit_colours_keep_their_high_byte() -> None:
    """16-bit RGB becomes 8-bit RGB by its most significant byte."""
    colours = np.array([[[0x0000, 0x01FF, 0xFFFF]]], dtype=np.uint16)
    assert image_of(make_dicom(colours)).pixels.tolist() == [[[0, 1, 255]]]


def test_ybr_becomes_rgb() -> None:
    """YBR_FULL colours follow PS3.3 C.7.6.3.1.2: red is (76, 85, 255), grey has no chroma."""
    ybr = np.array([[[76, 85, 255], [90, 128, 128]]], dtype=np.uint8)
    pixels = image_of(make_dicom(ybr, PhotometricInterpretation="YBR_FULL")).pixels.astype(int)
    assert np.abs(pixels - [[[254, 0, 0], [90, 90, 90]]]).max() <= 1


def test_subsampled_ybr_keeps_every_frame() -> None:
    """Uncompressed YBR_FULL_422 is expanded in every frame, not only in the first."""
    stored = bytes([10, 20, 128, 128, 30, 40, 128, 128, 50, 60, 128, 128, 70, 80, 128, 128])
    dataset = make_dataset(np.zeros((2, 2, 2, 3), dtype=np.uint8), NumberOfFrames=2, PixelData=stored)
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    images = study_of(to_bytes(dataset)).images
    assert [image.pixels[..., 0].tolist() for image in images] == [[[10, 20], [30, 40]], [[50, 60], [70, 80]]]


def test_rle_is_decoded() -> None:
    """Two byte planes of run-length coding, most significant first, become 16-bit pixels."""
    dataset = make_dataset(np.zeros((1, 4), dtype=np.uint16))
    frame = rle_frame([bytes([0, 1, 0, 2]), bytes([5, 0, 7, 1])])
    assert image_of(encapsulated(dataset, [frame], uid.RLELossless)).pixels.tolist() == [[5, 256, 7, 513]]


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("bits", [8, 12])
def test_lossless_codecs_agree(syntax: uid.UID, bits: int) -> None:
    """Lossless JPEG, JPEG-LS and JPEG 2000 give back the pixels that went in."""
    kind = np.uint8 if bits == 8 else np.uint16
    values = np.random.default_rng(0).integers(0, 2**bits, (24, 40), dtype=kind)
    encode = {
        uid.JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(values, bitspersample=bits),
        uid.JPEGLSLossless: lambda: imagecodecs.jpegls_encode(values),
        uid.JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(values, bitspersample=bits, codecformat="j2k"),
    }[syntax]
    if syntax == uid.JPEGLSLossless:
        bits = 8 * values.dtype.itemsize
    data = encapsulated(make_dataset(values, BitsStored=bits), [encode()], syntax)
    assert image_of(data).pixels.tolist() == values.tolist()


def test_deflated_file_is_inflated() -> None:
    """A deflated data set is read like a plain one."""
    dataset = make_dataset(RAMP)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    assert image_of(to_bytes(dataset)).pixels.tolist() == RAMP.tolist()


def test_file_without_preamble_is_read() -> None:
    """Old files that begin with their first element are read all the same."""
    data = make_dicom(RAMP)
    bare = data[data.index(b"\x08\0\x16\0UI") :]
    assert image_of(bare).pixels.tolist() == RAMP.tolist()


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_byte_orders_agree(syntax: uid.UID) -> None:
    """Implicit and big-endian files give the same study as explicit little-endian ones."""
    dataset = make_dataset(RAMP)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == uid.ExplicitVRBigEndian:
        dataset.PixelData = RAMP.astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    assert study_of(to_bytes(dataset)).id == study_of(make_dicom(RAMP)).id


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_corners_keep_their_places(photometric: str) -> None:
    """One square per corner, each of its own value, stays in its corner: nothing is mirrored or turned."""
    values = np.zeros((20, 30), dtype=np.uint8)
    corners = {(2, 2): 50, (2, 27): 100, (17, 2): 150, (17, 27): 200}
    for (row, column), value in corners.items():
        values[row - 2 : row + 3, column - 2 : column + 3] = value
    pixels = image_of(make_dicom(values, PhotometricInterpretation=photometric)).pixels
    sign = {"MONOCHROME1": lambda v: 255 - v, "MONOCHROME2": lambda v: v}[photometric]
    assert {at: int(pixels[at]) for at in corners} == {at: sign(value) for at, value in corners.items()}


def test_allowed_facts_are_kept() -> None:
    """Acquisition facts reach the metadata and the image, and can be written as JSON."""
    study = study_of(
        make_dicom(
            RAMP,
            Modality="MG",
            Manufacturer="SIEMENS Healthineers, Erlangen",
            BodyPartExamined="BREAST",
            ImageLaterality="L",
            ViewPosition="MLO",
            ImagerPixelSpacing=[0.1, 0.1],
            PresentationIntentType="FOR PRESENTATION",
            PatientAge="052Y",
            PatientSex="F",
            BurnedInAnnotation="NO",
            FrameTime=40,
        )
    )
    assert study.task == "mammography"
    assert (study.images[0].laterality, study.images[0].view) == ("L", "MLO")
    assert study.images[0].spacing_mm == (0.1, 0.1)
    assert json.loads(json.dumps(study.metadata)) == {
        "source": "DICOM",
        "modality": "MG",
        "manufacturer": "Siemens",
        "body_part": "BREAST",
        "rows": 3,
        "columns": 4,
        "bits_stored": 16,
        "photometric": "MONOCHROME2",
        "presentation_intent": "FOR PRESENTATION",
        "view_position": "MLO",
        "spacing_mm": [0.1, 0.1],
        "frame_time_ms": 40.0,
        "patient_age": "052Y",
        "patient_sex": "F",
        "burned_in_annotation": "NO",
    }


def test_view_code_is_understood() -> None:
    """A mammogram that states its view by code only still has a view."""
    code = item(CodeValue="R-10242", CodingSchemeDesignator="SRT", CodeMeaning="cranio-caudal")
    assert image_of(make_dicom(RAMP, ViewCodeSequence=Sequence([code]))).view == "CC"


PLANTED = {
    "PatientName": "Zebra^Quilla",
    "PatientID": "ZQ-778812",
    "PatientBirthDate": "19610203",
    "StudyDate": "20240517",
    "AcquisitionDateTime": "20240517101112",
    "StudyDescription": "follow-up of Quilla",
    "SeriesDescription": "Zebra left",
    "InstitutionName": "St Elsewhere",
    "ReferringPhysicianName": "Holm^Ada",
    "AccessionNumber": "ACC-5551",
    "StudyInstanceUID": "1.2.3.777",
    "SeriesInstanceUID": "1.2.3.778",
    "SOPInstanceUID": "1.2.3.779",
    "Manufacturer": "Zebra^Quilla",  # even in fields that are kept
    "BodyPartExamined": "Quilla, born 1961",
    "ViewPosition": "MRS. ZEBRA QUILLA",
    "PatientSex": "Quilla",
    "PatientAge": "1961",
    "BurnedInAnnotation": "ZEBRA",
    "ImageComments": "call Quilla",
}


def test_no_identity_survives() -> None:
    """No planted name, id, date or UID is found anywhere in a study or its outcome."""
    (outcome,) = read_uploads([("scan.dcm", make_dicom(RAMP, **PLANTED))], secret=b"k" * 32)
    shown = repr(outcome).lower()
    words = ["zebra", "quilla", "zq-778812", "1961", "2024", "elsewhere", "holm", "5551", "1.2.3.7"]
    assert [word for word in words if word in shown] == []


def test_pseudonym_depends_on_patient_and_secret() -> None:
    """The same patient has one pseudonym under one secret, another under another; no id, no pseudonym."""

    def patient(patient_id: str, secret: bytes) -> str:
        return study_of(make_dicom(RAMP, PatientID=patient_id), secret=secret).patient_id

    assert patient("A", b"one") == patient(" A ", b"one") == "P-2QBNAZDZ"  # by openssl dgst -hmac one | base32
    assert len({patient("A", b"one"), patient("A", b"two"), patient("B", b"one")}) == 3
    assert patient("", b"one") == ""


def test_names_of_studies_say_modality_and_pseudonym() -> None:
    """A DICOM study is called by modality and pseudonym, or by the start of its own id."""
    named, nameless = study_of(make_dicom(RAMP)), study_of(make_dicom(RAMP, PatientID=""))
    assert named.name == f"MR {named.patient_id}"
    assert nameless.name == f"MR {nameless.id[:8]}"


def test_one_exam_is_one_study() -> None:
    """Files of one StudyInstanceUID become one study, ordered by series and instance, whatever the order of upload."""
    files = [
        (
            f"{series}-{instance}.dcm",
            make_dicom(RAMP + 10 * series + instance, SeriesNumber=series, InstanceNumber=instance),
        )
        for series, instance in ((2, 1), (1, 10), (1, 9))
    ]
    outcomes = read_uploads(files)
    (study,) = outcomes[0].studies
    assert [int(image.pixels[0, 0]) for image in study.images] == [19, 20, 21]
    assert [outcome.studies for outcome in outcomes[1:]] == [(), ()]
    assert {outcome.note for outcome in outcomes[1:]} == {f"part of study {study.name}"}
    assert read_uploads(files[::-1])[0].studies[0].id == study.id


def test_repeated_file_adds_nothing() -> None:
    """The same file twice in one upload is in the study once."""
    data = make_dicom(RAMP)
    first, second = read_uploads([("a.dcm", data), ("copy.dcm", data)])
    assert len(first.studies[0].images) == 1
    assert second.note.startswith("same picture again")


@pytest.mark.parametrize(
    "other", [{"PatientID": "patient-2"}, {"StudyInstanceUID": STUDY + ".5"}, {"Modality": "US"}], ids=str
)
def test_other_patients_and_exams_stay_apart(other: dict[str, str]) -> None:
    """Another patient, exam or modality is another study."""
    outcomes = read_uploads([("a", make_dicom(RAMP)), ("b", make_dicom(RAMP + 1, **other))])
    assert [len(outcome.studies) for outcome in outcomes] == [1, 1]


def test_burned_in_text_of_any_file_counts() -> None:
    """A study says YES to burned-in annotations as soon as one of its files does."""
    files = [(flag, make_dicom(RAMP + n, BurnedInAnnotation=flag)) for n, flag in enumerate(["NO", "YES"])]
    assert read_uploads(files)[0].studies[0].metadata["burned_in_annotation"] == "YES"


def test_modality_decides_the_task() -> None:
    """The modality's task wins over the page's; the page's serves modalities without one."""
    assert study_of(make_dicom(RAMP), task="mammography").task == "breast-mri"
    assert study_of(make_dicom(RAMP, Modality="CT"), task="mammography").task == "mammography"


def test_same_bytes_are_the_same_study() -> None:
    """Reading a file twice gives the same id, whatever it is called."""
    data = make_dicom(RAMP)
    assert read_upload("a.dcm", data)[0].id == read_upload("b", data)[0].id


def test_files_without_pictures_say_what_they_are() -> None:
    """Reports, masks, doses and empty shells are refused by name."""
    assert "structured report" in reason(make_dicom(RAMP, Modality="SR", PixelData=None))
    assert "segmentation mask" in reason(make_dicom(RAMP, Modality="SEG"))
    assert "dose grid" in reason(make_dicom(RAMP, Modality="RTDOSE"))
    assert reason(make_dicom(RAMP, PixelData=None)) == "The DICOM file (MR Image Storage) holds no pixels."
    directory = make_dicom(RAMP, PixelData=None, Modality=None, SOPClassUID=uid.MediaStorageDirectoryStorage)
    assert "DICOMDIR" in reason(directory)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"Rows": 0}, "which is no picture"),
        ({"Rows": 9000}, "at most 8,192"),
        ({"Rows": 5000, "Columns": 8000, "NumberOfFrames": 100}, "at most 300,000,000 values"),
        ({"NumberOfFrames": 513}, "at most 512"),
        ({"Rows": None}, "Rows is missing"),
        ({"PhotometricInterpretation": None}, "colour model is missing"),
        ({"PhotometricInterpretation": "RGB"}, "with 1 samples per pixel"),
        ({"Rows": 4}, "holds 24 of 32 bytes of pixels"),
        ({"Rows": 1, "Columns": 2}, "holds 24 bytes of pixels where its header announces 4"),
        ({"PixelData": b""}, "pixels are empty"),
        ({"RescaleSlope": 0}, "RescaleSlope is 0"),
        ({"BitsStored": 17}, "BitsStored is 17"),
    ],
    ids=str,
)
def test_contradictions_are_refused(elements: dict[str, object], expected: str) -> None:
    """A header that announces too much, or other than it holds, is refused in one sentence that says so."""
    dataset = make_dataset(RAMP)
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    assert expected in reason(to_bytes(dataset))


def test_frame_count_that_is_no_number() -> None:
    """NumberOfFrames '1A' is refused by name."""
    data = make_dicom(RAMP[None], NumberOfFrames="1").replace(b"IS\x02\x001 ", b"IS\x02\x001A")
    assert reason(data) == "The DICOM header's NumberOfFrames is missing or not a number."


def test_lying_codestream_is_refused_before_decoding() -> None:
    """A small header around a large JPEG 2000, JPEG or JPEG-LS is refused by its announced size."""
    large = np.zeros((64, 80), dtype=np.uint8)
    frames = {
        uid.JPEG2000Lossless: imagecodecs.jpeg2k_encode(large, codecformat="j2k"),
        uid.JPEGBaseline8Bit: imagecodecs.jpeg8_encode(large),
        uid.JPEGLSLossless: imagecodecs.jpegls_encode(large),
    }
    for syntax, frame in frames.items():
        data = encapsulated(make_dataset(np.zeros((2, 2), dtype=np.uint8)), [frame], syntax)
        assert "(64 × 80 × 1) contradicts the DICOM header (2 × 2 × 1)" in reason(data)


def test_lying_run_lengths_are_refused() -> None:
    """RLE with another number of byte planes than the header needs is refused."""
    dataset = make_dataset(np.zeros((2, 2), dtype=np.uint16))
    assert "1 run-length segments" in reason(encapsulated(dataset, [rle_frame([b"1234"])], uid.RLELossless))


@pytest.mark.parametrize("planes", [[b"12"], [b"123456"]], ids=["short", "long"])
def test_wrong_run_lengths_are_refused(planes: list[bytes]) -> None:
    """Run lengths that fill too little or too much of a frame are refused."""
    dataset = make_dataset(np.zeros((2, 2), dtype=np.uint8))
    assert "could not be decoded" in reason(encapsulated(dataset, [rle_frame(planes)], uid.RLELossless))


def test_run_length_colours_come_plane_by_plane() -> None:
    """Run-length coded RGB is stored in planes and becomes pixels."""
    colours = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    planes = [colours[..., channel].tobytes() for channel in range(3)]
    data = encapsulated(make_dataset(colours, PlanarConfiguration=1), [rle_frame(planes)], uid.RLELossless)
    assert image_of(data).pixels.tolist() == colours.tolist()


def test_cut_codestream_is_refused() -> None:
    """A lossless JPEG that ends early is refused, although its decoder would fill the rest with grey."""
    values = np.random.default_rng(0).integers(0, 4096, (32, 32), dtype=np.uint16)
    frame = imagecodecs.ljpeg_encode(values, bitspersample=12)
    data = encapsulated(make_dataset(values, BitsStored=12), [frame[: len(frame) // 2]], uid.JPEGLosslessSV1)
    assert "cut off" in reason(data)


def test_wrong_number_of_frames_is_refused() -> None:
    """Two compressed frames under a header of one are not read as one."""
    dataset = make_dataset(np.zeros((2, 2), dtype=np.uint8))
    assert "announces 1 frames" in reason(encapsulated(dataset, [rle_frame([b"1234"])] * 2, uid.RLELossless))


def test_unknown_encoding_is_named() -> None:
    """A film is refused by the name of its encoding."""
    dataset = make_dataset(np.zeros((2, 2), dtype=np.uint8))
    assert "MPEG2" in reason(encapsulated(dataset, [b"\0" * 8], uid.MPEG2MPML))


def test_deflate_bomb_is_refused() -> None:
    """Deflated zeros that unpack to a thousand times their size are refused while inflating."""
    dataset = make_dataset(RAMP)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    data = to_bytes(dataset)
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(b"\0" * (64 << 20)) + packer.flush()
    start = data.index(uid.DeflatedExplicitVRLittleEndian.encode())
    head_end = 144 + int.from_bytes(data[140:144], "little")
    assert start < head_end
    assert reason(data[:head_end] + bomb) == "Compressed contents unpack to more than 100 times their size."


def test_endless_header_is_refused() -> None:
    """A header with a hundred thousand elements is given up, also inside sequences."""
    element = b"\x09\0\x10\x10UL\x04\0\0\0\0\0"
    inner = b"\x09\0\x01\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" + element * 60_000
    for body in (element * 110_000, inner):
        assert reason(make_dicom(RAMP, PixelData=None) + body) == "The DICOM header has too many elements."


def test_deep_nesting_is_refused() -> None:
    """Ten thousand sequences inside one another end as a refusal, not as a crash."""
    level = b"\x09\0\x01\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    assert reason(make_dicom(RAMP, PixelData=None) + level * 10_000) == "The DICOM header is nested too deeply."


def test_cut_file_is_refused() -> None:
    """A DICOM file cut anywhere is refused or keeps every pixel."""
    data = make_dicom(RAMP)
    for end in range(0, len(data), 7):
        (outcome,) = read_uploads([("cut.dcm", data[:end])])
        assert outcome.rejected is not None, end


def test_pillow_and_pydicom_agree_on_baseline_jpeg() -> None:
    """Colour JPEG inside DICOM looks like the same JPEG outside."""
    ramp = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    frame = imagecodecs.jpeg8_encode(np.dstack([ramp, ramp[::-1], ramp.T]), level=95)
    dataset = make_dataset(np.zeros((64, 64, 3), dtype=np.uint8), PhotometricInterpretation="YBR_FULL_422")
    inside = image_of(encapsulated(dataset, [frame], uid.JPEGBaseline8Bit)).pixels.astype(int)
    (outside,) = read_upload("outside.jpg", frame)
    assert np.abs(inside - outside.images[0].pixels).max() <= 2
    assert Pillow.MAX_IMAGE_PIXELS == 50_000_000


def mr(row: int, column: int, **elements: object) -> bytes:
    """A 2 × 2 MR slice whose first pixel says which one it is."""
    values = np.array([[row, column], [0, 0]], dtype=np.uint16)
    defaults = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [1, 1]}
    return make_dicom(values, **(defaults | elements))


def order_of(files: list[bytes]) -> list[tuple[object, ...]]:
    """(series, phase, slice, first pixel, second pixel) of every image of the one study that the files become."""
    outcomes = read_uploads([(f"{number}.dcm", data) for number, data in enumerate(files)])
    (study,) = (study for outcome in outcomes for study in outcome.studies)
    return [(i.series, i.phase, i.slice, *i.pixels[0].tolist()) for i in study.images]


def test_slices_stand_in_the_order_of_their_normal() -> None:
    """Position along the normal counts, not the instance number; the normal of a coronal slice points along -y or y."""
    heights = {7: 30.0, 5: 10.0, 9: 20.0}
    files = [mr(n, 0, InstanceNumber=n, ImagePositionPatient=[0, 0, z]) for n, z in heights.items()]
    assert order_of(files) == [(0, None, 0, 5, 0), (0, None, 1, 9, 0), (0, None, 2, 7, 0)]
    coronal = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}  # normal (1, 0, 0) × (0, 0, -1) = (0, 1, 0)
    files = [mr(n, 0, InstanceNumber=n, ImagePositionPatient=[0, -z, 0], **coronal) for n, z in heights.items()]
    assert [entry[3] for entry in order_of(files)] == [7, 9, 5]


PASSES = {
    "temporal position": lambda p, s: {"TemporalPositionIdentifier": p + 1, "AcquisitionTime": f"1200{9 - s:02}"},
    "series": lambda p, s: {"SeriesNumber": 10 + p, "SeriesInstanceUID": f"{STUDY}.{9 - p}"},
    "acquisition": lambda p, s: {"AcquisitionNumber": p + 3},
    "time": lambda p, s: {"AcquisitionTime": f"12{p:02}00.5"},
    "date and time": lambda p, s: {"AcquisitionDateTime": ["20200101235959", "20200102000101", "20200102000201"][p]},
    "trigger": lambda p, s: {"TriggerTime": 100.5 * p},
    "time of each slice": lambda p, s: {"AcquisitionTime": f"12{p:02}{s:02}"},
}


@pytest.mark.parametrize("way", PASSES)
def test_passes_over_the_same_places_are_phases(way: str) -> None:
    """Dynamic MR, however a scanner tells its phases apart: phase by phase, slice by slice, whatever order files come in."""
    files = [
        mr(p, s, ImagePositionPatient=[0, 0, 5 * s], InstanceNumber=7 * s + p, **PASSES[way](p, s))
        for s in (1, 0)
        for p in (2, 0, 1)
    ]
    assert order_of(files) == [(0, p, s, p, s) for p in range(3) for s in range(2)]


def test_other_settings_and_geometries_are_other_series() -> None:
    """Another echo time, orientation or matrix is no phase; pictures without a position keep the order of their files."""
    at = {"ImagePositionPatient": [0, 0, 0], "SeriesNumber": 1}
    files = [
        mr(1, 0, InstanceNumber=1, EchoTime=2, **at),
        mr(2, 0, InstanceNumber=2, EchoTime=80, **at),
        mr(3, 0, InstanceNumber=3, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], EchoTime=2, **at),
        mr(5, 0, InstanceNumber=5, ImageOrientationPatient=None, SeriesNumber=4),
        mr(4, 0, InstanceNumber=4, ImageOrientationPatient=None, SeriesNumber=4),
        mr(6, 0, InstanceNumber=6, ImageOrientationPatient=[0, 0, 0, 0, 0, 0], SeriesNumber=4),
    ]
    assert order_of(files) == [(n - 1 if n < 4 else 3, None, 0 if n < 4 else None, n, 0) for n in range(1, 7)]


def test_a_lost_slice_does_not_shift_the_phases() -> None:
    """Where a pass lacks a slice, the other slices of that pass keep its number."""
    files = [
        mr(p, s, ImagePositionPatient=[0, 0, s], TemporalPositionIdentifier=p, InstanceNumber=9 - p)
        for p in range(3)
        for s in range(2)
        if (p, s) != (0, 1)
    ]
    assert order_of(files) == [(0, 0, 0, 0, 0), (0, 1, 0, 1, 0), (0, 1, 1, 1, 1), (0, 2, 0, 2, 0), (0, 2, 1, 2, 1)]


def test_frames_of_an_enhanced_file_are_put_in_order() -> None:
    """Plane positions and temporal indices of functional groups order frames; each keeps its number in the file."""
    places = [(2, 0.0), (1, 4.0), (2, 4.0), (1, 0.0)]  # (temporal position, z) of each frame
    groups = [
        item(
            PlanePositionSequence=Sequence([item(ImagePositionPatient=[0, 0, z])]),
            FrameContentSequence=Sequence([item(TemporalPositionIndex=t)]),
        )
        for t, z in places
    ]
    shared = item(PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]))
    data = make_dicom(
        np.arange(4, dtype=np.uint8).reshape(4, 1, 1), NumberOfFrames=4,
        PerFrameFunctionalGroupsSequence=Sequence(groups), SharedFunctionalGroupsSequence=Sequence([shared]),
    )  # fmt: skip
    assert [(i.frame, i.phase, i.slice) for i in study_of(data).images] == [(3, 0, 0), (1, 0, 1), (0, 1, 0), (2, 1, 1)]


def test_raw_mammograms_are_a_study_of_their_own() -> None:
    """FOR PROCESSING and FOR PRESENTATION of one exam are told apart, and the raw one says so in its name and notices."""
    files = [
        (f"{n}.dcm", make_dicom(RAMP + n, Modality="MG", PresentationIntentType=intent))
        for n, intent in enumerate(("FOR PRESENTATION", "FOR PROCESSING", "FOR PRESENTATION"))
    ]
    shown, raw = (study for outcome in read_uploads(files) for study in outcome.studies)
    assert (len(shown.images), len(raw.images)) == (2, 1)
    assert raw.name == f"{shown.name} for processing"
    assert "notices" not in shown.metadata
    assert raw.metadata["notices"] == ["Raw detector values (FOR PROCESSING), not made for reading."]


def test_overlays_and_loss_are_said() -> None:
    """Overlay graphics are not drawn and a lossy picture is one: both are told, once for all files of a study."""
    dataset = make_dataset(RAMP, LossyImageCompression="01", InstanceNumber=1)
    dataset.add_new(0x60000010, "US", 3)
    dataset.add_new(0x60003000, "OW", b"\0\0")
    plain, marked = make_dataset(RAMP, InstanceNumber=2), to_bytes(dataset)
    outcomes = read_uploads([("a.dcm", marked), ("b.dcm", to_bytes(plain)), ("c.dcm", marked)])
    expected = ["Overlay graphics of the file are not shown.", "The picture was compressed with loss."]
    assert outcomes[0].studies[0].metadata["notices"] == expected
    assert [list(outcome.facts.get("notices", [])) for outcome in outcomes] == [expected, [], expected]


def test_one_picture_in_two_encodings_counts_once() -> None:
    """The same instance, uncompressed twice in other byte orders, is one image; its UID on other pixels is another."""
    own = {"SOPInstanceUID": STUDY + ".5"}
    implicit = make_dataset(RAMP, **own)
    implicit.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    files = [make_dicom(RAMP, **own), to_bytes(implicit), make_dicom(RAMP + 1, **own)]
    outcomes = read_uploads([(f"{n}.dcm", data) for n, data in enumerate(files)])
    assert len(outcomes[0].studies[0].images) == 2
    assert outcomes[1].note.startswith("same picture again")
    assert not outcomes[2].note.startswith("same")


def test_what_is_left_behind_is_named_but_not_quoted() -> None:
    """What the profile names by keyword, private and further ones by number; no value of any."""
    dataset = make_dataset(RAMP, PatientName="Doe^Jane", StudyDate="20200101", WindowCenter=5, EchoTime=70)
    dataset.add_new(0x00091010, "LO", "secret")
    (outcome,) = read_uploads([("a.dcm", to_bytes(dataset))])
    expected = ["PatientID", "PatientName", "SeriesInstanceUID", "StudyDate", "StudyInstanceUID"]
    assert left_behind(outcome.left) == {"identifiers": expected, "private_elements": 1, "other_elements": 1}
    assert "Doe" not in str(outcome)
    assert "secret" not in str(outcome)


def test_what_de_identification_takes_is_what_reading_leaves() -> None:
    """One list for both: every identifier that the rules take out of a copy is named for the file that was read."""
    data = make_dicom(RAMP, PatientName="Doe^Jane", StudyDate="20200101", PatientWeight=70, AccessionNumber="4711")
    (outcome,) = read_uploads([("a.dcm", data)])
    taken = {said.split(":")[0] for said in deidentify(data, b"s").cleaned}
    assert taken <= set(left_behind(outcome.left)["identifiers"])
    assert {"PatientWeight", "AccessionNumber"} <= taken


@pytest.mark.parametrize(
    ("age", "told"), [("089Y", "089Y"), ("090Y", "090Y"), ("101Y", "090Y"), ("120M", "120M"), ("9Y", "")]
)
def test_an_age_above_89_is_told_as_90(age: str, told: str) -> None:
    """As in copies: few people are that old."""
    (study,) = read_upload("a.dcm", make_dicom(RAMP, PatientAge=age))
    assert study.metadata.get("patient_age", "") == told


@pytest.mark.parametrize("photometric", ["YBR_PARTIAL_422", "YBR_PARTIAL_420", "HSV", "ARGB", "CMYK"])
def test_retired_colour_models_are_named(photometric: str) -> None:
    """What the standard has given up is refused as what it is, not as unknown."""
    data = make_dicom(np.zeros((2, 2, 3), np.uint8), PhotometricInterpretation=photometric)
    assert f"{photometric}, which the standard has retired" in reason(data)


@pytest.mark.parametrize(
    ("name", "kept"), [("WINDOW123", "WINDOW123"), ("WINDOW 1", ""), ("LUNG4711", ""), ("12345678", "")]
)
def test_no_number_of_a_person_hides_behind_a_windows_name(name: str, kept: str) -> None:
    """Three digits may follow a known word; a number alone, or a longer one, could be a patient's."""
    image = read_upload("a.dcm", make_dicom(RAMP, WindowCenter=5, WindowWidth=9, WindowCenterWidthExplanation=name))[
        0
    ].images[0]
    assert image.window.explanation == kept
