"""Heatmaps as DICOM: the overlay as a secondary capture, the raw values as a parametric map, both saying what they are.

The objects form a study of their own: the store keeps no identifiers of the file that the picture came from, so they name the
pseudonym and the picture's content hash instead.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from PIL import Image as PILImage
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from core.explain.overlay import overlay_png
from core.explain.registry import METHODS
from core.records import Heatmap, Image, Refused, Study

NOTICE = "Research use, not for diagnosis"
_MAKER = "TumorTrace"


def secondary_capture(study: Study, image: Image, heatmap: Heatmap, scale: float | None = None) -> bytes:
    """A DICOM file with the colour overlay as `overlay_png` draws it, caption burned in (PS3.3 A.8.1)."""
    from highdicom.sc import SCImage  # slow to import, and only exports need it

    with PILImage.open(io.BytesIO(overlay_png(image, heatmap, scale=scale))) as picture:
        pixels = np.asarray(picture.convert("RGB"))  # (H, W, 3)
    made = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # replaced below: the picture's own is not known
        **_identity(study, heatmap, "overlay"),
        manufacturer=_MAKER,
    )
    made.PatientOrientation = ""
    made.BurnedInAnnotation = "YES"
    made.SeriesDescription = f"{_title(heatmap)} overlay"
    return _written(made, heatmap)


def parametric_map(study: Study, image: Image, heatmap: Heatmap) -> bytes:
    """A DICOM file with the raw values, float32, at the method's own resolution (PS3.3 A.75).

    Pixel spacing is the picture's, times how much coarser the map is, and 1 × 1 mm per picture pixel where it is not known;
    positions are those of a plane whose first pixel is the picture's top left corner.
    """
    import highdicom as hd  # slow to import, and only exports need it
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes

    height, width = heatmap.values.shape
    rows, columns = image.pixels.shape[:2]
    spacing = image.spacing_mm or (1.0, 1.0)
    cell = (spacing[0] * rows / height, spacing[1] * columns / width)
    top = float(np.abs(heatmap.values).max()) or 1.0
    meaning = RealWorldValueMapping(
        lut_label="RAW",
        lut_explanation=f"{_title(heatmap)} of {heatmap.target_class}, raw"[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(-top if heatmap.signed else 0.0, top),
        slope=1.0,
        intercept=0.0,
    )
    window = (0.0, 2 * top) if heatmap.signed else (top / 2, top)  # centre and width
    identity = _identity(study, heatmap, "raw")
    made = ParametricMap(
        source_images=[_source(study, image, identity)],
        pixel_array=heatmap.values[None],  # (1, h, w)
        manufacturer=_MAKER,
        manufacturer_model_name=_MAKER,
        software_versions=heatmap.versions.get("torch", "unknown"),
        device_serial_number=heatmap.model_version[:16] or "unknown",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[meaning],
        voi_lut_transformations=[hd.VOILUTTransformation(*window)],
        content_label="HEATMAP",
        content_description=_title(heatmap),
        image_flavor="VOLUME",
        derived_pixel_contrast="QUANTITY",
        pixel_measures=hd.PixelMeasuresSequence(pixel_spacing=cell, slice_thickness=1.0),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", (1, 0, 0, 0, 1, 0)),
        plane_positions=[hd.PlanePositionSequence("PATIENT", (0, 0, 0))],
        **{name: identity[name] for name in _OWN},
    )
    made.SeriesDescription = f"{_title(heatmap)} raw values"
    return _written(made, heatmap)


_OWN = ("series_instance_uid", "series_number", "sop_instance_uid", "instance_number")


def provenance(heatmap: Heatmap) -> dict[str, Any]:
    """What the files say of the map: method, layer, class, model version, image, parameters and library versions."""
    names = ("method", "target_class", "layer", "model_version", "image_hash", "signed")
    facts = {name: getattr(heatmap, name) for name in names}
    return {"notice": NOTICE, **facts, "parameters": dict(heatmap.parameters), "versions": dict(heatmap.versions)}


def _title(heatmap: Heatmap) -> str:
    return METHODS[heatmap.method].title if heatmap.method in METHODS else heatmap.method


def _uid(*parts: str) -> UID:
    return generate_uid(entropy_srcs=["tumortrace", *parts])  # the same export twice is the same object


def _identity(study: Study, heatmap: Heatmap, kind: str) -> dict[str, Any]:
    text = json.dumps(provenance(heatmap), default=str, sort_keys=True)
    return {
        "study_instance_uid": _uid(study.id),
        "series_instance_uid": _uid(study.id, text, kind),
        "sop_instance_uid": _uid(study.id, text, kind, "1"),
        "series_number": 1 if kind == "overlay" else 2,
        "instance_number": 1,
        "patient_id": study.patient_id or study.id[:16],
        "patient_name": f"{study.patient_id or 'Anonymous'}^",
    }


def _source(study: Study, image: Image, identity: dict[str, Any]) -> Dataset:
    """The picture as a DICOM header: highdicom copies patient and study from it, and refers to it."""
    source = Dataset()
    source.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture: what became of the original is not known
    source.SOPInstanceUID = _uid(study.id, image.content_hash)
    source.StudyInstanceUID = identity["study_instance_uid"]
    source.SeriesInstanceUID = _uid(study.id, "picture")
    source.FrameOfReferenceUID = _uid(study.id, "frame")
    source.PatientID, source.PatientName = identity["patient_id"], identity["patient_name"]
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
        setattr(source, keyword, "")
    source.ReferringPhysicianName = ""
    source.Modality = study.modality or "OT"
    source.Rows, source.Columns = image.pixels.shape[:2]
    source.PixelSpacing = list(image.spacing_mm or (1.0, 1.0))
    source.ImagePositionPatient, source.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    source.SliceThickness = 1
    return source


def _written(made: Dataset, heatmap: Heatmap) -> bytes:
    facts = provenance(heatmap)
    short = ("method", "target_class", "layer", "model_version")
    made.DerivationDescription = f"{NOTICE}. " + "; ".join(f"{name}: {facts[name]}" for name in short)
    text = json.dumps(facts, default=str)
    if len(text) > 10_000:  # an LT element holds 10,240 characters; LIME's coefficients can be more
        facts["parameters"] = {k: v for k, v in facts["parameters"].items() if not isinstance(v, list)}
        text = json.dumps(facts, default=str)
    made.ImageComments = text
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = "Made from pixels without identifiers"
    out = io.BytesIO()
    try:
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.save_as(out, enforce_file_format=True)
    except (ValueError, OSError) as e:
        raise Refused(f"The heatmap cannot be written as DICOM ({type(e).__name__}).") from e
    return out.getvalue()
