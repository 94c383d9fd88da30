"""Thumbnails: what a run's pictures look like, one by one, from one file; and the columns that go with them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from core import evaluation
from core.datasets import load_dataset
from core.evaluation import evaluate
from core.records import CaseDetails, Image, Refused, Window, full_range_window
from core.runs import read_case_details, read_run
from core.thumbnails import Thumbnails, thumbnail, write_thumbnails
from tests.core.bars import TASK


def opened(data: bytes) -> np.ndarray:
    """The pixels of a PNG."""
    return np.asarray(Pillow.open(io.BytesIO(data)))


def test_a_small_grey_picture_keeps_its_pixels_through_the_window():
    """Levels 0, 100 and 200 in a window from 0 to 200 become black, middle grey and white."""
    pixels = np.array([[0, 100, 200]], dtype=np.uint16)
    shown = opened(thumbnail(Image(pixels, Window(100, 200, "LINEAR_EXACT"))))
    assert shown.tolist() == [[0, 128, 255]]


def test_a_large_picture_shrinks_to_96_and_keeps_its_shape():
    """Left half black, right half white, 400 × 800: 48 × 96, still half and half."""
    pixels = np.zeros((400, 800), dtype=np.uint16)
    pixels[:, 400:] = 65535
    shown = opened(thumbnail(Image(pixels, full_range_window(pixels))))
    assert shown.shape == (48, 96)
    assert (shown[:, :48] == 0).all()
    assert (shown[:, 48:] == 255).all()


def test_colour_stays_colour():
    """An RGB picture comes back as it is."""
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    np.testing.assert_array_equal(opened(thumbnail(Image(pixels))), pixels)


def test_pictures_are_read_one_by_one(tmp_path):
    """Each place gives its own bytes; a place that is not there gives None; equal pictures make an equal file."""
    pictures = [bytes([i]) * 10 for i in range(5)]
    first = write_thumbnails(tmp_path / "a.zip", pictures)
    assert first == write_thumbnails(tmp_path / "b.zip", pictures)
    assert first == hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    thumbnails = Thumbnails(tmp_path / "a.zip")
    assert [thumbnails[i] for i in (3, 0)] == [pictures[3], pictures[0]]
    assert thumbnails[5] is None


def test_unfit_files_are_refused_and_unfit_pictures_left_out(tmp_path):
    """No ZIP, no pictures; a packed or oversized entry is not opened."""
    (tmp_path / "text.zip").write_text("not a zip")
    for name in ("text.zip", "absent.zip"):
        with pytest.raises(Refused, match="cannot be read"):
            Thumbnails(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        archive.writestr("000000.png", b"0" * 1_000_000, zipfile.ZIP_DEFLATED)
        archive.writestr("000001.png", b"0" * 1_000_000)
        archive.writestr("000002.png", b"fine")
    thumbnails = Thumbnails(tmp_path / "odd.zip")
    assert [thumbnails[i] for i in range(3)] == [None, None, b"fine"]


@pytest.fixture(scope="module")
def run(bars_run, bars_npz, tmp_path_factory):
    """The folder of one evaluation of the bars' test split."""
    out = tmp_path_factory.mktemp("pictured")
    evaluate(bars_run / "checkpoint.pt", bars_npz, "test", out, device="cpu")
    return out


def test_an_evaluation_pictures_every_case_in_order(run, bars_npz):
    """Thumbnail i and pixel hash i belong to case i of predictions.csv; run.json holds the file's hash."""
    cases = load_dataset(bars_npz, TASK).split("test")
    thumbnails, details = Thumbnails(run / "thumbnails.zip"), read_case_details(run)
    assert read_run(run).case_ids == tuple(case.case_id for case in cases)
    assert details == CaseDetails({}, tuple(case.pixel_hash for case in cases))
    for place, case in enumerate(cases):
        np.testing.assert_array_equal(opened(thumbnails[place]), case.load().pixels)
    assert thumbnails[len(cases)] is None
    digest = hashlib.sha256((run / "thumbnails.zip").read_bytes()).hexdigest()
    assert read_run(run).provenance["thumbnails_sha256"] == digest


def test_what_the_dataset_says_of_its_cases_goes_with_the_run(bars_run, bars_npz, tmp_path):
    """Attributes become columns of texts, empty where a case has none; a name that is taken is left out."""
    dataset = load_dataset(bars_npz, TASK)
    said = {0: {"age": 61, "site": "A", "label": "x"}, 1: {"age": None}}
    test = dataset.split("test")
    cases = tuple(replace(case, attributes=said.get(place, {"site": "B"})) for place, case in enumerate(test))
    others = tuple(case for case in dataset.cases if case.split != "test")
    evaluate(bars_run / "checkpoint.pt", replace(dataset, cases=(*others, *cases)), "test", tmp_path, device="cpu")
    attributes = read_case_details(tmp_path).attributes
    assert attributes == {"age": ("61", "", *[""] * 38), "site": ("A", "", *["B"] * 38)}


def test_a_run_says_how_large_its_network_is(run, bars_run):
    """The number of parameters, for comparing models by cost."""
    from core.checkpoint import load_checkpoint

    network = load_checkpoint(bars_run / "checkpoint.pt").module()
    assert read_run(run).provenance["parameters"] == sum(p.numel() for p in network.parameters())


def test_too_many_cases_have_no_thumbnails_and_the_run_says_so(bars_run, bars_npz, tmp_path, monkeypatch):
    """Above the limit nothing is drawn; hashes are kept; an earlier file of pictures goes."""
    monkeypatch.setattr(evaluation, "MOST_CASES", 39)
    (tmp_path / "thumbnails.zip").write_bytes(b"of an earlier run")
    facts = evaluate(bars_run / "checkpoint.pt", bars_npz, "test", tmp_path, device="cpu")
    assert not (tmp_path / "thumbnails.zip").exists()
    assert facts["provenance"]["thumbnails"] == "none: 40 cases are more than 39"
    assert len(read_case_details(tmp_path).pixel_hashes) == 40


def test_further_columns_are_attributes(tmp_path):
    """Columns after the probabilities are kept as texts, those before are not; without any there are none."""
    table = "case_id,site,label,prob_a,prob_b,density,age,pixel_hash\nx,9,a,0.5,0.5,B,061,h\ny,9,b,0.1,0.9,, 58,\n"
    (tmp_path / "predictions.csv").write_text(table)
    assert read_case_details(tmp_path) == CaseDetails({"density": ("B", ""), "age": ("061", "58")}, ("h", ""))
    (tmp_path / "predictions.csv").write_text("case_id,label,prob_a,prob_b\nx,a,0.5,0.5\n")
    assert read_case_details(tmp_path) == CaseDetails()


def test_too_many_columns_are_refused(tmp_path):
    """Someone's wide table is not taken for case attributes."""
    names = [f"column_{i}" for i in range(51)]
    (tmp_path / "predictions.csv").write_text(f"case_id,label,prob_a,{','.join(names)}\nx,a,1{',1' * 51}\n")
    with pytest.raises(Refused, match="51 further columns; 50 are kept"):
        read_case_details(tmp_path)


def test_a_run_from_before_thumbnails_still_reads(run, tmp_path):
    """Without pictures, hashes and parameter count a folder is a run as before."""
    facts = json.loads((run / "run.json").read_text())
    lines = [line.rsplit(",", 1)[0] for line in (run / "predictions.csv").read_text().splitlines()]
    table = "\n".join(lines) + "\n"
    (tmp_path / "predictions.csv").write_text(table)
    facts["provenance"] = {"predictions_sha256": hashlib.sha256(table.encode()).hexdigest()}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    assert read_run(tmp_path).case_ids == read_run(run).case_ids
    assert read_case_details(tmp_path) == CaseDetails()
