"""A DICOM file -> its de-identified copy: new preamble and file meta, every element under the rules, pixels written anew."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import dcmread, uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import format_number_as_ds

from core.deidentify import rules
from core.deidentify.pixels import swap_words, with_plain_pixels
from core.deidentify.remap import Remap
from core.reading import limits
from core.reading.dicom import _CountedBytes, _guessed_syntax, _inflated, only_refusals
from core.reading.dicom_pixels import decode_images
from core.reading.terms import told_age
from core.records import StudyRejected

METHOD = f"PS3.15 {rules.EDITION} Basic Profile, modified dates; pixels rewritten"
_OPTIONS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
)
_IMPLEMENTATION = "2.25.202417368894012711843357104210948734655"  # of this program's copies
_DEEPEST = 16  # nested sequences


@dataclass(frozen=True)
class Copy:
    """A de-identified file. `cleaned` says what was done to which elements, without any value.

    `patient` is the pseudonym, `instance` the new SOP Instance UID; `burned_in` is YES, NO or unknown, as the file says.
    """

    data: bytes
    cleaned: tuple[str, ...]
    patient: str
    instance: str
    burned_in: str

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the copy's bytes."""
        return hashlib.sha256(self.data).hexdigest()


def deidentify(data: bytes, secret: bytes) -> Copy:
    """The de-identified copy of one DICOM file: the same file and secret give the same bytes.

    `secret` is the installation's: it keys pseudonyms, new UIDs and the patient's date shift. What is burned into the pixels
    stays in them. Raises `StudyRejected` for what is no picture, damaged or beyond the limits.
    """
    with only_refusals():
        dataset = parse(data)
        decode_images(dataset)  # whatever cannot be shown cannot be vouched for; it also holds the pixels to the limits
        done: Counter[str] = Counter()
        remap = _remap(dataset, secret, data)
        plain = with_plain_pixels(dataset)
        clean = _cleaned_dataset(plain, remap, done)
        _say_how(clean, remap, data)
        stream = io.BytesIO()
        clean.save_as(stream, enforce_file_format=True)
    said = str(clean.get("BurnedInAnnotation") or "unknown")
    return Copy(stream.getvalue(), _sentences(done), remap.pseudonym, str(clean.SOPInstanceUID), said)


def copy_bytes(data: bytes, secret: bytes) -> bytes:
    """The bytes of `deidentify`'s copy: what the decoding process can answer with."""
    return deidentify(data, secret).data


def cleaned(dataset: Dataset) -> list[str]:
    """What de-identification does to a data set, as `Copy.cleaned` says it; the data set stays as it is."""
    done: Counter[str] = Counter()
    _cleaned_dataset(dataset, Remap(b"", "nobody"), done)
    return list(_sentences(done))


def parse(data: bytes) -> Dataset:
    """All elements of a DICOM file under the reader's limits; raises `StudyRejected` or whatever a damaged file raises."""
    limits.check_upload_size(len(data))
    data = _inflated(data) if data[128:132] == b"DICM" else data
    dataset = dcmread(_CountedBytes(data), force=True)
    dataset.file_meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _guessed_syntax(dataset)
    if not any(keyword in dataset for keyword in rules.PIXEL_VALUES):
        raise StudyRejected("The DICOM file holds no pixels.", "Only pictures are copied.")
    little = dataset.file_meta.TransferSyntaxUID != uid.ExplicitVRBigEndian
    correct_ambiguous_vr(dataset, little)
    if not little:
        dataset.walk(swap_words)
    return dataset


def _remap(dataset: Dataset, secret: bytes, data: bytes) -> Remap:
    """Files without a patient id go by their study, files without either by themselves."""
    for keyword in ("PatientID", "StudyInstanceUID"):
        if value := str(dataset.get(keyword) or "").strip(" \0"):
            return Remap(secret, value)
    return Remap(secret, hashlib.sha256(data).hexdigest())


# ---- elements --------------------------------------------------------------------------------------------------------


def _cleaned_dataset(dataset: Dataset, remap: Remap, done: Counter[str], depth: int = 0) -> Dataset:
    """A new data set with what may stay, as it may stay; `done` counts what happened to the rest."""
    if depth > _DEEPEST:
        raise RecursionError
    clean = Dataset()
    moments = _moments(dataset, remap)
    for element in _elements(dataset, done):
        if rules.is_foreign(element.tag) or (depth and element.keyword in rules.PIXEL_VALUES):
            done[_foreign_name(element)] += 1
        elif element.VR == "SQ":
            _add_sequence(clean, element, remap, done, depth)
        else:
            _add_element(clean, element, remap, moments, done)
    return clean


def _elements(dataset: Dataset, done: Counter[str]) -> Iterator[DataElement]:
    """The elements that can be read; a damaged one goes."""
    for tag in sorted(dataset.keys()):
        try:
            yield dataset[tag]
        except RecursionError:
            raise
        except Exception:  # damaged values raise anything
            done["damaged elements: removed"] += 1


def _add_sequence(clean: Dataset, element: DataElement, remap: Remap, done: Counter[str], depth: int) -> None:
    if rules.profile_action(element.tag) and element.keyword != "ViewCodeSequence":
        done[f"{_name(element)}: removed"] += 1
        return
    items = []
    for item in element.value:
        if "CodeValue" in item or "LongCodeValue" in item or "URNCodeValue" in item:
            kept = _known_code(item, remap, done, depth)
        else:
            kept = _cleaned_dataset(item, remap, done, depth + 1)
        if len(kept):
            items.append(kept)
    if items:
        clean.add_new(element.tag, "SQ", Sequence(items))
    elif len(element.value):
        done[f"{_name(element)}: removed"] += 1


def _known_code(item: Dataset, remap: Remap, done: Counter[str], depth: int) -> Dataset:
    """A code of the table, with the table's meaning instead of the file's words, and its cleaned modifiers."""
    known = (str(item.get("CodingSchemeDesignator", "")).strip(), str(item.get("CodeValue", "")).strip())
    kept = Dataset()
    if known not in rules.CODES:
        done["codes: removed"] += 1
        return kept
    kept.CodeValue, kept.CodingSchemeDesignator, kept.CodeMeaning = known[1], known[0], rules.CODES[known]
    nested = Dataset()
    for element in item:
        if element.VR == "SQ":
            nested.add(element)
    kept.update(_cleaned_dataset(nested, remap, done, depth + 1))
    return kept


def _add_element(
    clean: Dataset, element: DataElement, remap: Remap, moments: dict[str, str], done: Counter[str]
) -> None:
    keyword, rule = element.keyword, rules.rule_for(element)
    if rule == "shifted" and keyword not in moments:
        rule = "removed"
    if rule == "kept":
        value = _characteristic(element) if keyword in rules.CHARACTERISTICS else _plain(element)
        if value is None:
            rule = "removed"
        else:
            clean.add_new(element.tag, element.VR, value)
    elif rule == "shifted":
        clean.add_new(element.tag, element.VR, moments[keyword])
    elif rule == "emptied":
        clean.add_new(element.tag, element.VR, None)
    elif rule == "replaced":
        clean.add_new(element.tag, element.VR, _replacement(element, remap))
    if rule != "kept":
        done[f"{_name(element)}: {rule}"] += 1


def _plain(element: DataElement) -> object:
    """The value without the file's own spelling of it: numbers are numbers, terms are bare."""
    values = element.value if isinstance(element.value, (MultiValue, list)) else [element.value]
    if element.VR in ("DS", "IS"):
        numbers = [None if v in ("", None) else float(v) for v in values]
        spelled = ["" if n is None else str(int(n)) if element.VR == "IS" else format_number_as_ds(n) for n in numbers]
        return spelled if len(spelled) != 1 else spelled[0]
    if element.VR in ("CS", "LO"):
        return [str(value or "").strip() for value in values]
    return element.value


def _characteristic(element: DataElement) -> str | None:
    """Age and sex as the store keeps them; None for anything else that stands in their place."""
    value = str(element.value or "").strip()
    if element.keyword == "PatientSex":
        return value if value in ("F", "M", "O") else None
    return told_age(value) or None


def _replacement(element: DataElement, remap: Remap) -> object:
    if element.VR == "UI":
        values = element.value if isinstance(element.value, (MultiValue, list)) else [element.value]
        return [remap.uid(str(value)) for value in values if value]
    return remap.pseudonym


def _moments(dataset: Dataset, remap: Remap) -> dict[str, str]:
    """The moved dates and times of one level, by keyword; a time without its date cannot be moved and is left out."""
    moved = {}
    for date, time in rules.MOMENTS.items():
        day, clock = _text(dataset, date), _text(dataset, time)
        moment = remap.moment(day, clock) if len(day) == 8 else None
        if moment:
            moved[date] = f"{moment:%Y%m%d}"
            moved |= {time: f"{moment:%H%M%S.%f}"} if clock else {}
    for keyword in rules.INSTANTS:
        if moment := remap.moment(_text(dataset, keyword)):
            moved[keyword] = f"{moment:%Y%m%d%H%M%S.%f}"
    return moved


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "").strip(" \0")
    except Exception:  # a damaged element
        return ""


def _foreign_name(element: DataElement) -> str:
    if element.tag.is_private:
        return "private elements: removed"
    kinds = {0x50: "curves", 0x60: "overlays"}
    return f"{kinds.get(element.tag.group >> 8, 'elements of no use to a picture')}: removed"


def _name(element: DataElement) -> str:
    return element.keyword or f"({element.tag.group:04X},{element.tag.element:04X})"


def _sentences(done: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{what} ({count})" if count > 1 else what for what, count in sorted(done.items()))


# ---- the copy's own words --------------------------------------------------------------------------------------------


def _say_how(clean: Dataset, remap: Remap, data: bytes) -> None:
    """Patient, method and file meta of the copy."""
    clean.PatientName = clean.PatientID = remap.pseudonym
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = METHOD
    clean.DeidentificationMethodCodeSequence = Sequence(_code(value, meaning) for value, meaning in _OPTIONS)
    clean.LongitudinalTemporalInformationModified = "MODIFIED"
    clean.setdefault("SOPInstanceUID", remap.uid(hashlib.sha256(data).hexdigest()))  # only in files that lack one
    meta = clean.file_meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = clean.get("SOPClassUID") or uid.SecondaryCaptureImageStorage
    clean.SOPClassUID = meta.MediaStorageSOPClassUID
    meta.MediaStorageSOPInstanceUID = clean.SOPInstanceUID
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = "TUMORTRACE"
    clean.preamble = b"\0" * 128


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
