"""Names that are safe to show: file names without folders and control characters, pseudonyms instead of patient ids."""

from __future__ import annotations

import base64
import hmac
import re
import unicodedata

_PLAIN = set(" ._-+()#=,")
_LONGEST = 100


def display_name(name: str) -> str:
    """A file name fit for display: the part after the last slash, odd characters as `_`, at most 100 characters."""
    base = unicodedata.normalize("NFC", re.split(r"[\\/]", name)[-1])
    plain = "".join(c if c.isalnum() or c in _PLAIN else "_" for c in base)
    plain = re.sub(r"\s+", " ", plain).strip()
    if len(plain) > _LONGEST:
        plain = f"{plain[: _LONGEST - 13]}…{plain[-12:]}"
    return plain or "unnamed"


def stem(name: str) -> str:
    """The displayed file name without its extension, at most 60 characters."""
    return re.sub(r"(?<=.)\.[A-Za-z0-9]{1,5}$", "", display_name(name))[:60].strip() or "unnamed"


def pseudonym(patient_id: str, secret: bytes) -> str:
    """`P-` and 8 base-32 characters that stand for a patient id; empty for an empty id.

    HMAC-SHA256, keyed with the installation's secret: without the secret, ids cannot be guessed from pseudonyms.
    """
    patient_id = patient_id.strip()
    if not patient_id:
        return ""
    digest = hmac.digest(secret, patient_id.encode("utf-8", "surrogatepass"), "sha256")
    return "P-" + base64.b32encode(digest).decode()[:8]
