"""`python -m core train | evaluate | calibrate | ensemble | predict | explain | phantom | features | dataset | …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from core.commands import (
    agreement,
    dataset,
    deidentify,
    evaluate,
    explain_benchmark,
    export,
    features,
    metrics,
    mrmc,
    phantom,
    predict,
    read,
    train,
    tuning,
)  # fmt: skip
from core.terminal import exit_status

# Name, what adds its arguments, what runs it, and what it does.
_COMMANDS: tuple[tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int], str], ...] = (
    ("train", train.add_arguments, train.run,
     "Train an architecture on a dataset: checkpoint.pt, config.json and history.csv."),
    ("evaluate", evaluate.add_arguments, evaluate.run,
     "Score a checkpoint on one split: run.json and predictions.csv."),
    ("calibrate", tuning.add_calibrate_arguments, tuning.run_calibrate,
     "Choose operating point, temperature and test-time augmentation on validation data: a new version of a model."),
    ("ensemble", tuning.add_ensemble_arguments, tuning.run_ensemble,
     "Average the probabilities of several checkpoints: a model like any other."),
    ("export-onnx", export.add_arguments, export.run,
     "Write a checkpoint as an ONNX file, checked against it."),
    ("predict", predict.add_predict_arguments, predict.run_predict,
     "Predict files: the probability of each class."),
    ("explain", predict.add_explain_arguments, predict.run_explain,
     "Make the heatmap of one file's prediction."),
    ("explain-benchmark", explain_benchmark.add_arguments, explain_benchmark.run,
     "Say what a model's heatmaps are worth: against masks, other weights, random orders; with intervals and controls."),
    ("phantom", phantom.add_arguments, phantom.run,
     "Make simulated breast-MRI phantoms as DICOM, with lesion masks."),
    ("deidentify", deidentify.add_arguments, deidentify.run,
     "Write de-identified copies of DICOM files: PS3.15 Basic Profile, dates moved, UIDs replaced."),
    ("read", read.add_arguments, read.run,
     "Say what files would become, or why they are refused; write pictures as they would be displayed."),
    ("features", features.add_arguments, features.run,
     "Measure images: histogram, GLCM, HOG, Sobel, the LBP family, Gabor and Haralick as one table."),
    ("dataset", dataset.add_arguments, dataset.run,
     "Look into a dataset: counts, missing values, sizes, duplicates, patients on two sides."),
    ("metrics", metrics.add_metrics_arguments, metrics.run_metrics,
     "Figures with intervals from a CSV of predictions made anywhere."),
    ("compare", metrics.add_compare_arguments, metrics.run_compare,
     "Compare two CSVs of predictions for the same cases: differences with interval and p."),
    ("agreement", agreement.add_arguments, agreement.run,
     "How far readers agree: kappas, Gwet's AC, Krippendorff's alpha, readers two by two."),
    ("mrmc", mrmc.add_arguments, mrmc.run,
     "Compare modalities over many readers and cases, or a stand-alone model with readers (Obuchowski–Rockette)."),
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when something was refused (one sentence on standard error)."""
    options = _parser().parse_args(arguments)
    return exit_status(lambda: options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add_arguments, run, text in _COMMANDS:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        add_arguments(sub)
    return parser


if __name__ == "__main__":
    sys.exit(main())
