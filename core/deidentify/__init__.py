"""De-identified DICOM copies after PS3.15 annex E, and the pictures that must be looked at before anybody reads them."""

from core.deidentify.copies import Copy, cleaned, deidentify
from core.deidentify.rules import left_behind

__all__ = ["Copy", "cleaned", "deidentify", "left_behind"]
