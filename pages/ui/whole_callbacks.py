"""What the browser has sent is taken in whole, whatever comes after it: a run of the pages ends early, a callback never.

Streamlit ends what runs as soon as the next message arrives or the window closes, at the next look at `st.session_state`, and
callbacks are no exception: a comment was typed, a class key followed while the comment's draft was being stored, and the draft
was undone; or the class key itself came to nothing, and the save key after it stored the class of before. A value whose callback
was ended does not call it again. Without fast reruns one thread takes in a window's messages, one after the other.

What one message leaves behind in that thread must not reach the next: a fragment leaves the container it was drawn into, and a page
drawn after it, as when somebody goes on while progress is shown, would go there. Nor may a fragment called by the clock name a page
other than the open one: a slow browser still tells the page it was on. Either way the browser would show nothing at all.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, ClassVar
from weakref import WeakSet

from streamlit import config
from streamlit.delta_generator_singletons import context_dg_stack, get_default_dg_stack_value
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime import app_session
from streamlit.runtime.scriptrunner import RerunData, ScriptRunner, StopException, get_script_run_ctx

WAIT_S = 5.0  # how long a window waits for what its person's other windows sent before it


class WholeCallbacks(ScriptRunner):
    """Streamlit's own runner, which may be interrupted only once the page's body has begun."""

    _all: ClassVar[WeakSet[WholeCallbacks]] = WeakSet()

    def __init__(self, *, initial_rerun_data: RerunData, **kwargs: Any) -> None:
        self._latest = initial_rerun_data
        self._leaving = False
        self._taken_in = threading.Event()
        self._earlier = list(self._all)  # after a reload the new window must read what the old one sent last
        super().__init__(initial_rerun_data=initial_rerun_data, **kwargs)
        self._all.add(self)

    def request_stop(self) -> None:
        """The window has closed: what it sent before is still taken in, nothing more is drawn."""
        self._leaving = True

    def request_rerun(self, rerun_data: RerunData) -> bool:
        """Take in another message after those that wait; False where the runner has ended."""
        self._leaving = False  # the connection is back
        if rerun_data.fragment_id and not self._taken_in.is_set():  # a step to another page may wait before it
            rerun_data = replace(
                rerun_data, page_script_hash=self._latest.page_script_hash, page_name=self._latest.page_name
            )
        if not self._taken_in.is_set() and rerun_data.page_script_hash != self._latest.page_script_hash:
            rerun_data = _with_values(rerun_data, self._latest)
        self._latest = rerun_data
        self._taken_in.clear()
        accepted = super().request_rerun(rerun_data)
        if not accepted:
            self._taken_in.set()
        return accepted

    def _run_script_thread(self) -> None:
        earlier, self._earlier = self._earlier, []
        for runner in earlier:
            if runner._user_info == self._user_info:
                runner._taken_in.wait(WAIT_S)
        try:
            super()._run_script_thread()
        finally:
            self._taken_in.set()

    def _run_script(self, rerun_data: RerunData) -> None:
        context_dg_stack.set(get_default_dg_stack_value())  # Streamlit 1.67 does it only where a run was ended early
        if rerun_data.fragment_id_queue and (page := self._pages_manager.current_page_script_hash):
            rerun_data = replace(rerun_data, page_script_hash=page)
        super()._run_script(rerun_data)

    def _maybe_handle_execution_control_request(self) -> None:
        context = get_script_run_ctx(suppress_warning=True)
        if context is None or not self._execing or not self._is_in_script_thread():
            return super()._maybe_handle_execution_control_request()
        if not context.has_script_started:
            return  # callbacks run
        if self._leaving:
            raise StopException
        super()._maybe_handle_execution_control_request()
        self._taken_in.set()  # nothing waits: the page is being drawn


def _with_values(message: RerunData, before: RerunData) -> RerunData:
    """A step to another page with what the page left behind still holds: by itself it says nothing of that page's fields."""
    states = WidgetStates()
    states.CopyFrom(message.widget_states or WidgetStates())
    known = {state.id for state in states.widgets}
    for state in before.widget_states.widgets if before.widget_states else ():
        if state.id not in known and "trigger" not in str(state.WhichOneof("value")):  # triggers Streamlit keeps itself
            states.widgets.append(state)
    return replace(message, widget_states=states)


def install() -> None:
    """Let every window that opens from now on run its pages like this."""
    config.set_option("runner.fastReruns", False)
    app_session.ScriptRunner = WholeCallbacks  # type: ignore[misc]
