"""`python -m core train`: a recipe and a dataset become a run folder."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from core.progress import Bar
from core.records import Refused
from core.tasks import TASKS

if TYPE_CHECKING:  # torch comes with it, and `--help` must not wait for that
    from core.training import TrainingJob


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text}")
    return number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument(
        "--data", type=Path, help="a folder tree split/Class/Patient/file, a MedMNIST NPZ or a CSV manifest"
    )
    parser.add_argument("--task", choices=list(TASKS), help="the classification problem")
    parser.add_argument(
        "--architecture", default="", help="resnet18, vgg16, any of torchvision or timm … (default: the recipe's)"
    )
    parser.add_argument(
        "--recipe", default="default", help="a recipe of core/recipes or a .toml file (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=positive, help="instead of the recipe's number")
    parser.add_argument("--size", type=positive, help="input edge in pixels, instead of the recipe's or architecture's")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (default: %(default)s)")
    parser.add_argument(
        "--weights",
        help="ImageNet weights to start from: a local file, or 'imagenet' for those of an installed package",
    )
    parser.add_argument(
        "--without-leaks",
        action="store_true",
        help="leave out what also stands in validation or test, by picture or patient",
    )
    parser.add_argument("--out", type=Path, help="the run folder to write")
    parser.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a training that was stopped; nothing else is needed"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Train, or go on with a training, and say where the checkpoint is."""
    from core.training import TrainingProgress, resume, train

    bar = Bar()

    def progress(p: TrainingProgress) -> None:
        bar(p.fraction, p.text)

    checkpoint = resume(options.resume, progress=progress) if options.resume else train(_job(options), progress)
    if os.environ.get("RANK", "0") != "0":  # one of torchrun's further processes
        return 0
    config = json.loads((checkpoint.parent / "config.json").read_text())
    if options.json:
        print(json.dumps({"checkpoint": str(checkpoint), **config}))
    else:
        print(f"Wrote {checkpoint} and, beside it, how it was made.")
    return 0


def _job(options: argparse.Namespace) -> TrainingJob:
    from core.pretrained import weights_file
    from core.recipes import load_recipe
    from core.training import TrainingJob
    from core.training_state import STATE

    missing = [f"--{name}" for name in ("data", "task", "out") if not getattr(options, name)]
    if missing:
        raise Refused(f"A training needs {', '.join(missing)}; or --resume RUN alone.")
    if (options.out / STATE).exists():
        raise Refused(
            f"{options.out} holds an unfinished training; go on with --resume {options.out}, or remove the folder."
        )
    recipe = load_recipe(options.recipe)
    return TrainingJob(
        data=options.data,
        task=options.task,
        architecture=options.architecture,
        recipe=recipe,
        out=options.out,
        epochs=options.epochs,
        seed=options.seed,
        size=options.size,
        weights=weights_file(options.weights, options.architecture or recipe.architecture) if options.weights else None,
        drop_leaks=options.without_leaks,
    )
