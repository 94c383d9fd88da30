"""Upload: files or a folder become studies; a table says per file what it became or why it was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
import streamlit as st

from core import settings
from core.reading import read_uploads
from core.tasks import TASKS
from db.engine import StoreError
from db.users import User
from pages.ui import identity, messages
from pages.ui.storing import store_outcome
from pages.ui.tables import CLICK, clicked_row

RESULTS, ROUND = "upload_results", "upload_round"
KINDS = "PNG, JPEG, TIFF, DICOM, MedMNIST-style NPZ, or a ZIP of these"


def take(files: Sequence, task: str, user: User) -> list[dict[str, str]]:
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
            rows.append(store_outcome(outcome, user))
        except StoreError as problem:
            rows.append({"File": outcome.name, "Result": "Refused", "What": f"Not stored. {problem}", "study": ""})
        bar.progress(0.5 + 0.5 * number / len(outcomes), text=f"Stored {number} of {len(outcomes)}: {outcome.name}")
    bar.empty()
    return rows


def results(rows: list[dict[str, str]]) -> None:
    table = pd.DataFrame(rows)
    stored, refused = (table["Result"] == "Stored").sum(), (table["Result"] == "Refused").sum()
    held = int((table["Result"] == "Held").sum())
    known = f", {n} already there" if (n := (table["Result"] == "Already stored").sum()) else ""
    count = "1 file" if len(table) == 1 else f"{len(table)} files"
    waiting = f", {held} held" if held else ""
    st.markdown(f"**{count}**: {stored} stored{waiting}{known}, {refused} refused. Click a stored file to read it.")
    if held:
        wait = "One study waits" if held == 1 else f"{held} studies wait"
        st.warning(f"{wait} until you have looked for names in the pixels.", icon=":material/visibility_lock:")
        st.page_link("clean.py", label="Clean held studies", icon=":material/ink_eraser:")
    event = st.dataframe(
        table.assign(Result=table["Result"].map(lambda r: [r])), hide_index=True, on_select="rerun",
        selection_mode=CLICK, key=f"upload_table:{st.session_state[ROUND]}", alt="What each file became",
        column_order=["File", "Result", "What"],
        column_config={
            "File": st.column_config.TextColumn(width="medium"),
            "Result": st.column_config.MultiselectColumn(
                options=["Stored", "Held", "Already stored", "Read", "Refused"],
                color=["green", "violet", "gray", "gray", "red"],
                width="small",
            ),
            "What": st.column_config.TextColumn(width="large"),
        },
    )  # fmt: skip
    if (picked := clicked_row(event)) is not None and (study := rows[picked]["study"]):
        page = "clean.py" if rows[picked]["Result"] == "Held" else "review.py"
        st.switch_page(page, query_params={"study": study})
    for row in rows:
        if row["Result"] == "Refused":
            st.error(f"**{row['File']}** — {row['What']}", icon=":material/error:")


user = identity.current_user()
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
    st.session_state[RESULTS] = take(files, task or "", user)
    st.session_state[ROUND] += 1  # a new key empties the uploader, so that nothing is read twice or held in memory
    st.rerun()
if rows := st.session_state.get(RESULTS):
    results(rows)
else:
    messages.empty("Nothing uploaded in this session", "What each file became, or why it was refused, is listed here.")
