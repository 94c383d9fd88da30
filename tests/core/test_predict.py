"""The inference engine: one thread, shared by sessions, batching what waits together."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from core.architectures import get_architecture
from core.checkpoint import Checkpoint
from core.predict import Engine, batched_probabilities, predict_study, predict_with, prediction_record
from core.records import Image, OperatingPoint, Refused, Study, full_range_window, study_id

CLASSES = ("benign", "malignant")


def make_checkpoint(version="a" * 64, seed=0, point=None):
    """An untrained small-cnn for breast MRI at 32 pixels."""
    torch.manual_seed(seed)
    architecture = get_architecture("small-cnn")
    state = architecture.build(2).state_dict()
    spec = architecture.preprocessing(32)
    return Checkpoint("small-cnn", "breast-mri", CLASSES, spec, state, operating_point=point, version=version)


def make_study(seed=0, images=2, task="breast-mri"):
    """A study of random 8-bit pictures."""
    rng = np.random.default_rng(seed)
    pixels = [rng.integers(0, 256, (40, 48), dtype=np.uint8) for _ in range(images)]
    shown = tuple(Image(p, full_range_window(p), frame=i) for i, p in enumerate(pixels))
    return Study(study_id(shown), "study", "MR", shown, task=task)


@pytest.fixture
def engine():
    """An engine over two models, 'one' and 'two', that counts how often each is loaded."""
    known = {"one": make_checkpoint("one", seed=1), "two": make_checkpoint("two", seed=2)}
    loads = []

    def load(version):
        loads.append(version)
        return known[version]

    made = Engine(load, "cpu", max_models=1)
    made.loads = loads
    yield made
    made.close()


def test_engine_equals_a_plain_forward_pass(engine):
    """The engine's probabilities are the softmax of the module's own logits."""
    x = torch.randn(5, 1, 32, 32)
    expected = torch.softmax(make_checkpoint("one", seed=1).module()(x).double(), dim=1).numpy()
    np.testing.assert_allclose(engine.probabilities("one", x), expected, atol=1e-6)


def test_forty_threads_get_their_own_answers(engine):
    """Requests that share a batch do not share results, whatever order they come in."""
    inputs = [torch.randn(1 + i % 3, 1, 32, 32) for i in range(40)]
    module = make_checkpoint("one", seed=1).module()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda x: engine.probabilities("one", x), inputs))
    for x, answer in zip(inputs, answers, strict=True):
        np.testing.assert_allclose(answer, torch.softmax(module(x).double(), 1).numpy(), atol=1e-5)


def gated(sizes, gate):
    """A model that notes how many images each pass has, and whose first pass waits for the gate."""
    checkpoint = make_checkpoint("one")

    class Slow(Checkpoint):
        def to(self, device):
            return self

        def module(self, device="cpu"):
            inner = Checkpoint.module(self, device)

            def note(_, inputs):
                sizes.append(len(inputs[0]))
                if len(sizes) == 1:
                    gate.wait(10)

            inner.register_forward_pre_hook(note)
            return inner

    return Slow(**{name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__})


def test_who_is_waited_for_overtakes_what_is_made_ahead():
    """Three images and two made ahead wait; a reviewer's four come in last and are answered next, the others one by one."""
    sizes, gate = [], threading.Event()
    slow = gated(sizes, gate)
    engine = Engine(lambda _: slow, "cpu")
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(engine.answer, "one", torch.zeros(1, 1, 32, 32), ahead=True)
        while not sizes:
            pass
        engine.give_way()  # for what is made ahead nobody waits
        rest = []
        for count, ahead in ((3, True), (2, True), (4, False)):
            rest.append(pool.submit(engine.answer, "one", torch.zeros(count, 1, 32, 32), ahead=ahead))
            while engine._queue.qsize() < len(rest):
                pass
        gate.set()
        assert [len(f.result().logits) for f in [first, *rest]] == [1, 3, 2, 4]
    assert sizes == [1, 4, 3, 2]
    engine.close()


def test_closing_finishes_what_waits():
    """Requests of either kind that came before the end are answered."""
    sizes, gate = [], threading.Event()
    slow = gated(sizes, gate)
    engine = Engine(lambda _: slow, "cpu")
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(engine.answer, "one", torch.zeros(1, 1, 32, 32))
        while not sizes:
            pass
        rest = [pool.submit(engine.answer, "one", torch.zeros(1, 1, 32, 32), ahead=ahead) for ahead in (True, False)]
        while engine._queue.qsize() < 2:
            pass
        closing = pool.submit(engine.close)
        while engine._queue.qsize() < 3:
            pass
        gate.set()
        assert [f.result(10).logits.shape for f in [first, *rest]] == [(1, 2)] * 3
        closing.result(10)


def test_waiting_requests_run_as_one_batch():
    """What waits while the worker is busy is scored in one forward pass, not one after the other."""
    sizes, gate = [], threading.Event()
    slow = gated(sizes, gate)
    engine = Engine(lambda _: slow, "cpu")
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(engine.probabilities, "one", torch.zeros(1, 1, 32, 32))
        while not sizes:
            pass
        rest = [pool.submit(engine.probabilities, "one", torch.zeros(1, 1, 32, 32)) for _ in range(4)]
        while engine._queue.qsize() < 4:
            pass
        gate.set()
        assert [f.result().shape for f in [first, *rest]] == [(1, 2)] * 5
    engine.close()
    assert sizes == [1, 4]


def test_cache_keeps_at_most_max_models(engine):
    """With room for one model, switching back and forth loads each time; staying does not."""
    for version in ("one", "one", "two", "two", "one"):
        engine.probabilities(version, torch.zeros(1, 1, 32, 32))
    assert engine.loads == ["one", "two", "one"]


def test_a_model_that_is_displaced_while_it_is_made_ready_answers_all_the_same():
    """Between loading a model and running it another thread may ask for a second one, where there is room for one."""

    class Displaced(Checkpoint):
        def to(self, device):
            return self

        def module(self, device="cpu"):
            engine.checkpoint("two")
            return Checkpoint.module(self, device)

    plain = make_checkpoint("one")
    slow = Displaced(**{name: getattr(plain, name) for name in Checkpoint.__dataclass_fields__})
    engine = Engine({"one": slow, "two": make_checkpoint("two")}.__getitem__, "cpu", max_models=1)
    assert engine.probabilities("one", torch.zeros(1, 1, 32, 32)).shape == (1, 2)
    assert engine.engine_name("one") == ""  # nothing is kept of a model that is gone
    engine.close()


def test_one_bad_request_fails_alone(engine):
    """A request of a wrong shape raises in its own session; the worker lives on."""
    with pytest.raises(RuntimeError):
        engine.probabilities("one", torch.zeros(1, 7, 32, 32))
    assert engine.probabilities("one", torch.zeros(1, 1, 32, 32)).shape == (1, 2)


def test_unknown_model_is_raised_to_the_caller(engine):
    """An error of the loader reaches who asked."""
    with pytest.raises(KeyError):
        engine.probabilities("three", torch.zeros(1, 1, 32, 32))


class Greedy(nn.Module):
    """Runs out of memory above `limit` images, as a full GPU does."""

    def __init__(self, limit):
        super().__init__()
        self.limit, self.seen = limit, []

    def forward(self, x):
        """Logits whose difference is the image's sum."""
        self.seen.append(len(x))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("full")
        return torch.stack([x.flatten(1).sum(1), torch.zeros(len(x))], dim=1)


def test_out_of_memory_halves_the_batch_and_loses_no_image():
    """8 images with room for 3 are scored as batches of 2, in order."""
    x = torch.arange(8.0).reshape(8, 1, 1, 1)
    module = Greedy(3)
    rows = batched_probabilities(module, x, "cpu", batch_size=8)
    np.testing.assert_allclose(rows[:, 0], 1 / (1 + np.exp(-np.arange(8.0))), atol=1e-12)
    assert module.seen == [8, 4, 2, 2, 2, 2]


def test_out_of_memory_for_one_image_says_so():
    """Where not even one image fits, the answer is a sentence."""
    with pytest.raises(Refused, match="too little memory"):
        batched_probabilities(Greedy(0), torch.zeros(2, 1, 1, 1), "cpu")


def test_nan_logits_give_no_result():
    """A model that answers NaN gives no class."""
    with pytest.raises(Refused, match="not a finite number"):
        batched_probabilities(Greedy(9), torch.full((1, 1, 1, 1), float("nan")), "cpu")


def test_study_probabilities_are_the_mean_of_its_images(engine):
    """The study's row is the mean of the stored per-image rows, and both sum to one."""
    prediction = predict_study(engine, "one", make_study(images=3))
    assert prediction.per_image.shape == (3, 2)
    mean = prediction.per_image.mean(axis=0)
    np.testing.assert_allclose([prediction.probabilities[c] for c in CLASSES], mean, atol=1e-6)
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=2e-6)


def test_engine_and_terminal_agree(engine):
    """`python -m core predict` and the app say the same about the same study."""
    study = make_study()
    checkpoint = make_checkpoint("one", seed=1)
    alone = predict_with(checkpoint, checkpoint.module(), study, "cpu")
    shared = predict_study(engine, "one", study)
    assert alone.predicted == shared.predicted
    np.testing.assert_allclose(alone.per_image, shared.per_image, atol=1e-5)


def test_operating_point_decides_the_class():
    """At threshold 0.2 a probability of 0.3 is positive; without an operating point the larger class wins."""
    low = make_checkpoint(point=OperatingPoint("youden", 0.2, "val (n = 10)"))
    assert prediction_record(low, "s", [[0.7, 0.3]], "cpu").predicted == "malignant"
    assert prediction_record(replace(low, operating_point=None), "s", [[0.7, 0.3]], "cpu").predicted == "benign"


def test_a_study_of_another_task_gets_no_class(engine):
    """A mammogram shown to a breast-MRI model ends in a sentence, never in a class."""
    with pytest.raises(Refused, match="No result: this is a study of mammography"):
        predict_study(engine, "one", make_study(task="mammography"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_and_cpu_agree_within_a_thousandth():
    """The same weights give the same probabilities on the GPU as on the CPU, within 1e-3."""
    x, checkpoint = torch.randn(16, 1, 32, 32), make_checkpoint("one", seed=1)
    engines = [Engine(lambda _: checkpoint, device) for device in ("cpu", "cuda")]
    rows = [engine.probabilities("one", x) for engine in engines]
    for engine in engines:
        engine.close()
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-3)
