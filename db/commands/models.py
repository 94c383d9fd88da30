"""`python -m db register | add-dataset`: what reviewers are offered, and what models are compared on."""

from __future__ import annotations

import argparse

from db import engine as store
from db.commands.say import say


def register(options: argparse.Namespace) -> int:
    """Register a checkpoint."""
    from core.checkpoint import load_checkpoint, model_record
    from db import models

    model = model_record(load_checkpoint(options.checkpoint), options.name)
    models.store_model_file(options.checkpoint, model.version)
    with store.write() as session:
        added = models.add_model(session, model)
        if options.activate:
            models.set_model_status(session, model.version, "active", "terminal")
    say(options, {"model": model.version, "stored": added}, f"{model.name} is registered as {model.version[:16]}.")
    return 0


def add_dataset(options: argparse.Namespace) -> int:
    """Register a dataset, its profile made."""
    from core.datasets import load_dataset
    from core.datasets.profile import make_profile, profile_folder
    from core.progress import Bar
    from db import datasets

    bar = Bar()

    def progress(done: int, total: int, text: str) -> None:
        bar(done / max(total, 1), text)

    dataset = load_dataset(options.path, options.task, progress)
    make_profile(dataset, profile_folder(dataset.fingerprint, dataset.task), progress)
    name, path = options.name or dataset.name, str(options.path.resolve())
    entry = datasets.DatasetEntry(name, path, dataset.task, dataset.fingerprint, dataset.counts())
    with store.write() as session:
        added = datasets.add_dataset(session, entry, actor="terminal")
    facts = {"dataset": name, "fingerprint": dataset.fingerprint, "cases": len(dataset.cases), "stored": added}
    say(options, facts, f"{name} is {'registered' if added else 'up to date'}: {len(dataset.cases):,} cases.")
    return 0
