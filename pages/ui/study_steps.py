"""A reader study as a lead steers it: who has come how far, another reader, and the steps that cannot be taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import pandas as pd
import streamlit as st

from core.reader_records import ReaderStudy
from db import engine as store
from db import exposures, reader_turns, readers, users
from db.users import User
from pages.ui import identity, messages


def act(user: User, what: Callable[..., None], number: int, said: str, *more: str) -> None:
    """One step of a study's life, by a lead."""
    identity.require_lead(user)
    with store.write() as session:
        what(session, number, *more, user.name)
    messages.saved(said)


def completeness(study: ReaderStudy) -> None:
    """Who has come how far: counts and times, never results."""
    with store.read() as session:
        table = reader_turns.list_progress(session, study.id)
        held = reader_turns.count_held_cases(session, study.id) if study.status == "running" else 0
    active = table[table["withdrawn_at"] == ""]
    done, total = int(active["done"].sum()), int(active["readings"].sum())
    st.progress(done / total, text=f"{done} of {total} readings saved")
    if held:
        st.caption(f"{held} of {study.cases} cases {'is' if held == 1 else 'are'} held: readers go on with the others.")
        st.page_link("clean.py", label="Look for names in them", icon=":material/ink_eraser:")
    first = {0: "unaided", 1: "aided"} if study.protocol == "washout" else {}
    shown = pd.DataFrame(
        {
            "Reader": table["reader"].where(table["withdrawn_at"] == "", table["reader"] + " (withdrawn)"),
            "Done": table["done"] / table["readings"] * 100,
            "Readings": table["done"].astype(str) + " of " + table["readings"].astype(str),
            "Begins": table["half"].map(first),
            "Last active (UTC)": table["last_active"].str[:16].str.replace("T", " ").fillna("not yet"),
        }
    )
    done = st.column_config.ProgressColumn("Done", min_value=0, max_value=100, format="%d %%")
    columns = [name for name in shown if name != "Begins" or first]
    st.dataframe(shown[columns], hide_index=True, column_config={"Done": done}, alt=f"Readers of {study.name}")


def add_reader(user: User, study: ReaderStudy) -> None:
    """Another reader for a draft or a running study."""
    with store.read() as session:
        reading = readers.list_readers(session, study.id)
        free = [p.name for p in users.list_users(session) if p.role == "reviewer" and p.name not in reading]
    with st.popover("Add a reader", icon=":material/person_add:", disabled=not free):
        name = st.selectbox("Reviewer", free, key=f"rs_add:{study.id}")
        add = partial(readers.add_reader, accepted=_accepted(study, (name,), f"rs_add_why:{study.id}:{name}"))
        st.button(
            "Add", key=f"rs_add_go:{study.id}", on_click=messages.guarded(act),
            args=(user, add, study.id, messages.plain(f"{name} reads {study.name}"), name),
        )  # fmt: skip


def _accepted(study: ReaderStudy, reading: Collection[str], key: str) -> str:
    """Why these readers may read cases without the model that they know with it, as a lead says; empty where nobody does."""
    if study.protocol == "aided":
        return ""
    with store.read() as session:
        found = exposures.seen_before_study(session, study.id, reading)
    if not found:
        return ""
    st.markdown(
        f":orange[{messages.plain(exposures.seen_words(found))}] Exports mark these readings, results count them."
    )
    return st.text_input("Why that is accepted", max_chars=500, key=key, placeholder="required; kept in the audit log")


def withdraw_reader(user: User, study: ReaderStudy) -> None:
    """Take a reader out of a running study, with a reason."""
    with store.read() as session:
        gone = {withdrawal.reader for withdrawal in readers.list_withdrawals(session, study.id)}
        reading = [name for name in readers.list_readers(session, study.id) if name not in gone]
    with st.popover(
        "Withdraw a reader", icon=":material/person_remove:", disabled=len(reading) < 2, key=f"rs_out_of:{study.id}"
    ):
        st.markdown(
            "What they read stays stored and exported with a mark; results leave it out unless you ask for it. "
            "Whoever is withdrawn cannot come back: the cases return to their daily work."
        )
        name = st.selectbox("Reader", reading, key=f"rs_out:{study.id}")
        why = st.text_input(
            "Why", max_chars=500, key=f"rs_out_why:{study.id}", placeholder="required; kept in the audit log"
        )
        st.button(
            "Withdraw", type="primary", key=f"rs_out_go:{study.id}", on_click=messages.guarded(act),
            args=(user, readers.withdraw_reader, study.id, messages.plain(f"{name} no longer reads {study.name}"), name, why),
        )  # fmt: skip


def step(user: User, study: ReaderStudy, label: str, what: Callable[..., None], said: str) -> None:
    """A step that cannot be taken back asks once more."""
    icon = ":material/flag:" if label != "Discard" else ":material/delete:"
    with st.popover(label, icon=icon, key=f"rs_ask_{label}:{study.id}"):
        st.markdown({
            "Start": "Cases, protocol, model and rules can no longer change once it runs. Readers can still be added.",
            "Close": "Nothing more can be read after closing. Results and adjudication open.",
            "Discard": "The draft is removed; the audit log keeps that it was there.",
        }[label])  # fmt: skip
        if label == "Start":
            with store.read() as session:
                reading = list(readers.list_readers(session, study.id))
            what = partial(what, accepted=_accepted(study, reading, f"rs_start_why:{study.id}"))
        st.button(
            f"{label} {messages.plain(study.name)}", type="primary", key=f"rs_{label}:{study.id}", on_click=messages.guarded(act),
            args=(user, what, study.id, f"{said}: {messages.plain(study.name)}"),
        )  # fmt: skip
