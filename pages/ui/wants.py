"""Who waits for work in the background: what nobody waits for any more stops, and what others wait for goes on.

The browser tab is who waits. One that is closed does not say so: its work is finished and kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

import streamlit as st

LOCK = Lock()  # around every `home` and every `wanted`


@dataclass
class Work:
    """Work that several tabs may wait for; `future` gives its result or says why not, `cancel` stops it.

    `home` is where others find it by its `key`; `wanted` names the tabs that wait.
    """

    key: Hashable
    home: dict[Any, Any] = field(repr=False)
    future: Future[Any] = field(default_factory=Future)
    cancel: Event = field(default_factory=Event)
    wanted: set[str] = field(default_factory=set)

    def leave(self, tab: str) -> None:
        """That tab no longer waits. Where it was the last, unfinished work stops, and whoever asks next begins anew."""
        with LOCK:
            self.wanted.discard(tab)
            if not self.wanted and not self.future.done():
                self.cancel.set()
                self._go()

    def forget(self) -> None:
        """Let whoever asks next begin anew."""
        with LOCK:
            self._go()

    def _go(self) -> None:
        if self.home.get(self.key) is self:
            del self.home[self.key]


@dataclass
class Waiting:
    """The work of one kind that this tab waits for in one view, and what of it the reviewer has stopped."""

    view_key: str
    works: dict[Hashable, Work] = field(default_factory=dict)
    stopped: set[Hashable] = field(default_factory=set)

    def wait_for(self, work: Work) -> None:
        """This tab waits for it."""
        self.works[work.key] = work

    def only(self, keys: Collection[Hashable]) -> None:
        """Of what this tab waits for nothing else is wanted any more."""
        for key in [key for key in self.works if key not in keys]:
            self.works.pop(key).leave(tab())

    def stop(self, work: Work) -> None:
        """This tab does not want it, and must not begin it again by itself; others that wait get it all the same."""
        self.stopped.add(work.key)
        self.works.pop(work.key, None)
        work.leave(tab())

    def again(self, key: Hashable) -> None:
        """What was stopped is wanted after all."""
        self.stopped.discard(key)


def tab() -> str:
    """This browser tab."""
    return st.session_state.setdefault("tab", uuid.uuid4().hex)


def waiting(kind: str, view_key: str) -> Waiting:
    """What this tab waits for; what it asked for in another view is left."""
    there = st.session_state.setdefault("waiting", {})
    if kind not in there or there[kind].view_key != view_key:
        if kind in there:
            there[kind].only(())
        there[kind] = Waiting(view_key)
    return there[kind]


def leave_other_views(view_key: str = "") -> None:
    """Leave everything that this tab asked for in another view than this one."""
    for kind in list(st.session_state.get("waiting", {})):
        waiting(kind, view_key)
