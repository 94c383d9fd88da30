"""Pictures, NPZ files, archives and folders become studies; what cannot be read is refused in one sentence."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from core.preprocess import display_values
from core.reading import NpzPart, Source, read_exams, read_paths, read_upload, read_uploads
from core.reading.names import display_name, stem
from core.records import Image, Refused, StudyRejected, Window
from core.tasks import get_task
from tests.core.dicom_factory import make_dicom

GREY = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)
NOISE = np.random.default_rng(7).integers(0, 256, (40, 50), dtype=np.uint8)


def saved(picture: Pillow.Image, kind: str = "PNG", **options: object) -> bytes:
    """A picture as a file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def png(values: np.ndarray) -> bytes:
    """Values as a PNG file."""
    return saved(Pillow.fromarray(values))


def npz(**arrays: np.ndarray) -> bytes:
    """Arrays as an NPZ file."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Files as a ZIP archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def image_of(data: bytes) -> Image:
    """The one image of a file."""
    (study,) = read_upload("picture", data)
    (image,) = study.images
    return image


def reason(data: bytes, name: str = "file", **options: object) -> str:
    """Why a file is refused; every refusal says what to do."""
    with pytest.raises(StudyRejected) as refusal:
        read_upload(name, data, **options)
    assert refusal.value.hint
    assert refusal.value.reason.endswith(".")
    return refusal.value.reason


# Pictures


def test_grey_png_stays_as_stored() -> None:
    """8-bit grey pixels are the pixels, shown from 0 to 255."""
    image = image_of(png(GREY))
    assert image.pixels.tolist() == GREY.tolist()
    assert image.window == Window(127.5, 255.0, "LINEAR_EXACT")
    assert display_values(image)[0, 1] == pytest.approx(20 / 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_every_level(kind: str) -> None:
    """16-bit grey is not squeezed to 8 bits, and is shown from its smallest to its largest value."""
    values = np.array([[300, 301], [4000, 2150]], dtype=np.uint16)
    image = image_of(saved(Pillow.fromarray(values), kind))
    assert image.pixels.tolist() == values.tolist()
    assert display_values(image).tolist()[1] == pytest.approx([1.0, 0.5])


def test_float_tiff_keeps_its_unit() -> None:
    """Float pixels are scaled to 16 bits; slope and intercept give the values back."""
    values = np.array([[-2.0, 0.0], [1.0, 6.0]], dtype=np.float32)
    image = image_of(saved(Pillow.fromarray(values), "TIFF"))
    assert image.pixels * image.slope + image.intercept == pytest.approx(values, abs=8 / 65535)


def test_colour_stays_rgb() -> None:
    """RGB pixels are the pixels, without a window."""
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    image = image_of(png(colours))
    assert image.pixels.tolist() == colours.tolist()
    assert image.window is None


def test_transparency_lies_over_black() -> None:
    """Transparent pixels turn dark in proportion, in colour and in grey."""
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 51]]], dtype=np.uint8)
    assert image_of(png(rgba)).pixels.tolist() == [[[200, 100, 50], [0, 0, 0], [40, 20, 10]]]
    grey = Pillow.merge("LA", [Pillow.fromarray(rgba[..., channel]) for channel in (0, 3)])
    assert image_of(saved(grey)).pixels.tolist() == [[200, 0, 40]]


def test_palette_and_bitmap() -> None:
    """Palette pictures become their colours, black-and-white ones 0 and 255."""
    palette = Pillow.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert image_of(saved(palette)).pixels.tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert image_of(saved(Pillow.fromarray(np.array([[True, False]])))).pixels.tolist() == [[255, 0]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))]
)
def test_orientation_is_honoured(kind: str, orientation: int, corner: tuple[int, int]) -> None:
    """A bright square in the stored top left corner lands where EXIF orientation says."""
    values = np.zeros((32, 48), dtype=np.uint8)
    values[:8, :8] = 255
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    pixels = image_of(saved(Pillow.fromarray(values), kind, exif=exif)).pixels
    corners = {(r, c): int(pixels[r, c]) > 200 for r in (0, -1) for c in (0, -1)}
    assert corners == {at: at == corner for at in corners}
    assert pixels.shape == ((48, 32) if orientation > 4 else (32, 48))


def test_tiff_pages_are_frames() -> None:
    """A TIFF of three pages is one study of three images."""
    pages = [Pillow.fromarray(GREY + n) for n in range(3)]
    (study,) = read_upload("stack.tif", saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert [(image.frame, int(image.pixels[0, 0])) for image in study.images] == [(0, 0), (1, 1), (2, 2)]
    assert study.name == "stack"


DEEP = np.arange(48 * 32, dtype=np.uint16).reshape(48, 32) * 40
SHALLOW = (DEEP >> 8).astype(np.uint8)
COLOURS = np.dstack([SHALLOW, SHALLOW[::-1], 255 - SHALLOW])
PALETTE = np.stack([np.arange(256), 255 - np.arange(256), np.zeros(256)]).astype(np.uint16) * 257
GREY_TIFF = {"photometric": "minisblack"}


# Written by tifffile, which shares no code with Pillow: (pixels, how they are written, pixels as they are shown).
@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (DEEP, GREY_TIFF | {"byteorder": ">"}, DEEP),
        (DEEP, GREY_TIFF | {"tile": (16, 16)}, DEEP),
        (DEEP, GREY_TIFF | {"tile": (16, 16), "byteorder": ">", "compression": "deflate", "predictor": True}, DEEP),
        (DEEP, GREY_TIFF | {"compression": "lzw", "rowsperstrip": 7}, DEEP),
        (DEEP, GREY_TIFF | {"bigtiff": True}, DEEP),
        (DEEP.astype(np.uint32), GREY_TIFF, DEEP),
        (SHALLOW, {"photometric": "miniswhite"}, 255 - SHALLOW),
        (DEEP, {"photometric": "miniswhite"}, 65535 - DEEP),
        (SHALLOW, {"photometric": "palette", "colormap": PALETTE}, PALETTE.T[SHALLOW] // 257),
        (np.moveaxis(COLOURS, 2, 0).copy(), {"photometric": "rgb", "planarconfig": "separate"}, COLOURS),
        (COLOURS.astype(np.uint16) * 257, {"photometric": "rgb"}, COLOURS),
        (COLOURS.astype(np.uint16) * 257, {"photometric": "rgb", "byteorder": ">"}, COLOURS),
        (
            np.dstack([COLOURS, np.where(SHALLOW > 99, 255, 0).astype(np.uint8)]),
            {"photometric": "rgb", "extrasamples": ["unassalpha"]},
            np.where(SHALLOW[..., None] > 99, COLOURS, 0),
        ),
    ],
    ids=["big-endian", "tiled", "tiled big-endian deflate", "strips lzw", "bigtiff", "32 bit", "white is zero",
         "white is zero 16", "palette", "planes", "16-bit colour", "16-bit colour big-endian",
         "rgba"],
)  # fmt: skip
def test_tiff_as_others_write_it(values: np.ndarray, options: dict, expected: np.ndarray) -> None:
    """Byte order, tiles, strips, planes, palettes, polarity and transparency make no difference to the pixels."""
    image = image_of(tiff(values, **options))
    assert image.pixels.tolist() == expected.tolist()


def test_tiff_pages_of_different_kinds() -> None:
    """A 16-bit page and a colour page in one file are two images, each as it is."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(DEEP, photometric="minisblack")
        writer.write(COLOURS, photometric="rgb")
    (study,) = read_upload("mixed.tif", stream.getvalue())
    assert [image.pixels.tolist() for image in study.images] == [DEEP.tolist(), COLOURS.tolist()]


def test_tiff_of_an_unread_kind_says_so() -> None:
    """Double precision, and 16-bit big-endian with white as 0, are refused, and not only as damaged."""
    for data in (tiff(DEEP.astype(np.float64), **GREY_TIFF), tiff(DEEP, photometric="miniswhite", byteorder=">")):
        assert "stores its pixels in a way that is not read here" in reason(data)


def tiff(values: np.ndarray, **options: object) -> bytes:
    """Values as tifffile writes them."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def test_picture_study_has_no_patient() -> None:
    """A picture knows no patient and no modality; it takes the task that the page is about."""
    (study,) = read_upload("../../case 12.png", png(GREY), task="breast-ultrasound")
    assert (study.name, study.patient_id, study.modality, study.task) == ("case 12", "", "", "breast-ultrasound")
    assert study.reference_standard is None


def test_same_picture_is_the_same_study() -> None:
    """Equal pixels are one study whatever the file; different pixels are another."""
    ids = [read_upload("x", data)[0].id for data in (png(GREY), saved(Pillow.fromarray(GREY), "TIFF"), png(GREY + 1))]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_cut_pictures_are_refused(kind: str, part: float) -> None:
    """A picture that lacks its end is refused rather than shown half grey."""
    data = saved(Pillow.fromarray(NOISE), kind)
    assert "damaged or cut off" in reason(data[: int(len(data) * part)])


def png_header(width: int, height: int) -> bytes:
    """A grey PNG that announces a size and holds one tiny compressed block."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def test_huge_picture_is_refused_unread() -> None:
    """A PNG of 30,000 × 30,000 pixels is refused by its header."""
    assert reason(png_header(30_000, 30_000)) == "The picture has more than 50 million pixels."
    assert reason(png_header(7500, 7500)) == "The picture has more than 50 million pixels."
    assert "at most 8,192 × 8,192" in reason(png_header(10_000, 100))


def test_animation_is_refused() -> None:
    """An animated PNG is not silently read as its first frame."""
    frames = [Pillow.fromarray(GREY + n) for n in (0, 5)]
    assert reason(saved(frames[0], save_all=True, append_images=frames[1:])) == "The PNG file is an animation."


def test_tiff_of_too_many_pages_is_refused() -> None:
    """A TIFF of 513 pages is refused."""
    page = Pillow.fromarray(np.zeros((1, 1), dtype=np.uint8))
    data = saved(page, "TIFF", save_all=True, append_images=[page] * 512)
    assert reason(data) == "The file holds 513 pictures; at most 512 are read."


# What a file is


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "The file is empty."),
        (b"patient,age\n1,40\n", "The file is text, not a picture."),
        (b"%PDF-1.7\n\0", "The file is a PDF document, which is not read here."),
        (b"GIF89a\0\0", "The file is a GIF picture, which is not read here."),
        (b"MZ\x90\0" * 40, "The file is a Windows program, which is not read here."),
        (b"\0" * 344 + b"n+1\0", "The file is a NIfTI volume, which is not read here."),
        (b"\x01\x02\x03\x04" * 9, "The file is of a kind that is not known here."),
        (b"\x89PNG\r\n\x1a\n", "The PNG file is damaged or cut off (UnidentifiedImageError)."),
        (b"\0" * 128 + b"DICM", "The file begins like DICOM but holds nothing that can be read."),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_other_files_are_named(data: bytes, expected: str) -> None:
    """What is no picture is refused by what it is, whatever its name says."""
    assert reason(data, "scan.dcm") == expected


def test_content_decides_not_the_name() -> None:
    """A PNG called .dcm and a DICOM file called .png are both read."""
    assert read_upload("a.dcm", png(GREY))[0].modality == ""
    assert read_upload("b.png", make_dicom(GREY))[0].modality == "MR"


def test_oversized_file_is_refused() -> None:
    """More than 200 MB are refused without a look inside."""
    assert "at most 200 MB" in reason(bytes(200 * 1024 * 1024 + 1))


@pytest.mark.parametrize(
    ("name", "shown", "short"),
    [
        ("../../etc/x.png", "x.png", "x"),
        ("C:\\Users\\me\\scan 1.dcm", "scan 1.dcm", "scan 1"),
        ("<img onerror=alert(1)>.png", "_img onerror=alert(1)_.png", "_img onerror=alert(1)_"),
        ("a\u202egnp.exe\n", "a_gnp.exe_", "a_gnp.exe_"),
        ("Mädchen.tiff", "Mädchen.tiff", "Mädchen"),
        ("", "unnamed", "unnamed"),
        (".png", ".png", ".png"),
        ("IM.000.123", "IM.000.123", "IM.000"),
    ],
)
def test_names_are_made_safe(name: str, shown: str, short: str) -> None:
    """Folders, markup and control characters do not reach the page."""
    assert (display_name(name), stem(name)) == (shown, short)


def test_long_names_are_shortened() -> None:
    """A name of 300 characters is cut but keeps its end; a study's name has 60 at most."""
    assert len(display_name("x" * 300 + ".png")) == 100
    assert display_name("x" * 300 + ".png").endswith("x.png")
    assert len(stem("x" * 300 + ".png")) == 60


# NPZ

STACK = np.arange(5 * 6, dtype=np.uint8).reshape(5, 2, 3)
LABELS = np.array([[0], [1], [1], [0], [1]], dtype=np.uint8)


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, 0]], ids=["column", "flat"])
def test_npz_images_are_studies(labels: np.ndarray) -> None:
    """Every image of every split is a study, with its place in the name and its label's class as reference standard."""
    data = npz(test_images=STACK, test_labels=labels, val_images=STACK[:1] + 100, val_masks=STACK[:1])
    studies = read_upload("breastmnist.npz", data, task="breast-ultrasound")
    assert [study.name for study in studies] == ["breastmnist val 0", *(f"breastmnist test {n}" for n in range(5))]
    assert np.stack([study.images[0].pixels for study in studies[1:]]).tolist() == STACK.tolist()
    classes = [study.reference_standard for study in studies]
    assert classes == [None, "malignant", "benign", "benign", "malignant", "benign"]


def test_npz_without_task_has_no_reference_standard() -> None:
    """Label numbers mean nothing before a task is chosen."""
    studies = read_upload("x.npz", npz(train_images=STACK, train_labels=LABELS))
    assert {study.reference_standard for study in studies} == {None}


def test_npz_orders_and_colours() -> None:
    """Column-major arrays and colour images keep their pixels in place."""
    colours = np.arange(2 * 2 * 4 * 3, dtype=np.uint8).reshape(2, 2, 4, 3)
    for array in (np.asfortranarray(STACK), np.asfortranarray(colours)):
        studies = read_upload("x.npz", npz(test_images=array))
        assert np.stack([study.images[0].pixels for study in studies]).tolist() == array.tolist()


def test_npz_floats_keep_their_unit() -> None:
    """Float images are scaled to 16 bits with slope and intercept."""
    values = np.array([[[-1.0, 0.0, 3.0]]])
    (study,) = read_upload("x.npz", npz(test_images=values))
    image = study.images[0]
    assert image.pixels * image.slope + image.intercept == pytest.approx(values[0], abs=4 / 65535)


def lying_npz(shape: str) -> bytes:
    """An NPZ whose array header announces a shape that its data do not have."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    body = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header) + 1) + header + b"\n" + b"\0" * 8
    return zipped({"test_images.npy": body})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (npz(test_images=np.array([{"a": 1}], dtype=object)), "holds Python objects or text, which are never loaded"),
        (npz(test_images=np.array([["a"]])), "holds Python objects or text"),
        (npz(images=STACK), "holds no images under a known name"),
        (npz(test_images=np.zeros((2001, 1, 1), np.uint8)), "holds 2,001 images; at most 2,000"),
        (npz(test_images=np.zeros((2, 2, 2, 2), np.uint8)), "must be (N, H, W)"),
        (npz(test_images=np.full((1, 2, 2), np.nan)), "not finite numbers"),
        (npz(test_images=STACK, test_labels=LABELS[:3]), "one whole number for each of 5 images"),
        (npz(test_images=STACK, test_labels=LABELS + 5), "Label 5 is none of Breast ultrasound's 2 classes"),
        (npz(test_images=STACK, **{f"a{n}": LABELS for n in range(32)}), "33 arrays; at most 32"),
        (lying_npz("(1, 2, 3)"), "shorter or longer than it says"),
        (lying_npz("(2000, 8000, 8000)"), "at most 200 MB"),
        (lying_npz("(1000000, 8000, 8000)"), "holds 1,000,000 images; at most 2,000"),
        (lying_npz("(1, -2, 3)"), "announces a negative size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_npz_is_refused(data: bytes, expected: str) -> None:
    """Objects, lies and too much are refused before the data are read."""
    assert expected in reason(data, task="breast-ultrasound")


MANY = np.arange(2500, dtype=np.uint16).reshape(-1, 1, 1)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (NpzPart("test", 2400, 2403), [("test", 2400), ("test", 2401), ("test", 2402)]),
        (NpzPart.of("", ":1"), [("train", 0), ("test", 0)]),
        (NpzPart.of("test", "2499:"), [("test", 2499)]),
        (NpzPart.of("train", "1:99"), [("train", 1)]),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_part_of_a_large_npz(part: NpzPart, expected: list, order: str) -> None:
    """Of 2,500 images a range is read, each under its own number, with its own label and pixels."""
    labels = (np.arange(2500) % 2).reshape(-1, 1)
    data = npz(
        train_images=np.array([[[7]], [[8]]], np.uint16), test_images=np.array(MANY, order=order), test_labels=labels
    )
    (outcomes,) = read_exams([Source.of_bytes("x.npz", data)], task="breast-ultrasound", part=part)
    studies = outcomes[0].studies
    assert [(study.metadata["split"], study.metadata["index"]) for study in studies] == expected
    for study in studies:
        split, index = study.metadata["split"], study.metadata["index"]
        assert int(study.images[0].pixels[0, 0]) == (index if split == "test" else 7 + index)
        assert study.reference_standard == (
            get_task("breast-ultrasound").classes[index % 2] if split == "test" else None
        )


@pytest.mark.parametrize(
    ("part", "expected"),
    [(NpzPart("val"), "no images of the split val"), (NpzPart("test", 5), "5 images, none in that range")],
)
def test_a_part_that_is_not_there_is_refused(part: NpzPart, expected: str) -> None:
    """The refusal says what is there."""
    ((outcome,),) = read_exams([Source.of_bytes("x.npz", npz(test_images=STACK))], part=part)
    assert expected in outcome.rejected.reason


def test_a_range_reads_no_more_than_it_needs() -> None:
    """An array that announces 64 GB is read where its beginning is wanted; a range beyond its end is cut off."""
    data = lying_npz("(4000000, 4, 4000)")
    ((outcome,),) = read_exams([Source.of_bytes("x.npz", data)], part=NpzPart("test", 0, 1))
    assert "shorter than it says" in outcome.rejected.reason
    one = lying_npz("(4000000, 2, 4)")
    ((outcome,),) = read_exams([Source.of_bytes("x.npz", one)], part=NpzPart("test", 0, 1))
    assert outcome.studies[0].images[0].pixels.shape == (2, 4)


@pytest.mark.parametrize("wrong", [("x", ""), ("", "5"), ("", "5:5"), ("", "a:b"), ("", "-1:4")])
def test_a_part_that_makes_no_sense_is_refused(wrong: tuple[str, str]) -> None:
    """In one sentence, before any file is opened."""
    with pytest.raises(Refused):
        NpzPart.of(*wrong)


# ZIP


def test_zip_members_are_read() -> None:
    """Every file of an archive has its outcome; folders and hidden files are passed over; a DICOM exam is joined."""
    exam = {f"exam/{n}": make_dicom(GREY + n, InstanceNumber=n) for n in (2, 1)}
    members = {"a/b.png": png(GREY), "a/": b"", "a/.hidden": b"x", "__MACOSX/a/b.png": b"x", "readme.txt": b"hello"}
    outcomes = read_uploads([("case.zip", zipped(members | exam)), ("c.png", png(GREY + 9))])
    assert [outcome.name for outcome in outcomes] == [
        "case.zip › b.png",
        "case.zip › readme.txt",
        "case.zip › 2",
        "case.zip › 1",
        "c.png",
    ]
    assert [len(outcome.studies) for outcome in outcomes] == [1, 0, 1, 0, 1]
    assert outcomes[1].rejected.reason == "The file is text, not a picture."
    assert [int(image.pixels[0, 0]) for image in outcomes[2].studies[0].images] == [1, 2]
    assert outcomes[3].note.startswith("part of study MR P-")


def test_npz_inside_zip_is_read() -> None:
    """An NPZ in a ZIP is data, not an archive in an archive."""
    assert len(read_upload("x.zip", zipped({"b.npz": npz(test_images=STACK)}))) == 5


def with_link() -> bytes:
    """A ZIP with a symbolic link."""
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    return stream.getvalue()


def encrypted() -> bytes:
    """A ZIP whose one member says that it is encrypted."""
    data = bytearray(zipped({"a.png": png(GREY)}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (zipped({"inner.zip": zipped({"a.png": png(GREY)})}), "a ZIP inside a ZIP, which is not opened"),
        (with_link(), "a link instead of a file"),
        (encrypted(), "encrypted inside its ZIP"),
        (zipped({"a.png": png(GREY)}, zipfile.ZIP_BZIP2), "packed by a rare method"),
        (zipped({}), "holds no files"),
        (zipped({"a.png": png(GREY)})[:-30], "cut off"),
        (zipped({f"{n}": b"x" for n in range(2001)}), "lists 2,001 files"),
        (zipped({"a.dcm": b"\0" * (40 << 20)}), "more than 100 times their size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_zip_is_refused(data: bytes, expected: str) -> None:
    """Nesting, links, passwords, bombs and damage are refused, each in its sentence."""
    assert expected in reason(data)


def test_nameless_member_is_read() -> None:
    """A member whose name was emptied is a file like any other."""
    data = zipped({"a": png(GREY)}, zipfile.ZIP_STORED)
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    nameless = data[: local + 26] + b"\0\0" + data[local + 28 : local + 30] + data[local + 31 : central]
    entry = data[central : data.index(b"PK\x05\x06")]
    entry = entry[:28] + b"\0\0" + entry[30:46] + entry[47:]
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, len(entry), len(nameless), 0)
    (outcome,) = read_uploads([("x.zip", nameless + entry + end)])
    assert (outcome.name, len(outcome.studies)) == ("x.zip › unnamed", 1)


def test_damaged_member_spoils_nothing_else() -> None:
    """A member with a wrong checksum is refused; its neighbours are read."""
    data = bytearray(zipped({"a.png": png(NOISE), "b.png": png(GREY)}, zipfile.ZIP_STORED))
    data[200] ^= 0xFF
    first, second = read_uploads([("x.zip", bytes(data))])
    assert "damaged inside its ZIP archive" in first.rejected.reason
    assert second.studies


def test_overlapping_zip_counts_what_it_inflates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of an archive counts inflated bytes, member after member, not what its table of contents says."""
    monkeypatch.setattr("core.reading.limits.ZIP_BYTES", 1 << 20)
    picture = png(np.random.default_rng(1).integers(0, 256, (700, 700), dtype=np.uint8))
    outcomes = read_uploads([("x.zip", zipped({f"{n}.png": picture for n in range(4)}))])
    assert [bool(outcome.studies) for outcome in outcomes] == [True, True, False, False]
    assert outcomes[2].rejected.reason.startswith("Compressed contents unpack to more than")


def test_archive_of_large_pictures_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of one archive share one allowance of decoded bytes."""
    monkeypatch.setattr("core.reading.limits.DECODED_BYTES", 3 * GREY.size)
    outcomes = read_uploads([("x.zip", zipped({f"{n}.png": png(GREY + n) for n in range(4)}))])
    assert [bool(outcome.studies) for outcome in outcomes] == [True, True, True, False]


# Folders and options


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    """Folders are read sorted, without hidden files; single files and missing ones have their outcomes."""
    for name in ("b/2.png", "a/1.png", "b/.hidden.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(GREY))
    outcomes = read_paths([tmp_path, tmp_path / "b" / "2.png", tmp_path / "missing.png"], task="breast-mri")
    assert [outcome.name for outcome in outcomes] == ["1.png", "2.png", "2.png", "missing.png"]
    assert outcomes[0].studies[0].task == "breast-mri"
    assert outcomes[3].rejected.reason == "The file cannot be opened (No such file or directory)."


def test_unknown_task_is_refused() -> None:
    """A task that does not exist is refused before anything is read."""
    with pytest.raises(Refused, match="There is no task 'x-ray'"):
        read_uploads([("a.png", png(GREY))], task="x-ray")
