"""CSV manifests: the table of the RSNA screening mammography challenge, or any table that names files, labels and patients."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from core.datasets.dataset import Case, Progress
from core.datasets.files import SPLIT_NAMES, PictureFile, read_cases
from core.records import Refused
from core.tasks import Task

_FILE, _LABEL = ("file", "image"), ("label", "cancer")  # names such a column may have; the first one there is taken
_TEXT = dict.fromkeys(
    (*_FILE, *_LABEL, "patient_id", "image_id", "split"), str
)  # names, also where they look like numbers


def read_manifest(path: Path, task: Task, progress: Progress | None = None) -> tuple[Case, ...]:
    """Cases of a CSV table, one per row, in its order; all further columns are kept as the case's attributes.

    Either the RSNA columns (`patient_id`, `image_id`, `cancer`, …), whose picture is `<patient_id>_<image_id>.png`, or
    `file` (or `image`), `label`, and optionally `patient_id` and `split`. Pictures lie beside the table or in a folder
    `images` there. Where one is absent the row is a case without pixels: its hash is empty and loading it is refused.
    Raises `Refused`: not such a table, a label or split that is none, a file named twice or outside the table's folder.
    """
    table = _read(path)
    file_column, label_column = (next((name for name in known if name in table), "") for known in (_FILE, _LABEL))
    if not (file_column or {"patient_id", "image_id"} <= set(table)) or not label_column or table.empty:
        raise Refused(f"{path.name} needs rows with the columns file and label, or patient_id, image_id and cancer.")
    ids = table[file_column] if file_column else table["patient_id"] + "_" + table["image_id"]
    _check_names(path, ids)
    names = ids if file_column else ids + ".png"
    used = {file_column, label_column, "patient_id", "split"}
    attributes = table[[column for column in table if column not in used]]
    files = [
        PictureFile(place or None, case_id, patient, split, label, facts)
        for place, case_id, patient, split, label, facts in zip(
            names.map(_place(path)), ids, _patients(table), _splits(path, table), _labels(path, table[label_column], task),
            _records(attributes), strict=True,
        )
    ]  # fmt: skip
    return read_cases(files, path.name, progress)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=_TEXT, low_memory=False)
    except (OSError, ValueError, pd.errors.ParserError) as e:  # a file that is not UTF-8 is a ValueError
        raise Refused(f"{path.name} cannot be read as a CSV table ({type(e).__name__}).") from e


def _check_names(path: Path, ids: pd.Series) -> None:
    if ids.isna().any():
        raise Refused(f"{path.name}: row {int(ids.isna().argmax()) + 2} names no picture.")
    if ids.duplicated().any():
        raise Refused(f"{path.name} names {ids[ids.duplicated()].iloc[0]} twice.")
    outside = ids.str.startswith(("/", "\\")) | ids.str.contains(r"(?:^|[/\\])\.\.(?:[/\\]|$)|^[A-Za-z]:")
    if outside.any():  # a table from elsewhere must not make the program open files of this machine
        raise Refused(f"{path.name} names {ids[outside].iloc[0]}, which is not in its own folder.")


def _patients(table: pd.DataFrame) -> pd.Series:
    return table["patient_id"].fillna("") if "patient_id" in table else pd.Series("", index=table.index)


def _splits(path: Path, table: pd.DataFrame) -> pd.Series:
    if "split" not in table:
        return pd.Series("", index=table.index)
    given = table["split"].fillna("").str.strip().str.lower()
    unknown = sorted(set(given) - {"", *SPLIT_NAMES})
    if unknown:
        raise Refused(f"{path.name}: '{unknown[0]}' is not a split; splits are train, val and test.")
    return given.map({"": "", **SPLIT_NAMES})


def _labels(path: Path, labels: pd.Series, task: Task) -> pd.Series:
    if labels.isna().any():
        raise Refused(f"{path.name}: row {int(labels.isna().argmax()) + 2} has no label.")
    return labels.map({name: task.class_index(name) for name in labels.unique()})


def _records(attributes: pd.DataFrame) -> list[dict[str, object]]:
    """One mapping per row; what is missing is None, whatever the type of its column."""
    there = attributes.astype(object).where(attributes.notna(), None)
    return there.to_dict("records")


def _place(table: Path) -> Callable[[str], Path | None]:
    """Finds a picture by its name, beside the table or in `images`; every folder is listed once, not asked for each file."""
    listed: dict[str, set[str]] = {}

    def find(name: str) -> Path | None:
        for root in (table.parent, table.parent / "images"):
            folder, file = os.path.split(os.path.join(root, name))
            if folder not in listed:
                listed[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
            if file in listed[folder]:
                return Path(folder, file)
        return None

    return find
