"""What a recipe's keys do to a step: phases, running means, sampling, weights, penalties, normalisation."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.architectures import get_architecture
from core.checkpoint import load_checkpoint
from core.datasets import load_dataset, tensors
from core.optimisation import class_weights, kernel_penalty, learn_only, make_ema
from core.preprocess import Preprocessing
from core.pretrained import load_pretrained
from core.recipes import Recipe, load_recipe
from core.records import Refused
from core.tasks import get_task
from core.trainer import Setup, Trainer
from core.training import TrainingJob, train
from tests.core.bars import QUICK, TASK, write_bars_npz

SPEC = Preprocessing((16, 16), 1, (0.5,), (0.5,))


def setup(recipe, n=20, head=("fc",)):
    """Noise in two classes, three quarters of it in the second."""
    x = torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    y = (torch.arange(n) % 4 > 0).long()
    return Setup(recipe, get_task(TASK), SPEC, "cpu", 0, x, y, x[:8], y[:8], head=head)


def trainer(recipe, **more):
    """A small CNN about to be trained so."""
    torch.manual_seed(0)
    return Trainer(get_architecture("small-cnn").build(2), setup(recipe, **more))


def weights_of(made):
    """A copy of all weights and statistics."""
    return {name: value.clone() for name, value in made.net.state_dict().items()}


def changed(before, after):
    """Names of what is no longer the same, without the counters of batches."""
    return {n for n in before if not before[n].equal(after[n]) and not n.endswith("num_batches_tracked")}


def epochs(made, *numbers):
    """Run those epochs; what the last one said."""
    for number in numbers:
        row = made.run_epoch(number, lambda *_: None)
    return row


# -- Phases ------------------------------------------------------------------------------------------------------------


def test_in_a_frozen_phase_only_the_head_changes():
    """Neither weights nor batch statistics of the body change, with weight decay too; the head's do, at its own rate."""
    made = trainer(replace(QUICK, frozen_epochs=1, frozen_lr=0.5, epochs=2, weight_decay=0.1))
    before = weights_of(made)
    row = epochs(made, 0)
    assert changed(before, weights_of(made)) == {"fc.weight", "fc.bias"}
    assert row["lr"] == 0.5


def test_after_the_frozen_phase_all_layers_learn():
    """The second epoch changes every weight and statistic, and starts the schedule."""
    made = trainer(replace(QUICK, frozen_epochs=1, epochs=3))
    epochs(made, 0)
    before = weights_of(made)
    assert epochs(made, 1)["lr"] == QUICK.lr
    assert changed(before, weights_of(made)) == {n for n in before if not n.endswith("num_batches_tracked")}


def test_only_the_layers_named_are_unfrozen():
    """With `unfreeze` the last convolution and its norm learn beside the head, the others stay as they are."""
    made = trainer(replace(QUICK, frozen_epochs=1, epochs=2, unfreeze=("features.9", "features.10")))
    before = weights_of(made)
    epochs(made, 0, 1)
    assert {name.rsplit(".", 1)[0] for name in changed(before, weights_of(made))} == {"fc", "features.9", "features.10"}


def test_a_layer_that_is_not_there_cannot_be_unfrozen():
    """The refusal names the layer and those there are."""
    with pytest.raises(Refused, match=r"no layer 'layer4' to unfreeze; it has features, dropout, fc"):
        learn_only(get_architecture("small-cnn").build(2), ("fc", "layer4"))


def test_a_frozen_phase_outlasts_patience(tmp_path):
    """Rates that never improve end a training only after the frozen phase and `patience` epochs of the next one."""
    data = write_bars_npz(tmp_path / "bars.npz", train=17, val=8, test=0)
    recipe = Recipe(
        name="r", optimizer="sgd", lr=1e-12, frozen_lr=1e-12, frozen_epochs=4, epochs=20, patience=2, momentum=0.0,
        batch_size=17, schedule="constant", monitor="val_loss",
    )  # fmt: skip
    path = train(TrainingJob(data, TASK, "r4-cnn-c", recipe, tmp_path / "r", size=28, device="cpu"))
    assert 6 <= len(load_checkpoint(path).history) < 20


# -- What a step does --------------------------------------------------------------------------------------------------


def test_the_running_mean_is_what_is_kept():
    """After two steps it is d · first + (1 − d) · second, and it is what validation and the checkpoint get."""
    net = torch.nn.Linear(1, 1, bias=False)
    ema = make_ema(net, 0.75)
    for value in (1.0, 5.0):
        net.weight.data.fill_(value)
        ema.update_parameters(net)
    assert ema.module.weight.item() == pytest.approx(0.75 * 1 + 0.25 * 5)
    made = trainer(replace(QUICK, ema=0.5))
    epochs(made, 0)
    assert not made.weights()["fc.weight"].equal(made.net.state_dict()["fc.weight"])
    assert made.weights()["fc.weight"].equal(made.ema.module.state_dict()["fc.weight"])
    p, _ = made.validate(0)
    with torch.no_grad():
        expected = made.ema.module.eval()(made.setup.x_val).softmax(dim=1).numpy()
    np.testing.assert_allclose(p, expected, atol=1e-6)
    assert make_ema(net, 0) is None


def test_oversampling_draws_classes_equally_often():
    """A quarter of the images are half of what is drawn; without it every image comes once."""
    made = trainer(replace(QUICK, oversample=True), n=4000)
    drawn = Counter(made.setup.y_train[torch.cat(list(made._batches()))].tolist())
    assert 1850 < drawn[0] < 2150
    plain = torch.cat(list(trainer(QUICK, n=40)._batches()))
    assert sorted(plain.tolist()) == list(range(40))


def test_class_weights_by_name_follow_the_tasks_order():
    """Whatever order they are written in; an alias is a name too."""
    y = torch.tensor([0, 1])
    ultrasound = replace(QUICK, class_weights={"benign": 0.5, "malignant": 15})
    assert class_weights(ultrasound, y, get_task("breast-ultrasound")).tolist() == [15, 0.5]  # malignant is label 0
    r5 = load_recipe("r5-resnet50v2")
    torch.testing.assert_close(class_weights(r5, y, get_task("mammography")), torch.tensor([0.51, 23.6]))


@pytest.mark.parametrize(
    ("given", "words"), [({"malignant": 2}, "every class"), ({"malignant": 2, "cat": 1}, "'cat' is not a class")]
)
def test_class_weights_for_other_classes_are_refused(given, words):
    """A class without a weight, or a weight without a class."""
    with pytest.raises(Refused, match=words):
        class_weights(replace(QUICK, class_weights=given), torch.tensor([0, 1]), get_task(TASK))


def test_an_image_of_a_rare_class_weighs_the_same_in_every_batch():
    """Class weights as Keras has them: one step of SGD at rate 1 moves the last bias by the mean of weight times error.

    So a batch of the light class alone moves it a third as far as one of the heavy class alone, where PyTorch's weighted mean
    moves both alike. What is reported is the plain cross-entropy, which validation reports too.
    """
    recipe = replace(
        QUICK, optimizer="sgd", momentum=0, weight_decay=0, lr=1.0, schedule="constant",
        class_weights={"malignant": 3, "benign": 1}, augment=Recipe().augment,
    )  # fmt: skip
    for label in (0, 1):
        made = trainer(recipe)
        made._begin(0)
        made.model.eval()  # no dropout, no batch statistics
        weight = float(made.class_weights[label])
        index = (made.setup.y_train == label).nonzero().squeeze(1)[:4]
        bias = made.net.fc.bias.detach().clone()
        with torch.no_grad():
            logits = made.net(made.setup.x_train[index])
        loss, _ = made._step(index)
        errors = logits.softmax(dim=1)
        errors[:, label] -= 1
        torch.testing.assert_close(made.net.fc.bias.detach(), bias - weight * errors.mean(dim=0), atol=1e-5, rtol=0)
        assert float(loss) == pytest.approx(float(-logits.log_softmax(dim=1)[:, label].sum()), rel=1e-5)


def test_no_batch_is_much_smaller_than_the_others():
    """546 images in batches of 32 are 18 batches of 30 or 31, not 17 and a last one of 2."""
    sizes = [len(batch) for batch in trainer(replace(QUICK, batch_size=32), n=546)._batches()]
    assert (len(sizes), min(sizes), max(sizes)) == (18, 30, 31)


def test_the_kernel_penalty_counts_kernels_only():
    """Two convolutions of ones: 2·1·3·3 + 4·2·1·1 = 26; biases, norms and dense layers do not count. A step shrinks them."""
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Conv2d(2, 4, 1), torch.nn.Linear(4, 4)
    )
    for parameter in net.parameters():
        torch.nn.init.ones_(parameter)
    assert kernel_penalty(net).item() == 26
    plain, shrunk = (trainer(replace(QUICK, optimizer="sgd", kernel_l2=v)) for v in (0.0, 1.0))
    for made in (plain, shrunk):
        epochs(made, 0, 1, 2)
    assert kernel_penalty(shrunk.net).item() < 0.9 * kernel_penalty(plain.net).item()


def test_a_cpu_computes_in_float32_whatever_the_recipe_says():
    """Half precision is for GPUs; there `auto` is bf16."""
    from core.trainer import _precision

    assert {_precision(replace(QUICK, precision=p), "cpu") for p in ("auto", "fp16", "bf16")} == {torch.float32}
    known = [("auto", torch.bfloat16), ("fp16", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)]
    assert all(_precision(replace(QUICK, precision=p), "cuda") == dtype for p, dtype in known)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_learns_in_every_precision_and_goes_on_from_its_state(bars_npz, tmp_path, precision):
    """The bars are told apart, and a trainer that takes up another's state agrees with it after the next epoch."""
    recipe = replace(QUICK, precision=precision)
    path = train(TrainingJob(bars_npz, TASK, "small-cnn", recipe, tmp_path / "r", size=16, device="cuda"))
    assert max(row["val_auc"] for row in load_checkpoint(path).history) > 0.95
    made, other = (Trainer(get_architecture("small-cnn").build(2), replace(setup(recipe), device="cuda")) for _ in "ab")
    epochs(made, 0)
    other.load_state(made.state())
    rows = [epochs(each, 1)["train_loss"] for each in (made, other)]
    assert rows[0] == pytest.approx(rows[1], abs=0.05)


# -- Normalisation, sizes and starting weights -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """17 training and 8 validation pictures of bars."""
    return write_bars_npz(tmp_path_factory.mktemp("few") / "few.npz", train=17, val=8, test=0)


def _trained(data, out, recipe, architecture="small-cnn", size=16):
    return load_checkpoint(train(TrainingJob(data, TASK, architecture, recipe, out, epochs=1, size=size, device="cpu")))


def test_normalisation_is_the_recipes_and_lives_in_the_checkpoint(data, tmp_path):
    """unit, half and the training images' own mean and std; those make the training tensors' mean 0 and std 1."""
    made = {n: _trained(data, tmp_path / n, replace(QUICK, normalise=n)) for n in ("unit", "half", "dataset")}
    spec = {name: checkpoint.preprocessing for name, checkpoint in made.items()}
    assert (spec["unit"].mean, spec["unit"].std) == ((0.0,), (1.0,))
    assert (spec["half"].mean, spec["half"].std) == ((0.5,), (0.5,))
    x, _ = tensors(load_dataset(data, TASK), "train", spec["dataset"])
    assert float(x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(x.std(correction=0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["r4-cnn-a", "r4-cnn-b", "r4-cnn-c", "r4-cnn-c-augmented"])
def test_recipes_choose_their_architecture_and_train(data, tmp_path, name):
    """Without an architecture the recipe's own is taken, at its own size."""
    recipe = load_recipe(name)
    checkpoint = _trained(data, tmp_path / "r", recipe, "", 28)
    assert checkpoint.architecture == recipe.architecture
    assert len(checkpoint.history) == 1


def test_a_recipe_for_any_architecture_asks_for_one(data, tmp_path):
    """`default` names none."""
    with pytest.raises(Refused, match="any architecture; say which"):
        _trained(data, tmp_path / "r", "default", "")


def test_a_size_that_a_network_cannot_take_is_refused(data, tmp_path):
    """inception_v3 shrinks 32 pixels to nothing: one sentence, before any training."""
    with pytest.raises(Refused, match="inception_v3 does not take images of 32 × 32 pixels"):
        _trained(data, tmp_path / "r", QUICK, "inception_v3", 32)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_timms_weights_fill_resnet50v2s_body(tmp_path, suffix):
    """A file of timm's resnetv2_50 with its 1000 classes fills all but R5's head, in either format."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(1)
    source = timm.create_model("resnetv2_50", pretrained=False).state_dict()
    (save_file if suffix == ".safetensors" else torch.save)(source, tmp_path / f"w{suffix}")
    known = get_architecture("resnet50v2")
    net = known.build(2)
    head = net.head[1].weight.detach().clone()
    load_pretrained(net, tmp_path / f"w{suffix}", known.head)
    assert net.stem.conv.weight.equal(source["stem.conv.weight"])
    assert net.norm.bias.equal(source["norm.bias"])
    assert net.head[1].weight.equal(head)
    other = get_architecture("resnet18")
    with pytest.raises(Refused, match="weights of another network"):
        load_pretrained(other.build(2), tmp_path / f"w{suffix}", other.head)
