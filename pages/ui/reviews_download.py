"""All readings of a scope as one file, made piece by piece in the background: a million of them are no single table."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import streamlit as st

from core import settings
from db import engine as store
from db import reviews
from db.reviews import ReviewQuery
from pages.ui import jobs
from pages.ui.daily_data import Scope
from pages.ui.jobs import Job

AT_ONCE = 20_000  # readings of one piece; so many are made without a progress bar
FORMATS = {"csv": ("CSV", "text/csv"), "parquet": ("Parquet", "application/vnd.apache.parquet")}
_KEY = "agr_export"


def show(scope: Scope, whose: str, count: int) -> None:
    """Buttons for both formats; from `AT_ONCE` readings on a file is prepared first, with progress and a stop."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(":gray[All readings]", width="content")
        if count <= AT_ONCE:
            for kind in FORMATS:
                _download(kind, lambda kind=kind: _content(make(scope, kind)), kind)
            return
        kept: dict[str, IO[bytes]] = st.session_state.setdefault(_KEY, {})
        keys = {kind: ("reviews", settings.database_url(), whose, kind) for kind in FORMATS}
        for kind, key in keys.items():
            if jobs.running(key):
                file = jobs.fetch(key, stoppable=True)
                if file is None:
                    return
                kept |= {kind: file} if file else {}
        for kind, key in keys.items():
            if kind in kept:
                _download(kind, partial(_content, kept[kind]), kind)
            st.button(
                f"Prepare {FORMATS[kind][0]}{' again' if kind in kept else ''}", key=f"prepare:{kind}", type="tertiary",
                icon=":material/inventory_2:", on_click=_begin, args=(key, scope, kind, count),
            )  # fmt: skip


def make(scope: Scope, kind: str, job: Job | None = None, count: int = 0, into: IO[bytes] | None = None) -> IO[bytes]:
    """Write all readings, newest first, into a file (one in memory by default); stopped early where the job says so."""
    out = into or io.BytesIO()
    put: Callable[[pd.DataFrame], None] = _Csv(out) if kind == "csv" else _Parquet(out)
    done = 0
    for piece in _pieces(ReviewQuery(reviewer=scope.reviewer, shown_to=scope.shown_to, limit=AT_ONCE)):
        put(piece)
        done += len(piece)
        if job is not None:
            job.report(done, max(done, count), f"Writing readings ({FORMATS[kind][0]})")
            if job.stop.is_set():
                break
    put.close()  # type: ignore[attr-defined]
    return out


def _begin(key: tuple[str, ...], scope: Scope, kind: str, count: int) -> None:
    def work(job: Job) -> IO[bytes] | str:
        file = tempfile.TemporaryFile()  # noqa: SIM115  (gone with the session that asked for it)
        make(scope, kind, job, count, file)
        return "" if job.stop.is_set() else file

    jobs.start(key, work, kind="export")


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _pieces(query: ReviewQuery) -> Iterator[pd.DataFrame]:
    """Tables of at most the query's limit; the first may be empty, so that a file always has its columns."""
    before = None
    while True:
        with store.read() as session:
            piece = reviews.list_reviews(session, replace(query, before=before))
        yield piece
        if len(piece) < (query.limit or 0):
            return
        before = int(piece["id"].iloc[-1])


class _Csv:
    def __init__(self, out: IO[bytes]) -> None:
        self.out, self.header = out, True

    def __call__(self, piece: pd.DataFrame) -> None:
        self.out.write(piece.to_csv(index=False, header=self.header).encode())
        self.header = False

    def close(self) -> None:
        self.out.flush()


class _Parquet:
    def __init__(self, out: IO[bytes]) -> None:
        self.out = out
        self.writer: pq.ParquetWriter | None = None

    def __call__(self, piece: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(piece, preserve_index=False)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.out, table.schema)
        self.writer.write_table(table)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.out.flush()


def _download(kind: str, data: object, key: str) -> None:
    title, mime = FORMATS[kind]
    st.download_button(
        title, data, f"tumortrace-reviews.{kind}", mime, key=f"all:{key}", type="tertiary", icon=":material/download:",
        on_click="ignore",
    )  # type: ignore[call-overload]  # fmt: skip
