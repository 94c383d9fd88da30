"""`python -m core predict | explain`: what a checkpoint says of files, and the heatmap of one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from core.progress import Bar
from core.records import Prediction, Refused, Study, StudyRejected


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `predict`."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="PNG, JPEG, TIFF, DICOM, NPZ, ZIP or a folder"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line and file")


def add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `explain`."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--method", default="gradcam", help="gradcam, lime, occlusion … (default: %(default)s)")
    parser.add_argument("--class", dest="target", help="class to explain (default: the predicted one)")
    parser.add_argument("--image", type=int, default=1, help="which image of the study, from 1 (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="heatmap file (.npz) with raw values and provenance")
    parser.add_argument("--png", type=Path, help="also write the image with the heatmap over it")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run_predict(options: argparse.Namespace) -> int:
    """Print one line for each study; 1 when one was refused."""
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


def run_explain(options: argparse.Namespace) -> int:
    """Write the heatmap, and the picture with it where asked for."""
    from core import settings
    from core.checkpoint import load_checkpoint
    from core.explain import METHODS, Request, Watch, explain, overlay_png, save_heatmap
    from core.explain.resolution import resolution
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
    text = f"Wrote {options.out}: {heatmap.method} of {target}, {resolution(heatmap)}."
    if options.png:
        text += f" In {options.png} full colour is this map's own maximum: do not compare its colours between pictures."
    print(json.dumps({**facts, "model": heatmap.model_version, "out": str(options.out)}) if options.json else text)
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
