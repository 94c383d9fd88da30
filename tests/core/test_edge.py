"""ONNX files for edge boxes: equal to their checkpoints, saying what they read and mean, or not written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

import core.edge
from core.__main__ import main as core_main
from core.architectures import ARCHITECTURES
from core.checkpoint import save_checkpoint
from core.edge import export_for_edge
from core.preprocess import preprocess
from core.records import OperatingPoint, Refused
from tests.core.test_combine import ensemble, make, picture, probabilities

POINT = OperatingPoint("Youden", 0.25, "val (n = 9)")
LARGE = {
    "vgg16",
    "resnet50",
    "resnet50v2",
}  # one of a kind is exported below: the others have the same layers, and hundreds of MB


def on_the_box(path, image):
    """What someone with nothing but ONNX Runtime, NumPy and the file's own words would compute for a 32 × 32 picture."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    spec = json.loads(said["preprocessing"])
    shown = image.pixels.astype(np.float32) / 255
    x = np.repeat(shown[None], spec["channels"], axis=0)
    x = (x - np.array(spec["mean"])[:, None, None]) / np.array(spec["std"])[:, None, None]
    logits = session.run(["logits"], {"x": x[None].astype(np.float32)})[0][0].astype(np.float64)
    e = np.exp(logits - logits.max())
    return dict(zip(json.loads(said["classes"]), e / e.sum(), strict=True)), said


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A checkpoint and its ONNX file."""
    checkpoint = make(operating_point=POINT, version="abc")
    path = tmp_path_factory.mktemp("edge") / "m.onnx"
    assert export_for_edge(checkpoint, path) < 1e-4
    assert [file.name for file in path.parent.iterdir()] == ["m.onnx"]
    return checkpoint, path


def test_the_file_alone_is_enough_to_predict_as_the_app_does(exported):
    """Classes, preprocessing and threshold come from its metadata; probabilities are the checkpoint's to 1e-4."""
    checkpoint, path = exported
    image = replace(picture(), pixels=picture().pixels[:32, :32].copy())
    found, said = on_the_box(path, image)
    expected = probabilities(checkpoint, image)[0]
    assert found["malignant"] == pytest.approx(float(expected[0]), abs=1e-4)
    assert (said["task"], said["positive"], said["model_version"]) == ("breast-ultrasound", "malignant", "abc")
    assert json.loads(said["operating_point"]) == {"name": "Youden", "threshold": 0.25, "chosen_on": "val (n = 9)"}
    assert "softmax" in said["contract"]


def test_an_ensemble_with_views_and_a_temperature_is_one_file(tmp_path):
    """Members that read differently, the mirrored view and the temperature are all inside the graph."""
    other = make(seed=2)
    other = replace(other, preprocessing=replace(other.preprocessing, mean=(0.2,), std=(0.1,)))
    whole = replace(ensemble(make(seed=1), other), views=("plain", "hflip"), temperature=1.7)
    export_for_edge(whole, tmp_path / "e.onnx")
    image = replace(picture(3), pixels=picture(3).pixels[:32, :32].copy())
    found, said = on_the_box(tmp_path / "e.onnx", image)
    assert found["benign"] == pytest.approx(float(probabilities(whole, image)[0, 1]), abs=1e-4)
    assert json.loads(said["members"]) == ["small-cnn 1", "small-cnn 2"]


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in LARGE])
def test_every_architecture_can_be_exported(architecture, tmp_path):
    """The whole registry, small."""
    checkpoint = make(architecture, edge=64)
    assert export_for_edge(checkpoint, tmp_path / "m.onnx", maps=False) < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["logits"]
    x = torch.stack([preprocess(picture(i), checkpoint.preprocessing) for i in range(3)])
    assert session.run(None, {"x": x.numpy()})[0].shape == (3, 2)


@pytest.fixture
def quick(exported, monkeypatch):
    """Exports copy the file that there is: what is tested is not the exporter."""
    monkeypatch.setattr(core.edge, "export_onnx", lambda _checkpoint, path, maps: shutil.copy(exported[1], path))


def test_a_file_that_differs_is_not_written(quick, tmp_path):
    """The same file is no other network's: PyTorch and ONNX Runtime disagree, so there is no file and no draft of one."""
    with pytest.raises(Refused, match="differs from its checkpoint by"):
        export_for_edge(make(seed=9), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_probabilities_that_differ_are_refused_even_where_logits_pass(quick, exported, tmp_path, monkeypatch):
    """The last look is at what people use."""
    monkeypatch.setattr(core.edge, "_largest_difference", lambda *_: 2e-4)
    with pytest.raises(Refused, match=r"probabilities differ from its checkpoint's by 2\.0e-04"):
        export_for_edge(exported[0], tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_once(quick, exported, tmp_path, capsys):
    """It says how far the file is from the checkpoint; what exists stays as it was, with one sentence and exit status 1."""
    save_checkpoint(exported[0], tmp_path / "c.pt")
    arguments = ["export-onnx", str(tmp_path / "c.pt"), "--out", str(tmp_path / "m.onnx")]
    assert core_main([*arguments, "--json", "--no-maps"]) == 0
    assert json.loads(capsys.readouterr().out)["largest_difference"] < 1e-4
    before = (tmp_path / "m.onnx").read_bytes()
    assert core_main(arguments) == 1
    assert "m.onnx exists" in capsys.readouterr().err
    assert (tmp_path / "m.onnx").read_bytes() == before
