"""Upload: files or a folder become studies; a table says per file what it became or why it was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
import streamlit as st

from core import settings
from core.reading import Outcome, read_uploads
from core.tasks import TASKS
from db import engine as store
from db import pixels, studies
from db.engine import StoreError
from pages.ui import identity, messages
from pages.ui.tables import CLICK, clicked_row

RESULTS, ROUND = "upload_results", "upload_round"
KINDS = "PNG, JPEG, TIFF, DICOM, MedMNIST-style NPZ, or a ZIP of these"


def store_outcome(outcome: Outcome) -> dict[str, str]:
    """One file's studies, all stored in one transaction or none; the row of the table that says so."""
    if outcome.rejected:
        hint = f" {outcome.rejected.hint}" if outcome.rejected.hint else ""
        return {"File": outcome.name, "Result": "Refused", "What": f"{outcome.rejected.reason}{hint}", "study": ""}
    if any(not study.task for study in outcome.studies):
        what = "The file does not say what it shows. Choose the task above and drop it again."
        return {"File": outcome.name, "Result": "Refused", "What": what, "study": ""}
    for study in outcome.studies:
        pixels.put_all(
            study.images
        )  # before the transaction: packing a mammogram must not hold up other people's saves
    with store.write() as session:
        added = [studies.add_study(session, study) for study in outcome.studies]
    if not added:
        return {"File": outcome.name, "Result": "Read", "What": outcome.note, "study": ""}
    first = outcome.studies[0]
    images = sum(len(study.images) for study in outcome.studies)
    pictures = "1 image" if images == 1 else f"{images} images"
    kind = f"{len(added)} studies" if len(added) > 1 else first.name
    what = f"{kind} · {TASKS[first.task].title} · {pictures}"
    if not any(added):
        return {"File": outcome.name, "Result": "Already stored", "What": what, "study": first.id}
    known = f" · {added.count(False)} already stored" if not all(added) else ""
    return {"File": outcome.name, "Result": "Stored", "What": what + known, "study": first.id}


def take(files: Sequence, task: str) -> list[dict[str, str]]:
    """Read and store the files one after the other, with progress; repeating it after a stop stores nothing twice."""
    bar = st.progress(0.0, text="Reading …")

    def contents() -> Iterator[tuple[str, bytes]]:
        for number, file in enumerate(files):
            bar.progress(0.5 * number / len(files), text=f"Reading {number + 1} of {len(files)}: {file.name}")
            yield file.name, file.getvalue()

    outcomes = read_uploads(contents(), task=task, secret=settings.installation_secret())
    rows = []
    for number, outcome in enumerate(outcomes, start=1):
        try:
            rows.append(store_outcome(outcome))
        except StoreError as problem:
            rows.append({"File": outcome.name, "Result": "Refused", "What": f"Not stored. {problem}", "study": ""})
        bar.progress(0.5 + 0.5 * number / len(outcomes), text=f"Stored {number} of {len(outcomes)}: {outcome.name}")
    bar.empty()
    return rows


def results(rows: list[dict[str, str]]) -> None:
    table = pd.DataFrame(rows)
    stored, refused = (table["Result"] == "Stored").sum(), (table["Result"] == "Refused").sum()
    known = f", {n} already there" if (n := (table["Result"] == "Already stored").sum()) else ""
    count = "1 file" if len(table) == 1 else f"{len(table)} files"
    st.markdown(f"**{count}**: {stored} stored{known}, {refused} refused. Click a stored file to read it.")
    event = st.dataframe(
        table.assign(Result=table["Result"].map(lambda r: [r])), hide_index=True, on_select="rerun",
        selection_mode=CLICK, key=f"upload_table:{st.session_state[ROUND]}", alt="What each file became",
        column_order=["File", "Result", "What"],
        column_config={
            "File": st.column_config.TextColumn(width="medium"),
            "Result": st.column_config.MultiselectColumn(
                options=["Stored", "Already stored", "Read", "Refused"], color=["green", "gray", "gray", "red"],
                width="small",
            ),
            "What": st.column_config.TextColumn(width="large"),
        },
    )  # fmt: skip
    if (picked := clicked_row(event)) is not None and (study := rows[picked]["study"]):
        st.switch_page("review.py", query_params={"study": study})
    for row in rows:
        if row["Result"] == "Refused":
            st.error(f"**{row['File']}** — {row['What']}", icon=":material/error:")


identity.current_user()
st.title("Upload")
st.session_state.setdefault(ROUND, 0)
with st.container(horizontal=True, vertical_alignment="bottom"):
    task = st.selectbox(
        "Pictures without a DICOM header show", [*TASKS], index=None, placeholder="Choose a task",
        format_func=lambda t: TASKS[t].title, key="upload_task", persist_state="session",
    )  # fmt: skip
    folder = st.toggle("Choose a whole folder", key="upload_folder", persist_state="session")
files = st.file_uploader(
    f"Drop {KINDS} (200 MB each). DICOM says itself what it shows; names and identifiers are not kept.",
    accept_multiple_files="directory" if folder else True,
    key=f"uploader:{folder}:{st.session_state[ROUND]}",
)
if files:
    st.session_state[RESULTS] = take(files, task or "")
    st.session_state[ROUND] += 1  # a new key empties the uploader, so that nothing is read twice or held in memory
    st.rerun()
if rows := st.session_state.get(RESULTS):
    results(rows)
else:
    messages.empty("Nothing uploaded in this session", "What each file became, or why it was refused, is listed here.")
