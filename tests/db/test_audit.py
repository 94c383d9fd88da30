"""The audit log: whatever is done to it behind the program's back is found."""

import hashlib
import json

import pytest
from sqlalchemy import text

from db import audit, engine

COLUMNS = "created_at, actor, action, subject, details, previous, hash"


def fill(count: int = 5) -> list[str]:
    """Add entries 1…count and give the head after each."""
    heads = []
    with engine.write() as session:
        for number in range(count):
            audit.add_entry(session, "Ann", "test", f"thing:{number}", {"number": number, "name": "Zoë"})
            heads.append(audit.head(session))
    return heads


def tamper(*statements: str) -> None:
    """What someone with the database file can do: drop the triggers, then change rows."""
    drop = {
        "sqlite": ["DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"],
        "postgresql": ["DROP TRIGGER audit_no_change ON audit"],
    }[engine.current_engine().dialect.name]
    with engine.write() as session:
        for statement in (*drop, *statements):
            session.execute(text(statement))


def broken() -> int | None:
    """What `verify` says."""
    with engine.read() as session:
        return audit.verify(session)


def test_an_untouched_log_holds(store):
    """An empty log and a log of five entries verify, and the head moves with each entry."""
    assert broken() is None
    heads = fill()
    assert len(set(heads)) == 5
    assert broken() is None


def test_the_log_goes_on_where_an_undone_line_was(store):
    """A savepoint, then a transaction, that is undone: the next line names the last one that was kept."""
    with engine.write() as session:
        audit.add_entry(session, "Ann", "test", "kept", {})
        undone = session.begin_nested()
        audit.add_entry(session, "Ann", "test", "undone", {})
        undone.rollback()
        audit.add_entry(session, "Ann", "test", "next", {})
    with engine.write() as session:
        audit.add_entry(session, "Ann", "test", "undone", {})
        session.rollback()
    fill(2)
    assert broken() is None
    with engine.read() as session:
        assert len(audit.list_entries(session)) == 4


def test_the_hash_can_be_recomputed_elsewhere(store):
    """SHA-256 over the JSON list of the line's fields, as documented: an auditor needs no program of ours."""
    (head,) = fill(1)
    with engine.read() as session:
        row = session.execute(text(f"SELECT {COLUMNS} FROM audit")).one()
    assert json.loads(row.details) == {"number": 0, "name": "Zoë"}
    fields = ["0" * 64, row.created_at, "Ann", "test", "thing:0", '{"name":"Zoë","number":0}']
    line = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    assert head == row.hash == hashlib.sha256(line.encode()).hexdigest()


@pytest.mark.parametrize("column", ["created_at", "actor", "action", "subject", "details", "hash"])
def test_an_edit_is_found(store, column):
    """Changing any field of line 3 is found at line 3."""
    fill()
    tamper(f"UPDATE audit SET {column} = 'x' WHERE id = 3")
    assert broken() == 3


def test_moving_text_between_fields_is_found(store):
    """'Ann' + 'test' is not 'Annt' + 'est'."""
    fill()
    tamper("UPDATE audit SET actor = 'Annt', action = 'est' WHERE id = 2")
    assert broken() == 2


def test_a_removal_is_found(store):
    """Without line 2, line 3 no longer fits; without line 1, neither does line 2."""
    fill()
    tamper("DELETE FROM audit WHERE id = 2")
    assert broken() == 3


def test_a_reordering_is_found(store):
    """Swapping lines 2 and 3 is found at the first of them."""
    fill()
    tamper(
        "UPDATE audit SET id = 100 WHERE id = 2",
        "UPDATE audit SET id = 2 WHERE id = 3",
        "UPDATE audit SET id = 3 WHERE id = 100",
    )
    assert broken() == 2


def test_a_cut_end_is_found_by_a_head_kept_elsewhere(store):
    """The chain alone cannot know that its end is gone; an exported head can."""
    heads = fill()
    tamper("DELETE FROM audit WHERE id >= 4")
    with engine.read() as session:
        assert audit.verify(session) is None
        assert audit.verify(session, heads[2]) is None
        assert audit.verify(session, heads[4]) == 4


def test_details_must_be_json(store):
    """NaN is refused, since its JSON is none."""
    with pytest.raises(ValueError, match="JSON compliant"), engine.write() as session:
        audit.add_entry(session, "Ann", "test", "thing", {"x": float("nan")})


def test_entries_are_listed_newest_first(store):
    """Paging from the newest line back."""
    fill()
    with engine.read() as session:
        page = audit.list_entries(session, limit=2, offset=1)
    assert list(page["id"]) == [4, 3]
    assert list(page["subject"]) == ["thing:3", "thing:2"]
