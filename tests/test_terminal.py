"""The program from a terminal: what people script against."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from sklearn.metrics import accuracy_score, roc_auc_score

from core.__main__ import main as core
from core.datasets.phantom import write_phantoms
from core.explain import load_heatmap
from db import engine, models, reviews, runs, studies, users
from db.__main__ import main as db


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """44 simulated patients."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, patients={"train": 24, "val": 10, "test": 10}, seed=5, size=96)
    return folder


@pytest.fixture(scope="module")
def run_folder(phantoms, tmp_path_factory):
    """What `train` and `evaluate` write."""
    out = tmp_path_factory.mktemp("trained") / "run"
    train = ["train", "--data", str(phantoms), "--task", "breast-mri", "--architecture", "small-cnn"]
    assert core([*train, "--epochs", "1", "--size", "32", "--seed", "1", "--out", str(out)]) == 0
    checkpoint = str(out / "checkpoint.pt")
    assert core(["evaluate", checkpoint, "--data", str(phantoms), "--split", "test", "--out", str(out / "test")]) == 0
    return out


def printed(capsys):
    """The JSON objects on standard output, one per line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def dicom(phantoms):
    """One DICOM file."""
    return next((phantoms / "images" / "test").rglob("*.dcm"))


def test_train_writes_checkpoint_config_and_history(run_folder):
    """The three files of a run folder, with a row per epoch."""
    assert {"checkpoint.pt", "config.json", "history.csv"} <= {p.name for p in run_folder.iterdir()}
    config = json.loads((run_folder / "config.json").read_text())
    assert (config["seed"], config["architecture"]) == (1, "small-cnn")
    assert len(pd.read_csv(run_folder / "history.csv")) == 1


def test_evaluate_agrees_with_scikit_learn_on_its_own_predictions(run_folder):
    """AUC and accuracy in run.json are what scikit-learn makes of predictions.csv; each has n and an interval."""
    run = json.loads((run_folder / "test" / "run.json").read_text())
    table = pd.read_csv(run_folder / "test" / "predictions.csv")
    assert list(table.columns[:5]) == ["case_id", "patient_id", "label", "prob_benign", "prob_malignant"]
    truth = table["label"] == "malignant"
    assert run["metrics"]["auc"]["value"] == pytest.approx(roc_auc_score(truth, table["prob_malignant"]), abs=1e-12)
    predicted = table["prob_malignant"] >= run["operating_point"]["threshold"]
    assert run["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(truth, predicted), abs=1e-12)
    for metric in run["metrics"].values():
        assert {"value", "low", "high", "n", "method"} <= set(metric)


def test_predict_prints_one_object_per_file(run_folder, phantoms, capsys):
    """Fields and probabilities as documented; exit status 0."""
    file = dicom(phantoms)
    assert core(["predict", str(run_folder / "checkpoint.pt"), str(file), "--json"]) == 0
    (result,) = printed(capsys)
    assert set(result) == {"file", "model", "probabilities", "predicted"}
    assert result["file"] == str(file)
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=2e-6)
    assert result["predicted"] in result["probabilities"]


def bad_files(folder):
    """One file of each wrong kind."""
    png = io.BytesIO()
    Pillow.new("L", (200, 200), 9).save(png, "PNG")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.png", png.getvalue())
    (folder / "notes.dcm").write_text("patient seems well\n")
    (folder / "cut.png").write_bytes(png.getvalue()[:-30])
    with zipfile.ZipFile(folder / "nested.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    np.savez(folder / "objects.npz", test_images=np.array([{"a": 1}], dtype=object))
    Pillow.new("1", (30_000, 30_000)).save(folder / "huge.png")
    return sorted(folder.iterdir())


def test_wrong_files_are_one_sentence_and_exit_status_1(run_folder, phantoms, tmp_path, capsys):
    """Each wrong file is refused with a reason, the good one beside them is predicted, and the exit status says so."""
    wrong = bad_files(tmp_path)
    files = [str(f) for f in [*wrong, dicom(phantoms)]]
    assert core(["predict", str(run_folder / "checkpoint.pt"), *files, "--json"]) == 1
    results = printed(capsys)
    refused = {r["file"].split(" › ")[0]: r["refused"] for r in results if "refused" in r}
    assert set(refused) == {str(f) for f in wrong}
    assert all(len(reason) > 20 and "Traceback" not in reason for reason in refused.values())
    assert sum("predicted" in r for r in results) == 1


def test_the_page_and_the_terminal_say_the_same_sentence(store, tmp_path, capsys, run_folder):
    """`db import` refuses with the reader's own words, stores nothing and exits with 1."""
    folder = tmp_path / "wrong"
    folder.mkdir()
    wrong = bad_files(folder)
    core(["predict", str(run_folder / "checkpoint.pt"), *map(str, wrong), "--json"])
    said = {r["refused"] for r in printed(capsys)}
    assert db(["import", str(folder), "--task", "breast-mri", "--json"]) == 1
    assert {r["refused"] for r in printed(capsys)} == said
    with engine.read() as session:
        assert studies.count_studies(session) == 0


def test_explain_writes_raw_values_and_a_picture(run_folder, phantoms, tmp_path, capsys):
    """The heatmap file holds method, class and version; the picture is a PNG, and its colours are said to be its own."""
    out, png = tmp_path / "heatmap.npz", tmp_path / "overlay.png"
    arguments = ["explain", str(run_folder / "checkpoint.pt"), str(dicom(phantoms)), "--class", "malignant"]
    assert core([*arguments, "--method", "gradcam", "--out", str(out), "--png", str(png)]) == 0
    heatmap = load_heatmap(out)
    assert (heatmap.method, heatmap.target_class, heatmap.values.shape) == ("gradcam", "malignant", (4, 4))
    assert Pillow.open(png).format == "PNG"
    assert "full colour is this map's own maximum" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "absent.pt", "x.png"], "no checkpoint file absent.pt"),
        (
            ["train", "--data", "nowhere", "--task", "breast-mri", "--architecture", "small-cnn", "--out", "o"],
            "nowhere",
        ),
        (["phantom", "--out", "p", "--size", "3"], "size"),
    ],
)
def test_refusals_are_one_sentence_on_standard_error(arguments, words, tmp_path, monkeypatch, capsys):
    """No traceback: one line that names what is wrong."""
    monkeypatch.chdir(tmp_path)
    assert core(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("Refused: ")
    assert words in error
    assert error.count("\n") == 1


def test_phantom_makes_a_dataset(tmp_path, capsys):
    """The number of files asked for, split by split."""
    out = str(tmp_path / "p")
    assert core(["phantom", "--out", out, "--train", "2", "--val", "2", "--test", "2", "--size", "64"]) == 0
    assert "6 simulated patients" in capsys.readouterr().out
    assert len(list((tmp_path / "p" / "images").rglob("*.dcm"))) == 6


def test_import_twice_stores_once(store, phantoms, capsys):
    """Repeating an import doubles nothing."""
    folder = str(phantoms / "images" / "test")
    for expected in (10, 0):
        assert db(["import", folder, "--json"]) == 0
        assert sum(r["stored"] for r in printed(capsys)) == expected
    with engine.read() as session:
        assert studies.count_studies(session) == 10


def test_ingest_twice_stores_one_run(store, run_folder, capsys):
    """A run folder is one run however often it is ingested."""
    for expected in (True, False):
        assert db(["ingest", str(run_folder / "test"), "--json"]) == 0
        assert printed(capsys)[0]["stored"] is expected
    with engine.read() as session:
        assert runs.count_runs(session) == 1


def test_register_and_activate(store, run_folder):
    """A registered model has its file in the store and its card says where it came from."""
    assert db(["register", str(run_folder / "checkpoint.pt"), "--name", "Mine", "--activate"]) == 0
    with engine.read() as session:
        (model,) = models.list_models(session, status="active")
    assert models.model_file(model.version).is_file()
    assert "small-cnn" in model.card.values()


def test_export_is_empty_but_has_its_columns(store, capsys):
    """An empty store exports a header, not an error."""
    assert db(["export", "reviews", "--format", "csv"]) == 0
    header = capsys.readouterr().out.strip()
    assert {"study_id", "reviewer", "phase", "label", "agrees"} <= set(header.split(","))
    with engine.read() as session:
        assert reviews.count_reviews(session, reviews.ReviewQuery()) == 0


def test_user_and_init(store, capsys):
    """People can be added before they first sign in."""
    assert db(["init"]) == 0
    assert db(["user", "Lea", "--role", "lead"]) == 0
    with engine.read() as session:
        assert users.get_user(session, "lea").role == "lead"


def test_a_small_demo_fills_an_empty_store_and_only_an_empty_one(store, capsys, monkeypatch):
    """Studies without a word of their class, two active models with their runs; a second demo is refused or, if asked, skipped."""
    from db import demo

    tiny = demo.DemoPlan(train=24, val=10, test=10, worklist=6)
    facts = demo.make_demo(tiny)
    assert facts["studies"] == 6
    with engine.read() as session:
        assert studies.count_studies(session) == 6
        assert len(models.list_models(session, status="active")) == 2
        assert runs.count_runs(session) == 2
        names = studies.list_worklist(session, studies.WorklistQuery(reviewer="Anna"))["name"]
    assert not any("benign" in name or "malignant" in name for name in names)
    assert db(["demo"]) == 1
    assert "not empty" in capsys.readouterr().err
    assert db(["demo", "--if-empty"]) == 0


@pytest.mark.parametrize("program", [core, db])
def test_every_command_has_help(program, capsys):
    """`--help` names every command, and each command explains itself."""
    with pytest.raises(SystemExit) as stopped:
        program(["--help"])
    assert stopped.value.code == 0
    listed = capsys.readouterr().out
    for command in ("train", "predict") if program is core else ("init", "export"):
        assert command in listed
        with pytest.raises(SystemExit):
            program([command, "--help"])
        assert "usage" in capsys.readouterr().out
