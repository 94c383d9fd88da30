"""`python -m db init | demo | export | user | backup`: the store itself."""

from __future__ import annotations

import argparse
import sys

from core import settings
from core.records import Refused
from db import engine as store
from db.commands.say import say


def init(options: argparse.Namespace) -> int:
    """Say where the store is; opening it has made it."""
    say(options, {"home": str(settings.home())}, f"The store in {settings.home()} is ready.")
    return 0


def demo(options: argparse.Namespace) -> int:
    """Make the demo in an empty store."""
    from db.demo import DemoPlan, is_empty, make_demo

    if not is_empty():
        if options.if_empty:
            return 0
        raise Refused("The store is not empty; the demo is made in an empty one. Set TUMORTRACE_HOME to a new folder.")
    plan = DemoPlan() if options.patients is None else DemoPlan(train=options.patients)
    facts = make_demo(plan)
    say(options, facts, f"The demo is ready: {facts['studies']} unread studies, {len(facts['runs'])} evaluated models.")
    return 0


def export(options: argparse.Namespace) -> int:
    """Write reviews, or the kept copies."""
    from db import reviews

    if options.what == "copies":
        return _export_copies(options)
    with store.read() as session:
        table = reviews.list_reviews(session, reviews.ReviewQuery(current_only=not options.all))
    if options.format == "parquet":
        if options.out is None:
            raise Refused("Parquet is binary: name a file with --out.")
        table.to_parquet(options.out, index=False)
        return 0
    text = table.to_csv(index=False) if options.format == "csv" else table.to_json(orient="records") + "\n"
    if options.out:
        options.out.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


def _export_copies(options: argparse.Namespace) -> int:
    """Write the kept copies as FOLDER/STUDY/HASH.format, those of held studies left out; with a line in the audit log."""
    from db import audit, copies

    if options.out is None:
        raise Refused("Copies are files: name a folder with --out.")
    with store.read() as session:
        found, total = copies.list_copies(session), copies.count_copies(session)
    for copy in found:
        target = options.out / copy.study_id[:16] / f"{copy.hash[:16]}.{copy.format}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(copies.load_copy(copy.hash))
    originals, held = sum(copy.kind == "original" for copy in found), total - len(found)
    facts = {"copies": len(found), "originals": originals, "held_back": held}
    with store.write() as session:
        audit.add_entry(session, "terminal", "copies exported", "copies", facts)
    text = (
        f"{len(found):,} copies written to {options.out}, {originals:,} of them originals with whatever names they hold"
    )
    say(options, facts, f"{text}; {held:,} of held studies left out.")
    return 0


def user(options: argparse.Namespace) -> int:
    """Add a person."""
    from db import users

    with store.write() as session:
        user = users.add_user(session, options.name, options.role)
    say(options, {"name": user.name, "role": user.role}, f"{user.name} can sign in as {user.role}.")
    return 0


def backup(options: argparse.Namespace) -> int:
    """Copy the database while the program runs."""
    from db.backup import backup

    backup(options.path)
    say(
        options,
        {"backup": str(options.path)},
        f"Wrote {options.path}. Copy the folders pixels/, copies/ and models/ beside it too.",
    )
    return 0
