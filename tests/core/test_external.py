"""Predictions made elsewhere become runs: published figures come out, and files that do not fit say why in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from core.datasets import load_dataset
from core.external import External, read_external
from core.records import Refused
from core.thumbnails import Thumbnails
from tests.core.bars import TASK, write_bars_npz
from tests.core.reference import DATA, needs_data


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """Twelve test pictures of bars, labels 0, 1, 0, 1 …"""
    return write_bars_npz(tmp_path_factory.mktemp("bars") / "bars.npz", train=4, val=4, test=12)


def headerless(path, p):
    """MedMNIST's format: index, P(class 0), P(class 1)."""
    path.write_text("".join(f"{i},{v:.6f},{1 - v:.6f}\n" for i, v in enumerate(p)))
    return path


SCORES = np.linspace(0.95, 0.05, 12)


# -- What comes out ----------------------------------------------------------------------------------------------------


def test_medmnists_format_meets_the_dataset_it_was_made_on(npz, tmp_path):
    """Cases, fingerprint and pictures are those of our own runs, so that both can be compared case by case."""
    file = headerless(tmp_path / "p.csv", SCORES)
    run, details = read_external(External(file, "Theirs", TASK, npz), tmp_path / "t.zip")
    dataset = load_dataset(npz, TASK)
    y = np.array([case.label == 0 for case in dataset.split("test")])
    assert run.case_ids == tuple(case.case_id for case in dataset.split("test"))
    assert run.metrics["auc"].value == pytest.approx(roc_auc_score(y, SCORES))
    assert run.metrics["accuracy"].value == pytest.approx(((SCORES > 0.5) == y).mean())
    assert run.provenance["dataset"]["fingerprint"] == dataset.fingerprint
    assert details.pixel_hashes == tuple(case.pixel_hash for case in dataset.split("test"))
    assert Thumbnails(tmp_path / "t.zip")[11]
    assert run.operating_point is None
    assert run.metrics["sensitivity"].value is None


def test_the_same_files_are_the_same_run_and_the_name_is_the_model(npz, tmp_path):
    """Repeated: same id. Another name is another model; other predictions or another threshold another run of it."""
    first, other = headerless(tmp_path / "a.csv", SCORES), headerless(tmp_path / "b.csv", SCORES[::-1])

    def run(file, name="Theirs", **more):
        return read_external(External(file, name, TASK, npz, **more))[0]

    assert run(first).id == run(first).id
    assert run(other).id != run(first).id
    assert run(other).model_version == run(first).model_version != run(first, "Mine").model_version
    fixed = run(first, threshold=0.7)
    assert fixed.id != run(first).id
    assert (fixed.operating_point.threshold, fixed.operating_point.chosen_on) == (0.7, "set beforehand")
    assert fixed.metrics["sensitivity"].value is not None


def test_one_score_per_image_joined_to_breasts_on_paper(tmp_path):
    """Two views of a left breast and one of a right: maximum of scores and of labels, attributes where they agree."""
    scores, labels = tmp_path / "s.csv", tmp_path / "l.csv"
    scores.write_text("image_id,preds,split\n1,0.2,test\n2,0.7,test\n3,0.4,test\n4,0.9,train\n")
    labels.write_text(
        "image_id,patient_id,laterality,view,age,cancer\n4,8,L,CC,50,1\n3,7,R,CC,61,0\n2,7,L,MLO,61,1\n1,7,L,CC,61,0\n"
    )
    source = External(scores, "Net", "mammography", labels, by=("patient_id", "laterality"))
    run, details = read_external(source)
    assert (run.case_ids, run.patient_ids) == (("7_L", "7_R"), ("7", "7"))
    assert run.labels.tolist() == [1, 0]
    np.testing.assert_allclose(run.probabilities, [[0.3, 0.7], [0.6, 0.4]])
    assert details.attributes["view"] == ("several", "CC")
    assert details.attributes["age"] == ("61", "61")
    assert details.attributes["images"] == ("2", "1")
    mean, _ = read_external(
        External(scores, "Net", "mammography", labels, by=("patient_id", "laterality"), rule="mean")
    )
    np.testing.assert_allclose(mean.probabilities[:, 1], [0.45, 0.4])
    assert mean.id != run.id


def test_a_table_with_its_own_labels_needs_no_other(tmp_path):
    """Class probabilities by name in any order, labels by name or alias, further columns kept as they are."""
    file = tmp_path / "p.csv"
    file.write_text("case_id,label,prob_benign,prob_malignant,site\nb,normal,0.8,0.2,\na,Malignant,0.1,0.9,x\n")
    run, details = read_external(External(file, "Net", TASK))
    assert run.case_ids == ("b", "a")
    assert run.labels.tolist() == [1, 0]
    np.testing.assert_allclose(run.probabilities, [[0.2, 0.8], [0.9, 0.1]])
    assert details.attributes == {"site": ("", "x")}


def test_eight_classes_without_a_header(tmp_path):
    """Blood cells: nine columns, macro figures, no operating point."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (16, 8, 8, 3), dtype=np.uint8), np.arange(16) % 8
    np.savez(tmp_path / "blood.npz", test_images=images, test_labels=labels[:, None])
    p = rng.dirichlet(np.ones(8), 16)
    (tmp_path / "p.csv").write_text("\n".join(",".join([str(i), *map(str, row)]) for i, row in enumerate(p)))
    run, _ = read_external(External(tmp_path / "p.csv", "Net", "blood-cells", tmp_path / "blood.npz"))
    assert run.metrics["auc"].value == pytest.approx(roc_auc_score(labels, p, multi_class="ovr", average="macro"))
    assert run.metrics["accuracy"].value == pytest.approx((p.argmax(axis=1) == labels).mean())


def test_predictions_with_case_ids_meet_an_npz_in_any_order(npz, tmp_path):
    """By name, not by place."""
    order = np.random.default_rng(1).permutation(12)
    rows = [f"test/{i},{SCORES[i]:.6f},{1 - SCORES[i]:.6f}\n" for i in order]
    (tmp_path / "p.csv").write_text("case_id,prob_malignant,prob_benign\n" + "".join(rows))
    run, _ = read_external(External(tmp_path / "p.csv", "Net", TASK, npz))
    np.testing.assert_allclose(run.probabilities[:, 0], SCORES, atol=1e-6)


# -- Wrong files -------------------------------------------------------------------------------------------------------

HEAD = "case_id,label,prob_malignant,prob_benign\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a CSV table"),
        ("0,0.5\n1,0.5\n", "2 columns and no header; breast-ultrasound needs 3"),
        ("1,0.5,0.5\n2,0.5,0.5\n", "row 1 has index 1; the rows must be numbered"),
        ("0,0.5,0.5\n2,0.5,0.5\n", "row 2 has index 2"),
        ("0,0.5,0.5\n1,0.7,0.5\n", "the scores in row 2 are no probabilities"),
        ("0,1.5,-0.5\n", "the scores in row 1 are no probabilities"),
        ("0,0.5,0.5\n1,x,0.5\n", "row 2 holds something that is no number"),
        ("case_id,label\na,benign\n", "needs a column prob_<class> for each class"),
        (HEAD + "a,benign,0.5,0.5\na,benign,0.5,0.5\n", "a twice"),
        (HEAD + "a,lump,0.5,0.5\n", "'lump' is not a class"),
        (HEAD, "no rows of split test"),
        ("case_id,prob_malignant,prob_benign\na,0.5,0.5\n", "labels; name a file"),
        ("label,score\nbenign,0.5\n", "needs a column of case ids"),
        (HEAD.replace("label", "label,split") + "a,benign,train,0.5,0.5\n", "no rows of split test"),
    ],
)
def test_a_wrong_predictions_file_is_refused_in_one_sentence(text, words, tmp_path):
    """Each says what is wrong and where."""
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(Refused, match=words) as refusal:
        read_external(External(tmp_path / "p.csv", "Net", TASK))
    assert "\n" not in str(refusal.value)


def test_predictions_of_other_cases_are_refused(npz, tmp_path):
    """A row too few, a split that is not there, case ids of something else, a file that is no text, none at all."""
    short = headerless(tmp_path / "short.csv", SCORES[:-1])
    for source, words in (
        (External(short, "N", TASK, npz), "11 rows, but bars.npz has 12 cases in test"),
        (External(short, "N", TASK, npz, split="holdout"), "no split 'holdout'"),
        (External(tmp_path / "none.csv", "N", TASK, npz), r"no file none\.csv"),
        (External(npz, "N", TASK, npz), "cannot be read as text"),
        (External(short, "N", TASK, npz, threshold=2), "a number in 0–1"),
        (External(short, "N", TASK, npz, by=("patient_id", "side")), "no column side|11 rows"),
        (External(short, "N", "skin", npz), "no task 'skin'"),
    ):
        with pytest.raises(Refused, match=words):
            read_external(source)
    (tmp_path / "ids.csv").write_text("case_id,score\n" + "".join(f"x{i},0.5\n" for i in range(12)))
    with pytest.raises(Refused, match=r"other cases than bars\.npz / test, e\.g\. not for test/0"):
        read_external(External(tmp_path / "ids.csv", "N", TASK, npz))


def test_a_label_table_that_lacks_a_case_or_repeats_one_is_refused(tmp_path):
    """Both name the case."""
    (tmp_path / "p.csv").write_text("image_id,score\n1,0.5\n2,0.4\n")
    for rows, words in (("1,0\n", "no label for 2"), ("1,0\n1,0\n2,1\n", "has 1 twice")):
        (tmp_path / "l.csv").write_text("image_id,cancer\n" + rows)
        with pytest.raises(Refused, match=words):
            read_external(External(tmp_path / "p.csv", "N", "mammography", tmp_path / "l.csv"))
    (tmp_path / "l.csv").write_text("picture,cancer\n1,0\n2,1\n")
    with pytest.raises(Refused, match="a column of case ids with one name"):
        read_external(External(tmp_path / "p.csv", "N", "mammography", tmp_path / "l.csv"))


# -- Published figures -------------------------------------------------------------------------------------------------


@pytest.mark.real_data
@needs_data
def test_published_breastmnist_predictions_give_their_published_figures():
    """AUC 0.9129 and accuracy 0.8462 of a published ResNet-18, and its matrix at 0.5."""
    (file,) = (DATA / "predictions" / "medmnist").glob("breastmnist*.csv")
    labels = DATA / "medmnist" / "breastmnist.npz"
    run, _ = read_external(External(file, "ResNet-18, published", TASK, labels, threshold=0.5))
    assert round(run.metrics["auc"].value, 4) == 0.9129
    assert round(run.metrics["accuracy"].value, 4) == 0.8462
    assert run.metrics["sensitivity"].value == pytest.approx(24 / 42)
    assert run.metrics["specificity"].value == pytest.approx(108 / 114)
    assert run.metrics["brier"].value == pytest.approx(0.12663897266906, abs=1e-6)


@pytest.mark.real_data
@needs_data
def test_rsna_image_scores_give_the_published_figure_of_breasts():
    """AUC 0.9868 over 2,384 breasts of the test patients, 50 with cancer; and that of the published ensemble, 0.9873."""
    folder, by = DATA / "predictions" / "rsna", ("patient_id", "laterality")
    images = External(folder / "image_level_predictions.csv", "Net", "mammography", DATA / "rsna" / "train.csv", by=by)
    run, details = read_external(images)
    assert round(run.metrics["auc"].value, 8) == 0.98675236
    assert (len(run.labels), run.labels.sum(), len(set(run.patient_ids))) == (2384, 50, 1192)
    assert details.attributes["density"].count("B") == 520
    whole, _ = read_external(External(folder / "ensemble_test_predictions.csv", "All", "mammography", by=by))
    assert round(whole.metrics["auc"].value, 8) == 0.98732648
