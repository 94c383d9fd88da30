"""Maps against the lesion masks of real ultrasound pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.__main__ import main
from core.architectures import get_architecture
from core.checkpoint import Checkpoint, save_checkpoint
from core.datasets import load_dataset
from core.explain.honesty.masks import CONTROLS, MEASURES, centre_map
from core.explain.honesty.material import material_of
from core.statistics.localisation import pointing_game
from core.tasks import get_task

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "busi" / "busi_128_in_breastmnist_order.npz"
TASK = get_task("breast-ultrasound")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FILE.exists(), reason="the public data are not beside the checkout (../shared/data)"),
]


def test_the_image_centre_lies_in_eighteen_of_forty_two_malignant_lesions() -> None:
    """All malignant test pictures have a mask; the middle of the picture is inside 0.43 of them, whatever any model sees."""
    material = material_of(load_dataset(FILE, TASK.name), FILE, 200)
    assert (len(material.images), len(material.cases), len(material.tuning)) == (78, 42, 21)
    assert {case.target for case in material.cases} == {"malignant"}
    assert sum(bool(pointing_game(centre_map(case.mask.shape), case.mask)) for case in material.cases) == 18


def test_the_command_measures_a_model_on_a_few_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An untrained network: figures with intervals beside all controls, and no verdict that its maps are worth anything."""
    torch.manual_seed(0)
    known = get_architecture("small-cnn")
    state = known.build(len(TASK.classes)).state_dict()
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(Checkpoint("small-cnn", TASK.name, TASK.classes, known.preprocessing(32), state), file)
    words = ["explain-benchmark", str(file), "--data", str(FILE), "--methods", "gradcam", "layercam", "--limit", "3"]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["methods"]) == {"gradcam", "layercam"}
    for parts in report["methods"].values():
        found = parts["masks"]
        assert (found["n"], found["tuned"], set(found["controls"])) == (3, 1, set(CONTROLS))
        for measure in MEASURES:
            own = found["own"][measure]
            assert 0 <= own["low"] <= own["value"] <= own["high"] <= 1
            assert own["n"] == 3
            for control in CONTROLS:
                gap = own["value"] - found["controls"][control][measure]["value"]
                assert np.isclose(found["differences"][control][measure]["value"], gap)
