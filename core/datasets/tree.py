"""Folder trees: `split/Class/[Patient/[Sequence/]]file`, or unsplit `Class/[Patient/]file`."""

from __future__ import annotations

from pathlib import Path

from core.datasets.dataset import Case, Progress, base_name
from core.datasets.files import SPLIT_NAMES, PictureFile, read_cases
from core.records import Refused
from core.tasks import Task

_NOT_IMAGES = {".csv", ".json", ".txt", ".md", ".toml", ".yaml", ".yml", ".xml", ".html", ".log", ".pdf", ".db", ".ini"}


def read_tree(path: Path, task: Task, progress: Progress | None = None) -> tuple[Case, ...]:
    """Cases of a folder tree, one per image, sorted by case id (the file's place in the tree).

    Files are read by `core.reading`, the reader of the app; hidden files and text files are skipped, a folder `masks` too.
    Raises `Refused` naming the folder that is no class, or the file that cannot be read.
    """
    root = path / "images" if (path / "images").is_dir() else path
    files = _find(root, task)
    if not files:
        raise Refused(f"{base_name(path)} holds no images; expected split/class/patient/file or class/patient/file.")
    return read_cases(files, base_name(path), progress)


def _find(root: Path, task: Task) -> list[PictureFile]:
    folders = _folders(root)
    splits = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if not splits:
        return _files_of(root, root, "", task)
    strangers = [folder.name for folder in folders if folder not in splits]
    if strangers:
        raise Refused(f"'{strangers[0]}' beside {splits[0].name} is not a split; splits are train, val and test.")
    return [file for folder in splits for file in _files_of(folder, root, SPLIT_NAMES[folder.name.lower()], task)]


def _files_of(folder: Path, root: Path, split: str, task: Task) -> list[PictureFile]:
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
            found.append(PictureFile(file, file.relative_to(root).as_posix(), patient, split, label))
    return found


def _folders(folder: Path) -> list[Path]:
    return sorted(
        f for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".") and f.name.lower() != "masks"
    )
