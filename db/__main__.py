"""`python -m db init | demo | ingest | ingest-predictions | ingest-explanations | import | …`: the store from a terminal.

It composes core and db.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.records import Refused
from core.tasks import TASKS
from core.terminal import exit_status
from db import engine as store
from db.engine import StoreError

if TYPE_CHECKING:
    from db.importing import Imported

_LISTED = 20  # refused files that are listed again at the end of an import


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when something was refused (one sentence on standard error)."""
    options = _parser().parse_args(arguments)

    def command() -> int:
        store.init()
        return options.run(options)

    return exit_status(command, (StoreError,), "Stopped. What was stored stays; the command can be repeated.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m db", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="print results as JSON")
        return sub

    command("init", _init, "Create the store, or bring an older one up to date.")
    demo = command("demo", _demo, "Make the demo: phantoms, two trained models, their evaluation runs and a worklist.")
    demo.add_argument(
        "--if-empty", action="store_true", help="do nothing, without complaint, where the store holds anything"
    )
    demo.add_argument(
        "--patients", type=int, help="training patients, for a quick try (default: the demo's own number)"
    )
    ingest = command(
        "ingest", _ingest, "Store evaluation runs and register their models. Repeating it doubles nothing."
    )
    ingest.add_argument(
        "run_dirs", type=Path, nargs="+", metavar="RUN_DIR", help="a folder with run.json and predictions.csv"
    )
    ingest.add_argument("--name", help="model name to show instead of the run's own")
    text = "Store what `python -m core explain-benchmark` wrote, for a registered model. Repeating it doubles nothing."
    explained = command("ingest-explanations", _ingest_explanations, text)
    explained.add_argument("files", type=Path, nargs="+", metavar="FILE", help="JSON written with --out")
    text = "Store predictions made elsewhere as an evaluation run. Repeating it doubles nothing."
    _add_prediction_arguments(command("ingest-predictions", _ingest_predictions, text))
    studies = command("import", _import, "Store studies from files, folders and ZIPs. Repeating it doubles nothing.")
    studies.add_argument("paths", type=Path, nargs="+", metavar="PATH")
    studies.add_argument("--task", choices=list(TASKS), default="", help="what pictures without a DICOM header show")
    studies.add_argument(
        "--split", default="", choices=["train", "val", "test"], help="of an NPZ file, that split only"
    )
    studies.add_argument(
        "--range", default="", metavar="START:STOP", help="of an NPZ file, these images of each split only"
    )
    register = command("register", _register, "Register a checkpoint as a model.")
    register.add_argument("checkpoint", type=Path)
    register.add_argument("--name", required=True)
    register.add_argument("--activate", action="store_true", help="offer it to reviewers at once")
    dataset = command(
        "add-dataset", _add_dataset, "Register a dataset for the Datasets page. Repeating it brings it up to date."
    )
    dataset.add_argument("path", type=Path, metavar="PATH", help="a folder tree, an .npz file or a .csv manifest")
    dataset.add_argument("--task", required=True, choices=list(TASKS), help="the classification problem")
    dataset.add_argument("--name", help="what to call it (default: the name of the file or folder)")
    export = command("export", _export, "Write what the store holds to standard output or a file.")
    export.add_argument("what", choices=["reviews", "copies"])
    export.add_argument("--format", choices=["csv", "json", "parquet"], default="csv")
    export.add_argument("--all", action="store_true", help="superseded readings too")
    text = "file to write (needed for parquet; default: standard output); for copies the folder"
    export.add_argument("--out", type=Path, help=text)
    _add_study_commands(command)
    user = command("user", _user, "Add a person.")
    user.add_argument("name")
    user.add_argument("--role", choices=["reviewer", "lead"], default="reviewer")
    backup = command("backup", _backup, "Write a whole copy of the SQLite database while the program runs.")
    backup.add_argument("path", type=Path)
    return parser


def _add_study_commands(command: Callable[[str, Any, str], argparse.ArgumentParser]) -> None:
    text = "Write the readings of a closed or imported reader study, readers with pseudonyms."
    given = command("export-study", _export_study, text)
    given.add_argument("study", metavar="STUDY", help="its name, or the number in the address of its results")
    given.add_argument("--out", type=Path, required=True, help="file to write: .csv, .parquet or .imrmc")
    given.add_argument("--comments", action="store_true", help="with the readers' free texts, which may name people")
    text = "Store a reader study that was run elsewhere, whole or not at all. Repeating it doubles nothing."
    taken = command("import-study", _import_study, text)
    taken.add_argument("file", type=Path, metavar="FILE", help="CSV or Parquet with the columns of export-study")
    taken.add_argument("--task", required=True, choices=list(TASKS), help="the classification problem")
    taken.add_argument("--name", help="what to call it (default: the name of the file)")


def _add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
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


def _say(options: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    print(json.dumps(facts) if options.json else text, flush=True)


def _init(options: argparse.Namespace) -> int:
    from core import settings

    _say(options, {"home": str(settings.home())}, f"The store in {settings.home()} is ready.")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from db.demo import DemoPlan, is_empty, make_demo

    if not is_empty():
        if options.if_empty:
            return 0
        raise Refused("The store is not empty; the demo is made in an empty one. Set TUMORTRACE_HOME to a new folder.")
    plan = DemoPlan() if options.patients is None else DemoPlan(train=options.patients)
    facts = make_demo(plan)
    _say(
        options, facts, f"The demo is ready: {facts['studies']} unread studies, {len(facts['runs'])} evaluated models."
    )
    return 0


def _ingest(options: argparse.Namespace) -> int:
    from core.runs import read_case_details, read_run
    from db import runs, thumbnails

    for folder in options.run_dirs:
        run, details = read_run(folder), read_case_details(folder)
        if options.name:
            from dataclasses import replace

            run = replace(run, model_name=options.name)
        pictures = run.provenance.get("thumbnails_sha256")
        if pictures and (folder / "thumbnails.zip").exists():  # a run may travel without its pictures
            thumbnails.put_thumbnails(folder / "thumbnails.zip", pictures)
        with store.write() as session:
            added = runs.add_run(session, run, details)
        facts = {"folder": str(folder), "run": run.id, "model": run.model_version, "stored": added}
        _say(options, facts, f"{folder}: {'stored' if added else 'already stored'} as run {run.id[:12]}.")
    return 0


def _ingest_explanations(options: argparse.Namespace) -> int:
    from core.explain.honesty.benchmark import read_report
    from db import heatmap_measures

    for file in options.files:
        report = read_report(file)
        parts = [(m, part, facts) for m, each in report["methods"].items() for part, facts in each.items()]
        with store.write() as session:
            for method, part, facts in parts:
                heatmap_measures.put_measure(session, report["model"], method, part, facts, actor="terminal")
        facts = {"file": str(file), "model": report["model"], "stored": len(parts)}
        _say(options, facts, f"{file}: {len(parts)} measurements of {len(report['methods'])} method(s) stored.")
    return 0


def _ingest_predictions(options: argparse.Namespace) -> int:
    import tempfile

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
    _say(options, facts, f"{options.file.name}: {text}")
    return 0


def _import(options: argparse.Namespace) -> int:
    from core.progress import Bar
    from core.reading import NpzPart, Source
    from db.importing import Tally, files_of, import_exams

    part = NpzPart.of(options.split, options.range)
    found = files_of(options.paths)
    files = [file for file, _ in found]
    tally, bar = Tally(len(files)), Bar()
    try:
        for exam in import_exams([Source.of_path(*place) for place in found], options.task, by="terminal", part=part):
            for imported in exam:
                tally.count(imported)
                _say_imported(options, files[imported.position], imported)
            bar(tally.fraction, tally.text)
    finally:  # also where it is stopped
        print(tally.summary, file=sys.stderr)
        for name, problem in tally.refused[:_LISTED]:
            print(f"  {name}: {problem}", file=sys.stderr)
        if (more := len(tally.refused) - _LISTED) > 0:
            print(f"  … and {more:,} more, all above", file=sys.stderr)
    return 1 if tally.refused else 0


def _say_imported(options: argparse.Namespace, path: Path, imported: Imported) -> None:
    facts: dict[str, Any] = {"file": imported.name, "path": str(path)}
    if imported.refused:
        _say(options, facts | {"refused": str(imported.refused)}, f"{path}: refused. {imported.refused}")
        return
    stored = sum(imported.added)
    text = f"{stored} stored, {len(imported.added) - stored} already there" if imported.added else imported.note
    held = len(imported.held)
    text += f", {held} held until somebody has looked for names in the pixels (page Clean)" if held else ""
    facts |= {"studies": list(imported.study_ids), "stored": stored, "held": held}
    _say(options, facts, f"{imported.name}: {text}.")


def _register(options: argparse.Namespace) -> int:
    from core.checkpoint import load_checkpoint, model_record
    from db import models

    model = model_record(load_checkpoint(options.checkpoint), options.name)
    models.store_model_file(options.checkpoint, model.version)
    with store.write() as session:
        added = models.add_model(session, model)
        if options.activate:
            models.set_model_status(session, model.version, "active", "terminal")
    _say(options, {"model": model.version, "stored": added}, f"{model.name} is registered as {model.version[:16]}.")
    return 0


def _add_dataset(options: argparse.Namespace) -> int:
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
    _say(options, facts, f"{name} is {'registered' if added else 'up to date'}: {len(dataset.cases):,} cases.")
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
    _say(options, facts, f"{text}; {held:,} of held studies left out.")
    return 0


def _export(options: argparse.Namespace) -> int:
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


def _export_study(options: argparse.Namespace) -> int:
    from db import study_files

    with store.read() as session:
        study, names = study_files.finished_study(session, options.study)
    written = study_files.write_study(study, names, options.out, comments=options.comments)
    facts = {
        "study": study.name,
        "readings": written,
        "simulated": study.origin == "simulated",
        "file": str(options.out),
    }
    _say(options, facts, f"{options.out}: {written:,} readings of {len(study.readers)} readers.")
    return 0


def _import_study(options: argparse.Namespace) -> int:
    from db import study_files

    data, named = options.file.read_bytes(), (options.name or options.file.stem, "terminal")
    with store.write() as session:
        added = study_files.add_study_file(session, data, options.file.name, options.task, named)
    if added is None:
        _say(options, {"stored": False}, f"{options.file}: already stored.")
        return 0
    facts = {
        "study": f"i{added.id}",
        "name": added.name,
        "readings": added.rows,
        "readers": added.readers,
        "stored": True,
    }
    _say(options, facts, f"{options.file}: stored as {added.name}, {added.rows:,} readings of {added.readers} readers.")
    return 0


def _user(options: argparse.Namespace) -> int:
    from db import users

    with store.write() as session:
        user = users.add_user(session, options.name, options.role)
    _say(options, {"name": user.name, "role": user.role}, f"{user.name} can sign in as {user.role}.")
    return 0


def _backup(options: argparse.Namespace) -> int:
    from db.backup import backup

    backup(options.path)
    _say(
        options,
        {"backup": str(options.path)},
        f"Wrote {options.path}. Copy the folders pixels/, copies/ and models/ beside it too.",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
