"""`.imrmc` text: round trip, the documented shape, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.records import Refused
from core.statistics.imrmc import read_imrmc, write_imrmc
from core.statistics.mrmc_data import crossed_ratings
from tests.core.readers import as_table, made_study


def test_what_is_written_reads_back_the_same():
    """Names, truth and ratings to the last bit, in the same order."""
    table = as_table(made_study(2, 3, 10))
    pd.testing.assert_frame_equal(read_imrmc(write_imrmc(table)), table, check_dtype=False)
    again = crossed_ratings(read_imrmc(write_imrmc(table)))
    np.testing.assert_array_equal(again.ratings, made_study(2, 3, 10).ratings)


def test_the_text_on_paper():
    """Sizes, the line that begins the data, a truth row per case, a row per reading."""
    table = pd.DataFrame({"reader": ["A", "A"], "modality": "aided", "case": ["c1", "c2"], "truth": [0, 1],
                          "rating": [3.0, 4.5]})  # fmt: skip
    assert write_imrmc(table, "My\nstudy").splitlines() == [
        "My study", "N0: 1", "N1: 1", "NR: 1", "NM: 1", "BEGIN DATA:",
        "-1,c1,0,0", "-1,c2,0,1", "A,c1,aided,3", "A,c2,aided,4.5",
    ]  # fmt: skip


def test_rows_may_come_in_any_order_and_the_study_need_not_be_crossed():
    """A truth after the reading, spaces around fields, blank lines."""
    text = "notes, with, commas, here\nBEGIN DATA:\nA, c1 ,x,2\n\n-1,c1,x,1\nB,c2,y,1e-3\n-1,c2,y,0\n"
    found = read_imrmc(text)
    assert found.to_dict("list") == {
        "reader": ["A", "B"], "modality": ["x", "y"], "case": ["c1", "c2"], "truth": [1, 0], "rating": [2.0, 0.001],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line 'BEGIN DATA:'"),
        ("begin data:\nA,c,m,1", "no line 'BEGIN DATA:'"),
        ("BEGIN DATA:\n", "no readings"),
        ("BEGIN DATA:\n-1,c,m,1", "no readings"),
        ("BEGIN DATA:\nA,c,m", "Line 2 is not"),
        ("BEGIN DATA:\nA,,m,1", "Line 2 is not"),
        ("BEGIN DATA:\nA,c,m,high", "Line 2: the score 'high'"),
        ("BEGIN DATA:\nA,c,m,nan", "Line 2: the score 'nan'"),
        ("BEGIN DATA:\nA,c,m,1", "Case c has no truth"),
        ("BEGIN DATA:\n-1,c,m,1\n-1,c,m,1\nA,c,m,1", "Line 3: the truth of case c is given twice"),
        ("BEGIN DATA:\n-1,c,m,2\nA,c,m,1", "Line 2: the truth"),
    ],
)
def test_wrong_text_is_refused_with_the_line(text, words):
    """One sentence each."""
    with pytest.raises(Refused, match=words):
        read_imrmc(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reader": "Dr A, B"}, "commas"),
        ({"case": " c"}, "outer spaces"),
        ({"modality": "a\nb"}, "commas"),
        ({"modality": "a\u2028b"}, "commas"),
        ({"reader": "-1"}, "called -1"),
        ({"rating": np.nan}, "finite"),
        ({"truth": "yes"}, "one truth"),
        ({"case": "same"}, "one truth"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(changes, words):
    """Rather than written so that it reads back as something else."""
    with pytest.raises(Refused, match=words):
        write_imrmc(as_table(made_study(1, 1, 4)).assign(**changes))
    with pytest.raises(Refused, match="truth is missing"):
        write_imrmc(as_table(made_study(1, 1, 4)).drop(columns="truth"))
