"""What the viewer is given for mammograms and dynamic series, and what the route of derived pictures answers."""

from __future__ import annotations

import dataclasses
import gzip
import json

import numpy as np
import pytest

from core.reading import read_uploads
from core.records import Image, Study, full_range_window
from db import engine, holds, studies
from pages.ui import derived
from pages.ui.frames import frames_of, hanging_of, pictures_of, prefetch_of
from tests.pages import test_server
from tests.pages.exams import DISC, dynamic, four_views, mammogram, study_of
from tests.pages.test_pages import add_person, open_page


def stored(study: Study) -> studies.StudySummary:
    """The study as a page gets it from the store."""
    with engine.write() as session:
        studies.add_study(session, study)
    with engine.read() as session:
        found = studies.get_study_summary(session, study.id)
    assert found is not None
    return found


def viewer_data(study_id: str) -> dict:
    """What the review page gives to the viewer."""
    at = open_page("review", study=study_id)
    return next(data for c in at.get("bidi_component") if "frames" in (data := json.loads(c.proto.json)))


def test_screening_mammogram_hangs_in_four_places(store):
    """RCC, LCC, RMLO, LMLO, whatever order the files came in; the chest wall is where the patient's front does not lead."""
    add_person()
    study = stored(study_of(four_views()))
    data = viewer_data(study.id)
    hung = [data["frames"][place[0]] for place in data["hanging"]]
    assert [(f["laterality"], f["view"]) for f in hung] == [("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")]
    assert [f["chest_wall"] for f in hung] == ["left", "left", "right", "right"]
    assert [f["marks"] for f in hung] == [["P", "A"], ["P", "A"], ["A", "P"], ["A", "P"]]
    assert len({url for url in prefetch_of(study.id)} & {f["url"] for f in hung}) == 4


def test_place_keeps_all_images_of_its_view_and_missing_views_are_empty(store):
    """Two R CC and an R ML beside L CC: R CC hangs with a second behind it, the MLO places are empty, ML hangs nowhere."""
    files = [
        (f"{n}.dcm", mammogram(side, view, "left", (90, 60 + n), InstanceNumber=n))
        for n, (side, view) in enumerate([("R", "CC"), ("R", "ML"), ("R", "CC"), ("L", "CC")])
    ]
    assert hanging_of(stored(study_of(files))) == [[0, 2], [3], [], []]


def test_single_and_odd_studies_do_not_hang(store):
    """One view, one view twice, views that are none of the four, and no mammogram at all: as ever, one picture at a time."""
    one = [("a.dcm", mammogram("R", "CC", "left")), ("b.dcm", mammogram("R", "CC", "left", (90, 61)))]
    odd = [("a.dcm", mammogram("R", "ML", "left")), ("b.dcm", mammogram("L", "AT", "left"))]
    for files in (one[:1], one, odd):
        assert hanging_of(stored(study_of(files))) == []
    study = study_of(four_views())
    assert hanging_of(stored(dataclasses.replace(study, id="f" * 64, modality="DX"))) == []


def test_chest_wall_is_unknown_without_an_orientation(store):
    """Without letters the browser looks for the tissue; an orientation towards the head says nothing of it either."""
    for number, letters in enumerate((None, ["H", "L"])):
        file = mammogram("R", "CC", "left", PatientOrientation=letters, StudyInstanceUID=f"1.2.{number}")
        (frame,) = frames_of(stored(study_of([("a.dcm", file)])))
        assert frame.chest_wall == ""


def test_raw_twins_hang_apart_and_say_so(store):
    """FOR PROCESSING pictures are a study of their own: they take no place beside their presentations, and are called raw."""
    twins = [(f"raw {name}", data) for name, data in four_views((91, 60), PresentationIntentType="FOR PROCESSING")]
    outcomes = read_uploads([*four_views(), *twins], trusted=True)
    shown, raw = (stored(study) for outcome in outcomes for study in outcome.studies)
    assert [len(place) for place in hanging_of(shown)] == [1, 1, 1, 1]
    assert raw.name.endswith("for processing")
    assert "Raw detector values" in raw.metadata["notices"][0]


def test_dynamic_series_is_given_in_order_with_an_address(store):
    """3 phases × 8 slices in order, left and right marked, and one address for what is derived of them."""
    add_person()
    data = viewer_data(stored(study_of(dynamic())).id)
    assert [(f["phase"], f["slice"]) for f in data["frames"]] == [(p, s) for p in range(3) for s in range(8)]
    assert [series["series"] for series in data["dynamic"]] == [0]
    assert data["frames"][0]["marks"] == ["R", "L"]
    assert data["hanging"] == []


def test_still_series_has_nothing_derived(store):
    """One phase is no dynamic series."""
    assert pictures_of(stored(study_of(dynamic(phases=1))))["dynamic"] == []


@pytest.fixture
def ask(store):
    """Ask the route for a derived picture of a stored series; gives the study, its address and the answers' values or text."""
    study = stored(study_of(dynamic(slices=4)))
    (series,) = pictures_of(study)["dynamic"]

    def get(query: str, address: str = series["url"]):
        status, headers, body = test_server.ask(f"/{address}{query}", headers=test_server.cookie())
        if status != 200:
            return status, body.decode()
        meaning = json.loads(headers["x-picture"])
        pixels = np.frombuffer(gzip.decompress(body), "<u2").reshape(64, 64)
        return 200, pixels * meaning["slope"] + meaning["intercept"]

    get.study, get.address = study, series["url"]
    return get


def test_route_gives_subtractions_and_projections(ask):
    """The disc takes up 300 in phase 1 and 200 in phase 2, in slice 3 only; all else is zero. The projection shows it too."""
    rows, columns = np.mgrid[0:64, 0:64]
    disc = np.hypot(rows - DISC["center"][0], columns - DISC["center"][1]) < DISC["radius"]
    for phase, uptake in ((1, 300), (2, 200)):
        status, values = ask(f"&kind=subtraction&phase={phase}&slice=3")
        assert status == 200
        np.testing.assert_array_equal(values, disc * uptake)
        np.testing.assert_array_equal(ask(f"&kind=projection&phase={phase}")[1], disc * uptake)
    np.testing.assert_array_equal(ask("&kind=subtraction&phase=2&slice=0")[1], 0)


def test_derived_picture_is_made_once(ask, monkeypatch):
    """The second request for the same pixels reads none of them."""
    ask("&kind=subtraction&phase=1&slice=2")
    monkeypatch.setattr(derived, "load_image", lambda _: pytest.fail("read again"))
    assert ask("&kind=subtraction&phase=1&slice=2")[0] == 200


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("&kind=subtraction&phase=0&slice=3", 422, "no such derived picture"),
        ("&kind=average&phase=1", 422, "no such derived picture"),
        ("&kind=subtraction&phase=1&slice=4", 422, "has no slice 5"),
        ("&kind=subtraction&phase=7&slice=0", 422, "Phase 8 has no slice 1"),
        ("&kind=subtraction&phase=x&slice=0", 404, "no such picture"),
        ("&kind=subtraction", 404, "no such picture"),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(ask, query, status, words):
    """Phases and slices that the series lacks, and what no address of ours asks for."""
    assert ask(query)[0] == status
    assert words in ask(query)[1]


def test_addresses_are_signed_and_held_studies_are_not_derived(ask):
    """Another token or series is 403, and a study that waits for its cleaning gives nothing."""
    query = "&kind=subtraction&phase=1&slice=3"
    assert ask(query, ask.address[:-1] + ("0" if ask.address[-1] != "0" else "1"))[0] == 403
    assert ask(query, ask.address.replace("/0?", "/1?"))[0] == 403
    with engine.write() as session:
        holds.add_hold(session, ask.study.id, "Look at it.", "Anna")
    assert ask(query) == (403, "This picture's study is held until somebody has cleaned it.")


def test_phases_of_other_sizes_give_one_sentence(store):
    """Phases that do not lie over each other: the route says why."""
    images = tuple(
        Image(np.zeros((4, 4 + phase), np.uint16), full_range_window(np.zeros(1, np.uint16)), phase=phase, slice=0)
        for phase in range(2)
    )
    study = stored(Study("e" * 64, "MR", "MR", images))
    (series,) = pictures_of(study)["dynamic"]
    address = f"/{series['url']}&kind=projection&phase=1"
    status, _, body = test_server.ask(address, headers=test_server.cookie())
    assert status == 422
    assert body.decode() == "The phases cannot be subtracted: their pictures have 4 × 5 and 4 × 4 pixels."
    assert test_server.ask(address)[0] == 401  # nobody signed in
