"""ONNX files: equal to their checkpoints or refused, cached by version, and used by the engine without changing a result."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from core import settings
from core.architectures import get_architecture
from core.checkpoint import Checkpoint, save_checkpoint
from core.explain import Cancelled, Request, Watch, explain, predict_with_gradcam
from core.explain.answers import gradcam_of_answer
from core.onnx import cached_onnx, export_onnx, open_checked
from core.predict import Engine, predict_study, predict_study_with_maps
from core.preprocess import preprocess, preprocess_batch
from core.records import Image, OperatingPoint, Refused, Study, full_range_window, study_id

CLASSES = ("benign", "malignant")


def make(seed: int = 0, architecture: str = "small-cnn", edge: int = 32, **changes: object) -> Checkpoint:
    """An untrained network for breast MRI."""
    known = get_architecture(architecture)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = known.build(2).state_dict()
    made = Checkpoint(architecture, "breast-mri", CLASSES, known.preprocessing(edge), state, version=f"{seed}")
    return replace(made, **changes)


def a_study(images: int = 3, edge: int = 40) -> Study:
    """A study of random pictures."""
    rng = np.random.default_rng(images)
    shown = tuple(
        Image(p, full_range_window(p), frame=i)
        for i, p in enumerate(rng.integers(0, 256, (images, edge, edge + 8), dtype=np.uint8))
    )
    return Study(study_id(shown), "study", "MR", shown, task="breast-mri")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of `make()`."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert export_onnx(make(), path)
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    return path


def test_an_exported_network_gives_logits_and_maps_of_every_class(exported: Path) -> None:
    """One file, any batch size, both outputs equal to PyTorch's; the file passes ONNX's own checker."""
    onnx.checker.check_model(str(exported))
    network, module = open_checked(make(), exported), make().module()
    for n in (1, 2, 5):
        x = torch.randn(n, 1, 32, 32, generator=torch.Generator().manual_seed(n))
        logits, maps = network(x)
        assert maps.shape == (n, 2, 4, 4)
        for c in range(2):
            expected, seen = predict_with_gradcam(module, "features", x, c)
            assert torch.allclose(logits, expected, atol=1e-5)
            assert torch.allclose(maps[:, c], seen, atol=1e-5 * max(1e-3, float(seen.max())))


def test_a_file_of_other_weights_is_refused(exported: Path, tmp_path: Path) -> None:
    """The checkpoint is the source of truth: a file that says something else, or nothing, is not used."""
    with pytest.raises(Refused, match="differs from its checkpoint"):
        open_checked(make(seed=1), exported)
    (tmp_path / "bad.onnx").write_bytes(b"no onnx")
    with pytest.raises(Refused, match="cannot be used"):
        open_checked(make(), tmp_path / "bad.onnx")


def test_heads_without_closed_form_and_combined_models_have_logits_alone(tmp_path: Path) -> None:
    """Dense layers after pooling, or views, leave the file without a map; its logits are right all the same."""
    for i, checkpoint in enumerate((make(architecture="r4-cnn-b", edge=28), make(views=("plain", "hflip")))):
        path = tmp_path / f"{i}.onnx"
        assert not export_onnx(checkpoint, path)
        network = open_checked(checkpoint, path)
        assert not network.has_maps


def test_a_calibrated_network_is_exported_with_its_maps(tmp_path: Path) -> None:
    """The temperature divides logits and maps alike; both are those of PyTorch's pass."""
    tempered, x = make(temperature=2.5), torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(4))
    assert export_onnx(tempered, tmp_path / "m.onnx")
    logits, maps = open_checked(tempered, tmp_path / "m.onnx")(x)
    plain, map_of_1 = predict_with_gradcam(make().module(), "features", x, 1)
    assert torch.allclose(logits, plain / 2.5, atol=1e-5)
    assert torch.allclose(maps[:, 1], map_of_1 / 2.5, atol=1e-5 * float(map_of_1.max()))


def test_the_cached_file_is_made_once_per_version_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies under the home folder by version; a second call does not write; a broken checkpoint is a sentence."""
    monkeypatch.setenv("TUMORTRACE_HOME", str(tmp_path / "home"))
    version = save_checkpoint(make(), tmp_path / "model.pt")
    path = cached_onnx(tmp_path / "model.pt", version)
    assert path.parent == settings.home() / "onnx"
    assert version in path.name
    made = path.stat().st_mtime_ns
    assert cached_onnx(tmp_path / "model.pt", version).stat().st_mtime_ns == made
    (tmp_path / "broken.pt").write_bytes(b"x")
    with pytest.raises(Refused, match="export of model abcdefgh failed"):
        cached_onnx(tmp_path / "broken.pt", "abcdefgh")


def when_fast(engine: Engine, version: str) -> None:
    """Wait until the model no longer runs by PyTorch."""
    deadline = time.monotonic() + 20
    while engine.engine_name(version) == "PyTorch" and time.monotonic() < deadline:
        time.sleep(0.01)


def test_the_engine_goes_over_to_onnx_and_stores_its_name(exported: Path) -> None:
    """The first answers come from PyTorch, later ones from ONNX Runtime, equal to 1e-4, maps included."""
    gate = threading.Event()

    def faster(_version: str, checkpoint: Checkpoint) -> object:
        gate.wait(10)
        return open_checked(checkpoint, exported)

    engine, study = Engine(lambda _: make(), "cpu", faster=faster), a_study()
    slow, first = predict_study_with_maps(engine, "0", study)
    gate.set()
    when_fast(engine, "0")
    fast, second = predict_study_with_maps(engine, "0", study)
    engine.close()
    assert slow.versions["engine"] == "PyTorch"
    assert fast.versions["engine"].startswith("ONNX Runtime 1.")
    assert np.abs(slow.per_image - fast.per_image).max() < 1e-4
    assert np.abs(first.maps - second.maps).max() < 1e-4 * first.maps.max()


@pytest.mark.parametrize("problem", [Refused("differs from its checkpoint"), RuntimeError("no such file")])
def test_the_engine_stays_with_pytorch_where_onnx_is_refused(problem: Exception, caplog) -> None:
    """The reason is in the log; predictions go on."""

    def faster(_version: str, _checkpoint: Checkpoint) -> object:
        raise problem

    engine = Engine(lambda _: make(), "cpu", faster=faster)
    predict_study(engine, "0", a_study())
    deadline = time.monotonic() + 5
    while str(problem) not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    assert str(problem) in caplog.text
    assert predict_study(engine, "0", a_study()).versions["engine"] == "PyTorch"
    engine.close()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize(("architecture", "edge"), [("small-cnn", 32), ("resnet18", 32), ("vgg16", 32)])
def test_heatmaps_of_the_predictions_own_pass_are_those_of_explain(
    architecture: str, edge: int, temperature: float
) -> None:
    """One batched pass over a study's images gives each image's Grad-CAM; VGG16 has that of the most probable class."""
    checkpoint, study = make(architecture=architecture, edge=edge, temperature=temperature), a_study()
    engine = Engine(lambda _: checkpoint, "cpu")
    prediction, answer = predict_study_with_maps(engine, "0", study)
    engine.close()
    found = 0
    for i, image in enumerate(study.images):
        for name in CLASSES:
            heatmap = gradcam_of_answer(checkpoint, image, answer.part(i, 1), name, "cpu")
            if heatmap is None:
                assert name != CLASSES[int(prediction.per_image[i].argmax())]
                continue
            expected = explain(checkpoint, image, Request("gradcam", name))
            size = max(1e-3, float(expected.values.max()))  # sums of hundreds of maps that nearly cancel
            assert np.allclose(heatmap.values, expected.values, atol=1e-3 * size)
            for key in ("class_score", "maximum", "closed_form", "seed"):
                assert heatmap.parameters[key] == pytest.approx(expected.parameters[key], rel=1e-3, abs=1e-5)
            found += 1
    assert found == (3 if architecture == "vgg16" else 6)


def test_combined_models_have_no_maps_of_the_pass() -> None:
    """A mean over views has no layer: the answer has probabilities and says that there are no maps."""
    checkpoint, study = make(views=("plain", "hflip")), a_study(1)
    engine = Engine(lambda _: checkpoint, "cpu")
    _, answer = predict_study_with_maps(engine, "0", study)
    engine.close()
    assert answer.maps is None
    assert gradcam_of_answer(checkpoint, study.images[0], answer, "benign", "cpu") is None
    x = preprocess_batch(study.images, checkpoint.preprocessing)
    with torch.no_grad():
        assert np.allclose(answer.logits, checkpoint.module()(x).numpy(), atol=1e-6)


@pytest.mark.parametrize(("threshold", "called"), [(0.0, 1), (1.0, 0)])
def test_without_closed_form_the_map_is_that_of_the_class_called(threshold: float, called: int) -> None:
    """The operating point decides which class is shown, and so which has the one map that a backward pass gives."""
    point = OperatingPoint("Youden", threshold, "val (n = 9)")
    checkpoint, study = make(architecture="r4-cnn-c", edge=28, operating_point=point), a_study(2)
    engine = Engine(lambda _: checkpoint, "cpu")
    prediction, answer = predict_study_with_maps(engine, "0", study)
    engine.close()
    assert prediction.predicted == CLASSES[called]
    assert np.isfinite(answer.maps[:, called]).all()
    assert np.isnan(answer.maps[:, 1 - called]).all()
    shown = gradcam_of_answer(checkpoint, study.images[1], answer.part(1, 1), CLASSES[called], "cpu")
    expected = explain(checkpoint, study.images[1], Request("gradcam", CLASSES[called])).values
    assert np.allclose(shown.values, expected, atol=1e-4 * max(1e-3, float(expected.max())))


def test_long_work_gives_way_to_predictions() -> None:
    """`give_way` waits while a prediction is under way and returns once it is answered."""
    held, go = threading.Event(), threading.Event()

    def load(_version: str) -> Checkpoint:
        held.set()
        go.wait(10)
        return make()

    engine = Engine(load, "cpu")
    asker = threading.Thread(target=engine.probabilities, args=("0", torch.zeros(1, 1, 32, 32)))
    asker.start()
    assert held.wait(10)
    waited = threading.Thread(target=engine.give_way)
    waited.start()
    waited.join(0.1)
    assert waited.is_alive()
    go.set()
    waited.join(10)
    asker.join(10)
    assert not waited.is_alive()
    engine.close()


def test_a_prediction_during_a_long_occlusion_waits_for_no_more_than_a_batch() -> None:
    """While thousands of covered copies are scored, single predictions come back in well under a second, and it goes on after."""
    checkpoint, image, stop = make(edge=64), a_study(1, 64).images[0], threading.Event()
    engine = Engine(lambda _: checkpoint, "cpu")
    x = preprocess(image, checkpoint.preprocessing)[None]
    shares: list[float] = []
    request = Request("occlusion", "malignant", parameters={"window": 8, "stride": 1})
    watch = Watch(shares.append, stop.is_set, engine.give_way)

    def work() -> None:
        with contextlib.suppress(Cancelled):
            while True:
                explain(checkpoint, image, request, watch=watch)

    def seconds() -> float:
        start = time.perf_counter()
        engine.probabilities("0", x)
        return time.perf_counter() - start

    seconds()
    alone = np.median([seconds() for _ in range(20)])
    worker = threading.Thread(target=work)
    worker.start()
    while len(shares) < 3:
        time.sleep(0.001)
    together = np.median([seconds() for _ in range(20)])
    before = len(shares)
    while len(shares) < before + 2 and worker.is_alive():
        time.sleep(0.001)
    stop.set()
    worker.join(20)
    engine.close()
    assert len(shares) >= before + 2
    assert together < 4 * alone + 0.05
