"""The assessment form: class, likelihood or confidence, BI-RADS, heatmap verdict, comment, flag. Each change is kept as a draft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from core.records import BIRADS, Refused, Review
from db import drafts, reviews, writer
from db.writer import Session
from pages.ui import messages
from pages.ui.case import Case, forget, keep_draft, seconds_spent

UNTOUCHED = 50  # where the confidence slider stands before it is moved; never stored as an answer
VERDICTS = {"yes": "Yes", "partly": "Partly", "no": "No"}
_WIDGETS = ("comment", "heatmap_verdict", "likelihood", "birads")  # whose values may arrive together with the save


def show(case: Case, prediction_id: int | None, heatmap_shown: bool, after_save: Callable[[Case], None]) -> None:
    """The form, or the finished reading with a way to correct it. `after_save(case)` runs after the commit."""
    with st.container(border=True, gap="small", key="assessment"):  # saving.js knows it by this key
        st.markdown("**Your assessment**")
        _earlier(case)
        if case.aided and not case.draft:
            if case.washout:
                return
            start = messages.guarded(correct)
            st.button(
                "Correct this reading", icon=":material/edit:", on_click=start, args=(case,), width="stretch",
                key=case.key("correct"),
            )  # fmt: skip
            return
        _class_buttons(case)
        if case.place is not None and case.task.positive:
            _likelihood(case)
        else:
            _confidence(case)
        if case.task.birads:
            _birads(case)
        if heatmap_shown:
            _restore(case, "heatmap_verdict")
            st.segmented_control(
                "Does the heatmap mark the right region?", list(VERDICTS), format_func=VERDICTS.get,
                key=case.key("heatmap_verdict"), on_change=_keep, args=(case, "heatmap_verdict"), width="stretch",
            )  # fmt: skip
        _restore(case, "comment")
        st.text_area(
            "Comment", height=76, placeholder="optional", max_chars=2000, key=case.key("comment"),
            on_change=_keep, args=(case, "comment"),
        )  # fmt: skip
        _save_row(case, prediction_id, after_save)


def _earlier(case: Case) -> None:
    for review in (case.unaided, case.aided):
        if review:
            sure = "" if review.confidence is None else f", confidence {review.confidence}"
            sure += "" if review.likelihood is None else f", likelihood {review.likelihood} %"
            sure += f", BI-RADS {review.birads}" if review.birads else ""
            flag = " · flagged" if review.flagged else ""
            saved = review.created_at[:16].replace("T", " ")
            st.caption(
                f"Your {review.phase} reading: **{messages.label_title(review.label)}**{sure}{flag} · saved {saved} UTC"
            )


def _class_buttons(case: Case) -> None:
    chosen = _value(case, "label")
    classes = case.task.classes
    for row in range(0, len(classes), 2):
        with st.container(horizontal=True):
            for number, name in list(enumerate(classes, start=1))[row : row + 2]:
                picked = name == chosen
                st.button(
                    messages.label_title(name), key=case.key(f"class-{name}"), on_click=_choose, args=(case, name), width="stretch",
                    icon=":material/check_circle:" if picked else ":material/circle:", shortcut=str(number),
                )  # fmt: skip


def _confidence(case: Case) -> None:
    given = _value(case, "confidence")
    key = case.key("confidence")
    st.session_state.setdefault(key, UNTOUCHED if given is None else int(given))
    label = "Confidence: not given" if given is None else "Confidence"
    st.slider(label, 0, 100, step=5, format="%d %%", key=key, on_change=_keep, args=(case, "confidence"))


def _likelihood(case: Case) -> None:
    _restore(case, "likelihood")
    required = case.place is not None and case.place.reader_study.rules.likelihood_required
    st.number_input(
        f"Likelihood of {case.task.positive}, 0–100 % (L)", 0, 100, value=None, step=1, key=case.key("likelihood"),
        placeholder="required" if required else "optional", on_change=_keep, args=(case, "likelihood"),
    )  # fmt: skip


def _birads(case: Case) -> None:
    _restore(case, "birads")
    required = case.place is not None and case.place.reader_study.rules.birads_required
    st.segmented_control(
        f"BI-RADS (Shift+0–6){', required' if required else ''}", BIRADS, key=case.key("birads"), width="stretch",
        on_change=_keep, args=(case, "birads"),
    )  # fmt: skip


def _save_row(case: Case, prediction_id: int | None, after_save: Callable[[Case], None]) -> None:
    text = "Save and show the model" if case.blind and not case.washout else "Save and next"
    save, token = messages.guarded(_save), st.session_state[case.key("token")]
    st.button(
        text, type="primary", icon=":material/done_all:", width="stretch", shortcut="Ctrl+Enter", key=case.key("save"),
        disabled=_value(case, "label") is None, on_click=save, args=(case, prediction_id, token, after_save),
    )  # fmt: skip
    flagged = bool(_value(case, "flagged"))
    st.button(
        "Flagged: look again" if flagged else "Flag", icon=":material/flag:" if flagged else ":material/outlined_flag:",
        key=case.key("flag"), width="stretch", shortcut="Alt+F", on_click=messages.guarded(_flag), args=(case,),
    )  # fmt: skip


def _value(case: Case, name: str) -> Any:
    return case.draft.get(name)


def _restore(case: Case, name: str) -> None:
    if (stored := _value(case, name)) is not None:
        st.session_state.setdefault(case.key(name), stored)


def _choose(case: Case, label: str) -> None:
    messages.guarded(keep_draft_of)(case, {"label": label})


def _flag(case: Case) -> None:
    keep_draft(case, flagged=not _value(case, "flagged"))


def _keep(case: Case, name: str) -> None:
    if case.key("token") not in st.session_state:
        return  # saved in this very run, which took the value from the widget
    messages.guarded(keep_draft_of)(case, {name: st.session_state[case.key(name)]})


def keep_draft_of(case: Case, changed: dict[str, Any]) -> None:
    """`keep_draft` with its changes as one argument, for callbacks."""
    keep_draft(case, **changed)


def correct(case: Case) -> None:
    """Open the finished reading for a correction, with all it says but the class: that is decided anew."""
    if case.aided is None or case.draft:
        return  # nothing to correct, or under way already
    said = case.aided
    keep_draft(
        case, confidence=said.confidence, heatmap_verdict=said.heatmap_verdict or None, comment=said.comment,
        flagged=said.flagged, regions=[dict(region) for region in said.regions], likelihood=said.likelihood,
        birads=said.birads or None,
    )  # fmt: skip
    for name in ("confidence", *_WIDGETS):
        st.session_state.pop(case.key(name), None)


def _save(case: Case, prediction_id: int | None, token: str, after_save: Callable[[Case], None]) -> None:
    if case.place is not None and case.phase == "aided" and prediction_id is None:
        raise Refused(
            "The model gave no result, and without one this is no aided reading. Reload the page, or tell the lead."
        )
    # Read here: the writer's thread, in which the rest runs, knows neither widgets nor session.
    widgets, seconds = _widgets(case), seconds_spent(case)
    stored = writer.save(lambda session: _store(session, case, prediction_id, token, (widgets, seconds)))
    if stored is None:
        return  # a second click: the first one has stored this reading
    forget(case)
    messages.saved(f"Saved: {case.title}, {messages.label_title(stored.label).lower()}")
    after_save(case)


def _store(
    session: Session, case: Case, prediction_id: int | None, token: str, entered: tuple[dict[str, Any], float]
) -> Review | None:
    where = (case.study.id, case.reviewer)
    draft = drafts.get_draft(session, *where, case.reader_study, case.repeat) or {}
    if draft.get("token") != token or draft.get("phase") != case.phase or not draft.get("label"):
        if token in reviews.saved_tokens(session, *where, case.reader_study, case.repeat).values():
            return None
        raise Refused("This case was changed in another tab. Reload the page: what you entered last is kept.")
    if draft["label"] != case.draft.get("label"):  # which of two keys came first is not known any more
        raise Refused("The class changed in the moment of saving. Look at it, and save once more.")
    widgets, seconds = entered
    said = _entered(draft, widgets)
    return reviews.add_review(
        session,
        Review(
            study_id=case.study.id, reviewer=case.reviewer, phase=case.phase, label=draft["label"],
            client_token=token, prediction_id=prediction_id, reader_study=case.reader_study, repeat=case.repeat,
            confidence=said.get("confidence"), likelihood=said.get("likelihood"), birads=said.get("birads") or "",
            heatmap_verdict=said.get("heatmap_verdict") or "", comment=said.get("comment") or "",
            flagged=bool(draft.get("flagged")), regions=tuple(draft.get("regions", case.regions)), seconds=seconds,
        ),
    )  # fmt: skip


def _widgets(case: Case) -> dict[str, Any]:
    """What the form's widgets hold at this moment, those that there are."""
    keys = {name: case.key(name) for name in ("confidence", *_WIDGETS)}
    return {name: st.session_state[key] for name, key in keys.items() if key in st.session_state}


def _entered(draft: dict[str, Any], widgets: dict[str, Any]) -> dict[str, Any]:
    """The draft with what the widgets say now: a comment left for the save key reaches us together with the save."""
    said = draft | {name: widgets[name] for name in _WIDGETS if name in widgets}
    before = UNTOUCHED if draft.get("confidence") is None else draft["confidence"]
    shown = widgets.get("confidence", before)
    return said if shown == before else said | {"confidence": shown}
