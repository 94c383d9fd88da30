"""Pixel files: what goes in comes out, and damage is seen."""

import gzip

import numpy as np
import pytest

from core.records import Image, full_range_window
from db.engine import StoreError
from db.pixels import load_pixels, pixel_path, put_all, put_pixels
from tests.db import make


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty `TUMORTRACE_HOME`."""
    monkeypatch.setenv("TUMORTRACE_HOME", str(tmp_path))
    return tmp_path


def test_round_trip(home):
    """Grey and colour pixels come back equal, in type and shape, from a file named after their content."""
    for image in (make.grey(), make.colour()):
        pixel_hash = put_pixels(image)
        assert pixel_hash == image.content_hash
        assert pixel_path(pixel_hash) == home / "pixels" / pixel_hash[:2] / f"{pixel_hash}.gz"
        loaded = load_pixels(pixel_hash, image.pixels.shape, image.pixels.dtype)
        assert loaded.dtype == image.pixels.dtype
        np.testing.assert_array_equal(loaded, image.pixels)


def test_the_file_is_raw_little_endian(home):
    """Unzipped, the file is what a browser's Uint16Array reads: 0x0102 is 02 01."""
    pixels = np.array([[0x0102, 0x0304]], dtype=np.uint16)
    path = pixel_path(put_pixels(Image(pixels, full_range_window(pixels))))
    assert gzip.decompress(path.read_bytes()) == b"\x02\x01\x04\x03"


def test_a_view_of_a_larger_array_is_kept_in_order(home):
    """Pixels that do not lie side by side in memory are written row by row."""
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)[::-1, ::2]
    pixel_hash = put_pixels(Image(pixels, full_range_window(pixels)))
    np.testing.assert_array_equal(load_pixels(pixel_hash, (4, 3), "uint8"), pixels)


def test_an_existing_file_stays(home):
    """The same picture again writes nothing, and no draft is left beside it."""
    first, second = put_all([make.grey(), make.grey()])
    written = pixel_path(first).stat().st_mtime_ns
    assert put_pixels(make.grey()) == first == second
    assert pixel_path(first).stat().st_mtime_ns == written
    assert [path.name for path in pixel_path(first).parent.iterdir()] == [f"{first}.gz"]


@pytest.mark.parametrize("name", ["", "a", "../../etc/passwd", "A" * 64, "g" * 64, "0" * 63 + "\n", "0" * 65])
def test_only_a_hash_becomes_a_path(home, name):
    """Anything but 64 hex digits is refused before it touches the disk."""
    with pytest.raises(ValueError, match="SHA-256"):
        pixel_path(name)


def cut(data: bytes) -> bytes:
    """The first half."""
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    """One bit other."""
    return data[:-12] + bytes([data[-12] ^ 1]) + data[-11:]


def other_picture(_: bytes) -> bytes:
    """Whole and of the right size, but other pixels."""
    return gzip.compress(bytes(24))


def longer(data: bytes) -> bytes:
    """One byte more."""
    return gzip.compress(gzip.decompress(data) + b"x")


@pytest.mark.parametrize("damage", [cut, flip, other_picture, longer, lambda _: b"", lambda _: b"no gzip"])
def test_damage_is_seen(home, damage):
    """A file that is cut, altered, swapped, too long, empty or something else gives a sentence, never pixels."""
    pixel_hash = put_pixels(make.grey())
    path = pixel_path(pixel_hash)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match="damaged"):
        load_pixels(pixel_hash, (3, 4), "uint16")


def test_a_missing_file_says_so(home):
    """Pixels that were never kept, or were deleted, give a sentence."""
    with pytest.raises(StoreError, match="missing"):
        load_pixels("0" * 64, (3, 4), "uint16")


def test_a_folder_that_cannot_be_made_says_so(home):
    """When the disk refuses, the sentence says that nothing was saved."""
    (home / "pixels").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="nothing was saved"):
        put_pixels(make.grey())
