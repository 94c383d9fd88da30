"""Folder trees: `split/Class/[Patient/[Sequence/]]file`, or unsplit `Class/[Patient/]file`."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from core.datasets.dataset import Case, Progress, base_name
from core.reading import read_upload
from core.records import Image, Refused, StudyRejected
from core.settings import installation_secret
from core.tasks import Task

_SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NOT_IMAGES = {".csv", ".json", ".txt", ".md", ".toml", ".yaml", ".yml", ".xml", ".html", ".log", ".pdf"}
_KEEP_BYTES = 512 * 2**20  # decoded pixels kept, so that a small dataset is decoded once; the rest is read again


@dataclass(frozen=True)
class _File:
    """One file of the tree and what its folders say of it; `patient` is empty without a patient folder."""

    path: Path
    case_id: str
    patient: str
    split: str
    label: int


def read_tree(path: Path, task: Task, progress: Progress | None = None) -> tuple[Case, ...]:
    """Cases of a folder tree, one per image, sorted by case id (the file's place in the tree).

    Files are read by `core.reading`, the reader of the app; hidden files and text files are skipped, a folder `masks` too.
    Raises `Refused` naming the folder that is no class, or the file that cannot be read.
    """
    root = path / "images" if (path / "images").is_dir() else path
    files = _find(root, task)
    if not files:
        raise Refused(f"{base_name(path)} holds no images; expected split/class/patient/file or class/patient/file.")
    cases: list[Case] = []
    kept = 0
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for done, (file, images) in enumerate(zip(files, pool.map(_read, files), strict=True), start=1):
            kept += sum(image.pixels.nbytes for image, _ in images)
            cases += _cases(file, images, keep=kept <= _KEEP_BYTES)
            if progress:
                progress(done, len(files), f"Reading {base_name(path)}")
    return tuple(cases)


def _find(root: Path, task: Task) -> list[_File]:
    folders = _folders(root)
    splits = [folder for folder in folders if folder.name.lower() in _SPLIT_NAMES]
    if not splits:
        return _files_of(root, root, "", task)
    strangers = [folder.name for folder in folders if folder not in splits]
    if strangers:
        raise Refused(f"'{strangers[0]}' beside {splits[0].name} is not a split; splits are train, val and test.")
    return [file for folder in splits for file in _files_of(folder, root, _SPLIT_NAMES[folder.name.lower()], task)]


def _files_of(folder: Path, root: Path, split: str, task: Task) -> list[_File]:
    """The files of every class folder directly below `folder`."""
    found = []
    for class_folder in _folders(folder):
        label = task.class_index(class_folder.name)
        for file in sorted(class_folder.rglob("*")):
            inside = file.relative_to(class_folder)
            if (
                file.is_dir()
                or file.suffix.lower() in _NOT_IMAGES
                or any(part.startswith(".") for part in inside.parts)
            ):
                continue
            patient = inside.parts[0] if len(inside.parts) > 1 else ""
            found.append(_File(file, file.relative_to(root).as_posix(), patient, split, label))
    return found


def _folders(folder: Path) -> list[Path]:
    return sorted(
        f for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".") and f.name.lower() != "masks"
    )


def _read(file: _File) -> list[tuple[Image, str]]:
    """The images of a file, each with the patient that the file itself names (a pseudonym, or empty)."""
    try:
        studies = read_upload(file.path.name, file.path.read_bytes(), secret=installation_secret())
    except (StudyRejected, OSError) as e:
        reason = e.reason if isinstance(e, StudyRejected) else f"{e.strerror}."
        raise Refused(f"{file.case_id} cannot be read: {reason}") from e
    return [(image, study.patient_id) for study in studies for image in study.images]


def _cases(file: _File, images: list[tuple[Image, str]], *, keep: bool) -> list[Case]:
    cases = []
    for i, (image, named) in enumerate(images):
        case_id = file.case_id if len(images) == 1 else f"{file.case_id}#{i}"
        pixel_hash = image.content_hash
        load = _keep(image) if keep else _read_again(file, i, pixel_hash)
        cases.append(Case(case_id, file.patient or named or case_id, file.split, file.label, pixel_hash, load))
    return cases


def _keep(image: Image) -> Callable[[], Image]:
    return lambda: image


def _read_again(file: _File, index: int, pixel_hash: str) -> Callable[[], Image]:
    def load() -> Image:
        images = _read(file)
        if index >= len(images) or images[index][0].content_hash != pixel_hash:
            raise Refused(f"{file.case_id} has changed since the dataset was read; start again.")
        return images[index][0]

    return load
