"""DICOM bytes -> one instance: its images and the facts that may be kept. Names, dates and UIDs are not read or not kept."""

from __future__ import annotations

import hashlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag, Tag

from core.reading import limits
from core.reading.dicom_facts import FACT_KEYWORDS, facts_of, notices_of, number, term, text
from core.reading.dicom_pixels import PIXEL_KEYWORDS, PIXELS, decode_images
from core.reading.names import pseudonym
from core.reading.places import PLACE_KEYWORDS, Place, place_of
from core.records import Image, StudyRejected

# What pydicom says about odd values would quote them, and they may be a patient's: refusals say what matters.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")

_IDENTITY = (
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "SOPClassUID",
    "SOPInstanceUID",
)
_PIXEL_TAGS = {Tag(keyword) for keyword in PIXELS}
_HEADER_TAGS = {
    Tag(keyword) for keyword in (*_IDENTITY, *FACT_KEYWORDS, *PLACE_KEYWORDS, *PIXEL_KEYWORDS)
} - _PIXEL_TAGS
_TAGS: list[BaseTag | int] = [*_HEADER_TAGS, *_PIXEL_TAGS]

_KEPT = {int(tag) for tag in _TAGS} - {int(Tag(keyword)) for keyword in _IDENTITY}

_NOT_PICTURES = {
    "SR": "a structured report",
    "KO": "a list of key images",
    "PR": "a presentation state",
    "SEG": "a segmentation mask",
    "RTDOSE": "a radiotherapy dose grid",
    "RTSTRUCT": "a set of radiotherapy contours",
    "RTPLAN": "a radiotherapy plan",
    "REG": "a spatial registration",
    "DOC": "an enclosed document",
    "ECG": "an electrocardiogram",
}
_PLAIN_HEADER = b"\0" * 128 + b"DICM\x02\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0"  # says: explicit little endian


@dataclass(frozen=True)
class Instance:
    """One DICOM file, read. `study_key` is equal for files of one study, `order` sorts them; neither shows a UID."""

    images: tuple[Image, ...]
    modality: str
    patient_id: str
    study_key: str
    order: tuple[Any, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    places: tuple[Place, ...] = ()  # one for each image
    left: tuple[int, ...] = ()  # tags of the header's elements of which nothing is kept, or no more than a pseudonym
    identity: str = ""  # equal for copies of one picture, also in different encodings; they show no UID


class _CountedBytes(io.BytesIO):
    """A stream that gives up when a parser asks too often: the header then has too many elements."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > limits.HEADER_READS:
            raise StudyRejected("The DICOM header has too many elements.", "Export the pictures without extra data.")
        return super().read(size)


def read_instance(data: bytes, secret: bytes = b"") -> Instance:
    """Read one DICOM file, with or without preamble; raises `StudyRejected` where it is no picture or damaged.

    `secret` keys the pseudonym that replaces the patient id.
    """
    with only_refusals():
        dataset, seen = _parse(data)
        _check_is_picture(dataset)
        images = decode_images(dataset)
        instance = _instance(dataset, images, secret, hashlib.sha256(data).hexdigest())
        has_overlays = any(tag >> 16 & 0xFF01 == 0x6000 for tag in seen)
        notices = notices_of(dataset, has_overlays=has_overlays)
        facts = {**instance.metadata, **({"notices": notices} if notices else {})}
        return replace(instance, metadata=facts, left=tuple(tag for tag in seen if tag not in _KEPT))


@contextmanager
def only_refusals() -> Iterator[None]:
    """Whatever goes wrong inside becomes `StudyRejected`: damaged DICOM raises nearly every kind of error."""
    try:
        yield
    except StudyRejected:
        raise
    except RecursionError as error:
        raise StudyRejected("The DICOM header is nested too deeply.", "Export the file again.") from error
    except Exception as error:
        raise StudyRejected(
            f"The DICOM file is damaged or of an unusual kind ({type(error).__name__}).",
            "Export it again, uncompressed if possible.",
        ) from error


def _parse(data: bytes) -> tuple[Dataset, list[int]]:
    """The wanted elements of a DICOM file, pixels still encoded, and the tags of all."""
    has_meta = data[128:132] == b"DICM"
    if has_meta:
        data = _inflated(data)
    pixels_begun = False
    seen: list[int] = []

    def check(tag: Any, vr: str | None, length: int) -> bool:
        nonlocal pixels_begun
        seen.append(int(tag))
        pixels_begun |= tag in _PIXEL_TAGS
        if tag in _HEADER_TAGS and limits.HEADER_VALUE_BYTES < length < 0xFFFFFFFF:
            raise StudyRejected("The DICOM header holds an oversized element.", "Export the file again.")
        return False

    try:
        dataset = read_partial(_CountedBytes(data), stop_when=check, force=True, specific_tags=_TAGS)
    except (OSError, EOFError, struct.error) as error:
        raise StudyRejected(
            "The DICOM header cannot be parsed: the lengths that it states do not fit.", "Export the file again."
        ) from error
    dataset.file_meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _guessed_syntax(dataset)
    if pixels_begun and not any(keyword in dataset for keyword in PIXELS):
        raise StudyRejected("The DICOM file is cut off inside its pixels.", "Copy or export it again.")
    return dataset, seen


def _inflated(data: bytes) -> bytes:
    """The same file uncompressed when its data set is deflated (PS3.5 A.5), inflated under the limits; else as given."""
    stream = io.BytesIO(data[132:])
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return data
    packed = data[132 + stream.tell() :]
    try:
        return _PLAIN_HEADER + limits.collect(_inflate(packed), len(packed))
    except zlib.error as error:
        raise StudyRejected("The compressed DICOM file is damaged.", "Export it again, uncompressed.") from error


def _inflate(packed: bytes) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while packed and not inflater.eof:
        yield inflater.decompress(packed, limits.MIB)
        packed = inflater.unconsumed_tail


def _guessed_syntax(dataset: Dataset) -> uid.UID:
    """The uncompressed transfer syntax as which pydicom managed to read a file that names none."""
    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _check_is_picture(dataset: Dataset) -> None:
    """Refuse what carries no picture, saying what it is."""
    hint = "Upload the picture series instead."
    meta_class = dataset.file_meta.get("MediaStorageSOPClassUID", "")
    if meta_class == uid.MediaStorageDirectoryStorage:
        raise StudyRejected("The file is a DICOMDIR, a table of contents without pictures.", hint)
    if what := _NOT_PICTURES.get(text(dataset, "Modality")):
        raise StudyRejected(f"The DICOM file is {what}, not a picture.", hint)
    if not len(dataset):
        raise StudyRejected("The file begins like DICOM but holds nothing that can be read.", "Export it again.")
    present = [keyword for keyword in PIXELS if keyword in dataset]
    if not present:
        sop_class = uid.UID(str(dataset.get("SOPClassUID", "") or meta_class))
        what = f" ({sop_class.name})" if sop_class in uid.UID_dictionary else ""
        raise StudyRejected(f"The DICOM file{what} holds no pixels.", hint)
    if not dataset.get_item(present[0]).value:
        raise StudyRejected("The DICOM file's pixels are empty.", "Export it again.")


def _instance(dataset: Dataset, images: tuple[Image, ...], secret: bytes, digest: str) -> Instance:
    modality = term(dataset, "Modality")
    patient = str(dataset.get("PatientID") or "")
    study_uid = str(dataset.get("StudyInstanceUID") or "") or digest  # a file that names no study is one
    raw = text(dataset, "PresentationIntentType") == "FOR PROCESSING"  # a study of its own: nobody reads it by mistake
    key = hashlib.sha256("|".join((study_uid, patient, modality, str(raw))).encode("utf-8", "replace")).hexdigest()
    series = hashlib.sha256(str(dataset.get("SeriesInstanceUID") or "").encode("utf-8", "replace")).hexdigest()
    last = float("inf")
    order = (number(dataset, "SeriesNumber", last), series, number(dataset, "InstanceNumber", last), digest)
    places = tuple(place_of(dataset, image.frame, order[:2]) for image in images)
    return Instance(
        images=images,
        modality=modality,
        patient_id=pseudonym(patient, secret),
        study_key=key,
        order=order,
        metadata=facts_of(dataset),
        places=places,
        identity=_identity(dataset, images) or digest,
    )


def _identity(dataset: Dataset, images: tuple[Image, ...]) -> str:
    """Of the instance's UID and its pixels: a UID that stands on two different pictures does not hide one of them."""
    own = str(dataset.get("SOPInstanceUID") or "")
    parts = (own, *(image.content_hash for image in images))
    return hashlib.sha256("|".join(parts).encode("utf-8", "replace")).hexdigest() if own else ""
