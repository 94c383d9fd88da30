"""Users: their names and roles."""

import pytest

from core.records import Refused
from db import audit, engine, users


def test_a_user_is_found_in_any_case(store):
    """Spaces around and case do not matter; the name stays as it was first spelt."""
    with engine.write() as session:
        users.add_user(session, "  Ann Müller ", "lead")
    with engine.read() as session:
        found = users.get_user(session, "ANN MÜLLER")
        assert found is not None
        assert (found.name, found.role) == ("Ann Müller", "lead")
        assert found.created_at.endswith("+00:00")
        assert users.get_user(session, "Bob") is None


def test_a_name_is_taken_in_any_case(store):
    """Two people cannot differ by case, or by how an umlaut is typed, alone."""
    with engine.write() as session:
        users.add_user(session, "Ann Müller", "lead")
    for name in ("ann müller", "Ann Mu\u0308ller"):
        with pytest.raises(Refused, match="already"), engine.write() as session:
            users.add_user(session, name, "reviewer")


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\nb", "a\x00b", "a\u202eb"])
def test_unfit_names_are_refused(store, name):
    """Empty, too long and unprintable names (line breaks, direction marks) are refused."""
    with pytest.raises(Refused, match="1 to 60"), engine.write() as session:
        users.add_user(session, name, "reviewer")


def test_an_unknown_role_is_refused(store):
    """There are reviewers and leads, nobody else."""
    with pytest.raises(Refused, match="reviewer or lead"), engine.write() as session:
        users.add_user(session, "Ann", "admin")


def test_users_are_listed_by_name(store):
    """Case does not disturb the order, and each addition is in the audit log with its actor."""
    with engine.write() as session:
        for name in ("bob", "Ann", "Cem", "x" * 60):
            users.add_user(session, name, "reviewer", actor="Dee")
    with engine.read() as session:
        assert [user.name for user in users.list_users(session)] == ["Ann", "bob", "Cem", "x" * 60]
        entries = audit.list_entries(session)
    assert set(entries["actor"]) == {"Dee"}
    assert list(entries["subject"])[-1] == "user:bob"
