"""One small file of every kind that people send, ways to damage them, and files made to do harm."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib

import imagecodecs
import numpy as np
from PIL import Image as Pillow
from pydicom import uid

from core.reading import Outcome
from tests.core.dicom_factory import encapsulated, make_dataset, make_dicom, to_bytes

MIB = 1 << 20
WIDE = np.random.default_rng(3).integers(0, 4096, (24, 24), dtype=np.uint16)
NARROW = (WIDE >> 4).astype(np.uint8)


def picture(values: np.ndarray, kind: str, **options: object) -> bytes:
    """Values as a picture file."""
    stream = io.BytesIO()
    Pillow.fromarray(values).save(stream, kind, **options)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    """Arrays as a compressed NPZ file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """Files as a ZIP archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def plain(values: np.ndarray, syntax: uid.UID, **elements: object) -> bytes:
    """Values as a DICOM file in a transfer syntax without frames of its own."""
    dataset = make_dataset(values, **elements)
    dataset.file_meta.TransferSyntaxUID = syntax
    return to_bytes(dataset)


def packed(frame: bytes, values: np.ndarray, syntax: uid.UID, **elements: object) -> bytes:
    """A compressed frame inside a DICOM file whose header describes `values`."""
    return encapsulated(make_dataset(values, **elements), [frame], syntax)


def subjects() -> dict[str, bytes]:
    """One small file of each kind, all of them readable."""
    colours = np.dstack([NARROW, NARROW[::-1], NARROW.T])
    return {
        "png": picture(WIDE, "PNG"),
        "jpeg": picture(colours, "JPEG"),
        "tiff": picture(NARROW, "TIFF", compression="tiff_lzw"),
        "npz": npz(test_images=np.stack([NARROW, NARROW.T]), test_labels=np.array([[0], [1]])),
        "zip": zipped({"a.png": picture(NARROW, "PNG"), "b.dcm": make_dicom(WIDE)}),
        "dicom": make_dicom(np.stack([WIDE, WIDE]), NumberOfFrames=2, PhotometricInterpretation="MONOCHROME1"),
        "implicit": plain(
            WIDE.astype(np.int16), uid.ImplicitVRLittleEndian, RescaleSlope=2, WindowCenter=40, WindowWidth=80
        ),
        "deflated": plain(WIDE, uid.DeflatedExplicitVRLittleEndian),
        "rle": packed(run_lengths(WIDE), WIDE, uid.RLELossless),
        "dicom jpeg": packed(imagecodecs.jpeg8_encode(NARROW), NARROW, uid.JPEGBaseline8Bit),
        "lossless jpeg": packed(
            imagecodecs.ljpeg_encode(WIDE, bitspersample=12), WIDE, uid.JPEGLosslessSV1, BitsStored=12
        ),
        "jpeg-ls": packed(imagecodecs.jpegls_encode(WIDE), WIDE, uid.JPEGLSLossless),
        "jpeg 2000": packed(imagecodecs.jpeg2k_encode(WIDE, codecformat="j2k"), WIDE, uid.JPEG2000Lossless),
    }


def run_lengths(values: np.ndarray) -> bytes:
    """One frame in literal runs (PS3.5 annex G), the most significant byte plane first."""
    planes = [(values >> 8).astype(np.uint8).tobytes(), (values & 255).astype(np.uint8).tobytes()]
    segments = []
    for plane in planes:
        runs = [plane[at : at + 128] for at in range(0, len(plane), 128)]
        segment = b"".join(bytes([len(run) - 1]) + run for run in runs)
        segments.append(segment + b"\0" * (len(segment) % 2))
    offsets = [64, 64 + len(segments[0])]
    return struct.pack("<16L", 2, *offsets, *[0] * 13) + b"".join(segments)


def mutated(data: bytes, dice: random.Random) -> bytes:
    """The file with some bytes changed, cut out, doubled, numbers made extreme, or its end missing."""
    broken = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        if not broken:
            break
        at = dice.randrange(len(broken))
        change = dice.choice(["byte", "byte", "header", "number", "cut", "double", "move", "end"])
        if change == "byte":
            broken[at] = dice.randrange(256)
        elif change == "header":
            broken[dice.randrange(min(600, len(broken)))] = dice.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif change == "number":
            broken[at : at + 4] = dice.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\0\x80"])
        elif change == "cut":
            del broken[at : at + dice.randint(1, 16)]
        elif change == "double":
            broken[at:at] = broken[at : at + dice.randint(1, 64)]
        elif change == "move":
            other = dice.randrange(len(broken))
            broken[at : at + 8] = broken[other : other + 8]
        else:
            del broken[max(at, 1) :]
    return bytes(broken)


def is_sound(outcome: Outcome) -> bool:
    """True where an outcome is either studies or one sentence and its hint."""
    if outcome.rejected is None:
        return bool(outcome.studies) or "part of study" in outcome.note
    return not outcome.studies and outcome.rejected.reason.endswith(".") and bool(outcome.rejected.hint)


# Files made to do harm


def zeros_deflated(size: int) -> bytes:
    """A raw deflate stream of `size` zeros, made of one piece over and over (a thousandth of the size, in no time)."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(8 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (size // (8 * MIB)) + packer.flush(zlib.Z_FINISH)


def deflated_bomb(size: int) -> bytes:
    """A deflated DICOM file that unpacks to `size` bytes."""
    data = subjects()["deflated"]
    head_end = 144 + int.from_bytes(data[140:144], "little")
    return data[:head_end] + zeros_deflated(size)


def lying_jpeg(rows: int, columns: int, filler: int = 0) -> bytes:
    """A small JPEG whose frame header announces another size, with `filler` bytes of comments."""
    data = bytearray(imagecodecs.jpeg8_encode(NARROW))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", rows, columns)
    comment = b"\xff\xfe" + struct.pack(">H", 65_535) + b"x" * 65_533
    return bytes(data[:2]) + comment * (filler // len(comment)) + bytes(data[2:])


def zip_of_one_stream(name: str, stream: bytes, size: int, copies: int = 1) -> bytes:
    """A ZIP with `copies` entries that all lie over one deflated member which says that it unpacks to `size` bytes."""
    sizes = struct.pack("<LLL", 0, len(stream), size)
    local = (
        b"PK\x03\x04" + struct.pack("<5H", 20, 0, 8, 0, 0) + sizes + struct.pack("<HH", len(name), 0) + name.encode()
    )
    entry = b"PK\x01\x02" + struct.pack("<6H", 20, 20, 0, 8, 0, 0) + sizes
    entry += struct.pack("<HHHHHLL", len(name), 0, 0, 0, 0, 0, 0) + name.encode()
    directory = entry * copies
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, copies, copies, len(directory), len(local) + len(stream), 0)
    return local + stream + directory + end


def npz_bomb(shape: tuple[int, ...]) -> bytes:
    """An NPZ whose one array announces `shape` and unpacks to 2 GiB, in 2 MB."""
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    header = b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head
    packer = zlib.compressobj(9, wbits=-15)
    start = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    return zip_of_one_stream("test_images.npy", start + zeros_deflated(2048 * MIB), 2048 * MIB + len(header))
