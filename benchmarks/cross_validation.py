"""Choosing among networks from ImageNet by cross-validation, since 78 validation pictures cannot: part of docs/results.md.

Run with `python -m benchmarks.cross_validation --data ../shared/data --work DIR [--jobs 2]`. Training and validation pictures
of the 128-pixel file are dealt into three folds, look-alikes together. Every candidate is trained on two folds and asked about
the third; the largest AUC over all pictures chooses. Only the chosen one is then trained on the official training split, and
only it is scored on the test split. A further call goes on where an earlier one stopped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.cross_validation_text import TITLE, comparison, lookalikes, outcome
from benchmarks.documents import RESULTS, put_section
from benchmarks.results import Runner, Trained
from benchmarks.results_plans import US, Plan
from core.datasets import Dataset, load_dataset
from core.datasets.dataset import fingerprint
from core.datasets.lookalikes import duplicates
from core.datasets.profile import make_profile
from core.evaluation import evaluate, read_run
from core.files import write_json
from core.pretrained import IMAGENET, weights_file
from core.records import Estimate
from core.statistics.discrimination import auc
from core.training import TrainingJob, train
from core.tuning import Tuning, calibrate

FOLDS = 3
RECIPE = "breast-ultrasound-imagenet"
FILE = Path("busi") / "busi_128_in_breastmnist_order.npz"
MIRROR = ("hflip",)


@dataclass(frozen=True)
class Network:
    """One network with the edge of its input in pixels; the pictures of 128 pixels are enlarged to it."""

    architecture: str
    size: int

    @property
    def key(self) -> str:
        """Name of its folders."""
        return f"{self.architecture}_{self.size}"

    @property
    def short(self) -> str:
        """As the document calls it: Lite0, Lite1, Lite2."""
        return f"Lite{self.architecture[-1]}"


@dataclass(frozen=True)
class Candidate:
    """The mean of one or several networks, of the pictures alone or with their mirror images; what can be chosen."""

    networks: tuple[Network, ...]
    mirror: bool

    @property
    def name(self) -> str:
        """As the document calls it."""
        nets = " + ".join(n.short for n in self.networks)
        return f"EfficientNet-{nets}, {self.networks[0].size} px" + (", with mirror image" if self.mirror else "")


LITE = tuple(f"tf_efficientnet_lite{i}" for i in range(3))
LARGE = tuple(Network(name, 224) for name in LITE)
NETWORKS = (Network(LITE[0], 160), *LARGE)  # the first is the recipe as it is
CANDIDATES = tuple(
    Candidate(networks, mirror) for networks in (*((n,) for n in NETWORKS), LARGE) for mirror in (False, True)
)


def groups_of_lookalikes(dataset: Dataset, work: Path) -> np.ndarray:
    """A number for every case (N,), the same for pictures that show nearly the same, directly or over others."""
    profile = make_profile(dataset, work / "profile")
    pairs = duplicates(profile.table, profile.facts, profile.copies)
    n = len(dataset.cases)
    together = np.zeros((n, n), dtype=bool)
    together[pairs["a"], pairs["b"]] = True
    return connected_components(together, directed=False)[1]


def folds(dataset: Dataset, groups: np.ndarray) -> Iterator[Dataset]:
    """Training and validation cases dealt anew, the third that is asked about called val; the test split stays out."""
    places = [i for i, case in enumerate(dataset.cases) if case.split != "test"]
    cases = [dataset.cases[i] for i in places]
    labels = np.array([case.label for case in cases])
    dealer = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for number, (_, asked) in enumerate(dealer.split(labels, labels, groups[places])):
        held = set(asked.tolist())
        dealt = tuple(replace(case, split="val" if i in held else "train") for i, case in enumerate(cases))
        yield replace(dataset, name=f"fold {number}", cases=dealt, fingerprint=fingerprint(dealt), leaks=())


def train_fold(data: Path, work: Path, groups: np.ndarray, network: Network, number: int) -> str:
    """Train a network on two folds and ask it about the third, plain and with the mirrored view; in a process of its own."""
    torch.set_num_threads(1)
    out = work / "folds" / f"{network.key}_{number}"
    if not (out / "done.json").exists():
        fold, start = list(folds(load_dataset(data / FILE, US), groups))[number], time.process_time()
        if not (out / "checkpoint.pt").exists():
            weights = weights_file(IMAGENET, network.architecture)
            train(TrainingJob(fold, US, network.architecture, RECIPE, out, size=network.size, weights=weights))
        seconds = time.process_time() - start
        mirrored = out / "mirrored.pt"
        mirrored.unlink(missing_ok=True)
        calibrate(out / "checkpoint.pt", mirrored, Tuning(fold, views=MIRROR))
        for checkpoint, name in ((out / "checkpoint.pt", "plain"), (mirrored, "mirrored")):
            evaluate(checkpoint, fold, "val", out / name)
        write_json(out / "done.json", {"seconds": round(seconds, 1)})
    return f"{network.key} fold {number}"


def train_seed(data: Path, work: Path, plan: Plan, seed: int) -> str:
    """Train one seed of what was chosen on the official split; in a process of its own."""
    torch.set_num_threads(1)
    Runner(data, work, 1e6).trained(replace(plan, seeds=(seed,)))
    return f"{plan.key} seed {seed}"


def out_of_fold(work: Path, candidate: Candidate) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,), 1 for malignant, and its probability (N,) by a candidate that had not been trained on the picture."""
    way, labels, scores = "mirrored" if candidate.mirror else "plain", [], []
    for number in range(FOLDS):
        runs = [read_run(work / "folds" / f"{n.key}_{number}" / way) for n in candidate.networks]
        labels.append((runs[0].labels == 0).astype(int))
        scores.append(np.mean([run.probabilities[:, 0] for run in runs], axis=0))
    return np.concatenate(labels), np.concatenate(scores)


def best(work: Path) -> tuple[Candidate, dict[Candidate, Estimate]]:
    """The candidate with the largest out-of-fold AUC, and that AUC of every candidate."""
    found = {candidate: auc(*out_of_fold(work, candidate)) for candidate in CANDIDATES}
    return max(found, key=lambda c: found[c].value or 0.0), found


def plans_of(chosen: Candidate) -> list[Plan]:
    """Its networks on the official training split: three seeds of each of several, five of one alone."""
    seeds = tuple(range(3 if len(chosen.networks) > 1 else 5))
    return [
        Plan(
            f"EfficientNet-{n.short}, {n.size} px", "chosen", US, "busi-128", RECIPE, n.architecture, n.size, seeds,
            weights=IMAGENET,
        )
        for n in chosen.networks
    ]  # fmt: skip


def main() -> None:
    """Train the folds, choose, train the chosen one, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs, outside the checkout")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one core each")
    parser.add_argument("--document", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    data, work = options.data, options.work
    runner = Runner(data, work, 0)  # before the processes: it lays out the data
    dataset = load_dataset(data / FILE, US)
    groups = groups_of_lookalikes(dataset, work)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        wanted = [pool.submit(train_fold, data, work, groups, n, k) for n, k in product(NETWORKS, range(FOLDS))]
        _say(wanted)
        chosen, found = best(work)
        print(f"Chosen: {chosen.name}", flush=True)
        plans = plans_of(chosen)
        _say([pool.submit(train_seed, data, work, plan, seed) for plan in plans for seed in plan.seeds])
    trained = [(plan, runner.trained(plan)) for plan in plans]
    members = [run for _, runs in trained for run in runs]
    whole: Trained = runner.joined("chosen", plans[0], members, MIRROR if chosen.mirror else ())
    seconds = [json.loads(f.read_text())["seconds"] for f in (work / "folds").glob("*/done.json")]
    text = [*comparison(chosen, found, sum(seconds)), *outcome(chosen, trained, whole)]
    put_section(options.document, TITLE, [*text, *lookalikes(whole.test, dataset, groups)])


def _say(wanted: list) -> None:
    """Say what is finished as it finishes; the first error ends the call."""
    for number, one in enumerate(as_completed(wanted), start=1):
        print(f"{number}/{len(wanted)} {one.result()}", flush=True)


if __name__ == "__main__":
    main()
