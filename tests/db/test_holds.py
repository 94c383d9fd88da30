"""Held studies: nobody reads or predicts them; masked, their old pixels are gone and do not come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.records import Image, Refused, Study, full_range_window, study_id
from db import audit, engine, holds, predictions, references, reviews, studies
from db.pixels import pixel_path
from db.studies import WorklistQuery
from db.users import User
from tests.db import make

ANN, BOB, LEAD = User("Ann", "reviewer", ""), User("Bob", "reviewer", ""), User("Lea", "lead", "")


def picture(value: int) -> Image:
    """4 × 4, all `value`."""
    pixels = np.full((4, 4), value, dtype=np.uint8)
    return Image(pixels, full_range_window(pixels))


def held_study(*values: int, patient: str = "p", by: str = "Ann") -> Study:
    """Store a held study of pictures of these values."""
    images = tuple(picture(value) for value in values)
    study = replace(make.study(0), id=study_id(images, patient), images=images, reference_standard="benign")
    with engine.write() as session:
        assert studies.add_study(session, study)
        holds.add_hold(session, study.id, "Names may be seen.", by)
    return study


def release(study: Study, user: User, masked: dict[int, Image]) -> None:
    """As the page does it."""
    with engine.write() as session:
        holds.release(session, study.id, user, masked)
    with engine.write() as session:
        holds.drop_replaced(session)


def test_a_held_study_is_shown_as_held_and_is_not_next(store):
    """It stands in the worklist, counts as held, and neither next nor the reference list gives it out."""
    study = held_study(7)
    with engine.read() as session:
        query = WorklistQuery("Bob")
        assert list(studies.list_worklist(session, query)["status"]) == ["held"]
        assert studies.count_statuses(session, "Bob") == {"unread": 0, "draft": 0, "flagged": 0, "done": 0, "held": 1}
        assert studies.next_unread(session, query) is None
        assert references.list_references(session, study.task) == []
        assert studies.get_study_summary(session, study.id).held == "Names may be seen."
        assert studies.count_worklist(session, replace(query, status="held")) == 1


def test_a_held_study_is_neither_predicted_nor_read(store):
    """Enforced in the functions: whatever page asks."""
    study = held_study(7)
    with engine.write() as session:
        make.models.add_model(session, make.model())
        with pytest.raises(Refused, match="held"):
            predictions.add_prediction(session, make.prediction(study.id, make.version("model")), requested_by="Ann")
        with pytest.raises(Refused, match="held"):
            reviews.add_review(session, make.review(study.id, "t"))
        with pytest.raises(Refused, match="held"):
            holds.require_released(session, study.id)
        holds.require_released(session, "unknown")  # whoever asks for it finds out elsewhere


def test_whoever_uploaded_it_and_leads_may_clean_it(store):
    """Another reviewer sees it held but cannot release it; nobody can twice."""
    study = held_study(7)
    with engine.read() as session:
        assert [len(holds.list_holds(session, user)) for user in (ANN, BOB, LEAD)] == [1, 0, 1]
    with engine.write() as session, pytest.raises(Refused, match="uploaded"):
        holds.release(session, study.id, BOB, {})
    release(study, LEAD, {})
    with engine.write() as session, pytest.raises(Refused, match="not held"):
        holds.release(session, study.id, ANN, {})


def test_masking_replaces_pixels_and_deletes_the_old_file(store):
    """Frame 1 of two is masked: its old file is gone, frame 0 is untouched, the id stays, the audit log says who."""
    study = held_study(7, 8)
    release(study, ANN, {1: picture(0)})
    assert pixel_path(picture(7).content_hash).exists()
    assert not pixel_path(picture(8).content_hash).exists()
    with engine.read() as session:
        now = studies.get_study(session, study.id)
        entries = audit.list_entries(session)
        assert audit.verify(session) is None
        assert list(studies.list_worklist(session, WorklistQuery("Bob"))["status"]) == ["unread"]
    assert [int(image.pixels.max()) for image in now.images] == [7, 0]
    assert entries["action"].tolist()[:2] == ["study released", "study held"]
    assert entries["actor"][0] == "Ann"
    assert "masked" in entries["details"][0]


def test_the_same_file_again_finds_the_study_and_brings_nothing_back(store):
    """A second upload is the same study: no new hold, no unmasked pixels on the disk."""
    study = held_study(8)
    release(study, ANN, {0: picture(0)})
    with engine.write() as session:
        assert not studies.add_study(session, study)
        assert studies.is_stored(session, study.id)
        assert holds.held_ids(session) == set()
    assert not pixel_path(picture(8).content_hash).exists()


def test_a_picture_that_another_study_shows_stays(store):
    """Two studies share a picture: masked in one, its file stays for the other, until that one is masked too."""
    one, two = held_study(8, patient="p"), held_study(8, patient="q")
    release(one, ANN, {0: picture(0)})
    assert pixel_path(picture(8).content_hash).exists()
    release(two, ANN, {0: picture(0)})
    assert not pixel_path(picture(8).content_hash).exists()


def test_what_a_stopped_program_left_is_deleted_by_the_next_release(store):
    """The commit stands, the deletion did not happen: the next one catches up."""
    left, other = held_study(8), held_study(9, patient="q")
    with engine.write() as session:
        holds.release(session, left.id, ANN, {0: picture(0)})
    assert pixel_path(picture(8).content_hash).exists()
    release(other, ANN, {})
    assert not pixel_path(picture(8).content_hash).exists()


def test_many_are_released_at_once_each_with_its_line(store):
    """Two of three are let go by one person; a study that is not hers lets none go."""
    mine = [held_study(value, patient=str(value)) for value in (1, 2)]
    other = held_study(3, by="Bob")
    with pytest.raises(Refused, match="uploaded"), engine.write() as session:
        holds.release_seen(session, [mine[0].id, other.id], ANN)
    with engine.write() as session:
        assert holds.release_seen(session, [study.id for study in mine], ANN) == 2
        assert holds.held_ids(session) == {other.id}
        entries = audit.list_entries(session)
        assert entries["action"].tolist().count("study released") == 2
        assert [one.study_id for one in holds.list_releases(session, ANN)] == [mine[1].id, mine[0].id]
        assert holds.list_releases(session, BOB) == []
        assert len(holds.list_releases(session, LEAD, limit=1)) == 1


def test_a_released_study_is_held_again_and_masked(store):
    """Its readings stay, its pixels are hidden, then black; what was masked before does not come back either."""
    study = held_study(7, 8)
    release(study, ANN, {1: picture(0)})
    with engine.write() as session:
        reviews.add_review(session, make.review(study.id, "t", phase="unaided"))
        holds.hold_again(session, study.id, ANN, "a name in the corner")
    with engine.read() as session:
        assert studies.get_study_summary(session, study.id).held == "a name in the corner"
        assert holds.is_hidden(session, picture(7).content_hash)
        assert len(reviews.review_history(session, study.id, "Ann")) == 1
        assert audit.list_entries(session)["action"][0] == "study held again"
        with pytest.raises(Refused, match="held"):
            holds.require_released(session, study.id)
    release(study, LEAD, {0: picture(1)})
    with engine.write() as session:
        assert not studies.add_study(session, study)  # the same file again
        assert not holds.is_hidden(session, picture(1).content_hash)
    assert not any(pixel_path(picture(value).content_hash).exists() for value in (7, 8))


def test_who_may_hold_again_and_what(store):
    """Leads any study, uploaders their own; neither without a reason, a held one, nor an unknown one."""
    study, never = held_study(7), make.add_studies(1)[0]
    with engine.write() as session:
        for wanted, user, why, said in (
            (study.id, ANN, "x", "held already"), ("unknown", LEAD, "x", "no longer"), (never, ANN, "x", "Only the person"),
            (never, LEAD, " ", "in a few words"),
        ):  # fmt: skip
            with pytest.raises(Refused, match=said):
                holds.hold_again(session, wanted, user, why)
        holds.hold_again(session, never, LEAD, "x")
        assert holds.held_ids(session) == {study.id, never}
        assert [hold.images for hold in holds.list_holds(session, LEAD)] == [1, 1]


def test_pixels_are_hidden_only_where_all_studies_are_held(store):
    """A picture that a released study shows too is no secret; one that no study shows is not the store's."""
    one, _ = held_study(8, patient="p"), held_study(8, patient="q")
    shown = picture(8).content_hash
    with engine.read() as session:
        assert holds.is_hidden(session, shown)
        assert not holds.is_hidden(session, "0" * 64)
    release(one, ANN, {})
    with engine.read() as session:
        assert not holds.is_hidden(session, shown)


def test_confirming_changes_no_pixels(store):
    """Nothing to mask: released, pixels as they were, the outcome in the log."""
    study = held_study(8)
    release(study, ANN, {})
    with engine.read() as session:
        assert (studies.get_study(session, study.id).images[0].pixels == 8).all()
        assert "nothing to mask" in audit.list_entries(session)["details"][0]


def test_images_that_are_not_the_studys_are_refused(store):
    """A position it lacks or another size is a fault of the program: nothing is released."""
    study = held_study(8)
    for position, image in ((1, picture(0)), (0, make.grey())):
        with engine.write() as session, pytest.raises(ValueError, match="none of this study"):
            holds.release(session, study.id, ANN, {position: image})
    with engine.read() as session:
        assert holds.held_ids(session) == {study.id}
