"""Studies that were released, to be held again: a name was overlooked, or seen by somebody who reads."""

from __future__ import annotations

import streamlit as st

from db import engine as store
from db import holds, studies
from db.users import User
from pages.ui import cleaning, messages

_WHAT = {"masked": "masked", "nothing to mask": "nothing masked", "": "never held"}


def of_study(user: User, study_id: str) -> None:
    """A link to a study that is not held: who may, holds it."""
    with store.read() as session:
        study = studies.get_study_summary(session, study_id)
    st.title("Clean")
    if study is None:
        messages.empty("No such study", "The link points to a study that this store does not have.")
    elif study.held:
        messages.empty("This study is held", "Whoever uploaded it or a project lead can release it.")
    else:
        messages.empty(f"{study.name} is released", "Everybody may read it. Is a name or a face to be seen after all?")
        _form(user, study.id)
    st.button("To the held studies", on_click=st.query_params.pop, args=("study", None))


def link(user: User, study_id: str) -> None:
    """Beside a study that is read: the way to hold it again, for who may; nothing for others."""
    with store.read() as session:
        may = holds.may_hold_again(session, study_id, user)
    if may:
        st.page_link(
            "clean.py", label="Hold again", icon=":material/visibility_lock:", query_params={"study": study_id},
            help="A name or a face can be seen: hide this study until it is masked.",
        )  # fmt: skip


def latest(user: User) -> None:
    """The studies released last that this person may hold again; nothing where there are none."""
    with store.read() as session:
        released = holds.list_releases(session, user)
    if not released:
        return
    with st.expander("Released by mistake?", icon=":material/undo:", key="clean_again"):
        named = {one.study_id: one for one in released}
        chosen = st.selectbox(
            "Released last", list(named), key="clean_again_study",
            format_func=lambda i: f"{named[i].name} · {_WHAT[named[i].outcome]} by {named[i].released_by}, "
            f"{named[i].released_at[:16].replace('T', ' ')} UTC",
        )  # fmt: skip
        _form(user, chosen)


def _form(user: User, study_id: str) -> None:
    reason = st.text_input(
        "Why, without the name itself", placeholder="a name in the lower left corner", max_chars=200,
        key=f"clean_again_why:{study_id}",
    )  # fmt: skip

    def hold() -> None:
        with store.write() as session:
            holds.hold_again(session, study_id, user, reason)
        st.session_state[cleaning.SAID] = "Held again: nobody sees it until it is released"
        st.query_params["study"] = study_id

    st.button(
        "Hold again", icon=":material/visibility_lock:", on_click=messages.guarded(hold), disabled=not reason.strip(),
        key=f"clean_again_do:{study_id}",
    )  # fmt: skip
    st.caption("Its readings stay. Its picture is hidden from everybody until it is masked or released.")
