"""`python -m core train | evaluate | calibrate | ensemble | predict | explain | phantom | features | dataset | …`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands import (
    agreement,
    dataset,
    deidentify,
    explain_benchmark,
    export,
    features,
    metrics,
    mrmc,
    read,
    tuning,
)  # fmt: skip
from core.progress import Bar
from core.records import Prediction, Refused, Study, StudyRejected
from core.tasks import TASKS

if TYPE_CHECKING:  # torch comes with it, and `--help` must not wait for that
    from core.training import TrainingJob


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when something was refused (one sentence on standard error)."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (Refused, StudyRejected) as problem:
        print(f"Refused: {problem}", file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"Refused: {problem.strerror or problem}: {problem.filename or 'output'}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    text = "Train an architecture on a dataset: checkpoint.pt, config.json and history.csv."
    _add_training_arguments(command("train", _train, text))
    evaluate = command("evaluate", _evaluate, "Score a checkpoint on one split: run.json and predictions.csv.")
    evaluate.add_argument("checkpoint", type=Path)
    evaluate.add_argument("--data", type=Path, required=True, help="the dataset, as for train")
    evaluate.add_argument("--split", default="test", choices=["train", "val", "test"], help="(default: %(default)s)")
    evaluate.add_argument("--out", type=Path, required=True, help="the run folder to write")
    evaluate.add_argument("--json", action="store_true", help="print the metrics as JSON")

    text = (
        "Choose operating point, temperature and test-time augmentation on validation data: a new version of a model."
    )
    tuning.add_calibrate_arguments(command("calibrate", tuning.run_calibrate, text))
    text = "Average the probabilities of several checkpoints: a model like any other."
    tuning.add_ensemble_arguments(command("ensemble", tuning.run_ensemble, text))

    export.add_arguments(command("export-onnx", export.run, "Write a checkpoint as an ONNX file, checked against it."))

    predict = command("predict", _predict, "Predict files: the probability of each class.")
    predict.add_argument("checkpoint", type=Path)
    predict.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="PNG, JPEG, TIFF, DICOM, NPZ, ZIP or a folder"
    )
    predict.add_argument("--json", action="store_true", help="one JSON object per line and file")

    explain = command("explain", _explain, "Make the heatmap of one file's prediction.")
    explain.add_argument("checkpoint", type=Path)
    explain.add_argument("file", type=Path, metavar="FILE")
    explain.add_argument("--method", default="gradcam", help="gradcam, lime, occlusion … (default: %(default)s)")
    explain.add_argument("--class", dest="target", help="class to explain (default: the predicted one)")
    explain.add_argument("--image", type=int, default=1, help="which image of the study, from 1 (default: %(default)s)")
    explain.add_argument("--out", type=Path, required=True, help="heatmap file (.npz) with raw values and provenance")
    explain.add_argument("--png", type=Path, help="also write the image with the heatmap over it")
    explain.add_argument("--json", action="store_true", help="print what was written as JSON")

    text = "Say what a model's heatmaps are worth: against masks, other weights, random orders; with intervals and controls."
    explain_benchmark.add_arguments(command("explain-benchmark", explain_benchmark.run, text))

    phantom = command("phantom", _phantom, "Make simulated breast-MRI phantoms as DICOM, with lesion masks.")
    phantom.add_argument("--out", type=Path, required=True, help="the folder to write")
    for split, number in (("train", 200), ("val", 50), ("test", 50)):
        phantom.add_argument(f"--{split}", type=int, default=number, help="patients (default: %(default)s)")
    phantom.add_argument("--size", type=int, default=192, help="image edge in pixels (default: %(default)s)")
    phantom.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    phantom.add_argument("--json", action="store_true", help="print what was written as JSON")

    text = "Write de-identified copies of DICOM files: PS3.15 Basic Profile, dates moved, UIDs replaced."
    deidentify.add_arguments(command("deidentify", deidentify.run, text))
    text = "Say what files would become, or why they are refused; write pictures as they would be displayed."
    read.add_arguments(command("read", read.run, text))
    text = "Measure images: histogram, GLCM, HOG, Sobel, the LBP family, Gabor and Haralick as one table."
    features.add_arguments(command("features", features.run, text))
    text = "Look into a dataset: counts, missing values, sizes, duplicates, patients on two sides."
    dataset.add_arguments(command("dataset", dataset.run, text))
    text = "Figures with intervals from a CSV of predictions made anywhere."
    metrics.add_metrics_arguments(command("metrics", metrics.run_metrics, text))
    text = "Compare two CSVs of predictions for the same cases: differences with interval and p."
    metrics.add_compare_arguments(command("compare", metrics.run_compare, text))
    text = "How far readers agree: kappas, Gwet's AC, Krippendorff's alpha, readers two by two."
    agreement.add_arguments(command("agreement", agreement.run, text))
    text = "Compare modalities over many readers and cases, or a stand-alone model with readers (Obuchowski–Rockette)."
    mrmc.add_arguments(command("mrmc", mrmc.run, text))
    return parser


def _add_training_arguments(train: argparse.ArgumentParser) -> None:
    train.add_argument(
        "--data", type=Path, help="a folder tree split/Class/Patient/file, a MedMNIST NPZ or a CSV manifest"
    )
    train.add_argument("--task", choices=list(TASKS), help="the classification problem")
    train.add_argument(
        "--architecture", default="", help="resnet18, vgg16, any of torchvision or timm … (default: the recipe's)"
    )
    train.add_argument(
        "--recipe", default="default", help="a recipe of core/recipes or a .toml file (default: %(default)s)"
    )
    train.add_argument("--epochs", type=int, help="instead of the recipe's number")
    train.add_argument("--size", type=int, help="input edge in pixels, instead of the recipe's or architecture's")
    train.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (default: %(default)s)")
    train.add_argument("--weights", type=Path, help="local file with ImageNet weights to start from")
    train.add_argument(
        "--without-leaks",
        action="store_true",
        help="leave out what also stands in validation or test, by picture or patient",
    )
    train.add_argument("--out", type=Path, help="the run folder to write")
    train.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a training that was stopped; nothing else is needed"
    )
    train.add_argument("--json", action="store_true", help="print the result as JSON")


def _train(options: argparse.Namespace) -> int:
    from core.training import TrainingProgress, resume, train

    bar = Bar()

    def progress(p: TrainingProgress) -> None:
        bar(p.fraction, p.text)

    checkpoint = (
        resume(options.resume, progress=progress) if options.resume else train(_training_job(options), progress)
    )
    if os.environ.get("RANK", "0") != "0":  # one of torchrun's further processes
        return 0
    config = json.loads((checkpoint.parent / "config.json").read_text())
    if options.json:
        print(json.dumps({"checkpoint": str(checkpoint), **config}))
    else:
        print(f"Wrote {checkpoint} and, beside it, how it was made.")
    return 0


def _training_job(options: argparse.Namespace) -> TrainingJob:
    from core.recipes import load_recipe
    from core.training import TrainingJob
    from core.training_state import STATE

    missing = [f"--{name}" for name in ("data", "task", "out") if not getattr(options, name)]
    if missing:
        raise Refused(f"A training needs {', '.join(missing)}; or --resume RUN alone.")
    if (options.out / STATE).exists():
        raise Refused(
            f"{options.out} holds an unfinished training; go on with --resume {options.out}, or remove the folder."
        )
    return TrainingJob(
        data=options.data,
        task=options.task,
        architecture=options.architecture,
        recipe=load_recipe(options.recipe),
        out=options.out,
        epochs=options.epochs,
        seed=options.seed,
        size=options.size,
        weights=options.weights,
        drop_leaks=options.without_leaks,
    )


def _evaluate(options: argparse.Namespace) -> int:
    from core.evaluation import evaluate

    bar = Bar()
    run = evaluate(
        options.checkpoint, options.data, options.split, options.out,
        progress=lambda done, total, text: bar(done / max(total, 1), text),
    )  # fmt: skip
    if options.json:
        print(json.dumps({"out": str(options.out), "metrics": run["metrics"]}))
        return 0
    for name, m in run["metrics"].items():
        shown = m.get("reason") if m["value"] is None else f"{m['value']:.4f} ({m['low']:.4f}–{m['high']:.4f})"
        print(f"{name:20} {shown}  n = {m['n']}")
    print(f"Wrote {options.out / 'run.json'} and predictions.csv.")
    return 0


def _studies(path: Path, task: str) -> Iterator[tuple[str, Study | StudyRejected]]:
    """Every study in a file or folder, or the reason why there is none, with the name to call it by."""
    from core.reading import read_paths

    for outcome in read_paths([path], task=task):
        name = str(path) if path.is_file() and outcome.name == path.name else f"{path} › {outcome.name}"
        if outcome.rejected:
            yield name, outcome.rejected
        for study in outcome.studies:
            yield (name if len(outcome.studies) == 1 else f"{name} › {study.name}"), study


def _predict(options: argparse.Namespace) -> int:
    from core import settings
    from core.checkpoint import load_checkpoint
    from core.predict import predict_with

    checkpoint, device = load_checkpoint(options.checkpoint), settings.device()
    module, refused = checkpoint.module(device), 0
    for path in options.files:
        for name, study in _studies(path, checkpoint.task):
            try:
                if isinstance(study, StudyRejected):
                    raise study
                result: Prediction | Exception = predict_with(checkpoint, module, study, device)
            except (Refused, StudyRejected) as problem:
                refused, result = refused + 1, problem
            _print_prediction(name, result, checkpoint.version, options.json)
    return 1 if refused else 0


def _print_prediction(name: str, result: Prediction | Exception, version: str, as_json: bool) -> None:
    if isinstance(result, Exception):
        line = json.dumps({"file": name, "refused": str(result)}) if as_json else f"{name}: refused. {result}"
    elif as_json:
        fields = {"probabilities": dict(result.probabilities), "predicted": result.predicted}
        line = json.dumps({"file": name, "model": version, **fields})
    else:
        shown = ", ".join(f"{label} {p:.4f}" for label, p in result.probabilities.items())
        line = f"{name}: {result.predicted} ({shown})"
    print(line, flush=True)


def _explain(options: argparse.Namespace) -> int:
    from core import settings
    from core.checkpoint import load_checkpoint
    from core.explain import METHODS, Request, Watch, explain, overlay_png, save_heatmap
    from core.predict import predict_with

    if options.method not in METHODS:
        raise Refused(f"There is no method '{options.method}'; there are {', '.join(METHODS)}.")
    checkpoint, device = load_checkpoint(options.checkpoint), settings.device()
    name, study = next(_studies(options.file, checkpoint.task), (str(options.file), None))
    if not isinstance(study, Study):
        raise study or Refused(f"{name} holds no image.")
    if not 1 <= options.image <= len(study.images):
        raise Refused(f"{name} has {len(study.images)} image(s); --image {options.image} is not one of them.")
    target = options.target or predict_with(checkpoint, checkpoint.module(device), study, device).predicted
    request = Request(method=options.method, target_class=target)
    bar = Bar()
    image = study.images[options.image - 1]
    watch = Watch(progress=lambda f: bar(f, options.method))
    heatmap = explain(checkpoint, image, request, device=device, watch=watch)
    save_heatmap(heatmap, options.out)
    if options.png:
        options.png.write_bytes(overlay_png(image, heatmap))
    facts = {
        "file": name,
        "method": heatmap.method,
        "class": target,
        "layer": heatmap.layer,
        "shape": list(heatmap.values.shape),
    }
    text = f"Wrote {options.out}: {heatmap.method} of {target}, {heatmap.values.shape[0]} × {heatmap.values.shape[1]}."
    print(json.dumps({**facts, "model": heatmap.model_version, "out": str(options.out)}) if options.json else text)
    return 0


def _phantom(options: argparse.Namespace) -> int:
    from core.datasets.phantom import write_phantoms

    bar = Bar()
    patients = {"train": options.train, "val": options.val, "test": options.test}
    count = write_phantoms(
        options.out, patients=patients, seed=options.seed, size=options.size,
        progress=lambda done, total: bar(done / total, f"{done} of {total} phantoms"),
    )  # fmt: skip
    text = f"Wrote {count} simulated patients to {options.out}."
    print(json.dumps({"out": str(options.out), "patients": count}) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
