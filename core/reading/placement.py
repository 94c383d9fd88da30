"""What a picture without a header is, from its place in a folder tree or its row in a table beside it."""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.reading import limits
from core.reading.names import pseudonym
from core.reading.terms import told_age, view_words
from core.records import Image, Laterality, Refused, Study, study_id
from core.tasks import Task, get_task, task_for_modality

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_HANGING = {"CC": 0, "MLO": 1}  # the usual order of a mammogram's views


@dataclass(frozen=True)
class Placement:
    """What is known of one picture. Those with the same `key` are one study, in `order`; an empty key is a study of its own.

    `patient` is as its source writes it, `standard` the class that is stated (empty: none); `facts` are JSON-safe.
    """

    key: str = ""
    order: tuple[Any, ...] = ()
    patient: str = ""
    standard: str = ""
    laterality: Laterality = ""
    view: str = ""
    modality: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A CSV table of pictures: its rows (column in lower case -> text) by picture, named as the file is without extension."""

    rows: Mapping[str, Mapping[str, str]]


def read_table(name: str, data: bytes) -> Table | None:
    """A table as the RSNA screening challenge's (`patient_id`, `image_id`, …), or with `file` and `label` or `patient_id`.

    None where the file is no such table. A picture that two rows name is not found in it.
    """
    if not name.lower().endswith(".csv") or len(data) > limits.TABLE_BYTES:
        return None
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        columns = {column.strip().lower() for column in reader.fieldnames or ()}
        named = "file" if "file" in columns else "image" if "image" in columns else ""
        if not ({"patient_id", "image_id"} <= columns or (named and columns & {"label", "patient_id"})):
            return None
        rows: dict[str, Mapping[str, str]] = {}
        twice: set[str] = set()
        for line in reader:
            row = {str(key).strip().lower(): str(value or "").strip() for key, value in line.items() if key}
            for picture in _pictures(row, named):
                twice |= {picture} & rows.keys()
                rows[picture] = row
    except (UnicodeDecodeError, csv.Error):
        return None
    return Table({picture: row for picture, row in rows.items() if picture not in twice})


def _pictures(row: Mapping[str, str], named: str) -> set[str]:
    """The names, without folder and extension, under which a row's picture may come."""
    names = {_plain(row[named])} if named else set()
    if row.get("image_id"):
        names |= {row["image_id"], f"{row.get('patient_id', '')}_{row['image_id']}"}
    return names - {""}


def placement_of(path: str, task: str, tables: Sequence[Table]) -> Placement | None:
    """What tables, else the folders of `path`, say of a picture; None where neither says anything."""
    for table in tables:
        if row := table.rows.get(_plain(path)):
            return _placed_by_row(row, path, task)
    return _placed_in_tree(path, get_task(task)) if task else None


def _placed_by_row(row: Mapping[str, str], path: str, task: str) -> Placement:
    mammogram = {"laterality", "view"} <= row.keys()
    modality = "MG" if mammogram else ""
    side, view, patient = row.get("laterality", "").upper()[:1], row.get("view", "").upper(), row.get("patient_id", "")
    age = re.fullmatch(r"(\d{1,3})(\.0*)?", row.get("age", ""))
    facts = {
        "patient_age": told_age(f"{int(age[1]):03}Y") if age else "",
        "density": row.get("density", "") if row.get("density", "") in ("A", "B", "C", "D") else "",
        "implant": {"0": False, "1": True}.get(row.get("implant", "")),
        "birads": _code(row.get("birads", "").removesuffix(".0"), "[0-6]"),
        "site": _code(row.get("site_id", ""), r"\d{1,4}"),
    }
    order = (_HANGING.get(view, 9), view, 0 if side == "R" else 1, *_natural(_plain(path)))
    return Placement(
        key=f"table|{patient}" if patient else "",
        order=order,
        patient=patient,
        standard=_class_of(row.get("cancer") or row.get("label") or "", task or task_for_modality(modality)),
        laterality=side if side in ("L", "R") else "",  # type: ignore[arg-type]
        view=view_words(view),
        modality=modality,
        facts={key: value for key, value in facts.items() if value not in ("", None)},
    )


def _code(text: str, pattern: str) -> str:
    """The text where it is such a code; anything else could be a name and is left out."""
    return text if re.fullmatch(pattern, text) else ""


def _numbered(sequence: str) -> str:
    """A neutral word for a folder whose name is not kept, so that its slices stay apart from other folders'."""
    return f"S{zlib.crc32(sequence.encode('utf-8', 'replace')) % 1000}" if sequence else ""


def _placed_in_tree(path: str, task: Task) -> Placement | None:
    """`[split/]Class/[Patient/[Sequence/]]file`, wherever such a tree begins in the path."""
    *folders, file = [part for part in re.split(r"[\\/]", path) if part not in ("", ".")]
    for depth, folder in enumerate(folders):
        standard = _class_of(folder, task.name)
        if not standard:
            continue
        split = SPLIT_NAMES.get(folders[depth - 1].lower(), "") if depth else ""
        inner = folders[depth + 1 :]
        patient, sequence = inner[0] if inner else "", " ".join(inner[1:])
        return Placement(
            key="|".join(("tree", *folders[: depth + 2])) if patient else "",
            order=(*_natural(sequence), *_natural(file)),
            patient=patient,
            standard=standard,
            view=view_words(sequence) or _numbered(sequence),
            facts={"split": split} if split else {},
        )
    return None


def _class_of(label: str, task: str) -> str:
    if not label or not task:
        return ""
    try:
        return get_task(task).classes[get_task(task).class_index(label)]
    except Refused:
        return ""


def joined(members: Sequence[tuple[Study, Placement]], secret: bytes) -> Study:
    """Pictures of one placement key as one study: patient as a pseudonym, the positive class if any picture has it.

    Its name is the pseudonym, or the file's unless that names the class: reviewers must not see the reference standard.
    """
    ordered = sorted(members, key=lambda member: member[1].order)
    first, place = ordered[0]
    images = _placed_images(ordered)
    patient = pseudonym(place.patient, secret)
    identity = study_id(images, patient)
    modality = place.modality or first.modality
    task = task_for_modality(place.modality) or first.task
    standard, facts = described([member[1] for member in ordered], task)
    told = any(word and word in first.name.lower() for word in _class_words(task))
    name = f"{modality} {patient}".strip() if patient else f"{modality} {identity[:8]}".strip() if told else first.name
    return replace(
        first,
        id=identity,
        name=name,
        modality=modality,
        images=images,
        patient_id=patient,
        task=task,
        reference_standard=standard,
        metadata={**first.metadata, **facts},
    )


def described(places: Sequence[Placement], task: str) -> tuple[str | None, dict[str, Any]]:
    """Reference standard and facts of a study, from what is said of its pictures."""
    return _worst({place.standard for place in places} - {""}, task), _joined_facts(places)


def _placed_images(ordered: Sequence[tuple[Study, Placement]]) -> tuple[Image, ...]:
    """The pictures with side and view; those of one view, such as a sequence's slices, are a series and count as its slices."""
    numbers: dict[str, int] = {}
    slices: Counter[int] = Counter()
    images = []
    for study, place in ordered:
        for image in study.images:
            series = numbers.setdefault(place.view, len(numbers)) if not place.modality else 0
            level = slices[series] if place.patient and not place.modality else None
            slices[series] += 1
            known = {"laterality": place.laterality, "view": place.view}
            images.append(replace(image, series=series, slice=level, **known))
    return tuple(images)


def _joined_facts(places: Sequence[Placement]) -> dict[str, Any]:
    """One value where the pictures agree; where they differ, as categories of two breasts do, one for each picture."""
    facts: dict[str, Any] = {}
    for key in dict.fromkeys(key for place in places for key in place.facts):
        values = [place.facts.get(key) for place in places]
        facts[key] = values[0] if len(set(values)) == 1 else values
    return facts


def _worst(standards: set[str], task: str) -> str | None:
    """The class of a patient: the positive one if any picture has it, the one that all have, else none."""
    if not standards:
        return None
    positive = get_task(task).positive if task else None
    if positive in standards:
        return positive
    return standards.pop() if len(standards) == 1 else None


def _class_words(task: str) -> set[str]:
    known = get_task(task) if task else None
    return {name.lower() for name in (*known.classes, *known.aliases) if not name.isdigit()} if known else set()


def _plain(path: str) -> str:
    """A file's name without folder and extension."""
    name = re.split(r"[\\/]", path)[-1]
    return name.rsplit(".", 1)[0] if "." in name[1:] else name


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts p-2 before p-10."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", text))
