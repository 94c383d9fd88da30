"""Pictures that show the same: the hash and the search against a plain double loop; facts and outliers checked on paper."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Png

from core.__main__ import main
from core.checkpoint import load_checkpoint
from core.commands.dataset import report
from core.datasets import load_dataset
from core.datasets.embedding import Embedding, embed, flat_map, load_embedding, map_methods, save_embedding
from core.datasets.explore import case_table
from core.datasets.lookalikes import difference_hash, duplicates, hash_pairs
from core.datasets.pictures import by_group, copy_shape, measure, outliers, robust_z, sizes
from core.datasets.profile import make_profile, profile_folder, read_profile
from core.predict import batched_probabilities
from core.preprocess import preprocess_batch
from core.records import Image, Refused, Window, full_range_window
from tests.core.bars import TASK, bar_images, write_png

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def _grey(pixels: np.ndarray) -> Image:
    return Image(pixels, full_range_window(pixels))


def _noise(seed: int, edge: int = 32) -> np.ndarray:
    """A smooth random picture (edge, edge) uint8, so that neighbours are alike as in a photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return np.asarray(Png.fromarray(coarse).resize((edge, edge), Png.Resampling.BICUBIC))


def _look(path: Path, task: str = TASK) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    dataset = load_dataset(path, task)
    copies = np.zeros(copy_shape(dataset.cases), dtype=np.uint8)
    facts = measure(dataset.cases, copies)
    return case_table(dataset), facts, copies


# -- Hashes ------------------------------------------------------------------------------------------------------------


def test_the_hash_says_where_brightness_falls():
    """Rising rows have no fall: 0. Falling rows fall everywhere: all 64 bits. One dark step falls once per row."""
    ramp = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))
    assert difference_hash(_grey(ramp)) == 0
    assert difference_hash(_grey(np.ascontiguousarray(ramp[:, ::-1]))) == 2**64 - 1
    step = np.full((8, 9), 200, np.uint8)
    step[:, 8:] = 10
    assert difference_hash(_grey(step)) == int("00000001" * 8, 2)


def test_the_hash_forgives_size_brightness_and_window_but_not_another_picture():
    """Twice the size, darker, or 12 bits with a window: the same few bits; another picture: about half of them."""
    picture = _noise(1)
    own = difference_hash(_grey(picture))
    large = np.asarray(Png.fromarray(picture).resize((64, 64), Png.Resampling.BILINEAR))
    wide = Image(picture.astype(np.uint16) * 16, Window(2040, 4080, "LINEAR_EXACT"))
    for other in (_grey(large), _grey((picture * 0.7).astype(np.uint8)), wide):
        assert (own ^ difference_hash(other)).bit_count() <= 6
    assert (own ^ difference_hash(_grey(_noise(2)))).bit_count() > 12


@pytest.mark.parametrize("most", [0, 3, 6])
def test_the_search_finds_what_comparing_all_pairs_finds(most):
    """Random hashes with planted neighbours at 0 … 8 bits: pairs and distances equal those of the double loop."""
    rng = np.random.default_rng(most)
    hashes = rng.integers(0, 2**64, 300, dtype=np.uint64)
    for i in range(0, 90):
        flips = rng.choice(64, i % 9, replace=False)
        hashes[i + 100] = hashes[i] ^ np.bitwise_or.reduce(
            np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0)
        )
    distance = {(i, j): (int(hashes[i]) ^ int(hashes[j])).bit_count() for i, j in combinations(range(300), 2)}
    expected = {pair: bits for pair, bits in distance.items() if bits <= most}
    pairs, bits = hash_pairs(hashes, most)
    assert {(int(i), int(j)): int(b) for (i, j), b in zip(pairs, bits, strict=True)} == expected
    assert len(pairs) == len(expected) > 0
    assert (np.diff(bits) >= 0).all()


def test_a_crowd_of_equal_hashes_does_not_explode():
    """500 equal hashes: the pairs of the first 20; no hashes: no pairs."""
    pairs, bits = hash_pairs(np.zeros(500, dtype=np.uint64))
    assert len(pairs) == 20 * 19 // 2
    assert not bits.any()
    assert hash_pairs(np.empty(0, dtype=np.uint64))[0].shape == (0, 2)


# -- Duplicates --------------------------------------------------------------------------------------------------------


@pytest.fixture
def lookalikes(tmp_path) -> Path:
    """A tree with one identical pair across splits (labels differ), one near pair within train, and others alike in nothing."""
    root, a, b = tmp_path / "set", _noise(1), _noise(2)
    write_png(root / "train/Benign/P1/a.png", a)
    write_png(root / "test/Malignant/P2/a2.png", a)
    write_png(root / "train/Benign/P3/b.png", b)
    write_png(root / "train/Benign/P3/b2.png", np.clip(b.astype(int) + 3, 0, 255).astype(np.uint8))
    for i in range(3, 8):
        write_png(root / f"{'val' if i == 7 else 'train'}/Malignant/P{i + 1}/{i}.png", _noise(i))
    return root


def test_duplicates_are_found_within_and_across_splits(lookalikes):
    """The identical pair comes first, then the near one; patients and labels are compared."""
    table, facts, copies = _look(lookalikes)
    pairs = duplicates(table, facts, copies)
    names = [{pair.case_a.rsplit("/")[-1], pair.case_b.rsplit("/")[-1]} for pair in pairs.itertuples()]
    assert names == [{"a.png", "a2.png"}, {"b.png", "b2.png"}]
    assert pairs["identical"].tolist() == [True, False]
    assert pairs["across"].tolist() == [True, False]
    assert pairs["same_patient"].tolist() == [False, True]
    assert pairs["same_label"].tolist() == [False, True]
    assert pairs["likeness"].iloc[0] == 1.0
    assert 0.99 < pairs["likeness"].iloc[1] <= 1


def test_likeness_is_pearsons_correlation(lookalikes):
    """Asked for every candidate, the near pair's likeness is NumPy's correlation of the copies."""
    table, facts, copies = _look(lookalikes)
    pair = duplicates(table, facts, copies, likeness=-1).iloc[1]
    expected = np.corrcoef(copies[pair.a].ravel().astype(float), copies[pair.b].ravel().astype(float))[0, 1]
    assert pair.likeness == pytest.approx(expected, abs=1e-5)


def test_the_terminal_finds_them_too(lookalikes, capsys):
    """`python -m core dataset PATH --task TASK --json` holds counts, sizes and both pairs; without --json, their names."""
    assert main(["dataset", str(lookalikes), "--task", TASK, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["all"] == {"malignant": 6, "benign": 3, "images": 9, "patients": 8}
    assert found["sizes"] == [{"height": 32, "width": 32, "n": 9}]
    assert [set(pair["splits"]) for pair in found["duplicates"]] == [{"train", "test"}, {"train"}]
    assert found["patients_on_two_sides"] == []
    assert main(["dataset", str(lookalikes), "--task", TASK]) == 0
    text = capsys.readouterr().out
    assert "Duplicates across splits: 1 identical, 0 nearly" in text
    assert "the same picture, malignant against benign" in text


def test_the_terminal_names_patients_on_two_sides_and_what_is_missing(tmp_path, capsys):
    """A manifest without pictures: every picture is missing, and P is on two sides."""
    path = tmp_path / "t.csv"
    path.write_text("file,label,patient_id,split\na.png,benign,P,train\nb.png,benign,P,val\nc.png,malignant,Q,test\n")
    assert main(["dataset", str(path), "--task", TASK]) == 0
    text = capsys.readouterr().out
    assert "Patients on two sides: P" in text
    assert "picture 100.00 % (3)" in text
    assert "no pictures" in text
    assert main(["dataset", str(tmp_path / "nothing.csv"), "--task", TASK]) == 1


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the public data is not beside the checkout")
def test_breastmnists_contradiction_is_found():
    """train[115], malignant, and test[76], benign, are the same picture, and the only identical pair."""
    found = report(load_dataset(DATA / "medmnist" / "breastmnist.npz", TASK))
    identical = [pair for pair in found["duplicates"] if pair["identical"]]
    assert [(pair["cases"], pair["labels"]) for pair in identical] == [
        (["train/115", "test/76"], ["malignant", "benign"])
    ]
    assert found["duplicates"][0] == identical[0]


# -- Facts of pictures -------------------------------------------------------------------------------------------------


def test_facts_are_of_the_display_brightness(tmp_path):
    """A picture half black, half white: mean 0.5, sd 0.5, p01 0, p99 1, half of it dark; its size as it is on disk."""
    half = np.zeros((20, 30), np.uint8)
    half[:, 15:] = 255
    write_png(tmp_path / "test/Benign/a.png", half)
    _, facts, copies = _look(tmp_path)
    row = facts.iloc[0]
    assert (row["height"], row["width"]) == (20, 30)
    assert (row["mean"], row["sd"], row["p01"], row["p99"], row["dark"]) == pytest.approx((0.5, 0.5, 0, 1, 0.5))
    assert copies.shape == (1, 30, 30)
    assert (copies[0, :, 0] == 0).all()
    assert (copies[0, :, -1] == 255).all()


def test_copies_of_small_pictures_are_the_pictures_and_colours_stay(tmp_path):
    """A 16 × 16 picture is its own copy, bit for bit; colour pictures have colour copies."""
    image, _ = bar_images(1, 0)
    write_png(tmp_path / "grey/test/Benign/a.png", image[0])
    np.testing.assert_array_equal(_look(tmp_path / "grey")[2][0], image[0])
    colour = np.dstack([image[0], image[0] // 2, image[0] // 4])
    write_png(tmp_path / "colour/test/Benign/a.png", colour)
    np.testing.assert_array_equal(_look(tmp_path / "colour")[2][0], colour)


def test_sizes_are_counted_most_frequent_first(tmp_path):
    """Two of 8 × 6 and one of 5 × 5."""
    for i, shape in enumerate([(5, 5), (8, 6), (8, 6)]):
        write_png(tmp_path / f"test/Benign/{i}.png", np.full(shape, i, np.uint8))
    assert sizes(_look(tmp_path)[1]).to_dict("list") == {"height": [8, 5], "width": [6, 5], "n": [2, 1]}


def test_robust_z_on_paper():
    """1, 2, 3, 4, 100: median 3, MAD 1, so 100 has 97 · 0.6745; where most are equal the mean deviation stands in; NaN stays."""
    np.testing.assert_allclose(robust_z(np.array([1, 2, 3, 4, 100.0])), 0.6745 * np.array([-2, -1, 0, 1, 97]))
    np.testing.assert_allclose(robust_z(np.array([0, 0, 0, 4.0])), [0, 0, 0, 4 / 1.2533], rtol=1e-4)
    np.testing.assert_array_equal(robust_z(np.array([5.0, 5, np.nan])), [0, 0, np.nan])
    assert np.isnan(robust_z(np.array([np.nan]))).all()


def _facts(n: int, **columns: np.ndarray) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    values = {name: 0.5 + rng.normal(0, 0.01, n) for name in ("mean", "sd", "p01", "median", "p99", "dark")}
    return pd.DataFrame({"height": np.full(n, 100.0), "width": np.full(n, 100.0), **values, **columns})


def test_outliers_name_what_is_far_and_the_farthest_first():
    """A bright picture, a wide one and one far away for a model are found with the reason, the absent one is passed over."""
    facts = _facts(60, distance=np.linspace(0.9, 1.1, 60))
    facts.loc[3, "mean"], facts.loc[9, "width"], facts.loc[20, "distance"] = 0.9, 140.0, 9.0
    facts.loc[30] = np.nan
    found = outliers(facts)
    assert {(row.row, row.because) for row in found.itertuples()} == {(3, "mean"), (9, "aspect"), (20, "distance")}
    assert (found["z"].abs().diff().dropna() <= 0).all()
    assert found.set_index("row")["value"][9] == pytest.approx(1.4)


def test_groups_of_pictures_have_their_own_quantiles():
    """Two machines, one darker: n, mean and median of each as pandas says them; a missing machine is a group."""
    machine = pd.Series(pd.Categorical(["a", "b", "b", None, "a"]))
    facts = pd.DataFrame({"mean": [0.1, 0.5, 0.7, 0.9, 0.3]})
    frame = by_group(facts, machine, "mean").set_index("value")
    assert frame.index.tolist() == ["a", "b", "missing"]
    assert frame["n"].tolist() == [2, 2, 1]
    np.testing.assert_allclose(frame["mean"], [0.2, 0.6, 0.9])
    np.testing.assert_allclose(frame["q25"], [0.15, 0.55, 0.9])


# -- Profiles ----------------------------------------------------------------------------------------------------------


def test_a_profile_comes_back_as_it_was_made(lookalikes, tmp_path):
    """Table, facts and copies survive the folder; what is there already is replaced."""
    dataset = load_dataset(lookalikes, TASK)
    folder = tmp_path / "profile"
    made, again = make_profile(dataset, folder), read_profile(folder)
    make_profile(dataset, folder)
    pd.testing.assert_frame_equal(again.table, case_table(dataset))
    pd.testing.assert_frame_equal(again.facts, made.facts)
    np.testing.assert_array_equal(again.copies, _look(lookalikes)[2])
    assert again.has_pictures
    assert (again.name, again.task, again.fingerprint) == (dataset.name, TASK, dataset.fingerprint)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_profile_that_is_missing_or_damaged_is_refused(lookalikes, tmp_path):
    """No folder, and a folder whose files are cut short, are one sentence each."""
    with pytest.raises(Refused, match="register it again"):
        read_profile(tmp_path / "nothing")
    make_profile(load_dataset(lookalikes, TASK), tmp_path / "p")
    (tmp_path / "p" / "table.parquet").write_bytes(b"PAR1")
    with pytest.raises(Refused, match="register it again"):
        read_profile(tmp_path / "p")


def test_profiles_of_one_set_for_two_tasks_lie_apart():
    """The folder names the fingerprint and the task."""
    assert profile_folder("a" * 64, "breast-mri") != profile_folder("a" * 64, "breast-ultrasound")


# -- Embeddings --------------------------------------------------------------------------------------------------------


def test_the_last_layer_turns_features_into_the_models_own_probabilities(bars_run, bars_npz):
    """Features times the last layer's weights, softmax: the probabilities, which equal those of evaluation; no hook remains."""
    checkpoint = load_checkpoint(bars_run / "checkpoint.pt")
    cases = load_dataset(bars_npz, TASK).split("test")
    seen = embed(checkpoint, cases)
    weight, bias = checkpoint.state["fc.weight"].numpy(), checkpoint.state["fc.bias"].numpy()
    logits = seen.features.astype(np.float64) @ weight.T + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), seen.probabilities, atol=1e-5)
    x = preprocess_batch([case.load() for case in cases], checkpoint.preprocessing)
    np.testing.assert_allclose(seen.probabilities, batched_probabilities(checkpoint.module(), x, "cpu"), atol=1e-6)
    assert seen.case_ids == tuple(case.case_id for case in cases)


def test_embeddings_come_back_from_disk(tmp_path):
    """Ids with any letters, features and probabilities, bit for bit."""
    seen = Embedding(
        ("a/ä.png", "b"), np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[0.25, 0.75], [1.0, 0.0]])
    )
    save_embedding(seen, tmp_path / "e.npz")
    back = load_embedding(tmp_path / "e.npz")
    assert back.case_ids == seen.case_ids
    np.testing.assert_array_equal(back.features, seen.features)
    np.testing.assert_array_equal(back.probabilities, seen.probabilities)


def test_distance_is_in_units_of_the_spread():
    """Three points at −1, 0, 1 on a line: mean 0, root mean square √(2 / 3)."""
    seen = Embedding(("a", "b", "c"), np.array([[-1.0], [0.0], [1.0]], dtype=np.float32), np.ones((3, 1)))
    np.testing.assert_allclose(seen.distance, np.array([1, 0, 1]) / np.sqrt(2 / 3))


def test_the_map_of_flat_features_is_the_features():
    """Two independent features of equal spread and a constant one: distances on the map are those of the standardised features."""
    corners = np.array([[0, 0, 7], [0, 2, 7], [2, 0, 7], [2, 2, 7]], dtype=np.float32)
    points, sentence = flat_map(corners)
    side = np.linalg.norm(points[0] - points[1])
    assert side == pytest.approx(2)
    assert np.linalg.norm(points[0] - points[3]) == pytest.approx(2 * np.sqrt(2))
    assert "100 %" in sentence


def test_one_case_still_has_a_map_and_pca_is_always_there():
    """A single case is a point at the origin."""
    assert flat_map(np.ones((1, 5), np.float32))[0].tolist() == [[0.0, 0.0]]
    assert map_methods()[0] == "PCA"
