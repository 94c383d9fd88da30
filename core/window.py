"""How grey levels are shown: the VOI functions of DICOM and its look-up tables, in the units of the pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID", "TABLE"]

_VOI_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID", "TABLE")
WHITE = 65535  # the largest entry of a table


@dataclass(frozen=True)
class Window:
    """Grey levels chosen for display, in the units of `Image.pixels` (not rescaled units).

    `function` is the DICOM VOI LUT function (PS3.3 C.11.2.1.2–3), or TABLE for a VOI LUT (C.11.2.1.1): then `table` holds
    the brightness at evenly spaced levels from centre − width/2 to centre + width/2, as little-endian uint16, 65535 is
    white. `explanation` is what the file calls this window (NORMAL, BONE …), empty where it does not say.
    """

    center: float
    width: float
    function: VoiFunction = "LINEAR"
    explanation: str = ""
    table: bytes = b""

    def __post_init__(self) -> None:
        if self.function not in _VOI_FUNCTIONS:
            raise ValueError(f"window function must be one of {_VOI_FUNCTIONS}, not {self.function!r}")
        if not (np.isfinite(self.center) and np.isfinite(self.width)) or self.width <= 0:
            raise ValueError(f"window needs a finite centre and a positive width, not {self.center}/{self.width}")
        if (self.function == "TABLE") != bool(self.table) or len(self.table) % 2:
            raise ValueError("a TABLE window, and no other, has a table of 16-bit entries")

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Display brightness in [0, 1] (float32, same shape as `values`); 0 is black.

        LINEAR with width 1 is a step, as PS3.3 C.11.2.1.2.1 defines it. A table's ends hold beyond it.
        """
        if self.function == "TABLE":
            return self._look_up(np.asarray(values, dtype=np.float64))
        x = np.asarray(values, dtype=np.float32)
        if self.function == "SIGMOID":
            return (1.0 / (1.0 + np.exp(-4.0 * (x - self.center) / self.width))).astype(np.float32)
        if self.function == "LINEAR_EXACT":
            y = (x - self.center) / self.width + 0.5
        elif self.width == 1:
            y = (x > self.center - 0.5).astype(np.float32)
        else:
            y = (x - (self.center - 0.5)) / (self.width - 1.0) + 0.5
        return np.clip(y, 0.0, 1.0).astype(np.float32)

    def facts(self) -> dict[str, Any]:
        """This window as JSON-safe facts; a table is named by the SHA-256 (hex) of its bytes, since it may be long."""
        facts: dict[str, Any] = {"center": self.center, "width": self.width, "function": self.function}
        if self.explanation:
            facts["explanation"] = self.explanation
        if self.table:
            facts["table_sha256"] = hashlib.sha256(self.table).hexdigest()
        return facts

    def _look_up(self, values: np.ndarray) -> np.ndarray:
        levels = np.frombuffer(self.table, dtype="<u2")
        position = np.floor(((values - self.center) / self.width + 0.5) * len(levels))
        index = np.clip(position, 0, len(levels) - 1).astype(np.int64)
        return (levels[index] / np.float32(WHITE)).astype(np.float32)


def full_range_window(pixels: np.ndarray) -> Window:
    """The window that shows every stored level: 0 is black, the dtype's maximum is white."""
    top = float(np.iinfo(pixels.dtype).max)
    return Window(center=top / 2, width=top, function="LINEAR_EXACT")
