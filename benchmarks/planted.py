"""Planted evidence: architectures wired by hand to see one bright patch, so that it is known where a map must peak.

Run with `python -m benchmarks.planted [--pictures 400] [--seconds 30] [--methods NAME …]`: every method on every architecture by
the method's own parameters, at a small input, as many pictures as fit into the processor's seconds; the table goes into
docs/benchmarks.md. `tests/core/test_explain_planted.py` asks fewer pictures and fewer samples of the same.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.documents import put_section
from core.architectures import ARCHITECTURES, get_architecture
from core.checkpoint import Checkpoint
from core.explain import METHODS, Request, explain
from core.explain.fit import unfit
from core.progress import Bar
from core.records import Image, full_range_window
from core.statistics.proportions import wilson
from core.tasks import get_task

TASK = get_task("breast-mri")
EDGES = {"r4-cnn-a": 28, "r4-cnn-b": 28, "r4-cnn-c": 28}  # the others: 64, where ResNets and VGG16 have maps of 2 × 2
CORNERS = [(vertical, horizontal) for vertical in (0, 1) for horizontal in (0, 1)]
SHAPES = [(64, 64), (64, 112), (120, 70)]
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
TITLE = "## Planted evidence"


@cache
def wired(architecture: str) -> Checkpoint:
    """The architecture with its first channel carrying brightness to the end, all else 0; malignant is their mean.

    Each kernel has one tap in its middle, branches beside a shortcut give 0, a first channel's norm is neutral. Where dense
    layers follow the map, they add up its cells.
    """
    known = get_architecture(architecture)
    edge = EDGES.get(architecture, 64)
    with torch.device("meta"):
        shapes = known.build(len(TASK.classes)).state_dict()
    state, first = {}, True
    for name, like in shapes.items():
        value = torch.zeros(like.shape, dtype=like.dtype)
        if name.endswith("running_var"):
            value += 1
        elif like.ndim == 4:
            _tap(value, first, branch=bool(re.search(r"(layer\d\.\d+\.conv(2|3)|blocks\.\d+\.conv3)\.", name)))
            first = False
        elif like.ndim == 1 and name.endswith("weight"):
            value[0] = 1
        elif like.ndim == 2:
            _dense(value, known.build, name)
        state[name] = value
    last = [name for name, value in state.items() if value.ndim == 2][-1]
    head = state[last]
    head.zero_()
    head[-1, 0] = 1.0
    if len(head) == 2:
        head[0, 0] = -1.0
    spec = known.preprocessing(edge)
    return Checkpoint(architecture, TASK.name, TASK.classes, spec, state, version="planted")


def _tap(kernel: torch.Tensor, first: bool, *, branch: bool) -> None:
    """One tap of an odd kernel, 2 × 2 of an even one; the first one takes the mean of the input's channels."""
    if branch and kernel.shape[-1] in (1, 3) and kernel.shape[0] == kernel.shape[1]:
        return  # the second 3 × 3 of a basic block
    if branch and kernel.shape[0] > kernel.shape[1]:
        return  # the last 1 × 1 of a bottleneck
    edge = kernel.shape[-1]
    middle = slice((edge - 1) // 2, edge // 2 + 1)
    taps = (1 if edge % 2 else 4) * (kernel.shape[1] if first else 1)
    kernel[0, : kernel.shape[1] if first else 1, middle, middle] = 1 / taps


def _dense(matrix: torch.Tensor, build: object, name: str) -> None:
    """The first dense layer behind a flattened map adds up the first channel's cells; others pass the first number on."""
    cells = {25088: 49, 6272: 49, 5408: 169}.get(matrix.shape[1], 1)
    matrix[0, :cells] = 1 / cells


def planted(
    architecture: str, shape: tuple[int, int], corner: tuple[int, int], seed: int
) -> tuple[Image, slice, slice]:
    """Dim noise with a bright patch in one corner, and where it is: about half of each side, as whole cells see it.

    Near the origin it ends at 7 / 16: a residual network's strided kernels see a little to the left of and above their cell.
    So it begins there at the other end, but for VGG16, whose cells see exactly their half.
    """
    pixels = np.random.default_rng(seed).integers(0, 90, shape, dtype=np.uint8)
    begin = 8 if architecture == "vgg16" else 7
    rows, columns = (
        slice(begin * size // 16, size) if far else slice(0, 7 * size // 16)
        for far, size in zip(corner, shape, strict=True)
    )
    pixels[rows, columns] = 250
    return Image(pixels, window=full_range_window(pixels)), rows, columns


def hits(checkpoint: Checkpoint, method: str, number: int, parameters: Mapping[str, int] | None = None) -> bool:
    """Whether the centre of the map's strongest cell lies in the patch of picture `number`: corners and shapes take turns."""
    shape = SHAPES[number % len(SHAPES)]
    image, rows, columns = planted(checkpoint.architecture, shape, CORNERS[number % len(CORNERS)], number)
    request = Request(method, "malignant", number, parameters or {})
    values = explain(checkpoint, image, request).values
    peaks = np.argwhere(values == values.max())
    inside = [
        rows.start <= (r + 0.5) * shape[0] / values.shape[0] <= rows.stop
        and columns.start <= (c + 0.5) * shape[1] / values.shape[1] <= columns.stop
        for r, c in peaks
    ]
    return bool(values.max() > 0 and np.mean(inside) >= 0.5)


def measured(architecture: str, method: str, pictures: int, seconds: float) -> str:
    """A cell of the table: hits of pictures and the 95 % interval, or a dash where the method is not made."""
    checkpoint = wired(architecture)
    if unfit(METHODS[method], checkpoint):
        return "–"
    until, found = time.process_time() + seconds, []
    while len(found) < pictures and (time.process_time() < until or len(found) < len(CORNERS)):
        found.append(hits(checkpoint, method, len(found)))
    share = wilson(sum(found), len(found))
    return f"{sum(found)} of {len(found)} ({100 * (share.low or 0):.1f} %)"


def table(pictures: int, seconds: float, kept: Mapping[str, str]) -> list[str]:
    """Methods by architectures; the rows `kept` (by the method's title) stay as an earlier call wrote them."""
    lines = [f"| | {' | '.join(ARCHITECTURES)} |", f"| --- |{' --- |' * len(ARCHITECTURES)}"]
    bar, done = Bar(), 0
    for method in METHODS:
        if METHODS[method].title in kept:
            lines.append(kept[METHODS[method].title])
            continue
        cells = []
        for architecture in ARCHITECTURES:
            bar(done / (len(METHODS) * len(ARCHITECTURES)), f"{method}, {architecture}")
            cells.append(measured(architecture, method, pictures, seconds))
            done += 1
        lines.append(f"| {METHODS[method].title} | {' | '.join(cells)} |")
    return lines


def rows_of(document: Path, methods: Sequence[str]) -> dict[str, str]:
    """The document's rows of all but these methods; of none where no method is named."""
    if not methods or not document.exists():
        return {}
    again = {METHODS[name].title for name in methods}
    section = document.read_text().partition(TITLE)[2].partition("\n## ")[0]
    rows = {line.split("|")[1].strip(): line for line in section.splitlines() if line.startswith("| ")}
    return {title: line for title, line in rows.items() if title not in again}


def refusals() -> list[str]:
    """Which pairs are not made, and why."""
    pairs = [(m, a, unfit(m, wired(a))) for m in METHODS.values() for a in ARCHITECTURES]
    return [f"- {method.title} on {architecture}: {why}." for method, architecture, why in pairs if why]


def introduction() -> list[str]:
    """What the table counts."""
    return [
        "`python -m benchmarks.planted` writes this section. Each network is wired by hand to carry brightness from the input to "
        "the class score and nothing else, so that the one bright patch in a picture of noise is known to be the evidence. Counted "
        "are maps whose peak lies in the patch, which covers a fifth to a third of the picture: pictures of three proportions, the "
        "patch in each corner in turn, each method by its own parameters. In brackets the lower end of the 95 % interval (Wilson); "
        "99 % needs 381 of 381, and dear methods on large networks were given fewer, or none where it says *not counted*: there, "
        "that no map missed says less. Rows were counted on different days.",
    ]


def main() -> None:
    """Measure, then write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=400, help="of each method and architecture, at most")
    parser.add_argument("--seconds", type=float, default=30, help="of the processor, for each method and architecture")
    parser.add_argument(
        "--methods", nargs="+", default=(), choices=list(METHODS), help="leave the others' rows as they are"
    )
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    options = parser.parse_args()
    lines = [
        *introduction(),
        "",
        *table(options.pictures, options.seconds, rows_of(options.document, options.methods)),
        "",
        "Not made, because such maps pointed elsewhere, or cannot be made:",
        "",
        *refusals(),
    ]
    put_section(options.document, TITLE, lines)


if __name__ == "__main__":
    main()
