"""Two processes that share every batch train the same network as one does, and only the first one writes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.architectures import get_architecture
from core.checkpoint import load_checkpoint
from core.datasets import load_dataset, tensors
from core.distributed import World, world
from core.evaluation import predict_probabilities
from core.recipes import Augmentation, Recipe
from core.records import Refused
from core.trainer import Trainer
from core.training import TrainingJob, train
from tests.core.bars import TASK, write_bars_npz
from tests.core.test_trainer import setup

# No dropout and no batch norm in r4-cnn-c's place: r4-cnn-b has neither, so that two halves of a batch are the whole batch.
RECIPE = Recipe(
    name="shared", optimizer="sgd", lr=0.01, schedule="constant", monitor="val_loss", batch_size=16, epochs=2, patience=5,
    class_weights={"malignant": 3.0, "benign": 1.0}, label_smoothing=0.1, kernel_l2=1e-3,
    augment=Augmentation(0.5, 0.5, 0.1, 10, 0.8, 0.2, 0.2, aspect=1.2, zoom=0.1),
)  # fmt: skip

WORK = """
import hashlib, os, sys
import core.training as module
from tests.core.test_training_parallel import job
writes, rank = [], os.environ["RANK"]
for name in ("write_json", "write_text", "save_checkpoint", "write_state"):
    def watched(*a, _write=getattr(module, name), _name=name):
        writes.append(_name)
        return _write(*a)
    setattr(module, name, watched)
last = {}
weights = module.Trainer.weights
def kept(self):
    last["state"] = weights(self)
    return last["state"]
module.Trainer.weights = kept
seen = []
module.train(job(sys.argv[1], sys.argv[2]), seen.append)
digest = hashlib.sha256(b"".join(v.numpy().tobytes() for v in last["state"].values())).hexdigest()
with open(f"{sys.argv[2]}.rank{rank}", "w") as file:
    file.write(f"{digest} {len(writes)} {len(seen)}")
"""


NORMS_WORK = """
import sys
from core.training import train
from tests.core.test_training_parallel import NORMS, job
train(job(sys.argv[1], sys.argv[2], NORMS, "small-cnn"))
"""
NORMS = replace(RECIPE, ema=0.5)  # with a network that keeps batch statistics


def job(data, out, recipe=RECIPE, architecture="r4-cnn-b"):
    """The training that both do."""
    return TrainingJob(Path(data), TASK, architecture, recipe, Path(out), size=28, device="cpu", seed=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """47 training pictures, so that the last batch is an odd 15, and 13 for validation, so that the halves differ."""
    return write_bars_npz(tmp_path_factory.mktemp("data") / "bars.npz", train=47, val=13, test=0)


def torchrun(work, data, folder):
    """Two processes that do `work` with a dataset and the run folder `folder / run`."""
    (folder / "work.py").write_text(work)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, str(folder / "work.py"), str(data), str(folder / "run")], check=True, env=environment, timeout=120,
        capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shared(data, tmp_path_factory):
    """The run folder of two processes started by torchrun, and what each of them said: weights' hash, writes, reports."""
    folder = tmp_path_factory.mktemp("shared")
    torchrun(WORK, data, folder)
    said = [(folder / f"run.rank{rank}").read_text().split() for rank in (0, 1)]
    return folder / "run", said


def test_two_processes_train_what_one_does(data, shared, tmp_path):
    """The same global batches give the same weights, history and operating point, to rounding."""
    two = load_checkpoint(shared[0] / "checkpoint.pt")
    one = load_checkpoint(train(job(data, tmp_path / "one")))
    for name, weights in one.state.items():
        torch.testing.assert_close(two.state[name], weights, atol=1e-6, rtol=1e-4)
    for a, b in zip(two.history, one.history, strict=True):  # figures are over all cases, not over one process's
        assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0}, abs=1e-5)
    assert two.operating_point.threshold == pytest.approx(one.operating_point.threshold, abs=1e-5)
    # A share that is left out would be seen: half of each batch alone gives other weights.
    half = load_checkpoint(train(job(data, tmp_path / "half", replace(RECIPE, batch_size=8))))
    assert any(not torch.allclose(half.state[name], weights, atol=1e-4) for name, weights in one.state.items())


def test_both_processes_agree_and_only_the_first_writes(shared):
    """Equal hashes of the weights; the second process wrote and reported nothing."""
    (first, writes, reports), (second, no_writes, no_reports) = shared[1]
    assert first == second
    assert int(writes) > 0
    assert int(reports) > 0
    assert (no_writes, no_reports) == ("0", "0")
    assert sorted(p.name for p in shared[0].iterdir()) == ["checkpoint.pt", "config.json", "history.csv"]


def test_validation_looks_at_the_statistics_that_are_kept(data, tmp_path):
    """Each process has batch statistics of its own; the figures in the history are those of the weights in the checkpoint."""
    torchrun(NORMS_WORK, data, tmp_path)
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    x, y = tensors(load_dataset(data, TASK), "val", checkpoint.preprocessing)
    p = predict_probabilities(checkpoint, x)[range(len(y)), y.numpy()]
    best = min(checkpoint.history, key=lambda row: row["val_loss"])
    assert best["val_loss"] == pytest.approx(float(-np.log(p).mean()), abs=1e-5)


def test_batches_too_small_for_the_processes_are_refused():
    """Three processes cannot each have two images of a batch of four."""
    with pytest.raises(Refused, match=r"Batches of 4 are too small for 3 processes"):
        Trainer(get_architecture("small-cnn").build(2), setup(replace(RECIPE, batch_size=4)), World(0, 3))


def test_without_torchrun_there_is_one_process(monkeypatch):
    """A world of one shares everything with itself."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with world("cpu") as (processes, device):
        assert (processes, device) == (World(0, 1), "cpu")
    values = torch.tensor([1.0, 2.0])
    assert processes.sum(values).equal(values)
    assert processes.writes
    assert list(range(5))[World(1, 2).share()] == [1, 3]
