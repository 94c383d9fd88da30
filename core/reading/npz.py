"""MedMNIST NPZ files -> one study per image."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from core.reading import limits
from core.reading.archive import check_directory, check_member
from core.reading.grey import picture_window, to_stored
from core.records import Image, Refused, Study, StudyRejected, study_id
from core.tasks import Task, get_task

SPLITS = ("train", "val", "test")
_EXPECTED = "An NPZ file needs MedMNIST's names: train_images, train_labels, and the same for val and test."


@dataclass(frozen=True)
class Part:
    """Which images of an NPZ file are wanted: of one `split` or (empty) of all, from place `start` up to `stop` (None: the end).

    Places are counted in each split from 0. Raises `Refused` for an unknown split and an empty range.
    """

    split: str = ""
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.split not in ("", *SPLITS):
            raise Refused(f"The split is '{self.split}'; it must be {', '.join(SPLITS[:-1])} or {SPLITS[-1]}.")
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise Refused("The range holds no image; write START:STOP with START below STOP, for example 0:50.")

    @classmethod
    def of(cls, split: str = "", span: str = "") -> Part:
        """From what people write: a split and START:STOP, START: or :STOP. Raises `Refused` for anything else."""
        found = re.fullmatch(r"(\d{0,9}):(\d{0,9})", span.strip() or ":")
        if not found:
            raise Refused(f"'{span[:40]}' is no range; write START:STOP, for example 0:50.")
        return cls(split, int(found[1] or 0), int(found[2]) if found[2] else None)

    def count(self, images: int) -> int:
        """How many of that many images of one split are wanted."""
        return max(0, min(images, images if self.stop is None else self.stop) - self.start)


WHOLE = Part()


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npz(data: bytes, name: str, task: str = "", part: Part = WHOLE) -> list[Study]:
    """One study per wanted image of the keys `<split>_images`, named `<name> <split> <index>`; other keys are left alone.

    Images are (N, H, W) or (N, H, W, 3), of which `part` takes 2,000 at most; labels (N,) or (N, 1) become the reference
    standard through the classes of `task`. Headers are read before data, objects never. Raises `StudyRejected`.
    """
    check_directory(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) > limits.NPZ_MEMBERS:
            raise StudyRejected(
                f"The NPZ file holds {len(members)} arrays; at most {limits.NPZ_MEMBERS} are read.", _EXPECTED
            )
        wanted = [split for split in ([part.split] if part.split else SPLITS) if f"{split}_images" in members]
        if not wanted:
            which = f"of the split {part.split}" if part.split else "under a known name"
            raise StudyRejected(f"The NPZ file holds no images {which}.", _EXPECTED)
        headers = {key: _peek(archive, info) for key, info in members.items()}
        _check_count([_count(headers[f"{split}_images"]) for split in wanted], part)
        studies: list[Study] = []
        for split in wanted:
            images = _load(archive, members[f"{split}_images"], part)
            labels = _load(archive, members[key]) if (key := f"{split}_labels") in members else None
            standards = _class_names(labels, headers[f"{split}_images"].shape[0], task)[part.start : part.stop]
            studies += _studies(list(zip(images, standards, strict=True)), f"{name} {split}", part.start, task)
        return studies


def _check_count(held: list[int], part: Part) -> None:
    """Of splits with that many images each, some must be wanted, and not too many."""
    count = sum(part.count(images) for images in held)
    if count == 0 and max(held) > 0:
        raise StudyRejected(f"The NPZ file holds {max(held):,} images, none in that range.", "Choose another range.")
    if count == 0:
        raise StudyRejected("The NPZ file's arrays hold no images.", _EXPECTED)
    if count > limits.NPZ_IMAGES:
        raise StudyRejected(
            f"The NPZ file holds {count:,} images; at most {limits.NPZ_IMAGES:,} are read as studies.",
            "Choose a split or a range of it; whole datasets are evaluated from the terminal.",
        )


def _studies(cases: list[tuple[np.ndarray, str | None]], name: str, first: int, task: str) -> Iterator[Study]:
    split = name.rsplit(" ", 1)[-1]
    for index, (values, standard) in enumerate(cases, start=first):
        image = _image(values)
        facts: dict[str, Any] = {"source": "NPZ", "split": split, "index": index}
        facts |= {"rows": image.pixels.shape[0], "columns": image.pixels.shape[1]}
        yield Study(
            id=study_id((image,)),
            name=f"{name} {index}",
            modality="",
            images=(image,),
            task=task,
            reference_standard=standard,
            metadata=facts,
        )


def _image(values: np.ndarray) -> Image:
    if values.ndim == 3:
        return Image(pixels=np.ascontiguousarray(values))
    stored = to_stored(np.ascontiguousarray(values))
    window = picture_window(stored.pixels)
    return Image(pixels=stored.pixels, window=window, slope=stored.slope, intercept=stored.intercept)


def _count(header: _Header) -> int:
    """Number of images announced by the header of an images array."""
    shape = header.shape
    colour = len(shape) == 4 and shape[3] == 3 and header.dtype == np.uint8
    if not (len(shape) == 3 or colour):
        raise StudyRejected(
            f"An images array is {header.dtype} {shape}; it must be (N, H, W), or uint8 (N, H, W, 3).", _EXPECTED
        )
    if shape[0]:
        limits.check_geometry(shape[1], shape[2], channels=math.prod(shape[3:]), sample_bytes=header.dtype.itemsize)
    return shape[0]


def _class_names(labels: np.ndarray | None, count: int, task: str) -> list[str | None]:
    if labels is None:
        return [None] * count
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iu":
        raise StudyRejected(
            f"A labels array is {labels.dtype} {labels.shape}; it must hold one whole number for each of {count} images.",
            _EXPECTED,
        )
    if not task:
        return [None] * count
    return [_class_name(int(label), get_task(task)) for label in labels.reshape(-1)]


def _class_name(label: int, task: Task) -> str:
    if not 0 <= label < len(task.classes):
        raise StudyRejected(
            f"Label {label} is none of {task.title}'s {len(task.classes)} classes.", "Choose the task of this dataset."
        )
    return task.classes[label]


def _peek(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
    """The header of one array, checked; its data stay unread."""
    check_member(info)
    with archive.open(info) as stream:
        return _read_header(stream)


def _read_header(stream: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise StudyRejected("The NPZ file holds an array with named fields.", "Save plain arrays of numbers.")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    header = _Header(tuple(int(n) for n in shape), bool(fortran_order), dtype)
    if dtype.hasobject or dtype.kind not in "buif":
        raise StudyRejected(
            "The NPZ file holds Python objects or text, which are never loaded.", "Save plain arrays of numbers."
        )
    if min(header.shape, default=0) < 0:
        raise StudyRejected("An array of the NPZ file announces a negative size.", "Save or copy it again.")
    return header


def _load(archive: zipfile.ZipFile, info: zipfile.ZipInfo, part: Part = WHOLE) -> np.ndarray:
    with archive.open(info) as stream:
        header = _read_header(stream)
        if header.shape and part.count(header.shape[0]) < header.shape[0] and not header.fortran_order:
            return _load_rows(stream, header, part, info.compress_size)
        _check_array_bytes(header.nbytes)
        chunks = iter(lambda: stream.read(limits.MIB), b"")
        data = limits.collect(chunks, info.compress_size, limits.INFLATED_BYTES)
    if len(data) != header.nbytes:
        raise StudyRejected("An array of the NPZ file is shorter or longer than it says.", "Save or copy it again.")
    values = _shaped(header, data)[part.start : part.stop]
    return values


def _load_rows(stream: IO[bytes], header: _Header, part: Part, stored: int) -> np.ndarray:
    """The wanted images only: those before are inflated and dropped, those after are not read."""
    one, count = header.nbytes // header.shape[0], part.count(header.shape[0])
    if not count:
        return np.empty((0, *header.shape[1:]), header.dtype)
    _check_array_bytes(one * count)
    skipped, before = 0, one * part.start
    while skipped < before and (chunk := stream.read(min(limits.MIB, before - skipped))):
        skipped += len(chunk)
        if skipped > max(limits.RATIO_FLOOR, limits.RATIO * stored):
            raise StudyRejected(
                f"Compressed contents unpack to more than {limits.RATIO} times their size.",
                "Export it without compression.",
            )
    left = iter(lambda: stream.read(min(limits.MIB, one * count - len(data))), b"")
    data = bytearray()
    for chunk in left:
        data += chunk
    if len(data) != one * count:
        raise StudyRejected("An array of the NPZ file is shorter than it says.", "Save or copy it again.")
    return np.frombuffer(bytes(data), dtype=header.dtype).reshape(count, *header.shape[1:])


def _check_array_bytes(size: int) -> None:
    if size > limits.INFLATED_BYTES:
        raise StudyRejected(
            f"What is wanted of an array of the NPZ file is {size / limits.MIB:,.0f} MB large; "
            f"at most {limits.INFLATED_BYTES // limits.MIB} MB are read.",
            "Choose a smaller range.",
        )


def _shaped(header: _Header, data: bytes) -> np.ndarray:
    values = np.frombuffer(data, dtype=header.dtype)
    return values.reshape(header.shape[::-1]).T if header.fortran_order else values.reshape(header.shape)
