"""Studies that leave and enter as tables: a round trip, pseudonyms, and one sentence for everything wrong."""

import io

import pandas as pd
import pytest

from core.records import Refused
from core.statistics.imrmc import read_imrmc
from core.study_exchange import NOTICE, export_table, imrmc_file, read_study
from core.study_readings import COLUMNS, StudyReadings, content_hash
from tests.core.study_readings_factory import rows, study

NAMES = {"Ann": "R03", "Bob": "R01", "Cid": "R02", "Dee": "R04"}


def as_csv(table):
    """The bytes of an upload."""
    return table.to_csv(index=False).encode()


def test_csv_and_parquet_come_back_as_they_went():
    """Export, import: the same readings under pseudonyms, from either format, with the same hash."""
    table = export_table(study(origin="simulated"), NAMES)
    assert set(table["notice"]) == {NOTICE}
    assert table["simulated"].all()
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    from_csv, simulated = read_study(as_csv(table), "a.csv", "breast-mri")
    from_parquet, _ = read_study(buffer.getvalue(), "a.parquet", "breast-mri")
    pd.testing.assert_frame_equal(from_csv, table[list(COLUMNS)])
    pd.testing.assert_frame_equal(from_csv, from_parquet)
    assert simulated
    assert content_hash(from_csv, "breast-mri") == content_hash(
        from_parquet.sample(frac=1, random_state=1), "breast-mri"
    )
    assert content_hash(from_csv, "breast-mri") != content_hash(from_csv.assign(seconds=1.0), "breast-mri")


def test_no_name_and_no_comment_leaves_unasked():
    """Readers' names are nowhere; comments only where they are asked for."""
    spoken = study(rows(comment="seen by Ann"))
    text = export_table(spoken, NAMES).to_csv()
    assert not any(name in text for name in NAMES)
    assert "seen by Ann" in export_table(spoken, NAMES, comments=True).to_csv()


def test_imrmc_holds_every_reading_and_says_what_it_is():
    """Readable by our own reader; the title has the notice and says simulated."""
    text = imrmc_file(study(origin="simulated"), NAMES).text
    assert NOTICE in text.splitlines()[0]
    assert "Simulated" in text.splitlines()[0]
    table = read_imrmc(text)
    assert len(table) == 32
    assert set(table["reader"]) == set(NAMES.values())
    assert table.query("reader == 'R03' and modality == 'unaided' and case == 'c1'")["rating"].tolist() == [80]


def test_imrmc_has_gaps_and_names_whom_it_leaves_out():
    """Bob read one case and Dee gave no likelihoods: Bob's readings are there, Dee is named; classes only where nobody did."""
    table = rows()
    table = table[(table["reader"] != "Bob") | (table["case"] == "c1")]
    table.loc[table["reader"] == "Dee", "likelihood"] = None
    table.loc[table["case"] == "c4", "truth"] = ""
    found = imrmc_file(study(table), NAMES)
    back = read_imrmc(found.text)
    assert back.groupby("reader").size().to_dict() == {"R01": 2, "R02": 6, "R03": 6}
    assert (found.rating, found.readings, found.readers, found.readings_left_out) == ("likelihood", 14, 3, 12)
    assert found.readers_left_out == ("Dee",)
    assert "Likelihoods of 0 to 100" in found.text.splitlines()[0]
    classes = imrmc_file(study(rows(likelihood=None)), NAMES)
    assert (classes.rating, classes.readings, classes.readings_left_out) == ("class", 32, 0)
    assert set(read_imrmc(classes.text)["rating"]) == {0, 1}
    assert "Classes: 1 is malignant" in classes.text.splitlines()[0]
    with pytest.raises(Refused, match="No reading has a reference standard and a likelihood"):
        imrmc_file(study(rows(truth="")), NAMES)


def test_patients_leave_and_come_back():
    """Their codes, and the hash of files without them stays what it was; a case has one patient."""
    table = rows(patient="P001")
    back, _ = read_study(as_csv(export_table(study(table), NAMES)), "a.csv", "breast-mri")
    assert set(back["patient"]) == {"P001"}
    plain = read_study(as_csv(rows()), "a.csv", "breast-mri")[0]
    assert content_hash(plain, "breast-mri") == content_hash(
        plain.drop(columns="patient").assign(patient=""), "breast-mri"
    )
    assert content_hash(back, "breast-mri") != content_hash(back.assign(patient=""), "breast-mri")


def test_only_the_needed_columns_are_needed():
    """The rest is empty; classes and phases may be spelt in any case."""
    table = rows()[["case", "reader", "phase", "label", "truth"]].rename(columns=str.upper)
    table["LABEL"] = table["LABEL"].str.upper()
    found, simulated = read_study(as_csv(table), "a.csv", "breast-mri")
    assert found["label"].isin(["benign", "malignant"]).all()
    assert found["likelihood"].isna().all()
    assert not simulated


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.drop(columns="truth"), r"it lacks truth \(it has case, reader, phase, label,"),
        (lambda t: t.iloc[:0], "holds no readings"),
        (lambda t: t.assign(label="odd"), "row 2: label must be one of benign, malignant"),
        (lambda t: t.assign(label=None), "row 2: label must be"),
        (lambda t: t.assign(phase="later"), "the phase must be unaided or aided"),
        (lambda t: t.assign(reader=" "), "the reader is empty"),
        (lambda t: t.assign(case=["c\x07", *t["case"][1:]]), "row 2: the case must be of 1 to 200 printable"),
        (lambda t: t.assign(reader="r" * 201), "the reader must be of 1 to 200 printable"),
        (lambda t: t.assign(repeat=1), "row 2: a second reading .* without the first"),
        (lambda t: t.assign(repeat=2), "repeat must be a number from 0 to 1"),
        (lambda t: t.assign(repeat=0.5), "repeat must be"),
        (lambda t: t.assign(likelihood=[120, *t["likelihood"][1:]]), "row 2: likelihood must be a number from 0 to 100"),
        (lambda t: t.assign(seconds="quick"), "seconds must be a number"),
        (lambda t: t.assign(score=float("inf")), "score must be a number"),
        (lambda t: t.assign(birads="9"), "birads must be one of"),
        (lambda t: t.assign(regions="nowhere"), "regions must be a JSON list"),
        (lambda t: pd.concat([t, t.iloc[[3]]]), "row 34: this reader's reading of this case and phase stands twice"),
        (lambda t: t.assign(truth=["benign", *t["truth"][1:]]), "case c1 has two different values of truth"),
        (lambda t: t.assign(score=[0.3, *t["score"][1:]]), "case c1 has two different values of score for one reader"),
        (lambda t: t.assign(patient=["P1", *["P2"] * 31]), "case c1 has two different values of patient"),
        (lambda t: t.assign(patient="p\x07"), "row 2: the patient must be of at most 200 printable"),
        (lambda t: t.assign(protocol="odd"), "protocol must be one of aided, sequential, washout"),
        (lambda t: t.assign(protocol=["aided", *["washout"] * 31]), "row 3: all rows of a study have the same protocol"),
        (lambda t: t.assign(task="mammography"), "readings of mammography, not of breast-mri"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_is_one_sentence(change, sentence):
    """Nothing of such a file is taken."""
    with pytest.raises(Refused, match=sentence):
        read_study(as_csv(change(rows())), "a.csv", "breast-mri")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00garbage", b"PAR1 but not", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_what_is_no_table_is_refused(data):
    """Not a traceback."""
    with pytest.raises(Refused, match="neither a CSV"):
        read_study(data, "a.csv", "breast-mri")
    with pytest.raises(Refused, match=r"a\.csv is empty"):
        read_study(b" \n", "a.csv", "breast-mri")


def test_second_readings_and_withdrawn_readers_leave_and_come_back():
    """With their marks: nothing of them counts before or after; the .imrmc file has none of them."""
    again = rows().query("reader != 'Dee' and case == 'c1'").assign(repeat=1, label="benign")
    whole = study(pd.concat([rows(), again]).assign(withdrawn=lambda t: t["reader"] == "Bob"))
    exported = export_table(whole, NAMES)
    assert (exported["repeat"].sum(), exported["withdrawn"].sum()) == (6, 10)
    back, _ = read_study(as_csv(exported), "a.csv", "breast-mri")
    returned = StudyReadings("back", "breast-mri", back)
    assert returned.readers == tuple(sorted(NAMES[name] for name in ("Ann", "Cid", "Dee")))
    assert (len(returned.readings), len(returned.repeats)) == (24, 4)
    assert len(read_imrmc(imrmc_file(whole, NAMES).text)) == 24
    assert content_hash(back, "breast-mri") != content_hash(back.assign(repeat=0), "breast-mri")


def test_the_protocol_leaves_and_comes_back():
    """It says what aided seconds are; a file without it leaves it open, and has the hash that it always had."""
    whole = study(rows(protocol="sequential"))
    back, _ = read_study(as_csv(export_table(whole, NAMES)), "a.csv", "breast-mri")
    assert StudyReadings("back", "breast-mri", back).protocol == whole.protocol == "sequential"
    plain, _ = read_study(as_csv(rows()), "a.csv", "breast-mri")
    assert StudyReadings("plain", "breast-mri", plain).protocol == ""
    assert content_hash(plain, "breast-mri") != content_hash(plain.assign(protocol="washout"), "breast-mri")
