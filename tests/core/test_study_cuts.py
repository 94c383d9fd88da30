"""What counts as a positive reading."""

import numpy as np
import pandas as pd
import pytest

from core.records import BIRADS, Refused
from core.study_cuts import BIRADS_CUTS, Cut, called, kinds_given
from tests.core.study_readings_factory import study


def readings(**columns):
    """Rows with what a cut looks at."""
    table = pd.DataFrame(columns)
    empty = {"label": "", "birads": "", "likelihood": np.nan}
    return table.assign(**{name: value for name, value in empty.items() if name not in table})


def test_classes_categories_and_likelihoods_are_cut():
    """At the cut itself a reading is positive; what was not given is neither."""
    assert called(readings(label=["malignant", "benign", ""]), "malignant")[:2].tolist() == [1, 0]
    assert np.isnan(called(readings(label=[""]), "malignant")).all()
    rows = readings(birads=[*BIRADS, ""])
    yes = {
        name: "".join("01"[int(v)] if v == v else "-" for v in called(rows, "", Cut("birads", birads=name)))
        for name in BIRADS_CUTS
    }
    assert yes == {
        "0, 3 and higher": "100111111-", "0, 4A and higher": "100011111-", "3 and higher": "000111111-",
        "4A and higher": "000011111-", "4B and higher": "000001111-", "4C and higher": "000000111-", "5 and higher": "000000011-",
    }  # fmt: skip
    found = called(readings(likelihood=[0, 39.9, 40, 100, np.nan]), "", Cut("likelihood", least=40))
    assert found[:4].tolist() == [0, 0, 1, 1]
    assert np.isnan(found[4])
    assert called(readings(likelihood=[0.0]), "", Cut("likelihood", least=0)).tolist() == [1]


def test_cuts_say_what_they_are_and_refuse_what_is_none():
    """The words stand beneath figures."""
    assert Cut().words == "the class given"
    assert Cut("birads", birads="4A and higher").words == "BI-RADS 4A and higher"
    assert Cut("likelihood", least=25).words == "a likelihood of 25 or more"
    with pytest.raises(Refused, match="BI-RADS is cut at one of"):
        Cut("birads", birads="7")
    with pytest.raises(Refused, match="from 0 to 100"):
        Cut("likelihood", least=101)


def test_only_what_was_given_can_be_cut():
    """Classes always; the factory's readers gave likelihoods too."""
    assert kinds_given(study().readings) == ("class", "likelihood")
    assert kinds_given(readings(label=["benign"])) == ("class",)
    assert kinds_given(readings(birads=["0"])) == ("class", "birads")
