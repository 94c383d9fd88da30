"""The pages as scripts: what each says and stores, for an empty store, one study and thousands."""

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image as Pillow
from streamlit.testing.v1 import AppTest

from core.checkpoint import load_checkpoint
from core.predict import predict_with
from core.records import Image, Refused, Review, Study, full_range_window, study_id
from db import audit, engine, models, predictions, reviews, studies, users
from pages.ui import imports
from pages.ui.identity import require_lead
from tests.pages.conftest import register
from tests.pages.serving import ROOT

PAGES = ("worklist", "review", "upload", "clean", "agreement", "runs", "performance", "comparison", "models")


def add_person(name="Anna", role="reviewer"):
    """Somebody who may sign in."""
    with engine.write() as session:
        return users.get_user(session, name) or users.add_user(session, name, role)


def add_studies(count=1, task="breast-mri", modality="MR"):
    """Studies of random pictures, in order of their names; gives their ids."""
    rng, ids = np.random.default_rng(0), []
    with engine.write() as session:
        for number in range(count):
            pixels = rng.integers(0, 4096, (24, 32)).astype(np.uint16)
            images = (Image(pixels, full_range_window(pixels), laterality="L"),)
            study = Study(
                study_id(images), f"Study {number:04}", modality, images, task=task, patient_id=f"P-{number:04}"
            )
            studies.add_study(session, dataclasses.replace(study, reference_standard="malignant"))
            ids.append(study.id)
    return ids


def open_page(name, user="Anna", **query):
    """A page of the program as that person sees it."""
    at = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=60)
    at.user = {"name": user}
    at.query_params.update(query)
    if name != "worklist":
        at.switch_page(f"{name}.py")
    at.run()
    assert not at.exception, at.exception
    return at


def said(at):
    """Everything the page says, as one text."""
    kinds = ("title", "markdown", "caption", "error", "warning", "info", "subheader")
    return "\n".join(str(element.value) for kind in kinds for element in at.get(kind))


def button(at, text):
    """The button whose label begins so."""
    found = [b for b in at.button if b.label.startswith(text)]
    assert found, f"no button {text!r} among {[b.label for b in at.button]}"
    return found[0]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_an_empty_store_and_says_what_to_do(store, page):
    """No page needs data to open; each says what comes next and that it is not for diagnosis."""
    add_person()
    text = said(open_page(page))
    assert "Research use, not for diagnosis." in text
    nexts = ("Add", "Read a study", "Train one", "Score a model", "Choose two", "Drop", "is listed here", "wait here")
    assert any(word in text for word in nexts)


def test_nobody_signed_in_sees_nothing(store):
    """A script run without a known person shows one sentence and no study."""
    add_studies()
    at = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=60).run()
    assert "not signed in" in said(at)
    assert not at.dataframe


def test_worklist_pages_through_thousands_in_the_database(store):
    """2,000 studies: 50 rows are sent, and the second page has the next 50."""
    add_person()
    add_studies(2000)
    at = open_page("worklist")
    first = at.dataframe[0].value
    assert len(first) == 50
    assert "0 of 2000 read" in at.get("progress")[0].proto.text
    at.number_input(key="wl_page").set_value(2).run()
    second = at.dataframe[0].value
    assert list(second["name"]) == [f"Study {n:04}" for n in range(50, 100)]


def test_worklist_search_takes_percent_literally_and_says_when_nothing_matches(store):
    """A search for % finds studies with % in their name only, not all."""
    add_person()
    add_studies(3)
    at = open_page("worklist")
    at.text_input(key="wl_search").set_value("%").run()
    assert "Nothing matches" in said(at)
    at.text_input(key="wl_search").set_value("0002").run()
    assert list(at.dataframe[0].value["name"]) == ["Study 0002"]
    assert at.dataframe[0].value["created_at"].str.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d").all()


def test_a_link_to_an_unknown_study_says_so(store):
    """A stale link ends in a sentence and a way back."""
    add_person()
    assert "No such study" in said(open_page("review", study="f" * 64))


def test_blind_reading_makes_no_prediction(store, trained):
    """Opening a case for a blind reading neither shows nor stores a prediction."""
    add_person()
    version = register(trained)
    (one,) = add_studies()
    at = open_page("review", study=one)
    text = said(at)
    assert "Read first" in text
    assert "Small CNN" not in text
    assert not at.selectbox
    with engine.read() as session:
        assert predictions.get_prediction(session, one, version) is None


def read(at, number_key, save):
    """Choose a class by its button and save."""
    button(at, number_key).click().run()
    button(at, save).click().run()
    assert not at.exception, at.exception
    return at


def test_save_stays_off_until_a_class_is_chosen(store):
    """There is no default answer: nothing can be saved before the reviewer decides."""
    add_person()
    (one,) = add_studies()
    at = open_page("review", study=one)
    assert button(at, "Save").disabled
    button(at, "Malignant").click().run()
    assert not button(at, "Save").disabled


def test_unaided_then_aided_then_corrected(store, trained):
    """Two phases and a correction are three rows; the correction points to the reading it replaces; the audit chain holds."""
    add_person()
    version = register(trained)
    (one,) = add_studies()
    at = read(open_page("review", study=one), "Benign", "Save and show")
    assert any("Small CNN" in option for option in at.selectbox[0].options)
    read(at, "Malignant", "Save and next")
    at = open_page("review", study=one)
    assert "Your aided reading: **Malignant**" in said(at)
    button(at, "Correct this reading").click().run()
    read(at, "Benign", "Save and next")
    with engine.read() as session:
        history = reviews.review_history(session, one, "Anna")
        assert audit.verify(session) is None
    assert [(r.phase, r.label) for r in history] == [("unaided", "benign"), ("aided", "malignant"), ("aided", "benign")]
    assert history[2].supersedes == history[1].id
    assert history[0].prediction_id is None
    assert history[1].prediction_id is not None
    assert version


def test_aided_protocol_shows_the_model_at_once(store, trained, monkeypatch):
    """Where the installation reads aided only, the first reading is an aided one."""
    monkeypatch.setenv("TUMORTRACE_PROTOCOL", "aided")
    add_person()
    register(trained)
    (one,) = add_studies()
    read(open_page("review", study=one), "Malignant", "Save and next")
    with engine.read() as session:
        assert [r.phase for r in reviews.review_history(session, one, "Anna")] == ["aided"]


def test_no_model_for_a_task_is_said_and_reading_goes_on(store):
    """Without an active model the aided reading is still possible, and the page says who can help."""
    add_person()
    (one,) = add_studies()
    at = read(open_page("review", study=one), "Benign", "Save and show")
    assert "No active model for breast mri" in said(at)
    read(at, "Benign", "Save and next")
    with engine.read() as session:
        assert reviews.latest_review(session, one, "Anna", "aided").prediction_id is None


def test_a_model_of_another_task_is_not_offered(store, trained):
    """A mammogram is not shown to a breast-MRI model."""
    add_person()
    register(trained)
    (one,) = add_studies(task="mammography", modality="MG")
    at = read(open_page("review", study=one), "Normal", "Save and show")
    assert "No active model for mammography" in said(at)


def upload(task=None, **files):
    """Drop files on the upload page."""
    at = open_page("upload")
    if task:
        at.selectbox(key="upload_task").set_value(task).run()
    for name, data in files.items():
        at.file_uploader[0].upload(name.replace("_dot_", "."), data, "application/octet-stream")
    at.run()
    for _ in range(60):  # the import runs beside the page
        if not any(button.key == "upload_stop" for button in at.button):
            break
        at.run()
    assert not at.exception, at.exception
    return at


def png(value=100, size=(40, 30)):
    """A grey PNG as bytes."""
    out = io.BytesIO()
    Pillow.new("L", size, value).save(out, "PNG")
    return out.getvalue()


def in_zip(name, data):
    """A ZIP with one member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


def test_the_upload_page_says_what_is_kept_of_files(store, monkeypatch):
    """No promise that the installation does not keep; a misspelt setting is a sentence, and no file can be dropped."""
    add_person()
    for kept, words in (
        ("nothing", "are not kept."),
        ("deidentified", "de-identified copy"),
        ("original", "keeps files as"),
    ):
        monkeypatch.setenv("TUMORTRACE_KEEP", kept)
        assert words in open_page("upload").file_uploader[0].label
    monkeypatch.setenv("TUMORTRACE_KEEP", "all")
    at = open_page("upload")
    assert "must be nothing, deidentified or original" in said(at)
    assert not at.file_uploader


def test_upload_stores_once_and_says_the_second_time_that_it_is_there(store):
    """The same picture twice is one study."""
    add_person()
    first = upload("breast-mri", lesion_dot_png=png())
    assert "1 stored, 0 refused" in said(first)
    again = upload("breast-mri", other_dot_png=png())
    assert "0 stored, 1 already there, 0 refused" in said(again)
    with engine.read() as session:
        assert studies.count_studies(session) == 1


def test_an_import_that_ends_while_its_progress_is_drawn_is_listed_by_the_run_that_follows(store, monkeypatch):
    """It must not be forgotten before somebody has seen what became of the files."""
    add_person()
    monkeypatch.setattr(imports, "_SHORT", 0.0)
    monkeypatch.setattr(imports, "_progress", lambda user, found: found.future.result(30))
    assert "1 stored, 0 refused" in said(upload("breast-mri", lesion_dot_png=png()).run())


def huge_png():
    """30,000 × 30,000 black pixels in a few kilobytes."""
    out = io.BytesIO()
    Pillow.new("1", (30_000, 30_000)).save(out, "PNG")
    return out.getvalue()


def with_objects():
    """An NPZ that holds pickled objects."""
    out = io.BytesIO()
    np.savez(out, test_images=np.array([{"a": 1}], dtype=object))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notes.dcm", b"these are my notes, not an image\n"),
        ("cut.png", png(size=(300, 300))[:-40]),
        ("nested.zip", in_zip("inner.zip", in_zip("a.png", png()))),
        ("objects.npz", with_objects()),
        ("empty.png", b""),
        ("huge.png", huge_png()),
    ],
)
def test_wrong_files_get_one_sentence_and_nothing_is_stored(store, name, data):
    """What cannot be read is refused with its name and a reason, and the store stays empty."""
    add_person()
    at = upload("breast-mri", **{name.replace(".", "_dot_"): data})
    assert "0 stored, 1 refused" in said(at)
    assert len(at.error) == 1
    assert len(at.error[0].value) > 20
    with engine.read() as session:
        assert studies.count_studies(session) == 0


def test_a_picture_without_a_task_is_refused_with_what_to_do(store):
    """A PNG says nothing of what it shows: the page asks."""
    add_person()
    assert "Choose the task" in said(upload(lesion_dot_png=png()))


def test_reviewers_can_not_change_models(store, trained):
    """Neither by a button nor by the function behind it."""
    reviewer = add_person()
    register(trained, "candidate")
    at = open_page("models")
    assert "Activate" not in [b.label for b in at.button]
    with pytest.raises(Refused, match="Only a project lead"):
        require_lead(reviewer)


def test_a_lead_activates_and_withdraws(store, trained):
    """The status in the store follows the lead's click, and the audit log says who did it."""
    add_person("Lea", "lead")
    version = register(trained, "candidate")
    at = open_page("models", "Lea")
    button(at, "Activate").click().run()
    with engine.read() as session:
        assert models.get_model(session, version).status == "active"
    button(at, "Withdraw").click().run()
    with engine.read() as session:
        assert models.get_model(session, version).status == "withdrawn"
        assert "Lea" in set(audit.list_entries(session)["actor"])


def test_performance_shows_the_numbers_of_the_run(store, trained):
    """Tiles and table hold the run's own figures, each with n."""
    add_person("Lea", "lead")
    register(trained)
    metrics = json.loads((trained / "test" / "run.json").read_text())["metrics"]
    at = open_page("performance", "Lea")
    shown = {m.label: m.value for m in at.metric}
    assert shown["AUC"] == f"{metrics['auc']['value']:.3f}"
    assert shown["Accuracy"] == f"{metrics['accuracy']['value']:.3f}"
    table = at.dataframe[0].value.set_index("Metric")
    assert table.loc["AUC", "Low"] == pytest.approx(metrics["auc"]["low"])
    assert set(table["n"]) <= {m["n"] for m in metrics.values()}
    assert len(at.get("plotly_chart")) == 3


def add_aided(study, reviewer, label, prediction_id):
    """One aided review."""
    token = f"{study}{reviewer}"
    with engine.write() as session:
        reviews.add_review(
            session, Review(study, reviewer, "aided", label, token, prediction_id=prediction_id, confidence=80)
        )


@pytest.fixture
def readings(store, trained):
    """Six studies predicted by the model; Anna agrees with it on four, Ben on none."""
    version = register(trained)
    checkpoint = load_checkpoint(models.model_file(version))
    add_person("Anna")
    add_person("Ben")
    add_person("Lea", "lead")
    for number, one in enumerate(add_studies(6)):
        with engine.read() as session:
            study = studies.get_study(session, one)
        prediction = predict_with(checkpoint, checkpoint.module(), study, "cpu")
        with engine.write() as session:
            prediction_id = predictions.add_prediction(session, prediction, requested_by="Anna")
        other = "benign" if prediction.predicted == "malignant" else "malignant"
        add_aided(one, "Anna", prediction.predicted if number < 4 else other, prediction_id)
        add_aided(one, "Ben", other, prediction_id)
    return version


def section(at, name):
    """The agreement page with that section open."""
    return at.segmented_control(key="agr_part").set_value(name).run()


def test_agreement_counts_what_was_saved(readings):
    """A lead sees both reviewers: 4 of 6 and 0 of 6, with n and interval, and eight disagreements."""
    at = open_page("agreement", "Lea")
    table = at.dataframe[0].value.set_index("Reviewer")
    assert table.loc["Anna", "Raw agreement"].startswith("0.67 (")
    assert table.loc["Anna", "Raw agreement"].endswith("n = 6")
    assert table.loc["Ben", "Raw agreement"].startswith("0.00 (")
    assert "Disagreements (8)" in said(section(at, "Disagreements"))


def test_a_reviewer_sees_only_their_own_readings(readings):
    """Anna's agreement page does not mention Ben."""
    at = open_page("agreement", "Anna")
    assert list(at.dataframe[0].value["Reviewer"]) == ["Anna"]
    section(at, "Disagreements")
    assert set(at.dataframe[0].value["reviewer"]) == {"Anna"}
    assert "Ben" not in said(section(at, "Groups and time")) + said(section(at, "Two by two"))
    assert "Coefficients among readers need two of them" in said(section(at, "Coefficients"))


@pytest.mark.parametrize("part", ["Groups and time", "Two by two", "Coefficients"])
def test_every_section_of_agreement_runs(readings, part):
    """With two reviewers on six studies; slow work is waited for."""
    at = section(open_page("agreement", "Lea"), part)
    for _ in range(20):
        if not at.get("progress"):
            break
        at.run()
    assert not at.exception
    assert [e.value for e in at.error] == []
    if part == "Coefficients":
        names = at.dataframe[0].value["Coefficient"].tolist()
        assert "Gwet's AC1" in names
        assert "n = 6" in at.dataframe[0].value["Value"].iloc[0]
