"""`python -m core export-onnx`: a checkpoint as an ONNX file, checked against PyTorch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .onnx file to write")
    parser.add_argument("--no-maps", action="store_true", help="without Grad-CAM, also where it could be in the file")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(options: argparse.Namespace) -> int:
    """Write the file and say how far it is from the checkpoint."""
    from core.checkpoint import load_checkpoint
    from core.edge import export_for_edge

    checkpoint = load_checkpoint(options.checkpoint)
    difference = export_for_edge(checkpoint, options.out, maps=not options.no_maps)
    facts = {"out": str(options.out), "model": checkpoint.version, "largest_difference": difference}
    text = f"Wrote {options.out}: probabilities differ from the checkpoint's by at most {difference:.1e}."
    print(json.dumps(facts) if options.json else text)
    return 0
