"""The form in which a lead draws up a reader study, or changes a draft. Nothing is stored before its last button."""

from __future__ import annotations

import secrets
from dataclasses import replace

import streamlit as st

from core.reader_records import PROTOCOLS, ReaderStudy, Rules, StudyPlan, repeat_gap
from core.tasks import TASKS, Task
from db import engine as store
from db import exposures, models, reader_cases, reader_studies, users
from db.readers import list_readers
from db.users import User
from pages.ui import identity, messages
from pages.ui.study_panel import PROTOCOLS as TITLES
from pages.ui.study_panel import WHAT

SOURCES = {"sample": "Sample by reference standard", "query": "Query", "list": "List"}
KEPT = "kept"  # a fourth source while a draft is changed: the cases that it has
MAX_LIST_BYTES = 1_000_000
SHOWN_UNKNOWN = 10
MOST_SEED = 2**31 - 1
TWICE = "For the agreement of readers with themselves. All other results use the first reading of each case."
_STARTS = {
    "rs_protocol": "sequential", "rs_source": "sample", "rs_likelihood": True, "rs_birads": False,
    "rs_days": 28, "rs_twice": 0, "rs_twice_as": "number", "rs_between": None,
}  # fmt: skip
_BLANK = {"rs_name": "", "rs_readers": [], "rs_query": "", "rs_list": ""}
_STAYS = (
    "rs_n:",
    "rs_query",
    "rs_list",
    "rs_days",
    "rs_likelihood",
    "rs_birads",
)  # also while another source or task is drawn
_EDITED = "rs_edited"  # id of the draft in the form; none while a new one is drawn up


def open_form(user: User, *, expanded: bool) -> None:
    """The form in its frame: for a new study, or for the draft that was chosen with `edit`."""
    edited = _edited()
    title, icon = (
        (f"Change {messages.plain(edited.name)}", ":material/edit:")
        if edited
        else ("New reader study", ":material/add:")
    )
    with st.expander(title, icon=icon, expanded=expanded or edited is not None, key=f"rs_form:{edited and edited.id}"):
        show(user, edited)


def edit(user: User, study: ReaderStudy) -> None:
    """Callback: bring a draft into the form."""
    identity.require_lead(user)
    with store.read() as session:
        readers = list(list_readers(session, study.id))
    _empty_form()
    st.session_state.update({
        _EDITED: study.id, "rs_name": study.name, "rs_task": study.task, "rs_protocol": study.protocol, "rs_seed": study.seed,
        f"rs_model:{study.task}": study.model_version, "rs_readers": readers, "rs_source": KEPT,
        "rs_likelihood": study.rules.likelihood_required, "rs_birads": study.rules.birads_required,
        "rs_days": study.rules.washout_days, "rs_twice": study.rules.repeats, "rs_between": study.rules.least_between or None,
    })  # fmt: skip


def _edited() -> ReaderStudy | None:
    number = st.session_state.get(_EDITED)
    if number is None:
        return None
    with store.read() as session:
        study = reader_studies.get_reader_study(session, number)
    if study is None or study.status != "draft":  # started or discarded meanwhile
        _empty_form()
        return None
    return study


def _empty_form() -> None:
    # Values are given, not deleted: the browser goes on showing what it holds of a widget whose value is gone.
    st.session_state.update(_STARTS | _BLANK | {"rs_seed": secrets.randbelow(MOST_SEED + 1)})
    st.session_state["rs_files"] = st.session_state.get("rs_files", 0) + 1
    st.session_state.pop(_EDITED, None)


def show(user: User, edited: ReaderStudy | None = None) -> None:
    """The form; `Refused` for anybody but a lead, since a sample knows the reference standard."""
    identity.require_lead(user)
    for key, value in _STARTS.items():
        st.session_state.setdefault(key, value)
    if (
        "rs_seed" not in st.session_state
    ):  # drawn for each new draft: with a known seed readers could work out what comes
        st.session_state["rs_seed"] = secrets.randbelow(MOST_SEED + 1)
    for key in [key for key in st.session_state if str(key).startswith(_STAYS)]:
        st.session_state[key] = st.session_state[key]  # else Streamlit forgets what is not drawn
    left, right = st.columns(2, gap="medium")
    with left:
        name = st.text_input("Name", max_chars=80, placeholder="for example Spring readers, breast MRI", key="rs_name")
        task = TASKS[st.selectbox("Task", list(TASKS), format_func=lambda t: TASKS[t].title, key="rs_task")]
        protocol = st.segmented_control("Protocol", PROTOCOLS, format_func=TITLES.get, required=True, key="rs_protocol")
        st.caption(WHAT[protocol])
        version = _model(task)
        readers = _readers()
        rules = _rules(task, protocol)
    with right:
        seed = st.number_input(
            "Seed", 0, MOST_SEED, key="rs_seed", help="Drawn by lot. It fixes the sample and every reader's order: the same seed, "
            "the same study."
        )  # fmt: skip
        cases = _cases(task, int(seed), edited)
        rules = _repeats(rules, protocol, len(cases))
        phases = 1 if protocol == "aided" else 2
        again = f" + {rules.repeats} again" if rules.repeats else ""
        total = (len(cases) + rules.repeats) * len(readers) * phases
        shown = f"({len(cases)} cases{again})" if again else f"{len(cases)} cases"
        phrase = f" × {phases} phases" if phases > 1 else ""
        st.markdown(f"**{shown} × {len(readers)} readers{phrase} = {total} readings**")
        _seen(protocol, readers, cases)
        lacks = {"a name": name.strip(), "a model": version, "readers": readers, "cases": cases}
        if missing := [what for what, given in lacks.items() if not given]:
            st.caption(f"Still to give: {', '.join(missing)}.")
        plan = (name, task.name, protocol, version, tuple(cases), tuple(readers), int(seed), rules)
        with st.container(horizontal=True):
            st.button(
                "Save draft" if edited else "Create draft", type="primary", icon=":material/save:" if edited else ":material/add:",
                on_click=messages.guarded(_keep), args=(user, plan, edited),
                disabled=bool(missing),
            )  # fmt: skip
            if edited:
                st.button("Leave as it was", key="rs_leave", on_click=_empty_form)


def _seen(protocol: str, readers: list[str], cases: list[str]) -> None:
    """Says which readers know cases with the model that they are to read without it."""
    with store.read() as session:
        found = {} if protocol == "aided" else exposures.seen_before(session, readers, cases)
    if found:
        st.caption(f":orange[{messages.plain(exposures.seen_words(found))} Starting will ask why that is accepted.]")


def _model(task: Task) -> str:
    with store.read() as session:
        usable = {m.version: m for m in models.list_models(session, task=task.name) if m.status != "withdrawn"}
    if not usable:
        st.warning(
            f"No model of {task.title.lower()} is registered. Register one on the **Models** page.",
            icon=":material/block:",
        )
        return ""
    return st.selectbox(
        "Model", list(usable), format_func=lambda v: f"{usable[v].name} · {v[:8]}", key=f"rs_model:{task.name}"
    )


def _readers() -> list[str]:
    with store.read() as session:
        known = [person.name for person in users.list_users(session) if person.role == "reviewer"]
    return st.multiselect(
        "Readers", known, key="rs_readers", placeholder="Choose reviewers" if known else "No reviewer has signed in yet"
    )


def _rules(task: Task, protocol: str) -> Rules:
    days = 28
    with st.container(horizontal=True, vertical_alignment="bottom"):
        likelihood = task.positive is not None and st.toggle("Likelihood required", key="rs_likelihood")
        birads = task.birads and st.toggle("BI-RADS required", key="rs_birads")
        if protocol == "washout":
            days = st.number_input("Wash-out, days", 0, 365, key="rs_days", width=160)
    return Rules(likelihood, birads, int(days))


def _repeats(rules: Rules, protocol: str, cases: int) -> Rules:
    """How many cases every reader reads twice, as a number or a share, and how far apart."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        twice = int(st.number_input("Cases read twice", 0, 5000, key="rs_twice", width=150, help=TWICE))
        share = st.segmented_control(
            "As", ["number", "share"], required=True, key="rs_twice_as", label_visibility="collapsed",
            format_func={"number": "cases", "share": "% of cases"}.get,
        ) == "share"  # fmt: skip
        between = st.number_input(
            "Other cases between, at least",
            1,
            5000,
            value=None,
            key="rs_between",
            width=210,
            placeholder="half of the cases",
        )
    number = round(twice * cases / 100) if share else twice
    rules = replace(rules, repeats=number, least_between=int(between or 0))
    if number and cases:
        apart, room = repeat_gap(rules, cases), max(0, cases - repeat_gap(rules, cases))
        late = " An unaided second reading comes after the model was shown with the first." * (protocol == "sequential")
        st.caption(
            f":orange[{apart} other cases in between leave room for {room} of {cases} cases to be read twice.]"
            if number > room
            else f"{number} cases, drawn by the seed, come a second time in each phase, after {apart} others or more; readers are "
            f"not told which.{late}"
        )
    return rules


def _cases(task: Task, seed: int, edited: ReaderStudy | None) -> list[str]:
    sources = SOURCES | ({KEPT: f"As drawn up ({edited.cases})"} if edited else {})
    if st.session_state["rs_source"] not in sources:
        st.session_state["rs_source"] = "sample"
    source = st.segmented_control("Cases", list(sources), format_func=sources.get, required=True, key="rs_source")
    if edited and source == KEPT:
        with store.read() as session:
            return reader_studies.list_cases(session, edited.id)
    return {"sample": _sample, "query": _query, "list": _list}[source](task, seed)


def _sample(task: Task, seed: int) -> list[str]:
    with store.read() as session:
        counts = reader_cases.reference_counts(session, task.name)
    if not counts:
        st.caption("No study of this task states a reference standard. Choose the cases by query or list.")
        return []
    wanted = {}
    with st.container(horizontal=True):
        for label in task.classes:
            most = counts.get(label, 0)
            text = f"{label.replace('_', ' ').capitalize()}, of {most}"
            key = f"rs_n:{task.name}:{label}"
            st.session_state[key] = min(st.session_state.get(key, 20), most)
            wanted[label] = int(st.number_input(text, 0, most, key=key))
    with store.read() as session:
        return reader_cases.cases_by_sample(session, task.name, wanted, seed)


def _query(task: Task, _seed: int) -> list[str]:
    words = st.text_input("Name or patient holds", placeholder="empty: all studies of the task", key="rs_query")
    with store.read() as session:
        return reader_cases.cases_by_query(session, task.name, words)


def _list(task: Task, _seed: int) -> list[str]:
    text = st.text_area(
        "Ids, names or patients, one per line", height=120, key="rs_list", max_chars=400_000,
        help="An id may be shortened to its first eight digits.",
    )  # fmt: skip
    file = st.file_uploader(
        "Or a text or CSV file: the first column counts", type=["txt", "csv"], max_upload_size=1,
        key=f"rs_file:{st.session_state.get('rs_files', 0)}",
    )  # fmt: skip
    lines = text.splitlines() + (_lines_of(file.getvalue()) if file else [])
    with store.read() as session:
        cases, unknown = reader_cases.cases_by_list(session, task.name, lines)
    if unknown:
        more = f" and {len(unknown) - SHOWN_UNKNOWN} more" if len(unknown) > SHOWN_UNKNOWN else ""
        named = ", ".join(f"“{line[:40]}”" for line in unknown[:SHOWN_UNKNOWN])
        st.warning(
            f"No study of this task that can be read is called {messages.plain(named)}{more}"
            f"{'; the others are taken' if cases else ''}.",
            icon=":material/help:",
        )
    return cases


def _lines_of(data: bytes) -> list[str]:
    if len(data) > MAX_LIST_BYTES:
        st.warning("The file is larger than 1 MB and left out; a reader study has 5,000 cases at most.")
        return []
    return [line.split(",")[0].strip().strip('"') for line in data.decode("utf-8-sig", "replace").splitlines()]


def _keep(user: User, plan: tuple, edited: ReaderStudy | None) -> None:
    identity.require_lead(user)
    drawn_up = StudyPlan(*plan)
    with store.write() as session:
        if edited:
            kept = reader_studies.change_draft_study(session, edited.id, drawn_up, user.name)
        else:
            kept = reader_studies.add_reader_study(session, drawn_up, user.name)
    _empty_form()
    messages.saved(f"Draft {'changed' if edited else 'created'}: {messages.plain(kept.name)}")
