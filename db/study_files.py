"""Finished reader studies as files, from a terminal as from the results page. Composes core and db."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from core import study_exchange
from core.reader_records import ImportedStudy, ReaderStudy
from core.records import Refused
from core.study_readings import Asked, Origin, StudyReadings, content_hash, normalised, stored_readings
from core.tasks import get_task
from db import imported_studies, reader_studies, readers, study_results

KINDS = (".csv", ".parquet", ".imrmc")


def finished_study(session: Session, called: str) -> tuple[StudyReadings, dict[str, str]]:
    """(readings, reader -> pseudonym) of the closed or imported study of that name, or of the number in its page's address.

    `Refused` where there is none, while it is not closed, and where nothing was read in it.
    """
    wanted = called.strip().lower()
    for study in imported_studies.list_imported_studies(session):
        if wanted in (study.name.lower(), f"i{study.id}"):
            found = imported_study(session, study)
            return found, names_of_imported(found)
    for own in reader_studies.list_reader_studies(session):
        if wanted in (own.name.lower(), str(own.id)):
            return own_study(session, own), study_results.pseudonyms(session, own.id)
    raise Refused(f"There is no reader study called '{called}'.")


def own_study(session: Session, study: ReaderStudy) -> StudyReadings:
    """All readings of a closed study; `Refused` while it is not, and where nothing was read in it."""
    table = study_results.result_readings(session, study.id)
    if table.empty:
        raise Refused("Nothing was read in this study.")
    origin: Origin = "simulated" if study.simulated else "study"
    rows, names = stored_readings(table, get_task(study.task)), study_results.pseudonyms(session, study.id)
    gone = {withdrawal.reader for withdrawal in readers.list_withdrawals(session, study.id)}
    stayed = tuple(name for name in readers.list_readers(session, study.id) if name not in gone)
    asked = Asked(tuple(reader_studies.list_cases(session, study.id)), stayed, tuple(sorted(gone)))
    return StudyReadings(study.name, study.task, rows, origin, asked=asked, pseudonyms=names)


def imported_study(session: Session, study: ImportedStudy) -> StudyReadings:
    """All readings of a study that was run elsewhere."""
    rows = normalised(imported_studies.imported_readings(session, study.id))
    return StudyReadings(study.name, study.task, rows, "simulated" if study.simulated else "imported")


def names_of_imported(study: StudyReadings) -> dict[str, str]:
    """Reader -> what exports call them: readers of imported studies keep the names that the file gave them."""
    return {reader: reader for reader in study.rows["reader"].unique()}


@dataclass(frozen=True)
class Written:
    """What a file holds: `readings` of `readers` readers; `left_out` readings are not in it; `rating` of `.imrmc`, else empty."""

    readings: int
    readers: int
    left_out: int = 0
    rating: str = ""


def write_study(study: StudyReadings, names: dict[str, str], path: Path, *, comments: bool = False) -> Written:
    """Write the readings as the ending of `path` says (one of `KINDS`); readers have pseudonyms.

    `.imrmc` holds first readings with a reference standard only, and likelihoods, or classes where nobody gave one. `Refused`
    for another ending, and as `core.study_exchange.imrmc_file`.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise Refused(f"The file's ending says what is written: {', '.join(KINDS)}.")
    if kind == ".imrmc":
        made = study_exchange.imrmc_file(study, names)
        path.write_text(made.text)
        return Written(made.readings, made.readers, len(study.rows) - made.readings, made.rating)
    table = study_exchange.export_table(study, names, comments=comments)
    if kind == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return Written(len(table), table["reader"].nunique())


def add_study_file(session: Session, data: bytes, file: str, task: str, named: tuple[str, str]) -> ImportedStudy | None:
    """Check a file whole (CSV or Parquet, by the ending of `file`), then store it whole; `named` is (study's name, by whom).

    None where the same readings are stored already. `Refused` as `core.study_exchange.read_study` and
    `db.imported_studies.add_imported_study`.
    """
    rows, simulated = study_exchange.read_study(data, file, task)
    name, by = named
    sizes = (rows["reader"].nunique(), rows["case"].nunique(), len(rows))
    record = ImportedStudy(0, name, task, content_hash(rows, task), simulated, *sizes, by, "")
    return imported_studies.add_imported_study(session, record, rows)
