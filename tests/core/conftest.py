"""One small training run, shared by the tests that need a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from core.explain import fold
from core.training import TrainingJob, train
from tests.core.bars import QUICK, TASK, write_bars_npz


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the program writes on its own goes to a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORTRACE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def bars_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An NPZ file of 96 / 32 / 40 pictures of bars."""
    return write_bars_npz(tmp_path_factory.mktemp("bars") / "bars.npz")


@pytest.fixture(scope="session")
def bars_run(bars_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small CNN trained on the bars; read it, do not write into it."""
    out = tmp_path_factory.mktemp("runs") / "bars-run"
    train(TrainingJob(bars_npz, TASK, "small-cnn", QUICK, out, size=16, device="cpu"))
    return out


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks that explanations were given in this test."""
    original = fold.sharing_copy
    made: list[nn.Module] = []

    def noted(module: nn.Module) -> nn.Module:
        made.append(original(module))
        return made[-1]

    for where in ("fold", "crops"):
        monkeypatch.setattr(f"core.explain.{where}.sharing_copy", noted)
    return made
