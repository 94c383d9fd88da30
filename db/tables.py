"""Every mapped class. A row never leaves `db`: the functions beside this module give records or tables of values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def utc_now() -> str:
    """This moment as ISO 8601 in UTC with milliseconds; such strings sort in time order."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Base(DeclarativeBase):
    """Constraints have names, so that a later migration can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy reads it from the class)
        str: Text(),
        bytes: LargeBinary(),
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class StudyRow(Base):
    """One study. `number` counts arrivals, so that paging in order of arrival is exact."""

    __tablename__ = "studies"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    modality: Mapped[str]
    patient_id: Mapped[str]
    task: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=utc_now)
    reference_standard: Mapped[str | None]
    facts: Mapped[dict[str, Any]] = mapped_column("metadata")  # `metadata` is SQLAlchemy's own attribute


class ImageRow(Base):
    """One image of a study; its pixels are a file named after `pixel_hash` (see `db.pixels`)."""

    __tablename__ = "images"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    pixel_hash: Mapped[str] = mapped_column(index=True)
    height: Mapped[int]
    width: Mapped[int]
    colour: Mapped[bool]
    bits: Mapped[int]
    window: Mapped[dict[str, Any] | None]
    laterality: Mapped[str]
    view: Mapped[str]
    frame: Mapped[int]
    spacing_mm: Mapped[list[Any] | None]
    slope: Mapped[float]
    intercept: Mapped[float]
    windows: Mapped[list[Any]]
    series: Mapped[int]
    phase: Mapped[int | None]
    slice: Mapped[int | None]
    frame_time_ms: Mapped[float | None]
    orientation: Mapped[list[Any] | None]


class HoldRow(Base):
    """A study that waits until somebody has looked at its pixels; released when `released_at` is set.

    `replaced` lists the hashes of pixels that were masked: their files are to be gone.
    """

    __tablename__ = "holds"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    reason: Mapped[str]
    uploaded_by: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=utc_now)
    released_at: Mapped[str | None]
    released_by: Mapped[str | None]
    outcome: Mapped[str | None]
    replaced: Mapped[list[Any] | None]


class CopyRow(Base):
    """A copy of a file that became (part of) a study; it is a file named after `hash` (see `db.copies`).

    `removed` is set when the study is masked: the file is to be gone, since it shows what was masked.
    """

    __tablename__ = "copies"
    __table_args__ = (CheckConstraint("kind IN ('deidentified', 'original')", name="kind"),)

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    hash: Mapped[str] = mapped_column(primary_key=True, index=True)
    kind: Mapped[str]
    format: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=utc_now)
    removed: Mapped[bool] = mapped_column(default=False)


class ModelRow(Base):
    """One registered checkpoint. `activation` is the audit entry that made it active, so the latest one is known exactly."""

    __tablename__ = "models"
    __table_args__ = (CheckConstraint("status IN ('candidate', 'active', 'withdrawn')", name="status"),)

    version: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    architecture: Mapped[str]
    task: Mapped[str]
    status: Mapped[str]
    activation: Mapped[int | None] = mapped_column(ForeignKey("audit.id"))
    card: Mapped[dict[str, Any]]
    created_at: Mapped[str]


class PredictionRow(Base):
    """One model's prediction for one study on one device."""

    __tablename__ = "predictions"
    __table_args__ = (UniqueConstraint("study_id", "model_version", "device"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    model_version: Mapped[str] = mapped_column(ForeignKey("models.version"), index=True)
    task: Mapped[str]
    predicted: Mapped[str]
    device: Mapped[str]
    requested_by: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=utc_now)
    probabilities: Mapped[dict[str, Any]]
    per_image: Mapped[list[Any]]
    operating_point: Mapped[dict[str, Any] | None]
    preprocessing: Mapped[dict[str, Any]]
    versions: Mapped[dict[str, Any]]


class ReviewRow(Base):
    """One review; triggers refuse to change or delete it. Reviews of one study, reviewer and phase form one chain."""

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint("phase IN ('unaided', 'aided')", name="phase"),
        # Holds all that a worklist asks of a review, so that the table itself is not touched.
        Index("ix_reviews_reading", "reviewer", "study_id", "phase", "id", "flagged", "reader_study"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    reviewer: Mapped[str]
    phase: Mapped[str]
    label: Mapped[str]
    client_token: Mapped[str] = mapped_column(unique=True)
    prediction_id: Mapped[int | None] = mapped_column(ForeignKey("predictions.id"), index=True)
    confidence: Mapped[int | None]
    heatmap_verdict: Mapped[str]
    flagged: Mapped[bool]
    seconds: Mapped[float]
    supersedes: Mapped[int | None] = mapped_column(ForeignKey("reviews.id"), unique=True)
    created_at: Mapped[str]
    comment: Mapped[str]
    regions: Mapped[list[Any]]
    birads: Mapped[str] = mapped_column(server_default="")
    likelihood: Mapped[int | None]
    reader_study: Mapped[int | None] = mapped_column(ForeignKey("reader_studies.id"))
    repeat: Mapped[int] = mapped_column(server_default="0")


# A chain has one beginning, whatever two writers try at once: one in daily work, one in each reader study and repeat.
_READING = (ReviewRow.study_id, ReviewRow.reviewer, ReviewRow.phase)
_FIRST = ReviewRow.supersedes.is_(None) & ReviewRow.reader_study.is_(None)
_FIRST_IN_STUDY = ReviewRow.supersedes.is_(None) & ReviewRow.reader_study.is_not(None)
Index("uq_reviews_first", *_READING, unique=True, sqlite_where=_FIRST, postgresql_where=_FIRST)
Index(
    "uq_reviews_first_in_study", ReviewRow.reader_study, *_READING, ReviewRow.repeat, unique=True,
    sqlite_where=_FIRST_IN_STUDY, postgresql_where=_FIRST_IN_STUDY,
)  # fmt: skip
# How far a reader is: each save in a reader study asks, and without it SQLite looks through the first reviews of everybody.
_IN_STUDY = ReviewRow.reader_study.is_not(None)
Index(
    "ix_reviews_of_reader", ReviewRow.reader_study, ReviewRow.reviewer, ReviewRow.supersedes, ReviewRow.created_at,
    sqlite_where=_IN_STUDY, postgresql_where=_IN_STUDY,
)  # fmt: skip
# A few among a million: the condition is text, since a parameter in its place would not be recognised as the index's.
HAS_REGIONS = text("CAST(regions AS TEXT) <> '[]'")
Index("ix_reviews_with_regions", ReviewRow.id, sqlite_where=HAS_REGIONS, postgresql_where=HAS_REGIONS)


class DraftRow(Base):
    """A reviewer's unsaved answers for one study."""

    __tablename__ = "drafts"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    reviewer: Mapped[str] = mapped_column(primary_key=True)
    values: Mapped[dict[str, Any]]
    updated_at: Mapped[str] = mapped_column(default=utc_now, onupdate=utc_now)


class ReaderStudyRow(Base):
    """One reader study. Once it runs only its status and its closing time change."""

    __tablename__ = "reader_studies"
    __table_args__ = (
        CheckConstraint("status IN ('draft', 'running', 'closed')", name="status"),
        CheckConstraint("protocol IN ('aided', 'sequential', 'washout')", name="protocol"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    task: Mapped[str]
    protocol: Mapped[str]
    model_version: Mapped[str] = mapped_column(ForeignKey("models.version"))
    seed: Mapped[int]
    rules: Mapped[dict[str, Any]]
    status: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=utc_now)
    started_at: Mapped[str] = mapped_column(default="")
    closed_at: Mapped[str] = mapped_column(default="")
    simulated: Mapped[bool] = mapped_column(server_default=false())


class ImportedStudyRow(Base):
    """A reader study from elsewhere; its readings are one Parquet blob, `fingerprint` is the hash of what they say."""

    __tablename__ = "imported_studies"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    task: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(unique=True)
    simulated: Mapped[bool]
    readers: Mapped[int]
    cases: Mapped[int]
    rows: Mapped[int]
    imported_by: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=utc_now)
    readings: Mapped[bytes]  # last, so that lists are read without it


class ReviewCountRow(Base):
    """How many current daily-work reviews there are of each kind. A trigger counts every review that is added; nobody else writes.

    `band` is the confidence in fifths (0–4), −1 where none was given; `month` is YYYY-MM of saving, in UTC.
    """

    __tablename__ = "review_counts"

    model_version: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(primary_key=True)
    reviewer: Mapped[str] = mapped_column(primary_key=True)
    phase: Mapped[str] = mapped_column(primary_key=True)
    predicted: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    band: Mapped[int] = mapped_column(primary_key=True)
    month: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int]


class ReaderStudyCaseRow(Base):
    """One case of a reader study, in the order in which the lead gave them."""

    __tablename__ = "reader_study_cases"

    reader_study: Mapped[int] = mapped_column(ForeignKey("reader_studies.id"), primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True, index=True)
    position: Mapped[int]


class ReaderRow(Base):
    """One reader of a reader study. `half` (0 or 1) says which session of a wash-out is the unaided one.

    `withdrawn_at` is empty while the reader takes part.
    """

    __tablename__ = "readers"

    reader_study: Mapped[int] = mapped_column(ForeignKey("reader_studies.id"), primary_key=True)
    reader: Mapped[str] = mapped_column(primary_key=True)
    half: Mapped[int]
    added_at: Mapped[str] = mapped_column(default=utc_now)
    withdrawn_at: Mapped[str] = mapped_column(server_default="")
    withdrawn_because: Mapped[str] = mapped_column(server_default="")


class ReaderDraftRow(Base):
    """A reader's unsaved answers for one case of a reader study; those of its second reading are apart."""

    __tablename__ = "reader_drafts"

    reader_study: Mapped[int] = mapped_column(ForeignKey("reader_studies.id"), primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    reviewer: Mapped[str] = mapped_column(primary_key=True)
    repeat: Mapped[int] = mapped_column(primary_key=True, server_default="0", autoincrement=False)
    values: Mapped[dict[str, Any]]
    updated_at: Mapped[str] = mapped_column(default=utc_now, onupdate=utc_now)


class AdjudicationRow(Base):
    """One decision of an adjudicator; triggers refuse to change or delete it. Decisions on one study form one chain."""

    __tablename__ = "adjudications"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), index=True)
    label: Mapped[str]
    birads: Mapped[str]
    reason: Mapped[str]
    decided_by: Mapped[str]
    reader_study: Mapped[int | None] = mapped_column(ForeignKey("reader_studies.id"))
    supersedes: Mapped[int | None] = mapped_column(ForeignKey("adjudications.id"), unique=True)
    created_at: Mapped[str]


_FIRST_DECISION = AdjudicationRow.supersedes.is_(None)
Index(
    "uq_adjudications_first", AdjudicationRow.study_id, unique=True, sqlite_where=_FIRST_DECISION,
    postgresql_where=_FIRST_DECISION,
)  # fmt: skip


class RunRow(Base):
    """One evaluation run. Its model need not be registered: predictions made elsewhere are welcome."""

    __tablename__ = "runs"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    model_version: Mapped[str] = mapped_column(index=True)
    model_name: Mapped[str]
    task: Mapped[str]
    dataset: Mapped[str]
    split: Mapped[str]
    n: Mapped[int]
    created_at: Mapped[str] = mapped_column(default=utc_now)
    classes: Mapped[list[Any]]
    operating_point: Mapped[dict[str, Any] | None]
    metrics: Mapped[dict[str, Any]]
    history: Mapped[list[Any]]
    provenance: Mapped[dict[str, Any]]
    predictions: Mapped[bytes]  # Parquet; last, so that SQLite reads a run's facts without it


class RunCasesRow(Base):
    """What is known of a run's cases beside their predictions: pixel hashes and attributes, as one Parquet blob."""

    __tablename__ = "run_cases"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    details: Mapped[bytes]


class RunMarkRow(Base):
    """What people note about a run: apart from it, so that a note does not rewrite its predictions."""

    __tablename__ = "run_marks"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    archived: Mapped[bool]
    tags: Mapped[list[Any]]
    notes: Mapped[str]
    updated_at: Mapped[str] = mapped_column(default=utc_now)


class DatasetRow(Base):
    """One dataset known to the installation. Its pictures stay where they lie; `path` leads there."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("path", "task"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    path: Mapped[str]
    task: Mapped[str]
    fingerprint: Mapped[str]
    counts: Mapped[dict[str, Any]]
    created_at: Mapped[str] = mapped_column(default=utc_now)


class HeatmapMeasureRow(Base):
    """What was measured of one method on one model: one row for each part (randomisation, masks …)."""

    __tablename__ = "heatmap_measures"

    model_version: Mapped[str] = mapped_column(ForeignKey("models.version"), primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    facts: Mapped[dict[str, Any]]
    measured_by: Mapped[str]
    measured_at: Mapped[str] = mapped_column(default=utc_now)


class UserRow(Base):
    """Someone who signs in. `key` is the name without case."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('reviewer', 'lead')", name="role"),)

    key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[str] = mapped_column(default=utc_now)


class AuditRow(Base):
    """One line of the audit log; triggers refuse to change or delete it. `hash` covers the line and `previous`."""

    __tablename__ = "audit"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[str]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[str]  # canonical JSON, kept as text because its very bytes are hashed
    previous: Mapped[str] = mapped_column(unique=True)
    hash: Mapped[str]
