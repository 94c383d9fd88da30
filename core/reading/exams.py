"""Which files belong to one exam, told from the first bytes of each: so that an exam at a time is decoded and held."""

from __future__ import annotations

import hashlib
import io
import zlib

from pydicom import uid
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import Tag

from core.reading import limits

HEAD_BYTES = 64 * 1024  # of each file; patient and study stand at the beginning of a DICOM header
_STUDY = Tag("StudyInstanceUID")


def exam_key(head: bytes) -> str:
    """Equal for DICOM files of one study, without showing its UID; empty where `head` (a file's first bytes) names none."""
    try:
        found = read_partial(
            io.BytesIO(_plain(head)), stop_when=lambda tag, vr, length: tag > _STUDY, force=True, specific_tags=[_STUDY]
        )
        study = str(found.get("StudyInstanceUID") or "")
    except Exception:  # damaged: the file is read alone, and refused with its reason
        return ""
    return hashlib.sha256(study.encode("utf-8", "replace")).hexdigest() if study else ""


def _plain(head: bytes) -> bytes:
    """The same bytes with the data set inflated where it is deflated (PS3.5 A.5); else as given."""
    if head[128:132] != b"DICM":
        return head
    stream = io.BytesIO(head[132:])
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return head
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(head[132 + stream.tell() :], limits.MIB)
    plain = b"\0" * 128 + b"DICM\x02\0\x10\0UI\x14\0" + uid.ExplicitVRLittleEndian.encode().ljust(20, b"\0")
    return plain + inflated
