"""Models: what is registered, its card and status; leads register, activate and withdraw."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from core.checkpoint import load_checkpoint, model_record
from core.records import Model
from core.tasks import TASKS
from db import engine as store
from db import models
from db.users import User
from pages.ui import identity, messages

STATUS = {"active": ("Active", "green"), "candidate": ("Candidate", "blue"), "withdrawn": ("Withdrawn", "gray")}


def register(user: User, name: str, data: bytes) -> Model:
    """Check an uploaded checkpoint and register it as a candidate; the store keeps its own copy of the file."""
    identity.require_lead(user)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "uploaded.pt"
        path.write_bytes(data)
        model = model_record(load_checkpoint(path), name)
        models.store_model_file(path, model.version)
    with store.write() as session:
        added = models.add_model(session, model)
    messages.saved(f"Registered {model.name}" if added else f"Already registered: {model.version[:8]}")
    return model


def set_status(user: User, version: str, status: str) -> None:
    identity.require_lead(user)
    with store.write() as session:
        models.set_model_status(session, version, status, user.name)
    messages.saved(f"Now {STATUS[status][0].lower()}")


def registration(user: User) -> None:
    with st.expander("Register a checkpoint", icon=":material/add:"):
        st.caption(
            "A `checkpoint.pt` written by `python -m core train`. It is loaded as data only; code in it is refused."
        )
        name = st.text_input("Name", max_chars=60, placeholder="for example resnet18 BreastMNIST", key="model_name")
        file = st.file_uploader("Checkpoint", type=["pt"], key="model_file")
        if st.button("Register", type="primary", disabled=not (name.strip() and file)):
            register(user, name.strip(), file.getvalue())


def card(model: Model, user: User) -> None:
    title, colour = STATUS[model.status]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{model.name}**", width="content")
            st.badge(title, color=colour)
            st.markdown(
                f":gray[{TASKS[model.task].title} · {model.architecture} · `{model.version[:16]}`]", width="content"
            )
            st.space("stretch")
            if user.role == "lead":
                change = messages.guarded(set_status)
                for status, label in (("active", "Activate"), ("withdrawn", "Withdraw")):
                    if status != model.status:
                        st.button(
                            label, key=f"{status}:{model.version}", on_click=change, args=(user, model.version, status)
                        )
        with st.expander("Model card"):
            st.markdown("\n".join(f"- **{key}**: {value}" for key, value in model.card.items()))


user = identity.current_user()
st.title("Models")
if user.role == "lead":
    registration(user)
else:
    st.caption("Project leads register, activate and withdraw models. Reviewers get the active ones of their task.")
with store.read() as db_session:
    registered = models.list_models(db_session)
if not registered:
    messages.empty(
        "No models yet", "Train one with `python -m core train` and register its `checkpoint.pt` here, as a lead."
    )
order = list(STATUS)
for model in sorted(registered, key=lambda m: (m.task, order.index(m.status), m.name)):
    card(model, user)
