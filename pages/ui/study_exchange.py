"""Section of the results page that gives the data away, and the form that takes in studies run elsewhere. For leads."""

from __future__ import annotations

import io

import pandas as pd
import streamlit as st

from core import study_exchange
from core.records import Refused
from core.study_exchange import NOTICE, imrmc_file, imrmc_rating
from core.study_readings import StudyReadings
from core.tasks import TASKS
from db import adjudication, study_files, study_results
from db import engine as store
from db.adjudication import QueueQuery
from db.users import User
from pages.ui import identity, messages
from pages.ui.study_data import Finished

MAX_MB = 200
_IMRMC = {"likelihood": "Likelihoods (.imrmc)", "class": "Classes as 0 and 1 (.imrmc)"}


def pseudonyms_of(study: Finished, readings: StudyReadings) -> dict[str, str]:
    """Reader -> pseudonym; readers of imported studies come with the names that the file gave them."""
    if study.origin == "imported":
        return study_files.names_of_imported(readings)
    with store.read() as session:
        return study_results.pseudonyms(session, study.number)


def downloads(user: User, study: Finished, readings: StudyReadings) -> None:
    """Readings, timings, regions, model results and decisions as CSV and Parquet; ratings as .imrmc."""
    identity.require_lead(user)
    names, file = pseudonyms_of(study, readings), f"tumortrace-study-{study.key}"
    comments = st.toggle(
        "With comments", key="sr_comments", help="Free text may name people: look through it before you pass it on."
    )

    def table() -> pd.DataFrame:
        return study_exchange.export_table(readings, names, comments=comments)

    def parquet() -> bytes:
        out = io.BytesIO()
        table().to_parquet(out, index=False)
        return out.getvalue()

    with st.container(horizontal=True):
        _download("Readings (CSV)", lambda: table().to_csv(index=False).encode(), f"{file}.csv", "text/csv")
        _download("Readings (Parquet)", parquet, f"{file}.parquet", "application/vnd.apache.parquet")
        if TASKS[readings.task].positive is not None:
            _download(_IMRMC[imrmc_rating(readings)], lambda: _imrmc(readings, names), f"{file}.imrmc", "text/plain")
        if study.origin != "imported":
            _download("Adjudications (CSV)", lambda: decisions(study), f"{file}-adjudications.csv", "text/csv")
    st.caption(
        f"One row per reader, case, phase and repeat (1: read a second time): class, likelihood, BI-RADS, confidence, seconds, "
        f"regions, the model's result, both reference standards, protocol, whether the reader was withdrawn, whether they had seen "
        f"a model's result of the case before, and a code of its patient. Readers have pseudonyms, cases their content hash. "
        f"{NOTICE}."
    )
    if TASKS[readings.task].positive is not None:
        st.caption(_imrmc_words(readings, names))
    shown = table().drop(columns=["regions", "notice"])
    narrow = {"case": st.column_config.TextColumn(width=110)}  # a content hash would fill the window
    st.dataframe(shown.head(200), hide_index=True, height=320, placeholder="–", alt="Readings", column_config=narrow)
    st.caption(f"{min(200, len(shown))} of {len(shown):,} rows shown.")


def _imrmc(readings: StudyReadings, names: dict[str, str]) -> bytes:
    return imrmc_file(readings, names).text.encode()


def _imrmc_words(readings: StudyReadings, names: dict[str, str]) -> str:
    """What the .imrmc file holds and whom it leaves out, or why there is none."""
    try:
        made = imrmc_file(readings, names)
    except Refused as e:
        return f"No .imrmc file: {e}"
    words = f".imrmc: {made.readings:,} first readings of {made.readers} readers that have a reference standard and a {made.rating}"
    if made.readings_left_out:
        words += f"; {made.readings_left_out:,} without are left out"
    if made.readers_left_out:
        words += f", and with them all of {messages.plain(', '.join(made.readers_left_out))}"
    return f"{words}."


def decisions(study: Finished) -> bytes:
    """Current decisions that this study led to, without names."""
    with store.read() as session:
        table = adjudication.list_decisions(session, QueueQuery(study.number))
    kept = table[["study_id", "task", "label", "birads", "reason", "created_at", "reference_standard"]]
    simulated = study.origin == "simulated"
    return kept.assign(simulated_readers=simulated, notice=NOTICE).to_csv(index=False).encode()


def _download(label: str, data: object, name: str, mime: str) -> None:
    st.download_button(label, data, name, mime, icon=":material/download:", on_click="ignore", key=f"dl:{name}")  # type: ignore[arg-type]


def import_form(user: User) -> None:
    """A CSV or Parquet file with the columns of our own export becomes a study marked "imported"."""
    identity.require_lead(user)
    generation = st.session_state.get("sr_imports", 0)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name", max_chars=80, key=f"sr_import_name:{generation}", width=340)
        task = st.selectbox("Task", list(TASKS), format_func=lambda t: TASKS[t].title, key="sr_import_task", width=240)
    file = st.file_uploader(
        "Readings, CSV or Parquet", type=["csv", "parquet"], key=f"sr_import:{generation}", max_upload_size=MAX_MB
    )
    st.caption(
        f"Columns {', '.join(study_exchange.NEEDED)}; as far as known likelihood, confidence, birads, seconds, adjudicated, "
        "predicted and score (the model's class and probability), regions, repeat (1: read a second time). Use pseudonyms. "
        "A file that breaks a rule is refused whole."
    )
    st.button(
        "Import", type="primary", icon=":material/upload:", disabled=file is None, key=f"sr_import_go:{generation}",
        on_click=messages.guarded(add_import), args=(user, file, name, task),
    )  # fmt: skip


def add_import(user: User, file: object, name: str, task: str) -> None:
    """Check the file whole, then store it whole; `Refused` in one sentence otherwise."""
    identity.require_lead(user)
    called = name.strip() or file.name.rsplit(".", 1)[0]  # type: ignore[attr-defined]
    with store.write() as session:
        added = study_files.add_study_file(session, file.getvalue(), file.name, task, (called, user.name))  # type: ignore[attr-defined]
    st.session_state["sr_imports"] = st.session_state.get("sr_imports", 0) + 1
    if added is None:
        raise Refused("These readings are in the store already; nothing was added.")
    st.query_params["study"] = f"i{added.id}"
    readings, readers = (
        f"{n:,} {what}{'s' * (n != 1)}" for n, what in ((added.rows, "reading"), (added.readers, "reader"))
    )
    messages.saved(f"Imported {messages.plain(added.name)}: {readings} of {readers}")
