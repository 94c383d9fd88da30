"""Grey values and colours against an independent renderer: DCMTK's `dcmj2pnm`, within one grey level.

Where DCMTK 3.6.7 leaves the standard, or does more than it asks for, the corpus goes round it:
- it knows LINEAR and SIGMOID only and draws LINEAR_EXACT as LINEAR; the exact function of centre c and width w is LINEAR of
  c + 0.5 and w + 1 (PS3.3 C.11.2.1.2.1 and .3), which is what it is given instead;
- it rounds rescaled values to whole numbers, which the standard does not; files with a fractional slope hold stored values
  whose rescaled values are whole;
- its smallest-to-largest window counts the padding; the window of the rest is given instead.
"""

from __future__ import annotations

import csv
import itertools
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from core.preprocess import display_values
from core.reading import read_paths, read_upload
from core.records import Image
from tests.core.dicom_factory import make_dicom

DCMTK = shutil.which("dcmj2pnm")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom"
pytestmark = pytest.mark.skipif(DCMTK is None, reason="DCMTK's dcmj2pnm is not installed (Debian package dcmtk)")

VOI = ("LINEAR", "LINEAR_EXACT", "SIGMOID", "TABLE", "NONE")
SLOPES = (1.0, 2.0, 0.5, -1.5)
EDGE = 12


@dataclass(frozen=True)
class Recipe:
    """What one generated file is made of."""

    photometric: str
    voi: str
    signed: bool
    bits: int
    slope: float
    padded: bool
    frames: int

    @property
    def intercept(self) -> float:
        """Only rescaled files have one; small, so that a table's first value fits 16 bits."""
        return 0.0 if self.slope == 1 else -7.0

    def stored(self) -> np.ndarray:
        """Stored values (frames, EDGE, EDGE) over the whole range; even ones where the slope is fractional."""
        low, high = (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.signed else (0, (1 << self.bits) - 1)
        values = np.random.default_rng(self.bits).integers(low, high + 1, (self.frames, EDGE, EDGE))
        values[:, 0, 0], values[:, -1, -1] = low, high
        values = values if self.slope == int(self.slope) else values // 2 * 2
        if self.padded:
            values[:, :, :2] = values[:, :, 3:5] = low
        return values.astype(f"{'i' if self.signed else 'u'}{1 if self.bits <= 8 else 2}")


def recipes() -> Iterator[Recipe]:
    """Every photometric × VOI function × signedness × bits × slope; padding and frames take turns over them."""
    turns = itertools.cycle(itertools.product((False, True), (1, 3)))
    for photometric, voi, signed, bits in itertools.product(
        ("MONOCHROME1", "MONOCHROME2"), VOI, (False, True), (8, 12, 16)
    ):
        for slope in SLOPES:
            yield Recipe(photometric, voi, signed, bits, slope, *next(turns))
        next(turns)  # five steps in a cycle of four: every slope meets every turn


def voi_elements(recipe: Recipe, values: np.ndarray) -> dict[str, Any]:
    """The VOI part of a header, about the middle of the modality values."""
    low, high = float(values.min()), float(values.max())
    middle, width = round((low + high) / 2 * 1.1), max(round((high - low) * 0.4), 2)
    if recipe.voi == "NONE":
        return {}
    if recipe.voi != "TABLE":
        return {"WindowCenter": middle, "WindowWidth": width, "VOILUTFunction": recipe.voi}
    entries = min(int(high - low) + 1, 1024)
    last = 32767 if low < 0 else 65535  # of the type that holds the table's first value
    first = int(np.clip(middle - entries // 2, -32768, last - entries))
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [entries, first, 12])
    item.add_new("LUTData", "OW", np.rint(4095 * np.linspace(0, 1, entries) ** 2).astype("<u2").tobytes())
    return {"VOILUTSequence": Sequence([item])}


def elements(recipe: Recipe, stored: np.ndarray) -> dict[str, Any]:
    """The header of a generated file."""
    rescaled = stored * recipe.slope + recipe.intercept
    header: dict[str, Any] = {"BitsStored": recipe.bits, "PhotometricInterpretation": recipe.photometric}
    if recipe.slope != 1:
        header |= {"RescaleSlope": recipe.slope, "RescaleIntercept": recipe.intercept}
    if recipe.padded:
        header["PixelPaddingValue"] = int(stored.min())
    if recipe.frames > 1:
        header["NumberOfFrames"] = recipe.frames
    return header | voi_elements(recipe, rescaled)


def dcmtk_options(recipe: Recipe, stored: np.ndarray) -> list[str]:
    """The window that DCMTK is told to use; see the top of this file for why it is not always the file's own."""
    if recipe.voi == "TABLE":
        return ["+Wl", "1"]
    if recipe.voi in ("LINEAR", "SIGMOID"):
        return ["+Wi", "1"]
    if recipe.voi == "LINEAR_EXACT":
        header = elements(recipe, stored)
        return ["+Wfl", "+Ww", str(header["WindowCenter"] + 0.5), str(header["WindowWidth"] + 1)]
    seen = stored[stored != stored.min()] if recipe.padded else stored
    low, high = sorted(float(value) * recipe.slope + recipe.intercept for value in (seen.min(), seen.max()))
    return ["+Ww", str((low + high) / 2 + 0.5), str(high - low + 1)]


def rendered(path: Path, frames: int, options: list[str]) -> list[np.ndarray] | None:
    """Every frame as DCMTK draws it, 8 bits a channel, without overlays; None where it cannot."""
    target = path.with_suffix("")
    command = [DCMTK, "-q", "-O", *options, "+Fa", "+op", str(path), str(target)]
    if subprocess.run(command, capture_output=True, timeout=60, check=False).returncode:
        return None
    pictures = [next(path.parent.glob(f"{target.name}.{frame}.p?m")) for frame in range(frames)]
    return [np.array(Pillow.open(picture)).astype(int) for picture in pictures]


def shown(image: Image) -> np.ndarray:
    """An image as the app shows it, 0–255."""
    return np.rint(255 * display_values(image)).astype(int)


def largest_difference(folder: Path, recipe: Recipe) -> int:
    """Grey levels between the app and DCMTK over one generated file."""
    stored = recipe.stored()
    data = make_dicom(stored if recipe.frames > 1 else stored[0], **elements(recipe, stored))
    path = folder / f"{abs(hash(recipe))}.dcm"
    path.write_bytes(data)
    (study,) = read_upload(path.name, data)
    drawn = rendered(path, recipe.frames, dcmtk_options(recipe, stored))
    assert drawn is not None, recipe
    return max(int(np.abs(shown(image) - other).max()) for image, other in zip(study.images, drawn, strict=True))


def test_generated_corpus_is_drawn_alike(tmp_path: Path) -> None:
    """Photometric × VOI function × signedness × bits × slope × padding × frames: within one grey level everywhere."""
    corpus = list(recipes())
    assert len(corpus) == 2 * len(VOI) * 2 * 3 * len(SLOPES)
    assert len({(recipe.slope, recipe.padded, recipe.frames) for recipe in corpus}) == len(SLOPES) * 4
    with ThreadPoolExecutor(2) as pool:
        differences = list(pool.map(lambda recipe: largest_difference(tmp_path, recipe), corpus))
    assert [(recipe, d) for recipe, d in zip(corpus, differences, strict=True) if d > 1] == []


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE"])
def test_presentation_lut_shape_has_the_last_word(tmp_path: Path, photometric: str, shape: str) -> None:
    """INVERSE turns the scale over and IDENTITY does not, whatever the photometric interpretation."""
    values = np.arange(144, dtype=np.uint16).reshape(12, 12)
    header = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape, "BitsStored": 8}
    path = tmp_path / "shape.dcm"
    path.write_bytes(make_dicom(values, WindowCenter=72, WindowWidth=144, **header))
    (study,) = read_upload(path.name, path.read_bytes())
    assert np.abs(shown(study.images[0]) - rendered(path, 1, ["+Wi", "1"])[0]).max() <= 1
    assert (shown(study.images[0])[0, 0] == 255) == (shape == "INVERSE")


@pytest.mark.parametrize("place", [1, 2, 3])
def test_each_of_several_windows_is_drawn_alike(tmp_path: Path, place: int) -> None:
    """All windows that a file offers, not only the first."""
    values = np.arange(144, dtype=np.uint16).reshape(12, 12)
    path = tmp_path / "several.dcm"
    path.write_bytes(make_dicom(values, WindowCenter=[40, 72, 100], WindowWidth=[20, 144, 1]))
    window = read_upload(path.name, path.read_bytes())[0].images[0].windows[place - 1]
    ours = np.rint(255 * window.apply(values)).astype(int)
    assert np.abs(ours - rendered(path, 1, ["+Wi", str(place)])[0]).max() <= 1


def palette_elements(bits: int, first: int, *, segmented: bool) -> dict[str, Any]:
    """A palette of 64 colours: red rises, green falls, blue is a step."""
    top = 255 if bits == 8 else 65535
    ramps = {"Red": (0, top), "Green": (top, 0), "Blue": (top // 2, top // 2)}
    header: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, (start, end) in ramps.items():
        header[f"{name}PaletteColorLookupTableDescriptor"] = [64, first, bits]
        if segmented:  # a discrete segment with the first colour, then a linear one to the last (PS3.3 C.7.9.2)
            header[f"Segmented{name}PaletteColorLookupTableData"] = np.array([0, 1, start, 1, 63, end], "<u2").tobytes()
        else:
            table = np.linspace(start, end, 64).round()
            header[f"{name}PaletteColorLookupTableData"] = table.astype("u1" if bits == 8 else "<u2").tobytes()
    return header


@pytest.mark.parametrize(
    ("bits", "first", "segmented"), [(8, 0, False), (16, 0, False), (16, 40, False), (16, 0, True)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_palettes_are_drawn_alike(tmp_path: Path, bits: int, first: int, segmented: bool, dtype: type) -> None:
    """Palettes of 8 and 16 bits, with an offset, and segmented ones, which DCMTK 3.6.7 does not read."""
    indices = (np.arange(144) % 130).reshape(12, 12).astype(dtype)
    path = tmp_path / "palette.dcm"
    path.write_bytes(make_dicom(indices, **palette_elements(bits, first, segmented=segmented)))
    (study,) = read_upload(path.name, path.read_bytes())
    if segmented:
        plain = make_dicom(indices, **palette_elements(bits, first, segmented=False))
        path.write_bytes(plain)
    assert np.abs(shown(study.images[0]) - rendered(path, 1, [])[0]).max() <= 1


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("planar", [0, 1])
def test_colours_are_drawn_alike(tmp_path: Path, photometric: str, planar: int) -> None:
    """RGB and YBR, by pixel and by plane; YBR within two levels, since DCMTK adds up rounded parts."""
    values = np.random.default_rng(1).integers(60, 196, (12, 12, 3), dtype=np.uint8)
    held = values.transpose(2, 0, 1) if planar else values
    header = {"PhotometricInterpretation": photometric, "PlanarConfiguration": planar, "PixelData": held.tobytes()}
    path = tmp_path / "colour.dcm"
    path.write_bytes(make_dicom(values, **header))
    (study,) = read_upload(path.name, path.read_bytes())
    difference = np.abs(shown(study.images[0]) - rendered(path, 1, [])[0]).max()
    assert difference <= (0 if photometric == "RGB" else 2)


def real_files() -> list[str]:
    """Decodable files beside the checkout; none where the public data are absent."""
    table = DATA / "manifest.csv"
    if not table.exists():
        return []
    return [row["file"].removeprefix("dicom/") for row in csv.DictReader(table.open()) if row["decode"] == "ok"]


def options_of(path: Path, image: Image) -> list[str]:
    """What makes DCMTK use the window that the app uses by default."""
    if image.window is None:
        return ["+cg"]  # a JPEG whose own marker says YCbCr is one, also under a header that says RGB
    if image.windows:
        return ["+Wl", "1"] if image.window.function == "TABLE" else ["+Wi", "1"]
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    if "PixelPaddingValue" not in header:
        return ["+Wm"]
    seen = image.window  # smallest to largest without padding, in pixel units
    low, high = sorted((seen.center + side * seen.width / 2) * image.slope + image.intercept for side in (-1, 1))
    return ["+Ww", str((low + high) / 2 + 0.5), str(high - low + 1)]


@pytest.mark.real_data
@pytest.mark.parametrize("name", real_files())
def test_public_files_are_drawn_alike(tmp_path: Path, name: str) -> None:
    """Every public file that both can decode."""
    (outcome,) = read_paths([DATA / name])
    if outcome.rejected:
        pytest.skip(f"refused here: {outcome.rejected.reason}")
    (study,) = outcome.studies
    path = tmp_path / "file.dcm"
    shutil.copyfile(DATA / name, path)
    drawn = rendered(path, len(study.images), options_of(path, study.images[0]))
    if drawn is None:
        pytest.skip("DCMTK's dcmj2pnm cannot decode it (JPEG 2000, JPEG-LS, float, or damaged)")
    images = sorted(study.images, key=lambda image: image.frame)
    for image, other in zip(images, drawn, strict=True):
        assert np.abs(shown(image) - other).max() <= 1
