"""The Datasets page: for leads only, every section of a dataset with and without pictures, registering by path."""

import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image as Pillow

from core.datasets import load_dataset
from core.datasets.profile import make_profile, profile_folder
from core.records import Refused
from db import datasets, engine, users
from db.datasets import DatasetEntry
from pages.ui import dataset_data, dataset_map, jobs
from tests.pages.conftest import register
from tests.pages.test_pages import button, open_page, said

WORDS = {
    "Overview": "By split and class", "Missing values": "whose picture is absent", "Distributions": "left out of a column's n",
    "Cross-tables": "Wilson's 95 % interval", "Samples": "of 12", "Domain shift": "Display brightness",
    "Duplicates": "Identical: equal pixels", "Outliers": "modified z-score", "Map": "No model for breast mri is registered yet",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh_caches():
    """Pages must not see what another test's pages kept."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def add(path: Path, task: str, name: str) -> DatasetEntry:
    """Register a dataset as the terminal does, and a lead and a reviewer to look at it."""
    dataset = load_dataset(path, task)
    make_profile(dataset, profile_folder(dataset.fingerprint, task))
    entry = DatasetEntry(name, str(path.resolve()), task, dataset.fingerprint, dataset.counts())
    with engine.write() as session:
        datasets.add_dataset(session, entry)
        for person, role in (("Lea", "lead"), ("Rita", "reviewer")):
            if users.get_user(session, person) is None:
                users.add_user(session, person, role)
    return entry


def people() -> tuple[users.User, users.User]:
    """A lead and a reviewer."""
    with engine.write() as session:
        return users.add_user(session, "Lea", "lead"), users.add_user(session, "Rita", "reviewer")


def rsna_like(folder: Path, patients: int = 40) -> Path:
    """A table in the RSNA columns without any picture: 4 images per patient, every fourth patient has cancer."""
    head = "site_id,patient_id,image_id,laterality,view,age,cancer,implant,density,machine_id"
    rows = [
        f"{p % 2 + 1},{p},{p}{k},{'LR'[k % 2]},{'CC' if k < 2 else 'MLO'},{40 + p},{int(p % 4 == 0)},0,{'' if p % 2 else 'B'},29"
        for p in range(patients)
        for k in range(4)
    ]
    (folder / "train.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder / "train.csv"


def go_to(at, section: str):
    """Open a section as a click does."""
    control = next(c for c in at.get("button_group") if c.key.startswith("ds_section"))
    control.set_value(section).run()
    assert not at.exception, at.exception
    return at


def sections(at) -> list[str]:
    """The sections that are offered."""
    control = next(c for c in at.get("button_group") if c.key.startswith("ds_section"))
    return [getattr(option, "content", option) for option in control.options]


def test_without_datasets_the_page_says_how_to_add_one(store):
    """A lead on an empty store is told both ways."""
    people()
    assert "python -m db add-dataset" in said(open_page("datasets", "Lea"))


def test_a_reviewer_learns_nothing(store, phantoms):
    """The page shows one sentence and neither names, counts nor pictures; the data's doors are shut as well."""
    entry = add(phantoms, "breast-mri", "Phantoms")
    at = go_to(open_page("datasets", "Lea"), "Samples")
    assert at.get("image")  # what she would see if the page let her in
    at.user = {"name": "Rita"}
    at.run()
    assert "Only a project lead" in said(at)
    assert "Phantoms" not in said(at)
    assert not at.dataframe
    assert not at.get("image")
    assert not at.selectbox
    with engine.read() as session:
        rita = users.get_user(session, "Rita")
    for door in (
        lambda: dataset_data.listed(rita),
        lambda: dataset_data.opened(rita, entry),
        lambda: dataset_data.register(rita, phantoms, "breast-mri", "x"),
    ):
        with pytest.raises(Refused, match="Only a project lead"):
            door()


@pytest.mark.parametrize("section", WORDS)
def test_every_section_opens_for_pictures(store, phantoms, section):
    """Each section of a dataset with pictures says what it should."""
    add(phantoms, "breast-mri", "Phantoms")
    text = said(go_to(open_page("datasets", "Lea"), section))
    assert WORDS[section] in text
    assert "Research use" in text


def test_a_table_without_pictures_has_the_sections_of_a_table(store, tmp_path):
    """160 rows, 40 patients: counts and gaps are right, and nothing offers to look at pictures."""
    add(rsna_like(tmp_path), "mammography", "Table")
    at = open_page("datasets", "Lea")
    assert sections(at) == ["Overview", "Missing values", "Distributions", "Cross-tables"]
    assert "without its pictures" in said(at)
    counts = at.dataframe[0].value
    assert counts.loc["all"].tolist() == [120, 40, 160, 40]
    missing = go_to(at, "Missing values").dataframe[0].value.set_index("column")
    assert (missing["missing"]["picture"], missing["missing"]["density"], missing["percent"]["density"]) == (
        160,
        80,
        50,
    )
    cross = go_to(at, "Cross-tables")
    cross.selectbox(key="ds_cross:Table").set_value("density").run()
    frame = cross.dataframe[0].value
    assert frame[["value", "n", "k"]].to_numpy().tolist() == [["B", 80, 40], ["missing", 80, 0]]


def test_distributions_show_means_of_many_values_and_shares_of_few(store, tmp_path):
    """Ages 40 to 79 have a mean of 59.5; sites 1 and 2 have half each."""
    add(rsna_like(tmp_path), "mammography", "Table")
    text = said(go_to(open_page("datasets", "Lea"), "Distributions"))
    assert "Mean 59.50" in text
    assert "1: 50.0 %, 2: 50.0 %" in text


def test_samples_are_changed_by_the_chosen_recipe_and_others_are_drawn(store, phantoms):
    """A recipe changes the shown pictures, going back restores them, and "Others" draws other cases."""
    add(phantoms, "breast-mri", "Phantoms")
    at = go_to(open_page("datasets", "Lea"), "Samples")

    def shown():
        return [image.value[0] for image in at.get("image")]

    plain = shown()
    assert len(plain) == 8 + 8 + 4 * 5  # at most 8 of each class in each split of 24, 10 and 10 patients
    at.selectbox(key="ds_recipe").set_value("default").run()
    changed = shown()
    assert len(changed) == len(plain)
    assert len(set(changed) - set(plain)) > len(plain) // 2
    at.selectbox(key="ds_recipe").set_value("as they are").run()
    assert shown() == plain
    button(at, "Others").click().run()
    assert shown()[:8] != plain[:8]


def test_a_planted_leak_is_shown_side_by_side(store, tmp_path):
    """One picture in train and test with contradicting labels: counted, and both shown with their names."""
    rng, folder = np.random.default_rng(0), tmp_path / "set"
    for i in range(12):
        coarse = Pillow.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
        picture = coarse.resize((40, 40), Pillow.Resampling.BICUBIC)
        places = [f"{('train', 'val', 'test')[i % 3]}/{('benign', 'malignant')[i % 2]}/P{i}/{i}.png"]
        places += ["test/malignant/P99/twin.png"] if i == 0 else []
        for place in places:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            picture.save(folder / place)
    add(folder, "breast-ultrasound", "Leaky")
    at = go_to(open_page("datasets", "Lea"), "Duplicates")
    control = next(c for c in at.get("button_group") if c.key == "ds_pairs")
    labels = [getattr(option, "content", option) for option in control.options]
    assert "Across splits (1)" in labels
    assert "Contradicting labels (1)" in labels
    assert "contradicting labels" in said(at)
    captions = [image.captions[0] for image in at.get("image")]
    assert captions == ["…alignant/P99/twin.png, test, malignant", "train/benign/P0/0.png, train, benign"]


def finished(key: tuple[str, ...]) -> Future:
    """The job's future, once it is done."""
    job = jobs._jobs()[key]
    deadline = time.monotonic() + 60
    while not job.future.done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return job.future


def test_a_lead_registers_by_path(store, tmp_path):
    """Path, task and name become a dataset of the store with a profile, and the page opens it."""
    lea, _ = people()
    at = open_page("datasets", "Lea")
    path = rsna_like(tmp_path)
    at.text_input(key="ds_path").set_value(str(path))
    at.text_input(key="ds_name").set_value("By hand")
    at.selectbox(key="ds_task").set_value("mammography").run()
    button(at, "Register").click().run()
    key = ("register", str(path), "mammography")
    if jobs.running(key):
        finished(key)
        at.run()
    assert not at.exception
    with engine.read() as session:
        entry = datasets.get_dataset(session, "By hand")
    assert entry.path == str(path)
    assert sum(sum(classes.values()) for classes in entry.counts.values()) == 160
    assert dataset_data.opened(lea, entry).profile.table["patient_id"].nunique() == 40
    assert at.query_params["dataset"] == "By hand"
    assert at.selectbox[1].value == "By hand"


def test_what_is_no_dataset_is_refused_in_a_sentence(store, tmp_path):
    """A wrong path says so, on the page, and can be tried again."""
    people()
    at = open_page("datasets", "Lea")
    at.text_input(key="ds_path").set_value(str(tmp_path / "nothing")).run()
    button(at, "Register").click().run()
    key = ("register", str(tmp_path / "nothing"), at.selectbox(key="ds_task").value)
    if jobs.running(key):
        finished(key)
        at.run()
    assert "There is no dataset at nothing." in said(at)
    assert not jobs.running(key)


def test_a_dataset_whose_profile_is_gone_says_what_to_do(store, tmp_path):
    """A restored database without its folder is one sentence, not a traceback."""
    entry = add(rsna_like(tmp_path), "mammography", "Table")
    (profile_folder(entry.fingerprint, entry.task) / "table.parquet").unlink()
    assert "register it again" in said(open_page("datasets", "Lea"))


def test_the_map_shows_the_models_view_and_is_kept(store, phantoms, trained):
    """After one run of the model: 44 cases on the map, coloured as chosen; outliers can use the distance."""
    entry = add(phantoms, "breast-mri", "Phantoms")
    version = register(trained)
    at = go_to(open_page("datasets", "Lea"), "Map")
    button(at, "Map the cases").click().run()
    key = ("embed", str(profile_folder(entry.fingerprint, entry.task)), version)
    if jobs.running(key):
        finished(key)
        at.run()
    assert "hold" in said(at)
    assert len(at.get("plotly_chart")) == 1
    at.selectbox(key="ds_colour:Phantoms").set_value("predicted").run()
    assert not at.exception
    go_to(at, "Outliers").selectbox(key="ds_outlier_model").set_value(version[:16]).run()
    assert not at.exception
    assert "modified z-score" in said(at)


def test_a_dataset_that_changed_on_disk_is_not_mapped(store, tmp_path, trained):
    """Pictures that are no longer those of the registration are refused."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for label in ("benign", "malignant"):
            (tmp_path / f"d/{split}/{label}").mkdir(parents=True)
            Pillow.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(tmp_path / f"d/{split}/{label}/a.png")
    entry = add(tmp_path / "d", "breast-mri", "Changing")
    with engine.read() as session:
        shown = dataset_data.opened(users.get_user(session, "Lea"), entry)
    Pillow.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "d/test/benign/a.png")
    with pytest.raises(Refused, match="has changed since it was registered"):
        dataset_data.embedding_work(shown, register(trained), jobs.Job())


def test_cases_of_the_map_say_what_the_model_says(store, phantoms):
    """The predicted class is the most probable one, beside the reference standard of the same row."""
    entry = add(phantoms, "breast-mri", "Phantoms")
    with engine.read() as session:
        shown = dataset_data.opened(users.get_user(session, "Lea"), entry)
    cases = dataset_map._cases(shown, np.array([[0.9, 0.1], [0.3, 0.7]]), np.array([5, 0]))
    assert cases["predicted"].tolist() == ["benign", "malignant"]
    assert cases["case_id"].tolist() == shown.profile.table["case_id"].iloc[[5, 0]].tolist()
    assert cases["text"][1].endswith("model says malignant (0.70)")
