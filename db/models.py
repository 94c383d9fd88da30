"""Registered models and their checkpoint files."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import settings
from core.records import Model, ModelStatus, Refused
from db.audit import add_entry
from db.engine import StoreError
from db.files import checked_hash, whole_file
from db.tables import ModelRow, utc_now


def add_model(session: Session, model: Model, *, actor: str = "system") -> bool:
    """Register a model; False when its version is registered already (then nothing changes).

    `ValueError` when the version is not a SHA-256 in hex or the status unknown.
    """
    _check_status(model.status)
    if session.get(ModelRow, checked_hash(model.version)) is not None:
        return False
    details = {"name": model.name, "task": model.task, "status": model.status}
    entry = add_entry(session, actor, "model.add", f"model:{model.version}", details)
    session.add(
        ModelRow(
            version=model.version,
            name=model.name,
            architecture=model.architecture,
            task=model.task,
            status=model.status,
            activation=entry if model.status == "active" else None,
            card=dict(model.card),
            created_at=model.created_at or utc_now(),
        )
    )
    session.flush()
    return True


def get_model(session: Session, version: str) -> Model | None:
    """The model of that version, or None."""
    row = session.get(ModelRow, version)
    return None if row is None else _record(row)


def list_models(session: Session, task: str = "", status: str = "") -> list[Model]:
    """Models of that task and status (empty: any), oldest first."""
    query = select(ModelRow).order_by(ModelRow.created_at, ModelRow.version)
    if task:
        query = query.where(ModelRow.task == task)
    if status:
        query = query.where(ModelRow.status == status)
    return [_record(row) for row in session.scalars(query)]


def set_model_status(session: Session, version: str, status: ModelStatus, actor: str) -> None:
    """Make a model candidate, active or withdrawn and say so in the audit log. `Refused` when there is no such model."""
    _check_status(status)
    row = session.get(ModelRow, version)
    if row is None:
        raise Refused(f"There is no model with version {version[:12]}.")
    details = {"from": row.status, "to": status}
    entry = add_entry(session, actor, "model.status", f"model:{version}", details)
    row.status = status
    if status == "active":
        row.activation = entry
    session.flush()


def default_model(session: Session, task: str) -> Model | None:
    """The model reviewers get: the active one of that task that was activated last, or None."""
    query = select(ModelRow).where(ModelRow.task == task, ModelRow.status == "active")
    row = session.scalar(query.order_by(ModelRow.activation.desc()).limit(1))
    return None if row is None else _record(row)


def model_file(version: str) -> Path:
    """Where that version's checkpoint is kept; `ValueError` if it is not a SHA-256 in hex."""
    return settings.home() / "models" / f"{checked_hash(version)}.pt"


def store_model_file(source: Path, version: str) -> Path:
    """Copy a checkpoint into the store and give its place; a copy that is already there stays.

    `Refused` when the file's SHA-256 is not `version`; `StoreError` when it cannot be read or written.
    """
    target = model_file(version)
    if target.exists():
        return target
    try:
        with source.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != version:
                raise Refused(f"{source.name} is not the checkpoint of version {version[:12]}: its content differs.")
            file.seek(0)
            with whole_file(target) as copy:
                shutil.copyfileobj(file, copy)
    except OSError as error:
        raise StoreError(f"The checkpoint {source.name} cannot be read ({error.strerror}).") from error
    return target


def _check_status(status: str) -> None:
    if status not in get_args(ModelStatus):
        raise ValueError(f"a model's status must be one of {get_args(ModelStatus)}, not {status!r}")


def _record(row: ModelRow) -> Model:
    return Model(row.version, row.name, row.architecture, row.task, row.status, row.card, row.created_at)  # type: ignore[arg-type]
