"""`python -m core deidentify`: de-identified copies of DICOM files in a folder of their own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from core.deidentify import Copy
from core.records import Refused, StudyRejected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="DICOM files and folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder for PSEUDONYM/UID.dcm; nothing is overwritten")
    parser.add_argument("--json", action="store_true", help="one JSON object per line and file")


def run(options: argparse.Namespace) -> int:
    """Copy every file that is a DICOM picture; 1 when any was refused."""
    from core.reading import files_below

    for path in options.paths:
        if not path.exists():
            raise Refused(f"There is no file or folder {path}.")
    refused = 0
    for path in (file for given in options.paths for file in files_below(given)):
        try:
            facts = _copy(path, options.out)
        except (Refused, StudyRejected) as problem:
            refused, facts = refused + 1, {"refused": str(problem)}
        print(json.dumps({"file": str(path), **facts}) if options.json else f"{path}: {_sentence(facts)}", flush=True)
    return 1 if refused else 0


def _copy(path: Path, out: Path) -> dict[str, object]:
    from core import settings
    from core.deidentify import deidentify
    from core.reading.sniff import kind_of

    data = path.read_bytes()
    if kind_of(data) != "dicom":
        raise StudyRejected("The file is not DICOM.", "Only DICOM is copied; unpack archives first.")
    copy = deidentify(data, settings.installation_secret())
    target = out / _place(copy)
    if target.exists():
        if target.read_bytes() != copy.data:
            raise Refused(f"{target} is there already and differs; nothing is overwritten. Name another --out.")
        return {"copy": str(target), "written": False, "cleaned": list(copy.cleaned), "burned_in": copy.burned_in}
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        file.write(copy.data)
    return {"copy": str(target), "written": True, "cleaned": list(copy.cleaned), "burned_in": copy.burned_in}


def _place(copy: Copy) -> Path:
    """Where the copy lies in the folder: nothing of the file's own name, which often is the patient's."""
    return Path(copy.patient or "unnamed") / f"{copy.instance}.dcm"


def _sentence(facts: dict[str, object]) -> str:
    if "refused" in facts:
        return f"refused. {facts['refused']}"
    done = f"copied to {facts['copy']}" if facts["written"] else f"already copied to {facts['copy']}"
    if facts["burned_in"] == "NO":
        return f"{done}."
    said = (
        "says that text is burned into it" if facts["burned_in"] == "YES" else "does not say whether text is burned in"
    )
    return f"{done}. The file {said}: look at the pixels before you pass it on."
