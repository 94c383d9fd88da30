"""`python -m db ingest-predictions`: stored once, with pictures and columns, or refused with nothing stored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from db import engine, run_list, runs, thumbnails
from db.__main__ import main as db
from tests.core.bars import TASK, write_bars_npz


@pytest.fixture
def files(tmp_path):
    """MedMNIST-style labels and headerless predictions of 12 cases."""
    npz = write_bars_npz(tmp_path / "bars.npz", train=4, val=4, test=12)
    p = np.linspace(0.9, 0.1, 12)
    (tmp_path / "p.csv").write_text("".join(f"{i},{v:.4f},{1 - v:.4f}\n" for i, v in enumerate(p)))
    return str(tmp_path / "p.csv"), str(npz)


def test_repeating_does_not_double(store, files, capsys):
    """One run with its model's name, cases and pictures, however often it is ingested."""
    command = ["ingest-predictions", files[0], "--model", "Theirs", "--task", TASK, "--labels", files[1], "--json"]
    for stored in (True, False):
        assert db(command) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["stored"], said["n"]) == (stored, 12)
    with engine.read() as session:
        assert runs.count_runs(session) == 1
        run = runs.get_run(session, said["run"])
        listed = run_list.list_runs(session, run_list.RunQuery())
    assert (run.model_name, run.dataset, run.case_ids[0]) == ("Theirs", "bars.npz", "test/0")
    assert run.provenance["architecture"] == "external"
    assert thumbnails.thumbnail_file(run.provenance["thumbnails_sha256"]).exists()
    assert list(listed["model_name"]) == ["Theirs"]


def test_what_the_terminal_says(store, files, capsys):
    """One line with n, the AUC and its interval."""
    assert db(["ingest-predictions", files[0], "--model", "Theirs", "--task", TASK, "--labels", files[1]]) == 0
    line = capsys.readouterr().out
    assert line.startswith("p.csv: stored as run ")
    assert "n = 12, AUC 0.5" in line


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "has no header|labels; name a file|needs a column of case ids"),
        (["--labels", "LABELS", "--split", "holdout"], "no split 'holdout'"),
        (["--labels", "LABELS", "--threshold", "3"], "A threshold is a number in 0–1"),
        (["--labels", "nowhere.npz"], "no dataset at nowhere.npz"),
    ],
)
def test_wrong_files_are_refused_and_nothing_is_stored(store, files, more, words, capsys):
    """One sentence, exit status 1, an empty store."""
    import re

    more = [files[1] if part == "LABELS" else part for part in more]
    assert db(["ingest-predictions", files[0], "--model", "N", "--task", TASK, *more]) == 1
    error = capsys.readouterr().err
    assert re.search(words, error)
    assert error.count("\n") == 1
    with engine.read() as session:
        assert runs.count_runs(session) == 0
