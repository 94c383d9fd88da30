"""How long a reading takes: counted by the server, stopped while the window is hidden or nobody moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_IDLE_S = 24 * 3600.0  # a browser can send anything


@dataclass(frozen=True)
class Clock:
    """`counted` seconds so far, and since when (a monotonic moment) it has been running; None while it stands."""

    counted: float = 0.0
    since: float | None = None

    def seconds(self, now: float) -> float:
        """Seconds counted by `now`, to a tenth."""
        return round(self.counted + (0.0 if self.since is None else max(0.0, now - self.since)), 1)

    def resumed(self, now: float) -> Clock:
        """The clock running from `now` on; one that runs already is left alone."""
        return self if self.since is not None else replace(self, since=now)

    def paused(self, now: float, idle_s: float = 0.0) -> Clock:
        """The clock standing. The last `idle_s` seconds, in which nobody moved, do not count."""
        if self.since is None:
            return self
        idle_s = min(max(0.0, idle_s), MAX_IDLE_S) if idle_s == idle_s else 0.0  # NaN is no number of seconds
        return Clock(self.counted + max(0.0, now - self.since - idle_s), None)
