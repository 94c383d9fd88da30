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
from benchmarks.results_plans import MG, RECIPES, US, Plan, plans
from core.checkpoint import load_checkpoint
from core.datasets import Dataset, load_dataset
from core.evaluation import evaluate, read_run
from core.external import External, read_external
from core.files import write_json
from core.pretrained import weights_file
from core.progress import Bar
from core.recipes import Recipe
from core.records import EvaluationRun
from core.training import TrainingJob, TrainingProgress, resume, train
from core.tuning import Tuning, build_ensemble

SECTIONS = ("ultrasound", "leak", "reference", "external")


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
    parser.add_argument(
        "--write", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="write these sections only"
    )
    parser.add_argument("--document", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    runner = Runner(options.data, options.work, options.minutes)
    wanted = set(options.only or [])
    rows = [(p, runner.trained(p, wanted=not wanted or bool({p.group, p.recipe} & wanted))) for p in plans()]
    for name in options.write:
        put_section(options.document, *_section(name, runner, rows, options.data))
    print(options.document.read_text())


def _section(name: str, runner: Runner, rows: list[tuple[Plan, list[Trained]]], data: Path) -> results_text.Section:
    """One of `SECTIONS`."""
    if name == "ultrasound":
        alike = {size: [r for r in rows if r[0].group == f"us-{size}"] for size in RECIPES}
        return results_text.ultrasound(rows, {size: _ensembles(runner, r, f"{size} px") for size, r in alike.items()})
    if name == "leak":
        return results_text.leak(_with_and_without(runner, rows))
    return results_text.reference_systems(rows) if name == "reference" else results_text.external(external(data))


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
