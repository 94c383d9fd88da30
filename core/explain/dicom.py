"""Heatmaps as DICOM: the overlay as a secondary capture, the raw values as a parametric map, both saying what they are.

The objects form a study of their own: the store keeps no identifiers of the file that the picture came from, so they name the
pseudonym and the picture's content hash instead. Nor does it keep where the picture lay: a map's plane has the directions that
are known, to the nearest axes of the patient, and its position is its own.

Checked with dciodvfy, which warns of what is unknown: dates, and the side where no picture says it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image as PILImage
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from core.explain.overlay import overlay_png
from core.explain.provenance import NOTICE, provenance
from core.explain.registry import METHODS
from core.records import Heatmap, Image, Refused, Study

Facts = Mapping[str, Any]
_MAKER = "TumorTrace"
_DIRECTIONS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
_UNKNOWN = ("L", "P")  # a plane must have directions, and these are the usual ones of axial pictures


def secondary_capture(study: Study, image: Image, heatmap: Heatmap, scale: float | None = None) -> bytes:
    """A DICOM file with the colour overlay as `overlay_png` draws it, caption burned in (PS3.3 A.8.1)."""
    from highdicom.sc import SCImage  # slow to import, and only exports need it

    with PILImage.open(io.BytesIO(overlay_png(image, heatmap, scale=scale))) as picture:
        pixels, facts = np.asarray(picture.convert("RGB")), json.loads(picture.text["Heatmap"])  # (H, W, 3)
    made = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=_UNKNOWN,  # replaced below: it may be empty, which highdicom does not let it be
        **_identity(study, facts, "overlay"),
        manufacturer=_MAKER,
    )
    made.PatientOrientation = list(image.orientation or ())
    made.BurnedInAnnotation = "YES"
    made.SeriesDescription = f"{_title(heatmap)} overlay"
    return _written(made, image, facts)


def parametric_map(study: Study, image: Image, heatmap: Heatmap) -> bytes:
    """A DICOM file with the raw values, float32, at the method's own resolution (PS3.3 A.75).

    Pixel spacing is the picture's, times how much coarser the map is, and 1 × 1 mm per picture pixel where it is not known;
    the first value lies in the middle of its cell, as seen from the middle of the picture's first pixel. What of this was not
    known is said in the derivation description.
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
    facts = provenance(heatmap)
    identity, (right, down) = _identity(study, facts, "raw"), _axes(image)
    first = (right * (cell[1] - spacing[1]) + down * (cell[0] - spacing[0])) / 2
    made = ParametricMap(
        source_images=[_source(study, image, identity)],
        pixel_array=heatmap.values[None],  # (1, h, w)
        manufacturer=_MAKER,
        manufacturer_model_name=_MAKER,
        software_versions=heatmap.versions.get("torch", "unknown"),
        device_serial_number=heatmap.model_version[:16] or "unknown",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[meaning],
        voi_lut_transformations=[hd.VOILUTTransformation(*window, voi_lut_function="LINEAR_EXACT")],
        content_label="HEATMAP",
        content_description=_title(heatmap),
        image_flavor="VOLUME",
        derived_pixel_contrast="QUANTITY",
        pixel_measures=hd.PixelMeasuresSequence(pixel_spacing=cell, slice_thickness=1.0),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", [*right, *down]),
        plane_positions=[hd.PlanePositionSequence("PATIENT", first)],
        **{name: identity[name] for name in _OWN},
    )
    made.SeriesDescription = f"{_title(heatmap)} raw values"
    return _written(made, image, facts)


_OWN = ("series_instance_uid", "series_number", "sop_instance_uid", "instance_number")


def _axes(image: Image) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (3,) in the patient along a row and down a column: the first letters of the picture's directions.

    Those of an axial picture where they are not known, or are not at right angles to each other.
    """
    for letters in (image.orientation or _UNKNOWN, _UNKNOWN):
        right, down = (np.array(_DIRECTIONS[direction[0]], dtype=float) for direction in letters)
        if not right @ down:
            break
    return right, down


def _title(heatmap: Heatmap) -> str:
    return METHODS[heatmap.method].title if heatmap.method in METHODS else heatmap.method


def _uid(*parts: str) -> UID:
    return generate_uid(entropy_srcs=["tumortrace", *parts])  # the same export twice is the same object


def _identity(study: Study, facts: Facts, kind: str) -> dict[str, Any]:
    text = json.dumps(facts, default=dict, sort_keys=True)
    return {
        "study_instance_uid": _uid(study.id),
        "series_instance_uid": _uid(study.id, text, kind),
        "sop_instance_uid": _uid(study.id, text, kind, "1"),
        "series_number": 1 if kind == "overlay" else 2,
        "instance_number": 1,
        "study_id": study.id[:16],
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
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"):
        setattr(source, keyword, "")
    source.StudyID, source.ReferringPhysicianName = identity["study_id"], ""
    source.Modality = study.modality or "OT"
    source.Rows, source.Columns = image.pixels.shape[:2]
    source.PixelSpacing = list(image.spacing_mm or (1.0, 1.0))
    source.ImagePositionPatient, source.ImageOrientationPatient = [0, 0, 0], np.concatenate(_axes(image)).tolist()
    source.SliceThickness = 1
    return source


def _written(made: Dataset, image: Image, facts: Facts) -> bytes:
    parameters = facts["parameters"]
    short = {name: facts[name] for name in ("method", "target_class", "layer", "model_version")}
    short |= {name: parameters[name] for name in ("seed", "maximum", "share") if name in parameters}
    unknown = {"spacing": image.spacing_mm, "directions in the patient": image.orientation}
    open_ends = "".join(f". The picture's {what} is not known" for what, value in unknown.items() if value is None)
    made.DerivationDescription = f"{NOTICE}. " + "; ".join(f"{k}: {v}" for k, v in short.items()) + open_ends
    text = json.dumps(facts, default=dict)
    if len(text) > 10_000:  # an LT element holds 10,240 characters; LIME's coefficients can be more
        numbers = {name: value for name, value in parameters.items() if not isinstance(value, list)}
        text = json.dumps({**facts, "parameters": numbers}, default=dict)
    made.ImageComments = text
    made.Laterality = image.laterality
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = "Made from pixels without identifiers"
    out = io.BytesIO()
    try:
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.save_as(out, enforce_file_format=True)
    except (ValueError, OSError) as e:
        raise Refused(f"The heatmap cannot be written as DICOM ({type(e).__name__}).") from e
    return out.getvalue()
