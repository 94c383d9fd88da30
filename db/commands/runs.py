"""`python -m db ingest | ingest-predictions | ingest-explanations`: what was computed elsewhere becomes part of the store."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from core.tasks import TASKS
from db import engine as store
from db.commands.say import say


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ingest-predictions`."""
    text = "CSV: case_id or image_id with prob_<class> for each class, or with one score; or MedMNIST's, without header"
    parser.add_argument("file", type=Path, metavar="FILE", help=text)
    parser.add_argument("--model", required=True, metavar="NAME", help="what to call the model that made them")
    parser.add_argument("--task", required=True, choices=list(TASKS), help="the classification problem")
    parser.add_argument("--labels", type=Path, help="NPZ or CSV with the labels, where the file itself has none")
    parser.add_argument("--split", default="test", help="rows of another split are left out (default: %(default)s)")
    text = "columns: rows that agree in them become one case, e.g. patient_id laterality for breasts"
    parser.add_argument("--by", nargs="+", default=(), metavar="COLUMN", help=text)
    parser.add_argument("--rule", default="max", choices=["max", "mean"], help="score of such a case (default: max)")
    parser.add_argument("--threshold", type=float, help="operating point that was fixed beforehand, on other data")


def ingest(options: argparse.Namespace) -> int:
    """Store evaluation runs and their pictures."""
    from core.runs import read_case_details, read_run
    from db import runs, thumbnails

    for folder in options.run_dirs:
        run, details = read_run(folder), read_case_details(folder)
        if options.name:
            run = replace(run, model_name=options.name)
        pictures = run.provenance.get("thumbnails_sha256")
        if pictures and (folder / "thumbnails.zip").exists():  # a run may travel without its pictures
            thumbnails.put_thumbnails(folder / "thumbnails.zip", pictures)
        with store.write() as session:
            added = runs.add_run(session, run, details)
        facts = {"folder": str(folder), "run": run.id, "model": run.model_version, "stored": added}
        say(options, facts, f"{folder}: {'stored' if added else 'already stored'} as run {run.id[:12]}.")
    return 0


def ingest_explanations(options: argparse.Namespace) -> int:
    """Store measurements of heatmaps."""
    from core.explain.honesty.benchmark import read_report
    from db import heatmap_measures

    for file in options.files:
        report = read_report(file)
        parts = [(m, part, facts) for m, each in report["methods"].items() for part, facts in each.items()]
        with store.write() as session:
            for method, part, facts in parts:
                heatmap_measures.put_measure(session, report["model"], method, part, facts, actor="terminal")
        facts = {"file": str(file), "model": report["model"], "stored": len(parts)}
        say(options, facts, f"{file}: {len(parts)} measurements of {len(report['methods'])} method(s) stored.")
    return 0


def ingest_predictions(options: argparse.Namespace) -> int:
    """Store predictions made elsewhere as a run."""
    from core.external import External, read_external
    from db import runs, thumbnails

    how = (options.labels, options.split, tuple(options.by), options.rule, options.threshold)
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "thumbnails.zip"
        run, details = read_external(External(options.file, options.model, options.task, *how), pictures)
        if pictures.exists():
            thumbnails.put_thumbnails(pictures, run.provenance["thumbnails_sha256"])
    with store.write() as session:
        added = runs.add_run(session, run, details)
    area = run.metrics["auc"]
    shown = f"AUC {area.value:.4f} ({area.low:.4f}–{area.high:.4f})" if area.value is not None else area.reason
    text = f"{'stored' if added else 'already stored'} as run {run.id[:12]}: n = {len(run.labels):,}, {shown}."
    facts = {"run": run.id, "model": run.model_version, "stored": added, "n": len(run.labels), "auc": area.value}
    say(options, facts, f"{options.file.name}: {text}")
    return 0
