"""The assessment form: class, confidence, heatmap verdict, comment, flag. Every change is kept as a draft at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from core.records import Refused, Review
from db import engine as store
from db import reviews
from pages.ui import messages
from pages.ui.case import Case, forget, keep_draft, seconds_spent

UNTOUCHED = 50  # where the confidence slider stands before it is moved; never stored as an answer
VERDICTS = {"yes": "Yes", "partly": "Partly", "no": "No"}


def show(case: Case, prediction_id: int | None, heatmap_shown: bool, after_save: Callable[[Case], None]) -> None:
    """The form, or the finished reading with a way to correct it. `after_save(case)` runs after the commit."""
    with st.container(border=True, gap="small"):
        st.markdown("**Your assessment**")
        _earlier(case)
        if case.aided and not case.draft:
            start = messages.guarded(correct)
            st.button("Correct this reading", icon=":material/edit:", on_click=start, args=(case,), width="stretch")
            return
        _class_buttons(case)
        _confidence(case)
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
            flag = " · flagged" if review.flagged else ""
            saved = review.created_at[:16].replace("T", " ")
            st.caption(f"Your {review.phase} reading: **{_title(review.label)}**{sure}{flag} · saved {saved} UTC")


def _title(label: str) -> str:
    return label.replace("_", " ").capitalize()


def _class_buttons(case: Case) -> None:
    chosen = _value(case, "label")
    classes = case.task.classes
    for row in range(0, len(classes), 2):
        with st.container(horizontal=True):
            for number, name in list(enumerate(classes, start=1))[row : row + 2]:
                picked = name == chosen
                st.button(
                    _title(name), key=case.key(f"class-{name}"), on_click=_choose, args=(case, name), width="stretch",
                    icon=":material/check_circle:" if picked else ":material/circle:", shortcut=str(number),
                )  # fmt: skip


def _confidence(case: Case) -> None:
    given = _value(case, "confidence")
    key = case.key("confidence")
    st.session_state.setdefault(key, UNTOUCHED if given is None else int(given))
    label = "Confidence: not given" if given is None else "Confidence"
    st.slider(label, 0, 100, step=5, format="%d %%", key=key, on_change=_keep, args=(case, "confidence"))


def _save_row(case: Case, prediction_id: int | None, after_save: Callable[[Case], None]) -> None:
    text = "Save and show the model" if case.blind else "Save and next"
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
        flagged=said.flagged, regions=[dict(region) for region in said.regions],
    )  # fmt: skip
    for name in ("confidence", "comment", "heatmap_verdict"):
        st.session_state.pop(case.key(name), None)


def _save(case: Case, prediction_id: int | None, token: str, after_save: Callable[[Case], None]) -> None:
    with store.write() as session:
        draft = reviews.get_draft(session, case.study.id, case.reviewer) or {}
        if any(r.client_token == token for r in reviews.review_history(session, case.study.id, case.reviewer)):
            return  # a second click: the first one has stored this reading
        if draft.get("token") != token or draft.get("phase") != case.phase or not draft.get("label"):
            raise Refused("This case was changed in another tab. Reload the page: what you entered last is kept.")
        said = _entered(case, draft)
        stored = reviews.add_review(
            session,
            Review(
                study_id=case.study.id, reviewer=case.reviewer, phase=case.phase, label=draft["label"],
                client_token=token, prediction_id=prediction_id,
                confidence=said.get("confidence"), heatmap_verdict=said.get("heatmap_verdict") or "",
                comment=said.get("comment") or "", flagged=bool(draft.get("flagged")),
                regions=tuple(draft.get("regions", case.regions)), seconds=seconds_spent(case),
            ),
        )  # fmt: skip
        reviews.delete_draft(session, case.study.id, case.reviewer)
    forget(case)
    messages.saved(f"Saved: {case.study.name}, {_title(stored.label).lower()}")
    after_save(case)


def _entered(case: Case, draft: dict[str, Any]) -> dict[str, Any]:
    """The draft with what the widgets say now: a comment left for the save key reaches us together with the save."""
    said = dict(draft)
    for name in ("comment", "heatmap_verdict"):
        if case.key(name) in st.session_state:
            said[name] = st.session_state[case.key(name)]
    before = UNTOUCHED if draft.get("confidence") is None else draft["confidence"]
    shown = st.session_state.get(case.key("confidence"), before)
    return said if shown == before else said | {"confidence": shown}
