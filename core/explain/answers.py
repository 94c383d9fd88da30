"""Heatmaps out of the prediction's own pass: nothing is run again."""

from __future__ import annotations

import numpy as np
import torch

from core.checkpoint import Checkpoint
from core.explain.methods import Request, heatmap_record
from core.predict import Answer
from core.records import Heatmap, Image
from core.tasks import get_task


def gradcam_of_answer(
    checkpoint: Checkpoint, image: Image, answer: Answer, target_class: str, device: str
) -> Heatmap | None:
    """The Grad-CAM of one class for the one image that `answer` is about, as `explain` would make it; None where there is none."""
    index = get_task(checkpoint.task).class_index(target_class)
    if answer.maps is None or np.isnan(answer.maps[0, index]).any():
        return None
    facts = {
        "seed": 0,
        "device": device,
        "engine": answer.engine,
        "closed_form": not np.isnan(answer.maps[0]).any(),  # otherwise other classes have no map
        "class_score": float(answer.logits[0, index]),
    }
    return heatmap_record(
        checkpoint, image, Request("gradcam", target_class), torch.from_numpy(answer.maps[0, index]), facts
    )
