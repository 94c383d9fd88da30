"""The program's own runner of pages, driven without a browser: what the browser is told after a fragment has run."""

from __future__ import annotations

import asyncio
import threading

from streamlit.runtime import Runtime, RuntimeConfig
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import RerunData, ScriptRunnerEvent
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.runtime.state import SessionState

from pages.ui.whole_callbacks import WholeCallbacks

SCRIPT = """
import streamlit as st

@st.fragment
def progress():
    st.caption("still running")

body = st.container()
st.caption("below")
with body:
    st.title("Page")
    progress()
"""


def run_in_turn(script):
    """The page in full, its fragment, and the page in full again, asked for just when the fragment has ended; what each sent."""
    loop, files = asyncio.new_event_loop(), MemoryUploadedFileManager("/upload")
    Runtime(RuntimeConfig(str(script), MemoryMediaFileStorage("/media"), files))
    runner = WholeCallbacks(
        session_id="one", main_script_path=str(script), session_state=SessionState(),
        uploaded_file_mgr=files, script_cache=ScriptCache(), initial_rerun_data=RerunData(), user_info={},
        fragment_storage=MemoryFragmentStorage(), pages_manager=PagesManager(str(script)), event_loop=loop,
    )  # fmt: skip
    ended, sent = threading.Event(), [[]]

    def hear(sender, event, forward_msg=None, **_):
        if event == ScriptRunnerEvent.ENQUEUE_FORWARD_MSG and forward_msg.HasField("delta"):
            sent[-1].append(forward_msg)
        if event == ScriptRunnerEvent.SCRIPT_STOPPED_WITH_SUCCESS and len(sent) == 1:
            fragment = next(message.delta.fragment_id for message in sent[0] if message.delta.fragment_id)
            sent.append([])
            runner.request_rerun(RerunData(fragment_id=fragment))
        elif event == ScriptRunnerEvent.FRAGMENT_STOPPED_WITH_SUCCESS:
            sent.append([])
            runner.request_rerun(RerunData())
        elif event == ScriptRunnerEvent.SHUTDOWN:
            ended.set()

    runner.on_event.connect(hear, weak=False)
    runner.start()
    assert ended.wait(30)
    loop.close()
    return sent


def test_a_page_is_written_where_it_belongs_after_a_fragment(tmp_path, monkeypatch):
    """A step to another page while progress is drawn: written into the progress' container, the browser would show nothing."""
    monkeypatch.setattr(Runtime, "_instance", None)
    (tmp_path / "page.py").write_text(SCRIPT)
    first, fragment, again = ([list(m.metadata.delta_path) for m in run] for run in run_in_turn(tmp_path / "page.py"))
    assert first[:2] == [[0, 0], [0, 1]], "body and what stands below it, at the top"
    assert fragment == first[3:]
    assert again == first
