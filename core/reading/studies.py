"""One uploaded file -> what it holds, and DICOM files of one exam -> one study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.reading import limits
from core.reading.dicom import Instance, read_instance
from core.reading.names import stem
from core.reading.npz import WHOLE, Part, read_npz
from core.reading.pictures import read_picture
from core.reading.places import placed
from core.reading.sniff import kind_of
from core.records import Study, StudyRejected, study_id
from core.tasks import task_for_modality


def decode(name: str, data: bytes, task: str = "", secret: bytes = b"", part: Part = WHOLE) -> Instance | list[Study]:
    """One file's content: an `Instance` for DICOM (to be joined with others), else its studies.

    The one step that trusts decoders with a user's bytes. Raises `StudyRejected` whatever they raise.
    """
    try:
        limits.check_upload_size(len(data))
        kind = kind_of(data)
        if kind == "dicom":
            return read_instance(data, secret)
        if kind == "zip":
            raise StudyRejected("The file is a ZIP inside a ZIP, which is not opened.", "Unpack the inner one first.")
        if kind == "npz":
            return read_npz(data, stem(name), task, part)
        return [_picture_study(name, data, kind, task)]
    except StudyRejected:
        raise
    except Exception as error:
        raise StudyRejected(f"The file is damaged ({type(error).__name__}).", "Export or copy it again.") from error


def _picture_study(name: str, data: bytes, kind: str, task: str) -> Study:
    images = read_picture(data, kind)
    rows, columns = images[0].pixels.shape[:2]
    return Study(
        id=study_id(images),
        name=stem(name),
        modality="",
        images=images,
        task=task,
        metadata={"source": kind.upper(), "rows": rows, "columns": columns},
    )


_FLAGS = ("recognizable_features", "secondary_capture")  # facts that hold for the study when they hold for one file


def join(instances: Sequence[Instance], task: str = "") -> Study:
    """DICOM files of one study as one `Study`, ordered by acquisition, pass and slice, else series, instance and frame.

    The metadata are those of the first file, except that burned-in annotations, recognisable faces and notices of any file
    count.
    """
    ordered = sorted(instances, key=lambda instance: instance.order)
    head = ordered[0]
    images = placed([pair for instance in ordered for pair in zip(instance.images, instance.places, strict=True)])
    raw = " for processing" if head.metadata.get("presentation_intent") == "FOR PROCESSING" else ""
    identity = study_id(images, head.patient_id)
    return Study(
        id=identity,
        name=f"{head.modality or 'DICOM'} {head.patient_id or identity[:8]}{raw}",
        modality=head.modality,
        images=images,
        patient_id=head.patient_id,
        task=task_for_modality(head.modality) or task,
        metadata=_joined_facts(ordered),
    )


def _joined_facts(ordered: Sequence[Instance]) -> dict[str, Any]:
    flags = {instance.metadata["burned_in_annotation"] for instance in ordered}
    worst = next(flag for flag in ("YES", "unknown", "NO") if flag in flags)
    facts = {**ordered[0].metadata, "burned_in_annotation": worst}
    for instance in ordered:
        facts |= {key: instance.metadata[key] for key in _FLAGS if key in instance.metadata}
    notices = [notice for instance in ordered for notice in instance.metadata.get("notices", ())]
    return facts | ({"notices": list(dict.fromkeys(notices))} if notices else {})
