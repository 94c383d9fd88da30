"""Identifiers that stand for others: the same wherever they occur, and not to be traced back without the installation's secret."""

from __future__ import annotations

import hmac
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.reading.names import pseudonym

_DAYS = (30, 1855)  # how far back a patient's dates are moved, at least and at most
_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?(?:[+-]\d{4})?")


@dataclass(frozen=True)
class Remap:
    """One patient's new identity. `patient` is the id in the file, or whatever else its files have in common."""

    secret: bytes
    patient: str

    @property
    def pseudonym(self) -> str:
        """What stands for the patient's id, as on the pages."""
        return pseudonym(self.patient, self.secret)

    @property
    def shift(self) -> timedelta:
        """How far every moment of the patient is moved back: whole seconds, 30 to 1,855 days, always the same."""
        digest = self._digest("moments", self.patient.strip())
        days = _DAYS[0] + int.from_bytes(digest[:8], "big") % (_DAYS[1] - _DAYS[0])
        return timedelta(days=days, seconds=int.from_bytes(digest[8:16], "big") % 86_400)

    def uid(self, old: str) -> str:
        """The UID that replaces `old` in all files of the installation, of every patient: references stay whole."""
        digest = self._digest("uid", old.strip(" \0"))
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"

    def moment(self, date: str, time: str = "") -> datetime | None:
        """A DICOM date with its time (or a date and time in one), moved; None where it is no moment."""
        found = _MOMENT.fullmatch((date.strip() + time.strip().replace(":", "")).strip(" \0"))
        if not found:
            return None
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        try:
            fraction = int((found[7] or "").ljust(6, "0") or 0)
            return datetime(year, month, day, hour, minute, min(second, 59), fraction) - self.shift
        except (ValueError, OverflowError):
            return None

    def _digest(self, purpose: str, value: str) -> bytes:
        return hmac.digest(self.secret, f"{purpose}|{value}".encode("utf-8", "surrogatepass"), "sha256")
