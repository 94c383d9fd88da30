"""The features page: pictures, numbers, regions, and who may see where a case lies."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image as Pillow

from core.architectures import get_architecture
from core.checkpoint import Checkpoint, load_checkpoint, model_record, save_checkpoint
from core.features import FAMILIES, extract
from core.features.table import measure_files, write_table
from core.reading import read_upload
from core.records import Image, Refused, Study, StudyRejected, full_range_window, study_id
from core.tasks import TASKS
from db import drafts, engine, models, studies, users
from pages.ui import features_data
from tests.core.bars import write_bars_tree
from tests.pages.test_pages import open_page, said

RECTANGLE = {"kind": "rect", "image": 0, "points": [[4, 6], [24, 22]]}


def add_people():
    """A reviewer and a lead."""
    with engine.write() as session:
        return [users.add_user(session, name, role) for name, role in (("Anna", "reviewer"), ("Lena", "lead"))]


def add_studies(count=6, shape=(40, 48), task="breast-mri"):
    """Studies in order of their names; every second one is malignant and brighter. Gives the records."""
    # Pictures of their own for each task: the app keeps studies by content for the whole process.
    rng, made = np.random.default_rng(list(TASKS).index(task)), []
    with engine.write() as session:
        for number in range(count):
            pixels = (rng.integers(0, 120, shape) + 100 * (number % 2)).astype(np.uint8)
            images = (Image(pixels, full_range_window(pixels)),)
            study = Study(study_id(images), f"Study {number:04}", "MR", images, task=task, patient_id=f"P-{number:04}")
            label = TASKS[task].classes[number % 2]
            studies.add_study(session, dataclasses.replace(study, reference_standard=label))
            made.append(study)
    return made


def shown_numbers(at):
    """The table of numbers, by feature."""
    return at.dataframe[0].value.set_index("Feature")


def settled(at):
    """The page once its background work is done."""
    for _ in range(100):
        if not at.get("progress"):
            return at
        at.run()
    raise AssertionError("the work does not end")


def charts(at):
    """Titles of all charts on the page."""
    specs = [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]
    return [spec["layout"]["title"]["text"] for spec in specs]


def test_the_numbers_are_those_of_extract(store):
    """What the page shows for a linked study is what the terminal would measure."""
    add_people()
    study = add_studies()[2]
    at = open_page("features", study=study.id, family="mvm-lbp")
    vector = extract(study.images[0], ["mvm-lbp"])
    table = shown_numbers(at)
    assert [f"mvm-lbp.{name}" for name in table.index] == list(vector.names)
    np.testing.assert_array_equal(table[f"A · {study.name}"], vector.values)
    assert FAMILIES["mvm-lbp"].what in said(at)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_opens(store, family):
    """Each shows a picture, its sentence and as many numbers as it has."""
    add_people()
    study = add_studies(1)[0]
    at = open_page("features", study=study.id, family=family)
    assert FAMILIES[family].what in said(at)
    assert len(shown_numbers(at)) == len(extract(study.images[0], [family]).names)
    assert len(at.get("image")) == 1
    assert not at.error


def test_two_studies_stand_side_by_side(store):
    """A second study in the address adds its picture and its column."""
    add_people()
    made = add_studies()
    at = open_page("features", study=made[0].id, other=made[1].id)
    assert len(at.get("image")) == 2
    assert list(shown_numbers(at).columns[:2]) == ["A · Study 0000", "B · Study 0001"]
    assert shown_numbers(at)["B · Study 0001"]["mean"] > shown_numbers(at)["A · Study 0000"]["mean"]


def test_search_finds_by_name_and_patient(store):
    """The search asks the store; the found study is shown."""
    add_people()
    add_studies()
    at = open_page("features")
    at.text_input(key="feat_search:study").set_value("P-0004").run()
    assert at.selectbox[0].options == ["Study 0004"]
    at.text_input(key="feat_search:study").set_value("nobody").run()
    assert "Nothing matches" in said(at)


def test_a_region_drawn_in_review_can_be_measured_alone(store):
    """The reader's own rectangle is offered; choosing it measures these pixels only. Nobody else is offered it."""
    add_people()
    study = add_studies()[0]
    with engine.write() as session:
        point = {"kind": "point", "image": 0, "points": [[3, 3]]}
        drafts.save_draft(session, study.id, "Anna", {"phase": "unaided", "regions": [RECTANGLE, point]})
    at = open_page("features", study=study.id)
    region = at.selectbox(key=f"feat_region:study:{study.id}:0")
    assert region.options == ["Whole image", "20 × 16 pixels at 4, 6"]
    at = region.select_index(1).run()
    expected = extract(study.images[0], ["intensity"], RECTANGLE).as_dict()["intensity.mean"]
    assert shown_numbers(at)[f"A · {study.name}"]["mean"] == expected
    assert not [s for s in open_page("features", "Lena", study=study.id).selectbox if s.label == "Region"]


def test_a_region_that_is_too_small_says_so(store):
    """Fewer than eight pixels have no texture: one sentence, no numbers."""
    add_people()
    study = add_studies()[0]
    with engine.write() as session:
        small = {**RECTANGLE, "points": [[4, 6], [9, 30]]}
        drafts.save_draft(session, study.id, "Anna", {"phase": "unaided", "regions": [small]})
    at = open_page("features", study=study.id)
    at = at.selectbox(key=f"feat_region:study:{study.id}:0").select_index(1).run()
    assert "5 × 24 pixels inside the image" in at.warning[0].value
    assert not at.dataframe


def test_a_lead_sees_where_the_case_lies(store):
    """Five other studies, by class; the case itself is left out; brighter than all benign ones and some malignant ones."""
    add_people()
    study = add_studies()[1]
    at = settled(open_page("features", "Lena", study=study.id))
    assert "intensity.mean, n = 5" in charts(at)
    assert "share of benign below it 1.00 (0.44–1.00), n = 3" in said(at)


def test_a_reviewer_never_learns_a_reference_standard(store):
    """No strip plot, no class of any study; and the functions behind it refuse."""
    anna, _ = add_people()
    study = add_studies()[1]
    at = open_page("features", study=study.id)
    assert "Where this case lies" not in said(at)
    assert not any(word in said(at).lower() for word in ("benign", "malignant"))
    with pytest.raises(Refused, match="Only a project lead"):
        features_data.store_cohort(anna, "breast-mri", "intensity")
    with pytest.raises(Refused, match="Only a project lead"):
        features_data.table_cohort(anna, "t.csv", b"", "intensity")


def test_a_task_without_reference_standards_says_so(store):
    """The sentence says what is missing; the numbers above stay."""
    add_people()
    study = add_studies(1)[0]
    with engine.write() as session:
        other = dataclasses.replace(study, id="a" * 64, task="mammography", images=study.images)
        studies.add_study(session, other)
    at = open_page("features", "Lena", study=other.id)
    assert "No study of this task in the store states its reference standard." in at.error[0].value
    assert len(shown_numbers(at))


def test_a_feature_table_made_by_the_command_can_be_compared_with(store, tmp_path):
    """Its rows are the cloud; a table of other families is refused by name."""
    _, lena = add_people()
    tree = write_bars_tree(tmp_path / "bars", 3, split="train")
    rows = measure_files([tree], ["intensity"], task="breast-ultrasound", workers=1).rows
    write_table(rows, tmp_path / "t.parquet", "parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    cohort = features_data.table_cohort(lena, "t.parquet", data, "intensity")
    assert cohort.values.shape == (len(rows), len(rows[0].features.names))
    assert sorted(set(cohort.labels)) == ["benign", "malignant"]
    with pytest.raises(Refused, match=r"t\.parquet does not hold glcm 1"):
        features_data.table_cohort(lena, "t.parquet", data, "glcm")
    write_table(measure_files([tree], ["intensity"], workers=1).rows, tmp_path / "u.csv", "csv")
    with pytest.raises(Refused, match=r"u\.csv states no reference standard"):
        features_data.table_cohort(lena, "u.csv", (tmp_path / "u.csv").read_bytes(), "intensity")

    study = add_studies(1, task="breast-ultrasound")[0]
    at = open_page("features", "Lena", study=study.id)
    at = at.segmented_control(key="feat_source").set_value("A feature table").run()
    at = at.file_uploader(key="feat_table").upload("t.parquet", data, "application/octet-stream").run()
    assert f"intensity.mean, n = {len(rows)}" in charts(at)


def test_numbers_are_measured_once_for_each_picture(store, monkeypatch):
    """A second look, by whomever, measures nothing."""
    add_people()
    study = add_studies(1)[0]
    open_page("features", study=study.id, family="haralick")
    monkeypatch.setattr(features_data, "extract", lambda *_: pytest.fail("measured again"))
    assert len(shown_numbers(open_page("features", "Anna", study=study.id, family="haralick"))) == 13


def register_baseline(folder, status="candidate"):
    """A baseline without any knowledge, registered for breast MRI."""
    known, task, path = get_architecture("features-logistic"), TASKS["breast-mri"], folder / "c.pt"
    state = known.build(2).state_dict()
    version = save_checkpoint(Checkpoint(known.name, task.name, task.classes, known.preprocessing(16), state), path)
    models.store_model_file(path, version)
    with engine.write() as session:
        models.add_model(session, model_record(load_checkpoint(path), "Baseline"))
        if status != "candidate":
            models.set_model_status(session, version, status, "Lena")


def test_a_registered_baseline_is_explained_by_its_coefficients(store, tmp_path):
    """The strongest coefficients as bars, for the positive class."""
    add_people()
    add_studies(1)
    register_baseline(tmp_path)
    at = open_page("features")
    assert any(title.startswith("Strongest 20 of") and title.endswith("for malignant") for title in charts(at))


def test_a_baseline_reads_studies_like_any_model(store, tmp_path, monkeypatch):
    """The review page shows its result; Grad-CAM, which it cannot have, is not offered, with the reason; the form is there."""
    monkeypatch.setenv("TUMORTRACE_PROTOCOL", "aided")
    add_people()
    study = add_studies(1)[0]
    register_baseline(tmp_path, "active")
    at = open_page("review", study=study.id)
    assert "Says **" in said(at)
    (choice,) = [c for c in at.multiselect if c.label == "Heatmap"]
    assert "Occlusion" in choice.options
    assert "Grad-CAM" not in choice.options
    (withheld,) = [c for c in at.caption if c.value.startswith("Not offered for this model: Grad-CAM")]
    assert "Grad-CAM: it needs a map of features, and features-logistic has none." in withheld.proto.help
    assert any(b.label.startswith("Save") for b in at.button)


def test_an_empty_store_says_what_to_do(store):
    """One sentence, the way to the upload, and the place for a file that is only looked at."""
    add_people()
    at = open_page("features")
    assert "Add the first ones" in said(at)
    assert [link.proto.label for link in at.get("page_link")] == ["Upload studies"]
    assert [uploader.key for uploader in at.file_uploader] == ["feat_file:0"]


def png(shape=(30, 44), seed=5):
    """A grey noise picture as PNG bytes."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def look_at(at, name, content):
    """The page once that file was dropped."""
    (uploader,) = [u for u in at.file_uploader if u.key.startswith("feat_file:")]
    at = uploader.upload(name, content, "application/octet-stream").run()
    assert not at.exception, at.exception
    return at


def count_stored():
    """How many studies the store holds."""
    with engine.read() as session:
        return studies.count_studies(session)


def test_a_file_is_measured_without_being_stored(store):
    """On an empty store: its picture and the numbers that `extract` gives, and the store is still empty."""
    add_people()
    at = look_at(open_page("features", family="glcm"), "picture.png", png())
    vector = extract(read_upload("picture.png", png())[0].images[0], ["glcm"])
    table = shown_numbers(at)
    assert [f"glcm.{name}" for name in table.index] == list(vector.names)
    np.testing.assert_array_equal(table["A · picture"], vector.values)
    assert "whole image, 44 × 30 pixels" in at.get("image")[0].captions[0]
    assert not at.error
    assert count_stored() == 0


def test_a_file_stands_beside_a_stored_study_until_it_is_closed(store):
    """The file is the left side and the second study stays; closing it brings the first study back."""
    add_people()
    made = add_studies()
    at = look_at(open_page("features", study=made[2].id, other=made[1].id), "picture.png", png())
    assert list(shown_numbers(at).columns[:2]) == ["A · picture", "B · Study 0001"]
    at = at.button(key="feat_file_close").click().run()
    assert list(shown_numbers(at).columns[:2]) == ["A · Study 0002", "B · Study 0001"]
    assert count_stored() == len(made)


def test_any_image_of_a_file_can_be_chosen(store):
    """Of a stack of three the second is measured when it is asked for; of two studies the first is taken, and said so."""
    add_people()
    stack, packed = io.BytesIO(), io.BytesIO()
    pages = [Pillow.fromarray(np.full((20, 20), level, np.uint8)) for level in (0, 51, 255)]
    pages[0].save(stack, "TIFF", save_all=True, append_images=pages[1:])
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.tif", stack.getvalue())
        archive.writestr("b.png", png())
    at = look_at(open_page("features"), "two.zip", packed.getvalue())
    assert [text.value for text in at.text] == ["a, not stored; the first of 2 studies in the file"]
    (number,) = [n for n in at.number_input if n.label == "Image of 3"]
    at = number.set_value(2).run()
    assert shown_numbers(at)["A · a"]["mean"] == pytest.approx(0.2)  # 51 of 255


def test_a_wrong_file_is_one_sentence(store):
    """A text that calls itself DICOM is refused in the reader's words; nothing is shown or stored, and it can be closed."""
    add_people()
    at = look_at(open_page("features"), "note.dcm", b"This is a letter, no picture.")
    with pytest.raises(StudyRejected) as refused:
        read_upload("note.dcm", b"This is a letter, no picture.")
    assert [error.value for error in at.error] == [str(refused.value)]
    assert not at.dataframe
    assert not at.get("image")
    assert count_stored() == 0
    assert not at.button(key="feat_file_close").click().run().error


def test_a_lead_is_told_that_a_picture_without_a_task_has_no_others(store):
    """A PNG says not what it shows: no strip plot, one sentence, and the numbers are there."""
    add_people()
    add_studies()
    at = look_at(open_page("features", "Lena"), "picture.png", png())
    assert "does not say what it shows" in said(at)
    assert not at.error
    assert len(shown_numbers(at))
