"""Who reads a reader study: reviewers, never leads, since a lead sees the reference standard.

While it runs readers may come and go. What a withdrawn reader has read stays stored; results leave it out unless asked.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.reader_records import Withdrawal
from core.records import Refused
from db.audit import add_entry
from db.exposures import require_accepted
from db.tables import ReaderRow, ReaderStudyCaseRow, ReaderStudyRow, ReviewRow, UserRow, utc_now


def list_readers(session: Session, number: int) -> dict[str, int]:
    """Reader -> half (0 or 1), by name, withdrawn ones too. Half 0 begins a wash-out unaided, half 1 aided."""
    query = select(ReaderRow.reader, ReaderRow.half).where(ReaderRow.reader_study == number).order_by(ReaderRow.reader)
    return dict(session.execute(query).all())


def list_withdrawals(session: Session, number: int) -> list[Withdrawal]:
    """Readers who were taken out of that study, by name."""
    query = select(ReaderRow).where(ReaderRow.reader_study == number, ReaderRow.withdrawn_at != "")
    rows = session.scalars(query.order_by(ReaderRow.reader))
    return [Withdrawal(row.reader, row.withdrawn_at, row.withdrawn_because) for row in rows]


def withdrawn_from(session: Session, reader: str) -> list[str]:
    """Names of the reader studies from which that person was withdrawn, newest first."""
    query = select(ReaderStudyRow.name).join(ReaderRow, ReaderRow.reader_study == ReaderStudyRow.id)
    query = query.where(ReaderRow.reader == reader, ReaderRow.withdrawn_at != "")
    return list(session.scalars(query.order_by(ReaderStudyRow.id.desc())))


def add_reader(session: Session, number: int, reader: str, actor: str, accepted: str = "") -> None:
    """Add a reader to a draft or a running study, in the smaller half; `Refused` for a closed one or no reviewer.

    Whoever was withdrawn stays so: meanwhile the cases stood in their daily work, with the model beside. `accepted` must say why
    somebody may read cases without the model who has seen a model's result of them before: the audit log keeps it.
    """
    row = study_row(session, number)
    if row.status == "closed":
        raise Refused(f"'{row.name}' is closed; no reader can be added.")
    gone = {withdrawal.reader for withdrawal in list_withdrawals(session, number)}
    if reader in gone:
        raise Refused(f"'{reader}' was withdrawn from '{row.name}' and cannot read it again.")
    halves = list_readers(session, number)
    if reader in halves:
        raise Refused(f"'{reader}' reads '{row.name}' already.")
    check_reviewers(session, (reader,))
    check_overlap(session, number, (reader,))
    known = require_accepted(session, (number, row.protocol), (reader,), accepted)
    counts = [sum(own == half for name, own in halves.items() if name not in gone) for half in (0, 1)]
    session.add(ReaderRow(reader_study=number, reader=reader, half=counts.index(min(counts))))
    session.flush()
    add_entry(
        session,
        actor,
        "reader_study.reader",
        f"reader_study:{number}",
        {"reader": reader, "status": row.status, **known},
    )


def withdraw_reader(session: Session, number: int, reader: str, because: str, actor: str) -> Withdrawal:
    """Take a reader out of a running study for good and give the record; what they read stays stored.

    `Refused` without a reason, for a study that does not run (of a closed one results are known, of which nobody may choose),
    for somebody who does not read it, and for the last reader.
    """
    row, why = study_row(session, number), because.strip()
    if row.status != "running":
        raise Refused(f"'{row.name}' is {row.status}; a reader can be withdrawn only while a reader study runs.")
    reading = select(ReaderRow).where(ReaderRow.reader_study == number, ReaderRow.withdrawn_at == "")
    found = {own.reader: own for own in session.scalars(reading)}
    if reader not in found:
        raise Refused(f"'{reader}' does not read '{row.name}'.")
    if not why:
        raise Refused("Say why the reader is withdrawn: the audit log and the results keep the reason.")
    if len(found) == 1:
        raise Refused(f"'{reader}' is the only reader of '{row.name}': add another one first, or close the study.")
    found[reader].withdrawn_at, found[reader].withdrawn_because = utc_now(), why
    session.flush()
    mine = (ReviewRow.reader_study == number, ReviewRow.reviewer == reader, ReviewRow.supersedes.is_(None))
    done = session.scalar(select(func.count()).where(*mine)) or 0
    details = {"reader": reader, "reason": why, "readings": done}
    add_entry(session, actor, "reader_study.withdraw", f"reader_study:{number}", details)
    return Withdrawal(reader, found[reader].withdrawn_at, why)


def study_row(session: Session, number: int) -> ReaderStudyRow:
    """The mapped row of that reader study, for `db` alone; `Refused` where there is none."""
    row = session.get(ReaderStudyRow, number)
    if row is None:
        raise Refused("This reader study is not in the store.")
    return row


def check_reviewers(session: Session, readers: tuple[str, ...]) -> None:
    """Raise `Refused` unless all of them are known reviewers."""
    query = select(UserRow.name).where(UserRow.name.in_(readers), UserRow.role == "reviewer")
    if strangers := sorted(set(readers) - set(session.scalars(query))):
        raise Refused(f"Readers must be reviewers known to the program: {', '.join(strangers)} cannot read.")


def check_overlap(session: Session, number: int, readers: tuple[str, ...]) -> None:
    """Raise `Refused` where one of them reads a case of that study in another running one: there the model may be seen."""
    cases = select(ReaderStudyCaseRow.study_id).where(ReaderStudyCaseRow.reader_study == number)
    query = (
        select(ReaderStudyRow.name, ReaderRow.reader)
        .join(ReaderRow, ReaderRow.reader_study == ReaderStudyRow.id)
        .join(ReaderStudyCaseRow, ReaderStudyCaseRow.reader_study == ReaderStudyRow.id)
        .where(ReaderStudyRow.status == "running", ReaderStudyRow.id != number, ReaderRow.reader.in_(readers))
        .where(ReaderRow.withdrawn_at == "", ReaderStudyCaseRow.study_id.in_(cases))
    )
    if (other := session.execute(query.limit(1)).one_or_none()) is not None:
        raise Refused(f"{other.reader} reads some of these cases in '{other.name}', which still runs.")
