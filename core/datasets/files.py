"""Files of a dataset -> cases, decoded once by the app's own reader."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.datasets.dataset import Case, Progress
from core.reading import read_upload
from core.reading.placement import SPLIT_NAMES as SPLIT_NAMES
from core.records import Image, Refused, StudyRejected
from core.settings import installation_secret

_KEEP_BYTES = 512 * 2**20  # decoded pixels kept, so that a small dataset is decoded once; the rest is read again


@dataclass(frozen=True)
class PictureFile:
    """One file and what its place or its manifest says of it.

    `path` is None where the manifest names a picture that is absent; `patient` is empty where nothing names one.
    """

    path: Path | None
    case_id: str
    patient: str
    split: str
    label: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


def read_cases(files: Sequence[PictureFile], name: str, progress: Progress | None = None) -> tuple[Case, ...]:
    """Cases of these files in their order, one per image; those of a file with several have "#0", "#1" … after its case id.

    An absent picture is a case with an empty pixel hash, and loading it is refused. `name` is what the progress calls the
    dataset. Raises `Refused` naming the file that cannot be read.
    """
    cases: list[Case] = []
    kept = 0
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        decoded = pool.map(_read, [file for file in files if file.path])
        for done, file in enumerate(files, start=1):
            if file.path is None:
                cases.append(_absent(file))
                continue
            images = next(decoded)
            kept += sum(image.pixels.nbytes for image, _ in images)
            cases += _cases(file, images, keep=kept <= _KEEP_BYTES)
            if progress:
                progress(done, len(files), f"Reading {name}")
    return tuple(cases)


def _read(file: PictureFile) -> list[tuple[Image, str]]:
    """The images of a file, each with the patient that the file itself names (a pseudonym, or empty)."""
    assert file.path is not None
    try:
        # Trusted: training data are chosen by the program's own people, and read by the ten thousand.
        data = file.path.read_bytes()
        studies = read_upload(file.path.name, data, secret=installation_secret(), trusted=True)
    except (StudyRejected, OSError) as e:
        reason = e.reason if isinstance(e, StudyRejected) else f"{e.strerror}."
        raise Refused(f"{file.case_id} cannot be read: {reason}") from e
    return [(image, study.patient_id) for study in studies for image in study.images]


def _cases(file: PictureFile, images: list[tuple[Image, str]], *, keep: bool) -> list[Case]:
    cases = []
    for i, (image, named) in enumerate(images):
        case_id = file.case_id if len(images) == 1 else f"{file.case_id}#{i}"
        pixel_hash = image.content_hash
        load = _keep(image) if keep else _read_again(file, i, pixel_hash)
        patient = file.patient or named or case_id
        cases.append(Case(case_id, patient, file.split, file.label, pixel_hash, load, file.attributes))
    return cases


def _absent(file: PictureFile) -> Case:
    def load() -> Image:
        raise Refused(f"The picture of {file.case_id} is absent; a table without its pictures can only be explored.")

    return Case(file.case_id, file.patient or file.case_id, file.split, file.label, "", load, file.attributes)


def _keep(image: Image) -> Callable[[], Image]:
    return lambda: image


def _read_again(file: PictureFile, index: int, pixel_hash: str) -> Callable[[], Image]:
    def load() -> Image:
        images = _read(file)
        if index >= len(images) or images[index][0].content_hash != pixel_hash:
            raise Refused(f"{file.case_id} has changed since the dataset was read; start again.")
        return images[index][0]

    return load
