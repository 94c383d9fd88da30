"""A progress line for terminals and logs."""

from __future__ import annotations

import sys
import time


class Bar:
    """A progress line on standard error: in place on a terminal, a line every few seconds in a log."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, fraction: float, text: str) -> None:
        """Show `text` at `fraction` (0–1) of the work."""
        terminal, now = sys.stderr.isatty(), time.monotonic()
        if fraction < 1 and now - self._last < (0.1 if terminal else 5):
            return
        self._last = now
        line = f"[{'#' * round(24 * fraction):<24}] {fraction:4.0%}  {text}"
        end = "" if terminal and fraction < 1 else "\n"
        sys.stderr.write((f"\r\x1b[K{line}" if terminal else line) + end)
        sys.stderr.flush()
