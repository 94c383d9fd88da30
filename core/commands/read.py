"""`python -m core read`: what files would become, one line each, and how they would be shown."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from core.records import Image, Window


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="files, folders, ZIPs")
    parser.add_argument("--task", default="", help="what pictures without a DICOM header show")
    parser.add_argument("--split", default="", choices=["train", "val", "test"], help="of an NPZ file, that split only")
    parser.add_argument(
        "--range", default="", metavar="START:STOP", help="of an NPZ file, these images of each split only"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line and file")
    parser.add_argument("--png", type=Path, metavar="DIR", help="write every picture there as it would be displayed")


def run(options: argparse.Namespace) -> int:
    """Print what each file would become, exam by exam; 1 when one was refused."""
    from core.deidentify import left_behind
    from core.reading import NpzPart, Source, files_below, read_exams
    from core.settings import installation_secret

    if options.png:
        options.png.mkdir(parents=True, exist_ok=True)
    found = [(file, path if path.is_dir() else None) for path in options.paths for file in files_below(path)]
    paths = [file for file, _ in found]
    sources = [Source.of_path(*file_and_root) for file_and_root in found]
    part = NpzPart.of(options.split, options.range)
    exams = read_exams(sources, task=options.task, secret=installation_secret(), part=part)
    refused = 0
    for count, outcome in enumerate((outcome for exam in exams for outcome in exam), start=1):
        member = outcome.name.partition(" › ")[2]
        facts: dict[str, Any] = {"file": str(paths[outcome.position]) + (f" › {member}" if member else "")}
        if outcome.rejected:
            refused += 1
            facts |= {"refused": outcome.rejected.reason, "hint": outcome.rejected.hint}
        elif not outcome.images:
            facts |= {"kind": "table", "note": outcome.note}
        else:
            facts |= _described(outcome.images, outcome.facts)
            facts |= {"study": outcome.study_id, "studies": len(outcome.studies), "note": outcome.note}
            facts |= {"cleaned": left_behind(outcome.left)} if outcome.left else {}
            facts |= {"png": _write(outcome.images, options.png, f"{count:05} {outcome.name}")} if options.png else {}
        print(json.dumps(facts, ensure_ascii=False) if options.json else _sentence(facts), flush=True)
    return 1 if refused else 0


def displayed(image: Image) -> np.ndarray:
    """The picture as a screen shows it through its own window: uint8 (H, W), or (H, W, 3) for colour."""
    if image.window is None:
        return image.pixels
    levels = np.arange(np.iinfo(image.pixels.dtype).max + 1)
    return np.rint(255 * image.window.apply(levels)).astype(np.uint8)[image.pixels]


def _described(images: Sequence[Image], facts: Any) -> dict[str, Any]:
    """What the pictures of one file are; sizes and windows are those of the first one."""
    first = images[0]
    shapes = {image.pixels.shape for image in images}
    described = {
        "kind": facts.get("source", ""),
        "modality": facts.get("modality", ""),
        "shape": list(first.pixels.shape),
        "frames": len(images),
        "bits": 8 * first.pixels.dtype.itemsize,
        "windows": [_stated(window, first) for window in first.windows or ([first.window] if first.window else [])],
        "window_stated": bool(first.windows),
        "laterality": first.laterality,
        "view": first.view,
        "spacing_mm": None if first.spacing_mm is None else list(first.spacing_mm),
        "frame_time_ms": first.frame_time_ms,
        "notices": list(facts.get("notices", ())),
    }
    if len(shapes) > 1:
        described["shapes"] = sorted(list(shape) for shape in shapes)
    for key in ("presentation_intent", "body_part", "photometric", "burned_in_annotation"):
        if key in facts:
            described[key] = facts[key]
    return described


def _stated(window: Window, image: Image) -> dict[str, Any]:
    """A window in the modality's unit, as a header states it (LINEAR with its half-level offsets, PS3.3 C.11.2.1.2.1)."""
    slope, intercept = image.slope, image.intercept
    center, width = window.center * slope + intercept, window.width * abs(slope)
    if window.function == "LINEAR":
        center, width = (window.center - 0.5) * slope + intercept + 0.5, (window.width - 1) * abs(slope) + 1
    stated = {"center": round(center, 4), "width": round(width, 4), "function": window.function}
    return stated | ({"name": window.explanation} if window.explanation else {})


def _write(images: Sequence[Image], folder: Path, name: str) -> list[str]:
    """One PNG for each picture; names of files inside archives become one plain name."""
    plain = re.sub(r"[^\w .+()-]", "_", name)
    written = []
    for number, image in enumerate(images):
        path = folder / (f"{plain}.png" if len(images) == 1 else f"{plain} {number:03}.png")
        Pillow.fromarray(displayed(image)).save(path)
        written.append(str(path))
    return written


def _sentence(facts: dict[str, Any]) -> str:
    if "refused" in facts:
        return f"{facts['file']}: refused. {facts['refused']} {facts['hint']}".rstrip()
    if facts["kind"] == "table":
        return f"{facts['file']}: {facts['note']}."
    size = " × ".join(str(edge) for edge in facts["shape"][:2]) + (" colour" if len(facts["shape"]) == 3 else "")
    pictures = f"{facts['frames']} of " if facts["frames"] > 1 else ""
    windows = ", ".join(f"{w['function']} {w['center']:g}/{w['width']:g}" for w in facts["windows"])
    parts = [
        f"{facts['kind']} {facts['modality']}".strip(),
        f"{pictures}{size}",
        f"{facts['laterality']} {facts['view']}".strip(),
        f"window {windows}" if windows else "",
        facts["note"],
        *facts["notices"],
    ]
    return f"{facts['file']}: " + " · ".join(part for part in parts if part)
