"""A DICOM file in which every place that can hold an identifier holds one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.datadict import dictionary_keyword, dictionary_VR, keyword_dict
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from core.deidentify.rules import MOMENTS, PROFILE
from tests.core.dicom_factory import make_dataset, to_bytes

PLANTED_AT_LEAST = 650

_TEXT = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
_NESTS = (
    "RequestAttributesSequence",
    "SharedFunctionalGroupsSequence",
    "AnatomicRegionSequence",
    "PixelMeasuresSequence",
)
_PIXEL_GROUPS = (0x0028, 0x7FE0)


class Tokens:
    """Identifiers by kind; `made` lists each as the bytes that must not be found again."""

    def __init__(self) -> None:
        self.made: list[bytes] = []

    def new(self, vr: str) -> object:
        """A value of that VR that occurs nowhere else; None for a VR whose values cannot be searched for."""
        n = len(self.made)
        value = {
            "DA": f"{1700 + n // 300}{1 + n // 25 % 12:02}{1 + n % 25:02}",
            "DT": f"17531224235959.{n:06}",
            "TM": f"235959.{n:06}",
            "UI": f"1.2.999.{700000 + n}.5",
            "AS": f"{n % 900 + 100:03}X",
            "DS": f"{70000000 + n}.25",
            "IS": f"{80000000 + n}",
            "OB": f"ZQX-BYTES-{n:05}!".encode(),
            "UN": f"ZQX-BYTES-{n:05}!".encode(),
        }.get(vr, f"ZQX{n:05}" if vr in _TEXT else None)
        if value is not None:
            self.made.append(value if isinstance(value, bytes) else str(value).encode())
        return value


def plant() -> tuple[bytes, list[bytes]]:
    """The file and its tokens, each as bytes that occur in it. The same at every call."""
    tokens = Tokens()
    dataset = make_dataset(np.arange(12, dtype=np.uint16).reshape(3, 4), WindowCenter=5, WindowWidth=10)
    for keyword in _keywords():
        _plant_one(dataset, keyword, tokens)
    for name in _NESTS:
        outer, inner = Dataset(), Dataset()
        for keyword in (
            "PatientName",
            "PatientComments",
            "ManufacturerModelName",
            "StudyDate",
            "ReferencedSOPInstanceUID",
        ):
            _plant_one(inner, keyword, tokens)
            _plant_one(outer, keyword, tokens)
        outer.PixelMeasuresSequence = Sequence([inner])
        setattr(dataset, name, Sequence([outer]))
    _plant_private(dataset, tokens)
    for group in (0x5000, 0x6000, 0x6002):
        dataset.add_new((group, 0x0022), "LO", tokens.new("LO"))  # curve and overlay descriptions
        dataset.add_new((group, 0x3000), "OB", tokens.new("OB"))
    return _with_meta(dataset, tokens), tokens.made


def _keywords() -> Iterator[str]:
    """What the profile names, then a word of every text VR and more that it does not name."""
    named = sorted(tag for tag in PROFILE if len(tag) == 2 and tag[0] not in (0x0000, 0x0002, *_PIXEL_GROUPS))
    for tag in named:
        try:
            yield dictionary_keyword(tag)
        except KeyError:  # newer than pydicom's dictionary
            continue
    for keyword, number in sorted(keyword_dict.items()):
        tag = (number >> 16, number & 0xFFFF)
        vr = dictionary_VR(number)
        if tag not in PROFILE and tag[0] in (0x0008, 0x0010, 0x0018, 0x0020, 0x0040) and vr in _TEXT:
            yield keyword
        if (
            tag not in PROFILE and tag[0] == 0x0028 and vr in ("LO", "SH", "ST", "LT", "UT")
        ):  # not what decides on pixels
            yield keyword


def _plant_one(dataset: Dataset, keyword: str, tokens: Tokens) -> None:
    if keyword in ("SpecificCharacterSet", "Modality"):  # decide how the file is read
        return
    vr = dictionary_VR(keyword)
    if keyword in MOMENTS:
        tokens.made.append(f"2090{len(tokens.made) % 12 + 1:02}28".encode())
        setattr(dataset, keyword, tokens.made[-1].decode())
    elif vr not in ("SQ", "US", "OW") and (value := tokens.new(vr)) is not None:
        dataset.add_new(keyword, vr, value)


def _plant_private(dataset: Dataset, tokens: Tokens) -> None:
    block = dataset.private_block(0x0011, str(tokens.new("LO")), create=True)
    for place, vr in enumerate(("LO", "PN", "DA", "DT", "TM", "UI", "UT", "OB", "UN", "CS", "AE", "SH", "ST", "LT")):
        block.add_new(place, vr, tokens.new(vr))
    item = Dataset()
    _plant_one(item, "PatientName", tokens)
    block.add_new(0x40, "SQ", Sequence([item]))


def _with_meta(dataset: Dataset, tokens: Tokens) -> bytes:
    meta = dataset.file_meta
    for keyword in (
        "SourceApplicationEntityTitle", "SendingApplicationEntityTitle", "ReceivingApplicationEntityTitle",
        "ImplementationVersionName", "PrivateInformationCreatorUID", "PrivateInformation", "ImplementationClassUID",
    ):  # fmt: skip
        setattr(meta, keyword, tokens.new(dictionary_VR(keyword)))
    dataset.preamble = str(tokens.new("LO")).encode().ljust(128, b"\0")
    return to_bytes(dataset)
