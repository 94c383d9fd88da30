"""The program's own runner of pages, driven without a browser: what it runs and where it writes, message by message."""

from __future__ import annotations

import asyncio
import threading

import pytest
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

def first():
    st.title("First")
    progress()

def second():
    st.title("Second")
    st.caption("nothing runs here")

page = st.navigation([st.Page(first, default=True), st.Page(second)])
body = st.container()
st.caption("below")
with body:
    page.run()
"""
ENDS = (
    ScriptRunnerEvent.SCRIPT_STOPPED_WITH_SUCCESS,
    ScriptRunnerEvent.FRAGMENT_STOPPED_WITH_SUCCESS,
    ScriptRunnerEvent.SCRIPT_STOPPED_FOR_RERUN,
)
BODY, BELOW, TITLE, PROGRESS = [0, 0], [0, 1], [0, 0, 0], [0, 0, 1]


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """Sends one batch of messages after another, each just when the run before has ended; gives what every run was of and wrote.

    Messages are (page, whether of the fragment on the first page); a run is (page, where it wrote).
    """
    monkeypatch.setattr(Runtime, "_instance", None)
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)

    def all_of(*batches):
        loop, files, pages = asyncio.new_event_loop(), MemoryUploadedFileManager("/upload"), PagesManager(str(script))
        Runtime(RuntimeConfig(str(script), MemoryMediaFileStorage("/media"), files))
        runner = WholeCallbacks(
            session_id="one", main_script_path=str(script), session_state=SessionState(), uploaded_file_mgr=files,
            script_cache=ScriptCache(), initial_rerun_data=RerunData(), user_info={}, pages_manager=pages, event_loop=loop,
            fragment_storage=MemoryFragmentStorage(),
        )  # fmt: skip
        ended, waiting, runs, fragments = threading.Event(), list(batches), [], []

        def send(page, of_fragment):
            (found,) = [
                key
                for key, known in pages.get_pages().items()
                if known["page_script_hash"] and known["url_pathname"] == page
            ]
            runner.request_rerun(RerunData(page_script_hash=found, fragment_id=fragments[0] if of_fragment else None))

        def hear(sender, event, forward_msg=None, page_script_hash="", **_):
            if event == ScriptRunnerEvent.SCRIPT_STARTED:
                runs.append((page_script_hash, []))
            elif event == ScriptRunnerEvent.ENQUEUE_FORWARD_MSG and forward_msg.HasField("delta"):
                runs[-1][1].append(list(forward_msg.metadata.delta_path))
                fragments.extend(filter(None, [forward_msg.delta.fragment_id]))
            elif event in ENDS and waiting:
                for message in waiting.pop(0):
                    send(*message)
            elif event == ScriptRunnerEvent.SHUTDOWN:
                ended.set()

        runner.on_event.connect(hear, weak=False)
        runner.start()
        assert ended.wait(30)
        loop.close()
        names = {known["page_script_hash"]: known["url_pathname"] for known in pages.get_pages().values()}
        return [(names.get(page, ""), wrote) for page, wrote in runs]

    return all_of


def test_a_page_is_written_where_it_belongs_after_a_fragment(drive):
    """A step to another page while progress is drawn: written into the progress' container, the browser would show nothing."""
    first, fragment, second = drive([("", True)], [("second", False)])
    assert first[1] == [BODY, BELOW, TITLE, PROGRESS, [*PROGRESS, 0]]
    assert fragment[1] == [PROGRESS, [*PROGRESS, 0]]
    assert second == ("second", [BODY, BELOW, TITLE, PROGRESS])


def test_progress_never_changes_the_page(drive):
    """What the browser sends by the clock may name the page that it has just left, and may overtake nothing."""
    _, fragment, second = drive([("second", True)], [("second", False), ("", True)])
    assert fragment[0] == "", "the window would be emptied for another page, and this fragment then written nowhere"
    assert second == ("second", [BODY, BELOW, TITLE, PROGRESS])
