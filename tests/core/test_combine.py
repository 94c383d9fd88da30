"""Views, members and temperatures: the probabilities are the means that they are said to be, wherever the model is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.architectures import get_architecture
from core.checkpoint import ENSEMBLE, Checkpoint, load_checkpoint, model_record, save_checkpoint
from core.combine import VIEWS, Reading, check_views, common_preprocessing, log_mean_probabilities, seen
from core.datasets.embedding import embed
from core.explain import METHODS, Request, explain, predict_with_gradcam
from core.predict import predict_with
from core.preprocess import Preprocessing, preprocess
from core.records import Image, OperatingPoint, Refused, Study, full_range_window

TASK = "breast-ultrasound"
CLASSES = ("malignant", "benign")


def make(architecture: str = "small-cnn", seed: int = 0, edge: int = 32, **changes) -> Checkpoint:
    """A network with random weights; batch norms have seen something, so that pictures differ."""
    known = get_architecture(architecture)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = known.build(2)
        with torch.no_grad():
            net.train()(torch.randn(8, known.channels, edge, edge))
    return Checkpoint(
        architecture, TASK, CLASSES, known.preprocessing(edge), net.state_dict(),
        **{"version": f"{architecture} {seed}", **changes},
    )  # fmt: skip


def ensemble(*members: Checkpoint, **changes) -> Checkpoint:
    """An ensemble of those members."""
    spec = common_preprocessing([m.preprocessing for m in members])
    return Checkpoint(ENSEMBLE, TASK, CLASSES, spec, {}, members=members, **changes)


def picture(seed: int = 0, colour: bool = False) -> Image:
    """A picture of noise, 40 × 40."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3) if colour else (40, 40), dtype=np.uint8)
    return Image(pixels, None if colour else full_range_window(pixels))


def probabilities(checkpoint: Checkpoint, *images: Image) -> torch.Tensor:
    """What `checkpoint` says of images, (N, 2)."""
    x = torch.stack([preprocess(image, checkpoint.preprocessing) for image in images])
    with torch.inference_mode():
        return torch.softmax(checkpoint.module()(x).double(), dim=1)


# -- The arithmetic ----------------------------------------------------------------------------------------------------


def test_the_mean_of_probabilities_on_paper():
    """Logits of 0.9 / 0.1 and 0.5 / 0.5 average to 0.7 / 0.3; logits far apart stay finite."""
    parts = [torch.log(torch.tensor([[0.9, 0.1]])), torch.zeros(1, 2)]
    torch.testing.assert_close(log_mean_probabilities(parts).exp(), torch.tensor([[0.7, 0.3]]))
    extreme = log_mean_probabilities([torch.tensor([[900.0, -900.0]])] * 2)
    assert torch.isfinite(extreme).all()


@pytest.mark.parametrize("view", list(VIEWS))
def test_every_view_undoes_itself(view):
    """Seen twice, a picture is itself; the four views of an asymmetric one differ."""
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert seen(seen(x, view), view).equal(x)
    assert sum(seen(x, other).equal(seen(x, view)) for other in VIEWS) == 1


def test_views_on_paper():
    """Left-right, upside down and half a turn of [[0, 1], [2, 3]]."""
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert seen(x, "hflip").flatten().tolist() == [1, 0, 3, 2]
    assert seen(x, "vflip").flatten().tolist() == [2, 3, 0, 1]
    assert seen(x, "turned").flatten().tolist() == [3, 2, 1, 0]


def test_views_are_checked():
    """The plain view is always there, each view once; an unknown one is refused by name."""
    assert check_views(["hflip", "hflip"]) == ("plain", "hflip")
    with pytest.raises(Refused, match="no view 'rotate'"):
        check_views(["rotate"])


def test_a_viewed_model_is_the_mean_over_the_views():
    """Equal to predicting the picture and its mirror image by hand, and the same for both of them."""
    plain = make()
    both = replace(plain, views=("plain", "hflip"))
    image = picture()
    mirrored = Image(image.pixels[:, ::-1].copy(), image.window)
    by_hand = (probabilities(plain, image) + probabilities(plain, mirrored)) / 2
    torch.testing.assert_close(probabilities(both, image), by_hand, atol=1e-6, rtol=0)
    torch.testing.assert_close(probabilities(both, mirrored), by_hand, atol=1e-6, rtol=0)


def test_a_temperature_divides_the_logits():
    """Odds become their square root at temperature 2."""
    plain = make()
    p, cooler = probabilities(plain, picture()), probabilities(replace(plain, temperature=2.0), picture())
    odds = p[:, 0] / p[:, 1]
    torch.testing.assert_close(cooler[:, 0] / cooler[:, 1], odds.sqrt(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("colour", [False, True])
def test_an_ensemble_is_the_mean_of_its_members_each_reading_as_it_was_trained(colour):
    """Grey and RGB members with other means average what each says alone, for grey and for colour pictures."""
    members = (make("small-cnn", 1), make("resnet18", 2), make("small-cnn", 3, temperature=3.0))
    images = (picture(4, colour), picture(5, colour))
    mean = torch.stack([probabilities(m, *images) for m in members]).mean(dim=0)
    torch.testing.assert_close(probabilities(ensemble(*members), *images), mean, atol=1e-5, rtol=0)


def test_members_that_read_alike_are_fed_alike():
    """Then the ensemble has their preprocessing and nothing in between."""
    whole = ensemble(make(seed=1), make(seed=2))
    assert whole.preprocessing == make().preprocessing
    assert not any(isinstance(m, Reading) for m in whole.module().modules())


def test_members_of_other_sizes_are_refused():
    """Their pictures would be made smaller twice."""
    with pytest.raises(Refused, match="32 × 32 and 64 × 64"):
        common_preprocessing([make().preprocessing, make(edge=64).preprocessing])


def test_modules_share_the_members_memory():
    """A second module costs no second copy, as for plain networks."""
    whole = replace(ensemble(make(seed=1), make(seed=2)), temperature=2.0)
    first, second = ({p.data_ptr() for p in whole.module().parameters()} for _ in range(2))
    assert first == second
    assert not any(p.requires_grad for p in whole.module().parameters())


# -- The file ----------------------------------------------------------------------------------------------------------


def test_a_combined_checkpoint_comes_back_as_it_was_saved(tmp_path):
    """Members with their versions, views and temperatures survive the file and predict the same."""
    whole = ensemble(
        make(seed=1, temperature=1.5), make("resnet18", 2, views=("plain", "vflip")), temperature=0.7,
        views=("plain", "hflip"), operating_point=OperatingPoint("Youden", 0.4, "val (n = 9)"),
    )  # fmt: skip
    version = save_checkpoint(whole, tmp_path / "e.pt")
    loaded = load_checkpoint(tmp_path / "e.pt")
    assert (loaded.version, loaded.views, loaded.temperature) == (version, ("plain", "hflip"), 0.7)
    assert [m.version for m in loaded.members] == ["small-cnn 1", "resnet18 2"]
    assert (loaded.members[0].temperature, loaded.members[1].views) == (1.5, ("plain", "vflip"))
    torch.testing.assert_close(probabilities(loaded, picture()), probabilities(whole, picture()))


def test_a_plain_checkpoint_is_written_as_older_programs_read_it(tmp_path):
    """Format 1 without views, temperature or members; format 2 as soon as one of them matters."""
    for checkpoint, number in ((make(), 1), (make(temperature=2.0), 2), (make(views=("plain", "hflip")), 2)):
        save_checkpoint(checkpoint, tmp_path / "c.pt")
        assert torch.load(tmp_path / "c.pt", weights_only=True)["format"] == number


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        (lambda: ensemble(make(seed=1), make(seed=1)), "a member twice"),
        (lambda: ensemble(make(seed=1)), "two members or more"),
        (lambda: ensemble(make(seed=1), ensemble(make(seed=2), make(seed=3), version="e")), "cannot be an ensemble"),
        (lambda: replace(ensemble(make(seed=1), make(seed=2)), architecture="small-cnn"), "no weights of its own"),
        (lambda: replace(ensemble(make(seed=1), make(seed=2)), preprocessing=make(edge=64).preprocessing), "not the one"),
        (lambda: ensemble(make(seed=1), replace(make(seed=2), task="breast-mri", classes=("benign", "malignant"))), "share"),
        (lambda: make(architecture="small-cnn", temperature=0.0), "temperature is 0.0"),
        (lambda: make(temperature=float("nan")), "temperature is nan"),
        (lambda: make(views=("plain", "sideways")), "views that are unknown"),
        (lambda: make(views=()), "views that are unknown"),
        (lambda: make(operating_point=OperatingPoint("Youden", 0.5, "test (n = 156)")), "only validation data"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(whole, words, tmp_path):
    """A wrong combination is neither written nor read."""
    with pytest.raises(Refused, match=words) as refusal:
        save_checkpoint(whole(), tmp_path / "c.pt")
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_a_damaged_member_is_refused(tmp_path):
    """A member with weights missing, or of another format, makes the whole file unusable."""
    save_checkpoint(ensemble(make(seed=1), make(seed=2)), tmp_path / "e.pt")
    content = torch.load(tmp_path / "e.pt", weights_only=True)
    good = content["members"][1]
    fewer = {**good, "state": {k: v for k, v in good["state"].items() if k != "fc.bias"}}
    for bad, words in (
        (fewer, "other layers"),
        ({**good, "format": 9}, "not a TumorTrace"),
        ({}, "not a TumorTrace"),
        (3, "not"),
    ):
        torch.save({**content, "members": [content["members"][0], bad]}, tmp_path / "bad.pt")
        with pytest.raises(Refused, match=words):
            load_checkpoint(tmp_path / "bad.pt")


def test_the_card_says_how_it_predicts():
    """Members by architecture and version, views and temperature; a plain network's card has none of these."""
    card = model_record(
        replace(ensemble(make(seed=1), make("resnet18", 2)), views=("plain", "hflip"), temperature=1.25), "E"
    ).card
    assert card["Members"] == "2, mean of their probabilities: small-cnn small-cn, resnet18 resnet18"
    assert card["Test-time augmentation"] == "mean probability of the views plain, hflip"
    assert card["Temperature"] == "1.250"
    assert not {"Members", "Test-time augmentation", "Temperature"} & set(model_record(make(), "P").card)


def test_a_file_that_says_something_else_of_itself_is_refused_or_left_unsaid(tmp_path):
    """Views of another kind are refused; a fit that is not in our words is not repeated on the card."""
    save_checkpoint(make(temperature=2.0, provenance={"calibration": {"ece_before": None}}), tmp_path / "c.pt")
    assert model_record(load_checkpoint(tmp_path / "c.pt"), "M").card["Temperature"] == "2.000"
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    for change in ({"views": [["plain"]]}, {"views": "plain"}, {"views": 3}, {"temperature": "hot"}, {"members": 5}):
        torch.save({**content, **change}, tmp_path / "bad.pt")
        with pytest.raises(Refused, match=r"views that are unknown|damaged"):
            load_checkpoint(tmp_path / "bad.pt")


# -- Used like any other model -----------------------------------------------------------------------------------------


def test_the_app_predicts_with_an_ensemble():
    """A study's probabilities are the members' mean, at the ensemble's own threshold."""
    point = OperatingPoint("Youden", 0.999, "val (n = 9)")
    members = (make(seed=1), make(seed=2))
    whole = ensemble(*members, operating_point=point)
    study = Study("s", "s", "US", (picture(),))
    found = predict_with(whole, whole.module(), study, "cpu")
    alone = [predict_with(m, m.module(), study, "cpu").probabilities["malignant"] for m in members]
    assert found.probabilities["malignant"] == pytest.approx(np.mean(alone), abs=2e-6)
    assert found.predicted == "benign"


def test_gradcam_of_an_ensemble_is_the_mean_of_its_members_maps():
    """Each member's map of its own logit, averaged, and the heatmap says so."""
    members, image = (make(seed=1), make(seed=2)), picture()
    heatmap = explain(ensemble(*members), image, Request("gradcam", "malignant"))
    alone = [explain(m, image, Request("gradcam", "malignant")).values for m in members]
    np.testing.assert_allclose(heatmap.values, np.mean(alone, axis=0), atol=1e-6)
    assert heatmap.parameters["map"] == "mean over the 2 members, each for its own logit"
    assert heatmap.layer == "mean of 2 members' features"


def test_gradcam_of_views_turns_each_map_back():
    """The map of the mirrored picture is mirrored back before the mean; a temperature divides the whole."""
    plain, image = make(), picture()
    x = preprocess(image, plain.preprocessing)[None]
    _, straight = predict_with_gradcam(plain.module(), "features", x, 0)
    _, mirrored = predict_with_gradcam(plain.module(), "features", x.flip(3), 0)
    expected = (straight + mirrored.flip(2)) / 2
    both = replace(plain, views=("plain", "hflip"))
    heatmap = explain(both, image, Request("gradcam", "malignant"))
    np.testing.assert_allclose(heatmap.values, expected[0].numpy(), atol=1e-6)
    assert heatmap.parameters["map"] == "mean over the views plain, hflip"
    cooler = explain(replace(both, temperature=4.0), image, Request("gradcam", "malignant"))
    np.testing.assert_allclose(cooler.values, heatmap.values / 4, atol=1e-6)


def test_gradcam_of_members_with_other_grids_is_refused():
    """An eighth and a thirty-second of the input have no mean; other methods explain the ensemble."""
    whole = ensemble(make("small-cnn", 1), make("resnet18", 2))
    with pytest.raises(Refused, match="1 × 1 and 4 × 4"):
        explain(whole, picture(), Request("gradcam", "malignant"))
    heatmap = explain(whole, picture(), Request("occlusion", "malignant"))
    assert heatmap.values.shape == (32, 32)
    assert heatmap.parameters["score"] == "log of the mean probability"


def divided(checkpoint: Checkpoint, by: float) -> Checkpoint:
    """The same with its last layer divided, its members' where it has some."""
    if checkpoint.members:
        return replace(checkpoint, members=tuple(divided(m, by) for m in checkpoint.members))
    last = {name: value / by for name, value in checkpoint.state.items() if name.startswith("fc.")}
    return replace(checkpoint, state={**checkpoint.state, **last})


QUICK = {
    "lime": {"samples": 20, "segments": 4},
    "shapley": {"permutations": 2, "segments": 4},
    "smoothgrad": {"samples": 4},
}


def same_map(values: np.ndarray, expected: np.ndarray) -> None:
    """To 1 % of the largest value: random networks' scores drop by little more than their last digits."""
    size = float(np.abs(expected).max())
    assert size > 0
    np.testing.assert_allclose(values / size, expected / size, atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", [0.25, 4.0])
def test_a_tempered_network_is_explained_like_one_with_a_divided_last_layer(method, temperature):
    """The temperature is part of what is explained: Score-CAM, Grad-CAM++ and Guided Grad-CAM are not merely divided by it."""
    request = Request(method, "benign", parameters=QUICK.get(method, {}))
    tempered = explain(make(temperature=temperature), picture(), request)
    expected = explain(divided(make(), temperature), picture(), request)
    same_map(tempered.values, expected.values)
    assert tempered.parameters.get("closed_form", True)
    assert tempered.parameters["class_score"] == pytest.approx(expected.parameters["class_score"], rel=1e-4)
    share = expected.parameters["share"]
    assert tempered.parameters["share"] == (pytest.approx(share, rel=1e-4) if share else None)


@pytest.mark.parametrize("method", METHODS)
def test_a_tempered_ensemble_with_views_is_explained_as_what_it_is(method):
    """Maps of layers are those of parts with a divided last layer; the others explain the whole, whose score is divided."""
    whole = replace(ensemble(make(seed=1), make(seed=2)), views=("plain", "hflip"))
    request = Request(method, "malignant", parameters=QUICK.get(method, {}))
    tempered = explain(replace(whole, temperature=1.5), picture(), request)
    plain = explain(whole, picture(), request)
    assert tempered.parameters["class_score"] == pytest.approx(plain.parameters["class_score"] / 1.5, rel=1e-4)
    layered = METHODS[method].needs == "layer"
    same_map(
        tempered.values, explain(divided(whole, 1.5), picture(), request).values if layered else plain.values / 1.5
    )


def test_an_ensemble_has_no_features_to_map():
    """The map of a model's embeddings is refused in a sentence."""
    with pytest.raises(Refused, match="no layer of features of its own"):
        embed(ensemble(make(seed=1), make(seed=2)), ())


def test_preprocessing_of_the_ensemble_is_display_values_where_members_differ():
    """Three channels, mean 0 and std 1, at the members' common size."""
    spec = common_preprocessing([make("small-cnn").preprocessing, make("resnet18").preprocessing])
    assert spec == Preprocessing((32, 32), 3, (0.0,) * 3, (1.0,) * 3)
