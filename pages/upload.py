"""Upload: files or a folder become studies; a table says per file what it became or why it was refused."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core import settings
from core.reading import NpzPart
from core.tasks import TASKS
from db.importing import counted
from pages.ui import charts, identity, imports, messages
from pages.ui.tables import CLICK, clicked_row

RESULTS, ROUND = "upload_results", "upload_round"
KINDS = "PNG, JPEG, TIFF, DICOM, MedMNIST-style NPZ, a CSV table with its pictures, or a ZIP of these"
KEPT = {
    "nothing": "names and identifiers are not kept.",
    "deidentified": "names and identifiers are not kept; of DICOM files a de-identified copy is.",
    "original": "**this installation keeps files as they are sent, with the names in them.**",
}
SHOWN = 10  # refusals that are also said in full below the table


def results(rows: list[dict[str, str]], problem: str) -> None:
    table = pd.DataFrame(rows, columns=["File", "Result", "What", "study"])
    counts = table["Result"].value_counts()
    stored, held, refused = (int(counts.get(result, 0)) for result in ("Stored", "Held", "Refused"))
    waiting = f", {held:,} held" if held else ""
    known = f", {n:,} already there" if (n := counts.get("Already stored", 0)) else ""
    if problem:
        st.warning(problem, icon=":material/warning:")
    with st.container(horizontal=True, vertical_alignment="center"):
        count = counted(len(table), "file")
        st.markdown(
            f"**{count}**: {stored:,} stored{waiting}{known}, {refused:,} refused. Click a stored file to read it."
        )
        if refused:
            charts.csv(lambda: safe_csv(table[table["Result"] == "Refused"][["File", "What"]]), "refused-files")
    if held:
        wait = "One study waits" if held == 1 else f"{held:,} studies wait"
        st.warning(f"{wait} until you have looked for names in the pixels.", icon=":material/visibility_lock:")
        st.page_link("clean.py", label="Clean held studies", icon=":material/ink_eraser:")
    order = ["Refused", "Held", "Stored", "Already stored", "Read"]  # what needs somebody comes first
    table = table.sort_values("Result", key=lambda r: r.map(order.index), kind="stable", ignore_index=True)
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
    if (picked := clicked_row(event)) is not None and (study := table["study"][picked]):
        page = "clean.py" if table["Result"][picked] == "Held" else "review.py"
        st.switch_page(page, query_params={"study": study})
    for row in [row for row in rows if row["Result"] == "Refused"][:SHOWN]:
        st.error(f"**{row['File']}** — {row['What']}", icon=":material/error:")
    if refused > SHOWN:
        st.caption(f"… and {refused - SHOWN:,} more refused files, listed first in the table and in the CSV.")


def safe_csv(table: pd.DataFrame) -> pd.DataFrame:
    """Names of files are other people's words: one that a spreadsheet would compute is kept as text."""
    return table.map(lambda text: f"'{text}" if text[:1] in "=+-@" else text)


def dropping(user: str) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        task = st.selectbox(
            "Pictures without a DICOM header show", [*TASKS], index=None, placeholder="Choose a task",
            format_func=lambda t: TASKS[t].title, key="upload_task", persist_state="session",
        )  # fmt: skip
        split = st.selectbox(
            "Of an NPZ", ["", "train", "val", "test"], format_func=lambda s: s or "every split", key="upload_split", width=140
        )  # fmt: skip
        span = st.text_input("Its images", placeholder="all, or 0:50", key="upload_range", width=140)
        folder = st.toggle("Choose a whole folder", key="upload_folder", persist_state="session")
    files = st.file_uploader(
        f"Drop {KINDS} (200 MB each). DICOM says itself what it shows; {KEPT[settings.kept_copies()]}",
        accept_multiple_files="directory" if folder else True,
        key=f"uploader:{folder}:{st.session_state[ROUND]}",
        help="A browser takes minutes to send thousands of single files: send a ZIP, or ask for `python -m db import FOLDER`.",
    )
    if files:
        imports.start(user, files, task or "", NpzPart.of(split, span))
        st.session_state[ROUND] += 1  # a new key empties the uploader, so that nothing is read twice or held in memory
        st.rerun()
    if RESULTS in st.session_state:
        results(*st.session_state[RESULTS])
    else:
        messages.empty(
            "Nothing uploaded in this session", "What each file became, or why it was refused, is listed here."
        )


user = identity.current_user()
st.title("Upload")
st.session_state.setdefault(ROUND, 0)
running = imports.running(user.name)
if running and (ended := imports.finished(user.name)) is not None:
    st.session_state[RESULTS] = (ended.rows, ended.problem)
    running = False
if not running:
    dropping(user.name)
