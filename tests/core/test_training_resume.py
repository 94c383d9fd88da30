"""A training that is killed goes on to the same weights; one that cannot go on says why."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.__main__ import main
from core.checkpoint import load_checkpoint
from core.datasets import load_dataset
from core.recipes import Augmentation, Recipe
from core.records import Refused
from core.training import TrainingJob, resume, train
from core.training_state import read_state, write_state
from tests.core.bars import QUICK, TASK, write_bars_npz

# Everything that has a state: momentum, a running mean, dropout (in the small CNN), augmentation, a weighted sampler, two phases.
RECIPE = Recipe(
    name="stateful", lr=5e-3, batch_size=16, epochs=5, patience=5, frozen_epochs=1, ema=0.9, oversample=True,
    class_weights="balanced", label_smoothing=0.1, kernel_l2=1e-4, normalise="dataset",
    augment=Augmentation(0.5, 0.5, 0.1, 10, 0.8, 0.2, 0.2, aspect=1.2, zoom=0.1),
)  # fmt: skip

# The job of these tests in a process that says where it is and then hangs in the middle of its fourth epoch.
HANG = """
import sys, time
from tests.core.test_training_resume import job
from core.training import train
def progress(p):
    if p.epoch == 4:
        print("here", flush=True)
        time.sleep(60)
train(job(sys.argv[1], sys.argv[2]), progress)
"""


def job(data, out, recipe=RECIPE):
    """The training that is killed, and the one that is not."""
    return TrainingJob(Path(data), TASK, "small-cnn", recipe, Path(out), size=16, device="cpu", seed=3)


def weights_hash(path):
    """SHA-256 over names and bytes of a checkpoint's weights."""
    state = load_checkpoint(path).state
    return hashlib.sha256(b"".join(k.encode() + v.numpy().tobytes() for k, v in sorted(state.items()))).hexdigest()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """37 training and 16 validation pictures of bars."""
    return write_bars_npz(tmp_path_factory.mktemp("data") / "bars.npz", train=37, val=16, test=0)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The checkpoint of the training that nothing interrupts."""
    return train(job(data, tmp_path_factory.mktemp("whole") / "run"))


def _files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_weights(data, whole, tmp_path):
    """kill -9 in epoch 4, then `core train --resume`: weights, history and operating point are those of the whole training."""
    out = tmp_path / "run"
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-c", HANG, str(data), str(out)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout.readline() == "here\n"
    process.kill()
    process.communicate()
    assert _files(out) == ["best.pt", "config.json", "history.csv", "state.pt"]
    assert len(read_state(out)["history"]) == 3
    assert main(["train", "--resume", str(out)]) == 0
    assert weights_hash(out / "checkpoint.pt") == weights_hash(whole)
    after, before = load_checkpoint(out / "checkpoint.pt"), load_checkpoint(whole)
    assert after.operating_point == before.operating_point
    for one, other in zip(after.history, before.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert _files(out) == ["checkpoint.pt", "config.json", "history.csv"]


class Killed(BaseException):
    """What a test raises in the place of a signal."""


@pytest.mark.parametrize("written", ["state.pt", "best.pt", "checkpoint.pt"])
def test_wherever_it_stops_it_ends_with_the_same_weights(data, whole, tmp_path, monkeypatch, written):
    """Stopped right after any of its files was first written, also before the first epoch and after the last one."""
    out = tmp_path / "run"

    def stop_after(function, name):
        def stopping(*arguments, **more):
            result = function(*arguments, **more)
            if name == written:
                raise Killed
            return result

        return stopping

    import core.training as module

    save = module.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_state", stop_after(module.write_state, "state.pt"))
        patch.setattr(module, "save_checkpoint", lambda c, p: stop_after(save, p.name)(c, p))
        with pytest.raises(Killed):
            train(job(data, out))
    assert weights_hash(resume(out)) == weights_hash(whole)
    assert _files(out) == ["checkpoint.pt", "config.json", "history.csv"]
    assert len((out / "history.csv").read_text().splitlines()) == 1 + RECIPE.epochs
    with pytest.raises(Refused, match="finished; there is nothing to resume"):
        resume(out)


def test_a_table_that_lacks_the_last_epoch_gets_it(data, tmp_path, monkeypatch):
    """Killed between the last state and the table of epochs, the training writes the row when it is gone on with."""
    import core.training as module

    def killed(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module._Run, "_write_history", killed)
        with pytest.raises(Killed):
            train(job(data, tmp_path / "run", replace(RECIPE, epochs=1, frozen_epochs=0)))
    resume(tmp_path / "run")
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 2


def test_a_stopped_training_out_of_patience_is_only_finished(data, tmp_path, monkeypatch):
    """Killed between its last epoch and `checkpoint.pt`, it trains no further epoch."""
    recipe = replace(QUICK, optimizer="sgd", lr=20.0, schedule="constant", monitor="val_loss", epochs=40, patience=2)
    import core.training as module

    def killed(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module._Run, "finish", killed)
        with pytest.raises(Killed):
            train(job(data, tmp_path / "run", recipe))
    epochs = len(read_state(tmp_path / "run")["history"])
    history = load_checkpoint(resume(tmp_path / "run")).history
    assert len(history) == epochs < 40


def test_other_data_is_refused(data, tmp_path, monkeypatch):
    """Where the pictures are others than before, resuming stops in one sentence."""
    out = tmp_path / "run"
    copy = write_bars_npz(tmp_path / "bars.npz", train=20, val=8, test=0)
    _stopped(job(copy, out), monkeypatch)
    write_bars_npz(copy, train=22, val=8, test=0)
    with pytest.raises(Refused, match="dataset has changed since this training began"):
        resume(out)


def test_a_dataset_from_memory_must_be_given_again(data, tmp_path, monkeypatch):
    """The run does not know where it came from; given again, it goes on."""
    out, dataset = tmp_path / "run", load_dataset(data, TASK)
    _stopped(replace(job(data, out), data=dataset), monkeypatch)
    with pytest.raises(Refused, match="dataset from memory; give it again"):
        resume(out)
    assert resume(out, dataset).exists()


def _stopped(job, monkeypatch):
    """Begin that training and stop it before its first epoch."""
    import core.training as module

    with monkeypatch.context() as patch:
        patch.setattr(module._Run, "fit", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(job)


def test_the_terminal_refuses_to_overwrite_an_unfinished_training(data, tmp_path, monkeypatch, capsys):
    """Started anew into the same folder, the command points to --resume; without data it says what is missing."""
    out = tmp_path / "run"
    _stopped(job(data, out), monkeypatch)
    arguments = ["train", "--data", str(data), "--task", TASK, "--architecture", "small-cnn", "--out", str(out)]
    assert main(arguments) == 1
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "--task", TASK]) == 1
    assert "needs --data, --out" in capsys.readouterr().err


def test_a_folder_without_a_state_or_with_a_foreign_one_is_refused(tmp_path):
    """Nothing there, other bytes, or another format: one sentence each."""
    with pytest.raises(Refused, match="no unfinished training"):
        resume(tmp_path)
    (tmp_path / "state.pt").write_text("no state")
    with pytest.raises(Refused, match="cannot be loaded safely"):
        resume(tmp_path)
    torch.save({"format": 99}, tmp_path / "state.pt")
    with pytest.raises(Refused, match="not the state of a training of this version"):
        resume(tmp_path)


def test_a_state_is_replaced_whole(tmp_path, monkeypatch):
    """A write that fails half way leaves the state before it."""
    write_state(tmp_path, {"epoch": 1})

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("core.training_state.os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_state(tmp_path, {"epoch": 2})
    assert read_state(tmp_path)["epoch"] == 1


def test_a_loss_that_is_no_number_keeps_what_was_there(data, tmp_path, monkeypatch):
    """Diverging in the third epoch leaves the best of the first two, its history and the state after the second."""
    from core.trainer import Trainer

    step = Trainer._step

    def poisoned(self, index):
        if self.setup.recipe.lr and len(calls) >= 6:  # three steps an epoch
            self.optimizer.param_groups[0]["lr"] = 1e30
        calls.append(1)
        return step(self, index)

    calls = []
    monkeypatch.setattr(Trainer, "_step", poisoned)
    with pytest.raises(Refused, match=r"stopped in epoch 3: .* best epoch before is kept in best\.pt"):
        train(job(data, tmp_path / "run", replace(QUICK, optimizer="sgd")))
    assert len(load_checkpoint(tmp_path / "run" / "best.pt").history) in (1, 2)
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 3
    assert json.loads((tmp_path / "run" / "config.json").read_text())["recipe"] == "quick"
