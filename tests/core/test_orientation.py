"""Pixel (row, column) of the file is that of the array, of the tensor, of the heatmap and of the overlay: nothing is turned.

One bright square in one corner goes the whole way, through every kind of file and every change of size. The browser's part of
the way (array to canvas, heatmap over canvas) is in `tests/pages/test_viewer_browser.py`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import uid

from core.commands.read import displayed
from core.explain import Request, explain, overlay_png
from core.preprocess import Preprocessing, display_values, preprocess
from core.reading import read_upload
from core.records import Image
from core.thumbnails import thumbnail
from tests.core.dicom_factory import make_dataset, make_dicom, to_bytes
from tests.core.test_explain import bright_spot_checkpoint

HEIGHT, WIDTH, SQUARE = 96, 160, 24
CORNERS = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}
# EXIF orientation -> what was done to the upright picture before it was stored (CIPA DC-008, 4.6.4, tag 274).
TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT, 3: Pillow.Transpose.ROTATE_180, 4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE, 6: Pillow.Transpose.ROTATE_90, 7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_270,
}  # fmt: skip


def picture(corner: str) -> np.ndarray:
    """A dark picture (HEIGHT, WIDTH) uint8 with a white square in one corner."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    down, right = CORNERS[corner]
    rows = slice(HEIGHT - SQUARE, None) if down else slice(SQUARE)
    columns = slice(WIDTH - SQUARE, None) if right else slice(SQUARE)
    pixels[rows, columns] = 255
    return pixels


def saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    """The pixels as a file of Pillow's."""
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def npz(pixels: np.ndarray) -> bytes:
    """The picture as the only one of a MedMNIST file."""
    stream = io.BytesIO()
    np.savez(stream, test_images=pixels[None])
    return stream.getvalue()


def turned(orientation: int) -> Callable[[np.ndarray], bytes]:
    """A photograph that was stored turned, with the tag that says so."""

    def save(pixels: np.ndarray) -> bytes:
        exif = Pillow.Exif()
        exif[274] = orientation
        stored = np.array(Pillow.fromarray(pixels).transpose(TURNS[orientation]))
        return saved(stored, "JPEG", quality=95, exif=exif)

    return save


def big_endian(pixels: np.ndarray) -> bytes:
    """A 16-bit DICOM file in big endian."""
    dataset = make_dataset(pixels.astype(np.uint16))
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    dataset.PixelData = pixels.astype(">u2").tobytes()
    return to_bytes(dataset)


FILES: dict[str, Callable[[np.ndarray], bytes]] = {
    "PNG": lambda p: saved(p, "PNG"),
    "RGB PNG": lambda p: saved(np.stack([p] * 3, axis=-1), "PNG"),
    "16-bit TIFF": lambda p: saved(p.astype(np.uint16) * 257, "TIFF"),
    "NPZ": npz,
    "DICOM": make_dicom,
    "MONOCHROME1": lambda p: make_dicom(255 - p, PhotometricInterpretation="MONOCHROME1"),
    "signed DICOM": lambda p: make_dicom(p.astype(np.int16) - 100),
    "planar RGB": lambda p: make_dicom(np.stack([p] * 3, axis=-1), PlanarConfiguration=1, PixelData=p.tobytes() * 3),
    "big endian": big_endian,
    **{f"EXIF {orientation}": turned(orientation) for orientation in TURNS},
}


def corner_of(values: np.ndarray) -> str:
    """The corner whose quarter of the picture (H, W) is brightest."""
    rows, columns = values.shape[0] // 2, values.shape[1] // 2
    quarters = {
        name: values[rows * down : rows * (down + 1), columns * right : columns * (right + 1)].mean()
        for name, (down, right) in CORNERS.items()
    }
    return max(quarters, key=quarters.__getitem__)


def brightness(shown: np.ndarray) -> np.ndarray:
    """Grey (H, W) of a grey or colour picture."""
    return shown.mean(axis=-1) if shown.ndim == 3 else shown


def read(corner: str, kind: str) -> Image:
    """The picture after its way through a file."""
    (study,) = read_upload("file", FILES[kind](picture(corner)), trusted=True)
    return study.images[0]


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("corner", CORNERS)
def test_a_square_stays_in_its_corner_on_every_way(corner: str, kind: str) -> None:
    """File → array → display, thumbnail, tensors of four sizes: the white square is where it was, and as large."""
    image = read(corner, kind)
    assert image.pixels.shape[:2] == (HEIGHT, WIDTH)
    white = brightness(display_values(image)) > 0.5
    np.testing.assert_array_equal(white, picture(corner) > 0)
    np.testing.assert_array_equal(brightness(displayed(image)) > 127, picture(corner) > 0)
    assert corner_of(np.array(Pillow.open(io.BytesIO(thumbnail(image))).convert("L"))) == corner
    for size in ((HEIGHT, WIDTH), (32, 32), (17, 23), (200, 111)):
        for channels in (1, 3):
            tensor = preprocess(image, Preprocessing(size, channels, (0.0,) * channels, (1.0,) * channels))
            assert corner_of(tensor.mean(dim=0).numpy()) == corner
            share = float((tensor.mean(dim=0) > 0.5).float().mean())
            assert share == pytest.approx(SQUARE**2 / (HEIGHT * WIDTH), abs=0.02)


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (64, 40)])
@pytest.mark.parametrize("corner", CORNERS)
def test_heatmap_and_overlay_lie_on_the_square(corner: str, size: tuple[int, int]) -> None:
    """File → array → tensor → Grad-CAM → overlay: colour appears in the square's corner of the picture and in no other."""
    image = read(corner, "MONOCHROME1")
    checkpoint = bright_spot_checkpoint()
    checkpoint = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, size=size))
    heatmap = explain(checkpoint, image, Request(method="gradcam", target_class="malignant"))
    down, right = CORNERS[corner]
    peak = np.unravel_index(heatmap.values.argmax(), heatmap.values.shape)
    assert (peak[0] >= heatmap.values.shape[0] / 2, peak[1] >= heatmap.values.shape[1] / 2) == (bool(down), bool(right))
    overlay = np.array(Pillow.open(io.BytesIO(overlay_png(image, heatmap))))
    left = (overlay.shape[1] - WIDTH) // 2 if overlay.shape[1] > WIDTH else 0
    drawn = overlay[:HEIGHT, :WIDTH] if not overlay[:HEIGHT, WIDTH:].any() else overlay[:HEIGHT, left : left + WIDTH]
    colour = np.ptp(drawn.astype(int), axis=-1)  # grey has none
    assert corner_of(colour) == corner
    far = colour[: HEIGHT // 2] if down else colour[HEIGHT // 2 :]
    assert far.max() == 0


def test_the_test_would_see_a_turned_picture() -> None:
    """Every turn and mirror image of a corner square is another corner's."""
    upright = picture("top left")
    assert [corner_of(np.array(Pillow.fromarray(upright).transpose(turn))) for turn in Pillow.Transpose] == [
        "top right", "bottom left", "bottom left", "bottom right", "top right", "top left", "bottom right",
    ]  # fmt: skip
