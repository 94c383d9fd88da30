"""Training and evaluation on real data beside published figures, written into docs/results.md.

Run with `python -m benchmarks.results --data ../shared/data --work DIR [--minutes 30]`. Every finished training leaves its run
folders in DIR, and a further call goes on from there; what time does not allow is said to be missing. Recipes, ensembles
and views are chosen by their validation figures alone; the test split is scored once by each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import results_text
from benchmarks.documents import RESULTS, put_section
from benchmarks.results_data import prepare
from core.checkpoint import load_checkpoint
from core.datasets import Dataset, load_dataset
from core.evaluation import evaluate, read_run
from core.external import External, read_external
from core.files import write_json
from core.pretrained import IMAGENET, weights_file
from core.progress import Bar
from core.recipes import Recipe
from core.records import EvaluationRun
from core.training import TrainingJob, TrainingProgress, resume, train
from core.tuning import Tuning, build_ensemble

US, MRI, MG, BLOOD = "breast-ultrasound", "breast-mri", "mammography", "blood-cells"
LITE = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class Plan:
    """What one row reports: a recipe on a dataset, once for each seed. `epochs` 0 keeps the recipe's own."""

    name: str
    group: str
    task: str
    data: str
    recipe: str
    architecture: str = ""
    size: int = 0
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 0
    drop_leaks: bool = False
    published: str = ""
    weights: str = ""

    @property
    def key(self) -> str:
        """Name of its folders."""
        parts = (self.data.split(".")[0], self.recipe, self.architecture, str(self.size or ""), str(self.epochs or ""))
        return "_".join(p for p in (*parts, "no-leak" if self.drop_leaks else "") if p)


@dataclass(frozen=True)
class Trained:
    """One finished training, scored on validation and on test; `seconds` are those of the processor."""

    seed: int
    checkpoint: Path
    seconds: float
    epochs: int
    val: EvaluationRun
    test: EvaluationRun
    members: int = 1


def plans() -> list[Plan]:
    """All rows, those that matter most first."""
    ours = [
        Plan(name, f"us-{edge}", US, "breastmnist" if edge == 28 else "busi-128", recipe, architecture, size, seeds,
             40 if size == 128 and not weights else 0, weights=weights)
        for edge, rows in RECIPES.items() for name, recipe, architecture, seeds, size, weights in rows
    ]  # fmt: skip
    leak = [replace(p, group=p.group.replace("us", "leak"), drop_leaks=True) for p in ours if p.name in TWICE]
    r4 = [
        Plan("novel CNN C, plain", "r4", US, "breastmnist", "r4-cnn-c", published="83 %"),
        Plan("novel CNN C, augmented", "r4", US, "breastmnist", "r4-cnn-c-augmented", published="77 %"),
        Plan("VGG16, 32 px", "r4", US, "breastmnist", "r4-vgg16-breast", epochs=2, published="71 %"),
    ]
    smoke = [
        Plan("R1 ResNet18", "smoke", MRI, "breadm", "r1-resnet18", "resnet18"),
        Plan("R1 ResNet50", "smoke", MRI, "breadm", "r1-resnet50", "resnet50"),
        Plan("R1 VGG16", "smoke", MRI, "breadm", "r1-vgg16", "vgg16"),
        Plan("R2 ResNet18", "smoke", MRI, "breadm", "r2-resnet18", "resnet18"),
        Plan("R2 ResNet50", "smoke", MRI, "breadm", "r2-resnet50", "resnet50"),
        Plan("R2 VGG16", "smoke", MRI, "breadm", "r2-vgg16", "vgg16"),
        Plan("R3 ResNet50, two phases", "smoke", US, "busi-png", "r3-resnet50-two-phase"),
        Plan("R4 novel CNN A", "smoke", BLOOD, "made-blood.npz", "r4-cnn-a"),
        Plan("R4 novel CNN B", "smoke", BLOOD, "made-blood.npz", "r4-cnn-b"),
        Plan("R4 ResNet50, 100 px", "smoke", BLOOD, "made-blood.npz", "r4-resnet50-blood"),
        Plan("R5 ResNet50V2", "smoke", MG, "rsna", "r5-resnet50v2"),
    ]
    smoke = [replace(p, seeds=(0,), epochs=3 if p.name.startswith("R3") else 1) for p in smoke]
    cells = [Plan("R4 novel CNN B on 61 real cells", "cells", BLOOD, "real-blood.npz", "r4-cnn-b", epochs=40)]
    return [*ours, *leak, *r4, *cells, *smoke]


# For each edge of the pictures: name, recipe, architecture, seeds, edge of the network's input, weights to start from.
RECIPES: dict[int, tuple[tuple[str, str, str, tuple[int, ...], int, str], ...]] = {
    28: (
        ("small-cnn, default recipe, 28 px", "default", "small-cnn", (0, 1, 2, 3, 4), 28, ""),
        ("small-cnn, breast-ultrasound, 28 px", "breast-ultrasound", "small-cnn", (0, 1, 2), 28, ""),
        ("EfficientNet-Lite0 from ImageNet, 28 px enlarged", "breast-ultrasound-imagenet", LITE, (0, 1, 2, 3, 4), 128, IMAGENET),
    ),
    64: (
        ("small-cnn, breast-ultrasound, 64 px", "breast-ultrasound", "small-cnn", (0, 1, 2), 64, ""),
        ("ResNet18, breast-ultrasound-resnet18, 64 px", "breast-ultrasound-resnet18", "resnet18", (0, 1, 2), 64, ""),
        ("ResNet10-T, breast-ultrasound-resnet10t, 64 px", "breast-ultrasound-resnet10t", "resnet10t", (0, 1, 2), 64, ""),
    ),
    128: (
        ("small-cnn, breast-ultrasound cut to 40 epochs, 128 px", "breast-ultrasound", "small-cnn", (0, 1, 2), 128, ""),
        ("EfficientNet-Lite0 from ImageNet, 128 px", "breast-ultrasound-imagenet", LITE, (0, 1, 2, 3, 4), 0, IMAGENET),
    ),
}  # fmt: skip
TWICE = (
    "small-cnn, default recipe, 28 px",
    "EfficientNet-Lite0 from ImageNet, 28 px enlarged",
)  # trained without the leaked picture as well


class Runner:
    """Trains what is missing, as long as there is time."""

    def __init__(self, data: Path, work: Path, minutes: float) -> None:
        self.work, self.end = work, time.monotonic() + 60 * minutes
        self.paths = prepare(data, work / "data")
        self.datasets: dict[tuple[str, str], Dataset] = {}
        self.bar = Bar()

    def dataset(self, plan: Plan) -> Dataset:
        """Read once."""
        key = (plan.data, plan.task)
        if key not in self.datasets:
            self.datasets[key] = load_dataset(self.paths[plan.data], plan.task)
        return self.datasets[key]

    def trained(self, plan: Plan, *, wanted: bool = True) -> list[Trained]:
        """The plan's trainings, as many seeds as are finished when time is over; of a plan not wanted, the finished ones."""
        return [found for seed in plan.seeds if (found := self._one(plan, seed, wanted))]

    def _one(self, plan: Plan, seed: int, wanted: bool) -> Trained | None:
        out = self.work / "runs" / f"{plan.key}_{seed}"
        done = out / "done.json"
        if out.exists() and _recipe_of(out) != self._job(plan, seed, out).resolved().as_dict():
            shutil.rmtree(out)  # of a recipe that has changed since
        if not done.exists():
            if not wanted or time.monotonic() > self.end:
                return None
            seconds = self._fit(plan, seed, out)
            for split in ("val", "test"):
                evaluate(out / "checkpoint.pt", self.dataset(plan), split, out / split)
            write_json(done, {"seconds": round(seconds, 1)})
        seconds = json.loads(done.read_text())["seconds"]
        val, test = read_run(out / "val"), read_run(out / "test")
        return Trained(seed, out / "checkpoint.pt", seconds, _epochs(out), val, test)

    def _fit(self, plan: Plan, seed: int, out: Path) -> float:
        """Train, or go on where a call that was stopped left off.

        Gives seconds of the processor, not of the clock: other programs use the same cores. Those of a training that was gone
        on with are scaled from its last epochs to all of them.
        """
        start, before = time.process_time(), 0

        def report(p: TrainingProgress) -> None:
            self.bar(p.fraction, f"{plan.key} {seed}: {p.text}")

        if (out / "state.pt").exists():
            before = _epochs(out)
            resume(out, self.dataset(plan), report)
        else:
            (out / "checkpoint.pt").unlink(missing_ok=True)  # of a call that ended before the evaluation
            train(self._job(plan, seed, out), report)
        seconds = time.process_time() - start
        return seconds * _epochs(out) / max(1, _epochs(out) - before)

    def _job(self, plan: Plan, seed: int, out: Path) -> TrainingJob:
        return TrainingJob(
            self.dataset(plan), plan.task, plan.architecture, plan.recipe, out, epochs=plan.epochs or None, seed=seed,
            size=plan.size or None, drop_leaks=plan.drop_leaks,
            weights=weights_file(plan.weights, plan.architecture) if plan.weights else None,
        )  # fmt: skip

    def joined(self, name: str, plan: Plan, members: list[Trained], views: tuple[str, ...]) -> Trained:
        """The ensemble of several trainings, its operating point chosen on validation; made again where members changed."""
        versions = [load_checkpoint(m.checkpoint).version for m in members]
        out = self.work / "ensembles" / f"{name}_{'-'.join(views) or 'plain'}"
        path, known = out / "checkpoint.pt", out / "members.json"
        if not known.exists() or json.loads(known.read_text()) != {"members": versions}:
            shutil.rmtree(out, ignore_errors=True)
            build_ensemble([m.checkpoint for m in members], path, Tuning(self.dataset(plan), views=views))
            for split in ("val", "test"):
                evaluate(path, self.dataset(plan), split, out / split)
            write_json(known, {"members": versions})
        seconds = sum(m.seconds for m in members)
        return Trained(-1, path, seconds, 0, read_run(out / "val"), read_run(out / "test"), len(members))


def _epochs(out: Path) -> int:
    """Finished epochs of a run folder."""
    history = out / "history.csv"
    return len(history.read_text().splitlines()) - 1 if history.exists() else 0


def _recipe_of(out: Path) -> dict:
    """What a run folder was trained by, as `Recipe.as_dict` has it; empty where that is not known."""
    config = out / "config.json"
    return Recipe.from_dict(json.loads(config.read_text())["recipe_values"]).as_dict() if config.exists() else {}


def external(data: Path) -> list[EvaluationRun]:
    """Published predictions as runs."""
    folder, by = data / "predictions", ("patient_id", "laterality")
    (breast,) = (folder / "medmnist").glob("breastmnist*.csv")
    images, rsna = folder / "rsna" / "image_level_predictions.csv", data / "rsna" / "train.csv"
    sources = [
        External(
            breast, "MedMNIST ResNet-18 (224 px), published predictions", US, data / "medmnist" / "breastmnist.npz"
        ),
        External(images, "ConvNeXt, published scores of breasts (maximum of the images)", MG, rsna, by=by),
        External(folder / "rsna" / "ensemble_test_predictions.csv", "published ensemble, breasts", MG, by=by),
    ]
    return [read_external(source)[0] for source in sources]


def main() -> None:
    """Train what is missing, then write the sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs, outside the checkout")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no further training after so many")
    parser.add_argument(
        "--only",
        nargs="+",
        help="train these groups or recipes only: " + ", ".join(dict.fromkeys(p.group for p in plans())),
    )
    parser.add_argument("--document", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    runner = Runner(options.data, options.work, options.minutes)
    wanted = set(options.only or [])
    rows = [(p, runner.trained(p, wanted=not wanted or bool({p.group, p.recipe} & wanted))) for p in plans()]
    whole = {
        size: _ensembles(runner, [r for r in rows if r[0].group == f"us-{size}"], f"{size} px") for size in RECIPES
    }
    sections = [
        results_text.ultrasound(rows, whole),
        results_text.leak(_with_and_without(runner, rows)),
        results_text.reference_systems(rows),
        results_text.external(external(options.data)),
    ]
    for title, lines in sections:
        put_section(options.document, title, lines)
    print(options.document.read_text())


def _ensembles(runner: Runner, rows: list[tuple[Plan, list[Trained]]], size: str) -> dict[str, Trained]:
    """Candidates at one size: each recipe's seeds together, and all from random weights; plain and with the mirrored view."""
    groups = {plan.name: (plan, runs) for plan, runs in rows}
    alike = [
        (plan, runs) for plan, runs in rows if plan.size == rows[0][0].size
    ]  # an ensemble reads pictures of one size
    if len(alike) > 1:
        groups[f"all from random weights, {size}"] = (alike[0][0], [run for _, runs in alike for run in runs])
    found: dict[str, Trained] = {}
    for name, (plan, runs) in groups.items():
        found |= _joined_both_ways(runner, name, plan, runs)
    return found


def _joined_both_ways(runner: Runner, name: str, plan: Plan, runs: list[Trained]) -> dict[str, Trained]:
    """An ensemble of the pictures as they are, and one of these and their mirror images; nothing of fewer than two."""
    if len(runs) < 2:
        return {}
    ways = {"": (), ", each picture and its mirror image": ("hflip",)}
    folder = f"{plan.data}_{name.replace(',', '').replace(' ', '-')}"
    return {
        f"mean of {len(runs)}: {name}{label}": runner.joined(folder, plan, runs, views) for label, views in ways.items()
    }


def _with_and_without(
    runner: Runner, rows: list[tuple[Plan, list[Trained]]]
) -> dict[str, tuple[list[Trained], list[Trained], Trained, Trained]]:
    """For every recipe trained without the leaked picture: the same seeds with it and without it, and their ensembles."""
    found = {}
    for plan, runs in rows:
        if not plan.drop_leaks or len(runs) < 2:
            continue
        seeds = [run.seed for run in runs]
        twin = next((r for p, r in rows if p == replace(plan, drop_leaks=False, group=p.group)), [])
        same = [run for run in twin if run.seed in seeds]
        if len(same) == len(runs):
            pair = [
                runner.joined(f"leak_{plan.group.removeprefix('leak-')}_{word}", plan, list(r), ())
                for word, r in (("with", same), ("without", runs))
            ]
            found[plan.name] = (same, runs, pair[0], pair[1])
    return found


def best_on_validation(candidates: dict[str, Trained]) -> str:
    """The name of the candidate with the largest validation AUC; of equals the one with the smaller log loss there."""

    def merit(name: str) -> tuple[float, float]:
        m = candidates[name].val.metrics
        return (m["auc"].value or 0.0, -(m["log_loss"].value or np.inf))

    return max(candidates, key=merit)


if __name__ == "__main__":
    main()
