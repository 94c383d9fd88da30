"""The things TumorTrace talks about, as frozen records. Every room uses these words and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from core.window import VoiFunction as VoiFunction  # part of what every room imports from here
from core.window import Window as Window
from core.window import full_range_window as full_range_window

Laterality = Literal["L", "R", ""]
Phase = Literal["unaided", "aided"]
ModelStatus = Literal["candidate", "active", "withdrawn"]
BIRADS = ("0", "1", "2", "3", "4A", "4B", "4C", "5", "6")  # assessment categories, by their codes
BIRADS_ORDERED = BIRADS[1:-1]  # by suspicion; 0 (incomplete) and 6 (known malignancy) have no place in that order


@dataclass(frozen=True)
class Image:
    """One 2-D picture of a study.

    Intensity contract: `pixels` is uint8 or uint16 of shape (H, W), larger is brighter (MONOCHROME1 is inverted when
    read), or uint8 RGB of shape (H, W, 3). `window` says how grey values are displayed; colour images have none.
    `slope` and `intercept` turn a pixel into the modality's own unit: value = pixel * slope + intercept.
    `windows` are those that the file offers to choose from, `window` is the first of them; empty where it states none.

    Where the picture stands: `frame` in its file; `series` counts the acquisitions of the study from 0; within one, `phase`
    counts repeated passes over the same places (dynamic MR) and `slice` the places along the slice normal, both from 0, or
    None where the file does not say. `frame_time_ms` is how long a film shows it. `orientation` has the patient's directions
    (letters A P R L H F) to which a row leads, rightwards, and a column, downwards.
    """

    pixels: np.ndarray
    window: Window | None = None
    laterality: Laterality = ""
    view: str = ""
    frame: int = 0
    spacing_mm: tuple[float, float] | None = None  # (row spacing, column spacing)
    slope: float = 1.0
    intercept: float = 0.0
    windows: tuple[Window, ...] = ()
    series: int = 0
    phase: int | None = None
    slice: int | None = None
    frame_time_ms: float | None = None
    orientation: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        p = self.pixels
        grey = p.ndim == 2 and p.dtype in (np.uint8, np.uint16)
        colour = p.ndim == 3 and p.shape[2] == 3 and p.dtype == np.uint8
        if not (grey or colour) or p.size == 0:
            raise ValueError(f"pixels must be (H, W) uint8/uint16 or (H, W, 3) uint8, not {p.shape} {p.dtype}")
        if grey and self.window is None:
            raise ValueError("a grey image needs a window")
        if colour and self.window is not None:
            raise ValueError("a colour image has no window")

    @property
    def is_colour(self) -> bool:
        """True for RGB pixels (H, W, 3)."""
        return self.pixels.ndim == 3

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) of dtype, shape and pixel bytes: equal pictures have equal hashes, whatever file they came in.

        Computed once: `pixels` must not be written to. (A cached property stands in the instance, beside the frozen fields.)
        """
        digest = hashlib.sha256(f"{self.pixels.dtype.str}{self.pixels.shape}".encode())
        digest.update(np.ascontiguousarray(self.pixels))
        return digest.hexdigest()


@dataclass(frozen=True)
class Study:
    """What one reviewer reads as one case: one or more images of one patient.

    `id` is a content hash (see `study_id`), so the same pictures of the same patient are the same study. `patient_id` is a
    pseudonym or empty. `reference_standard` is a class name of `task` where the source states one; reviewers never see it.
    `metadata` holds JSON-safe acquisition facts only, never a patient's name.
    """

    id: str
    name: str
    modality: str  # DICOM modality code: MR, MG, US, SM, XC …; empty when unknown
    images: tuple[Image, ...]
    patient_id: str = ""
    task: str = ""
    reference_standard: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("a study needs at least one image")


def study_id(images: tuple[Image, ...], patient_id: str = "") -> str:
    """Content hash (SHA-256, hex) of a study: its patient's pseudonym and its images' hashes, views and frames, in order."""
    digest = hashlib.sha256(patient_id.encode())
    for image in images:
        digest.update(f"|{image.content_hash}|{image.laterality}|{image.view}|{image.frame}".encode())
    return digest.hexdigest()


class StudyRejected(Exception):
    """A file cannot become a study. `reason` is one sentence for the user, `hint` says what to do."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason} {hint}".strip())
        self.reason, self.hint = reason, hint

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.reason, self.hint)


class Refused(ValueError):
    """A checkpoint, dataset or setting that cannot be used, said in one sentence for the user."""


@dataclass(frozen=True)
class OperatingPoint:
    """A named threshold on the positive class's probability and where it was chosen (always on validation data)."""

    name: str
    threshold: float
    chosen_on: str  # e.g. "val (n = 120)"


@dataclass(frozen=True)
class Model:
    """A registered checkpoint. `version` is the SHA-256 of its file; `card` is its JSON-safe model card."""

    version: str
    name: str
    architecture: str
    task: str
    status: ModelStatus = "candidate"
    card: Mapping[str, Any] = field(default_factory=dict)
    created_at: str = ""  # ISO 8601, UTC


@dataclass(frozen=True)
class Prediction:
    """Probabilities of one model for one study.

    `probabilities` maps class name -> probability of the study (mean over its images); `per_image` holds one such row per
    image, shape (number of images, number of classes), float64, rows sum to 1.
    """

    study_id: str
    model_version: str
    task: str
    probabilities: Mapping[str, float]
    per_image: np.ndarray
    predicted: str
    operating_point: OperatingPoint | None
    device: str
    preprocessing: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Heatmap:
    """Attribution of one prediction for one image.

    `values` are raw, never rescaled: float32 (h, w), at the method's own resolution, covering the whole image edge to edge.
    `signed` is True where negative values speak against `target_class`. `parameters` are JSON-safe.
    """

    values: np.ndarray
    method: str
    target_class: str
    layer: str
    model_version: str
    image_hash: str
    signed: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float32 or not np.isfinite(self.values).all():
            raise ValueError(f"a heatmap is finite float32 (h, w), not {self.values.dtype} {self.values.shape}")


@dataclass(frozen=True)
class Estimate:
    """A number with the interval and the n that make it worth showing.

    `value` is None where it is undefined; `reason` then says why. `low` and `high` bound the 95 % interval by `method`.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    reason: str = ""


@dataclass(frozen=True)
class EvaluationRun:
    """One model scored once on one split of one dataset.

    `labels` (N,) int are indices into `classes`; `probabilities` (N, C) float64; `metrics` maps name -> Estimate;
    `history` is one mapping per training epoch; `provenance` names checkpoint, dataset fingerprint, preprocessing, versions.
    """

    id: str
    model_version: str
    model_name: str
    task: str
    classes: tuple[str, ...]
    dataset: str
    split: str
    case_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    operating_point: OperatingPoint | None
    metrics: Mapping[str, Estimate]
    history: tuple[Mapping[str, float], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseDetails:
    """What is known of a run's cases beside labels and probabilities, in the order of its `case_ids`.

    `attributes` maps a column (site, density, view …) to one text per case, empty where unknown; `pixel_hashes` holds one
    `Image.content_hash` per case (empty where unknown), or nothing.
    """

    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pixel_hashes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Review:
    """One reviewer's assessment of one study in one phase.

    `confidence` in the class and `likelihood` of the task's positive class are 0–100, None where the reviewer gave none;
    `birads` is one of `BIRADS` or empty; `heatmap_verdict` is yes, partly, no or empty; `regions` are rectangles and
    points in image pixels: {"kind", "image", "points": [[x, y], …]}. `reader_study` is None in daily work; `repeat` is 1 for
    the second reading of a case that a reader study asks for twice, else 0.
    `client_token` makes a repeated save harmless; `supersedes` is the id of the review that this one corrects.
    """

    study_id: str
    reviewer: str
    phase: Phase
    label: str
    client_token: str
    prediction_id: int | None = None
    confidence: int | None = None
    heatmap_verdict: str = ""
    comment: str = ""
    flagged: bool = False
    regions: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0
    supersedes: int | None = None
    id: int | None = None
    created_at: str = ""  # ISO 8601, UTC
    birads: str = ""
    likelihood: int | None = None
    reader_study: int | None = None
    repeat: int = 0

    def __post_init__(self) -> None:
        if self.repeat not in (0, 1) or (self.repeat and self.reader_study is None):
            raise ValueError(f"repeat must be 0, or 1 in a reader study, not {self.repeat}")
        if self.phase not in ("unaided", "aided"):
            raise ValueError(f"phase must be unaided or aided, not {self.phase!r}")
        for name in ("confidence", "likelihood"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 100:
                raise ValueError(f"{name} must lie in 0–100, not {value}")
        check_birads(self.birads)
        if not self.label:
            raise ValueError("a review needs a class")


def check_birads(category: str) -> None:
    """Raise `ValueError` unless `category` is one of `BIRADS` or empty."""
    if category and category not in BIRADS:
        raise ValueError(f"a BI-RADS category is one of {', '.join(BIRADS)}, not {category!r}")
