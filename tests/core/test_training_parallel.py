"""Two processes that share every batch train the same network as one does, and only the first one writes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.checkpoint import load_checkpoint
from core.distributed import World, world
from core.recipes import Augmentation, Recipe
from core.training import TrainingJob, train
from tests.core.bars import TASK, write_bars_npz

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


def job(data, out, recipe=RECIPE):
    """The training that both do."""
    return TrainingJob(Path(data), TASK, "r4-cnn-b", recipe, Path(out), size=28, device="cpu", seed=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """47 training pictures, so that the last batch is an odd 15, and 13 for validation, so that the halves differ."""
    return write_bars_npz(tmp_path_factory.mktemp("data") / "bars.npz", train=47, val=13, test=0)


@pytest.fixture(scope="module")
def shared(data, tmp_path_factory):
    """The run folder of two processes started by torchrun, and what each of them said: weights' hash, writes, reports."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "work.py").write_text(WORK)
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, str(folder / "work.py"), str(data), str(folder / "run")], check=True, env=environment, timeout=120,
        capture_output=True,
    )  # fmt: skip
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


def test_without_torchrun_there_is_one_process(monkeypatch):
    """A world of one shares everything with itself."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with world("cpu") as (processes, device):
        assert (processes, device) == (World(0, 1), "cpu")
    values = torch.tensor([1.0, 2.0])
    assert processes.sum(values).equal(values)
    assert processes.writes
    assert list(range(5))[World(1, 2).share()] == [1, 3]
