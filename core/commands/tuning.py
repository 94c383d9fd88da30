"""`python -m core calibrate` and `python -m core ensemble`: new versions of trained models, chosen on validation data."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from core.combine import VIEWS
from core.progress import Bar
from core.records import Refused

if TYPE_CHECKING:
    from core.checkpoint import Checkpoint
    from core.tuning import Tuning


def add_calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `calibrate`."""
    parser.add_argument("checkpoint", type=Path)
    _add_shared(parser)


def add_ensemble_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `ensemble`."""
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT", help="two or more, of one task")
    _add_shared(parser)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="the dataset whose validation split chooses")
    parser.add_argument("--split", default="val", help="val: any other is refused, test data never choose anything")
    text = (
        "how to choose the operating point: youden, sensitivity=0.95, specificity=0.9, cost=10, the number of false alarms that "
        "a missed finding costs, or threshold=0.55, which was set beforehand (default: youden)"
    )
    parser.add_argument("--point", default="youden", help=text)
    text = f"test-time augmentation: average the plain view with these ({', '.join(v for v in VIEWS if v != 'plain')})"
    parser.add_argument("--views", nargs="+", default=(), metavar="VIEW", help=text)
    parser.add_argument(
        "--temperature", action="store_true", help="fit a temperature, so that probabilities mean what they say"
    )
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint file to write")
    parser.add_argument("--json", action="store_true", help="print what was chosen as JSON")


def run_calibrate(options: argparse.Namespace) -> int:
    """Write a new version of one checkpoint."""
    from core.tuning import calibrate

    bar = Bar()
    tuning = _tuning(options)
    made = calibrate(options.checkpoint, options.out, tuning, lambda done, total, text: bar(done / max(total, 1), text))
    return _say(made, options)


def run_ensemble(options: argparse.Namespace) -> int:
    """Write a checkpoint that averages several."""
    from core.tuning import build_ensemble

    bar = Bar()
    tuning = _tuning(options)
    made = build_ensemble(
        options.checkpoints, options.out, tuning, lambda done, total, text: bar(done / max(total, 1), text)
    )
    return _say(made, options)


def _tuning(options: argparse.Namespace) -> Tuning:
    from core.tuning import Tuning

    if not options.out.parent.is_dir():
        raise Refused(f"There is no folder {options.out.parent}.")
    return Tuning(options.data, options.point, tuple(options.views), options.temperature, options.split)


def _say(made: Checkpoint, options: argparse.Namespace) -> int:
    point, fitted = made.operating_point, made.provenance.get("calibration")
    if options.json:
        facts = {"out": str(options.out), "version": made.version, "views": list(made.views)}
        chosen = {"name": point.name, "threshold": point.threshold, "chosen_on": point.chosen_on} if point else None
        print(json.dumps({**facts, "operating_point": chosen, "temperature": made.temperature, "calibration": fitted}))
        return 0
    if fitted and made.temperature != 1:
        before, after = fitted["ece_before"], fitted["ece_after"]
        print(
            f"Temperature {made.temperature:.4f} on {fitted['chosen_on']}: calibration error "
            f"{before['value']:.4f} ({before['low']:.4f}–{before['high']:.4f}) before, "
            f"{after['value']:.4f} ({after['low']:.4f}–{after['high']:.4f}) after, on the cases that it was fitted to."
        )
    if point:
        print(f"Operating point: {point.name}, threshold {point.threshold:.4f}, chosen on {point.chosen_on}.")
    print(f"Wrote {options.out}, version {made.version[:16]}.")
    return 0
