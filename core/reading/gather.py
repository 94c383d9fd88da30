"""Pictures of one patient, by their folders or a table, as one study; and what these say of DICOM studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.reading.intake import Item
from core.reading.placement import Placement, Table, described, joined, placement_of
from core.records import Image, Study


@dataclass(frozen=True)
class Part:
    """A picture whose study belongs to another file."""

    images: tuple[Image, ...]
    facts: Mapping[str, Any]
    study_id: str
    study_name: str


def joined_pictures(
    items: Sequence[Item], task: str, tables: Sequence[Table], secret: bytes
) -> list[tuple[Item, list[Study] | Part | None]]:
    """Each item with the studies that it holds (the first picture of a study) or the part that it is; None for any other."""
    places: dict[int, Placement] = {}
    groups: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        single = isinstance(item.content, list) and len(item.content) == 1
        if single and (place := placement_of(item.path or item.name, task, tables)):
            places[index] = place
            groups.setdefault(place.key or f"alone {index}", []).append(index)
    found: dict[int, list[Study] | Part] = {}
    for indices in groups.values():
        members = [(items[index].content[0], places[index]) for index in indices]  # type: ignore[index]
        study = joined(members, secret)
        found[indices[0]] = [study]
        for index, (own, _) in zip(indices[1:], members[1:], strict=True):
            found[index] = Part(own.images, own.metadata, study.id, study.name)
    return [(item, found.get(index)) for index, item in enumerate(items)]


def with_stated(study: Study, paths: Sequence[str], task: str, tables: Sequence[Table]) -> Study:
    """A DICOM study with the reference standard and facts that its files' folders or table rows state."""
    places = [place for path in paths if (place := placement_of(path, task or study.task, tables))]
    if not places:
        return study
    standard, facts = described(places, study.task)
    return replace(study, reference_standard=standard, metadata={**facts, **study.metadata})
