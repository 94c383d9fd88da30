"""Tensors -> probabilities: one engine per process, shared by all sessions, batching what waits together."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from core.checkpoint import Checkpoint
from core.preprocess import preprocess_batch
from core.records import Prediction, Refused, Study
from core.statistics.discrimination import predicted_class
from core.tasks import get_task
from core.versions import library_versions

DECIMALS = 6  # stored probabilities are rounded: the last bits change with batch size and device


def batched_probabilities(module: nn.Module, x: torch.Tensor, device: str, batch_size: int = 32) -> np.ndarray:
    """Softmax probabilities (N, n_classes), float64, of images (N, C, H, W) by a module in eval mode on `device`.

    Out of memory halves the batch, down to one image, and then raises `Refused`; logits that are not finite raise `Refused`.
    """
    done: list[torch.Tensor] = []
    start, size = 0, batch_size
    while start < len(x):
        try:
            with torch.inference_mode():
                done.append(module(x[start : start + size].to(device)).double().cpu())  # (n, classes)
        except torch.OutOfMemoryError as e:
            if size == 1:
                raise Refused("The device has too little memory for one image of this model; use the CPU.") from e
            torch.cuda.empty_cache()
            size = size // 2
            continue
        start += size
    logits = torch.cat(done)
    if not bool(torch.isfinite(logits).all()):
        raise Refused("The model's output is not a finite number for this image, so there is no result.")
    return torch.softmax(logits, dim=1).numpy()


@dataclass
class _Request:
    version: str
    x: torch.Tensor
    answer: Future[np.ndarray] = field(default_factory=Future)


class Engine:
    """Predicts for every session of the process from one worker thread, so that nothing else touches its modules.

    `load(version)` gives a model's checkpoint; at most `max_models` stay in memory, the least recently used goes first.
    Requests for the same model that wait together run as one batch of at most `max_batch` images; a lone request starts at
    once unless `delay` seconds are granted for others to join.
    """

    def __init__(
        self,
        load: Callable[[str], Checkpoint],
        device: str,
        *,
        max_models: int = 3,
        max_batch: int = 32,
        delay: float = 0,
    ) -> None:
        self.device = device
        self._load, self._max_models, self._max_batch, self._delay = load, max_models, max_batch, delay
        self._models: OrderedDict[str, Checkpoint] = OrderedDict()
        self._modules: dict[str, nn.Module] = {}
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work, name="inference", daemon=True)
        self._worker.start()

    def checkpoint(self, version: str) -> Checkpoint:
        """The model's checkpoint with its weights on the engine's device, from the cache or freshly loaded."""
        with self._lock:
            if version not in self._models:
                self._models[version] = self._load(version).to(self.device)
            self._models.move_to_end(version)
            while len(self._models) > self._max_models:
                gone, _ = self._models.popitem(last=False)
                self._modules.pop(gone, None)
            return self._models[version]

    def probabilities(self, version: str, x: torch.Tensor) -> np.ndarray:
        """Probabilities (N, n_classes) of preprocessed images (N, C, H, W); waits its turn, raises what the model raised."""
        request = _Request(version, x)
        self._queue.put(request)
        return request.answer.result()

    def close(self) -> None:
        """Finish what waits and stop the worker."""
        self._queue.put(None)
        self._worker.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            waiting, closing = self._waiting_with(first)
            by_version: dict[str, list[_Request]] = {}
            for request in waiting:
                by_version.setdefault(request.version, []).append(request)
            for version, requests in by_version.items():
                self._answer(version, requests)
            if closing:
                return

    def _waiting_with(self, first: _Request) -> tuple[list[_Request], bool]:
        waiting, deadline = [first], time.monotonic() + self._delay
        while sum(len(r.x) for r in waiting) < self._max_batch:
            try:
                other = (
                    self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
                    if self._delay
                    else self._queue.get_nowait()
                )
            except queue.Empty:
                return waiting, False
            if other is None:
                return waiting, True
            waiting.append(other)
        return waiting, False

    def _answer(self, version: str, requests: list[_Request]) -> None:
        try:
            checkpoint = self.checkpoint(version)
            module = self._modules.get(version)
            if module is None:
                module = self._modules[version] = checkpoint.module(self.device)
            rows = batched_probabilities(module, torch.cat([r.x for r in requests]), self.device, self._max_batch)
        except Exception as e:
            if len(requests) > 1:  # one reviewer's bad input must not fail the others in its batch
                for request in requests:
                    self._answer(version, [request])
            else:
                requests[0].answer.set_exception(e)
            return
        start = 0
        for request in requests:
            request.answer.set_result(rows[start : start + len(request.x)])
            start += len(request.x)


def predict_study(engine: Engine, version: str, study: Study) -> Prediction:
    """One model's prediction for a study: each image scored, the study's probabilities are their mean.

    Raises `Refused` when the model reads another task than the study's.
    """
    checkpoint = engine.checkpoint(version)
    _check_scope(checkpoint, study)
    rows = engine.probabilities(version, preprocess_batch(study.images, checkpoint.preprocessing))
    return prediction_record(checkpoint, study.id, rows, engine.device)


def predict_with(checkpoint: Checkpoint, module: nn.Module, study: Study, device: str) -> Prediction:
    """The same prediction without an engine, for terminals: `module` is the checkpoint's own, on `device`."""
    _check_scope(checkpoint, study)
    rows = batched_probabilities(module, preprocess_batch(study.images, checkpoint.preprocessing), device)
    return prediction_record(checkpoint, study.id, rows, device)


def _check_scope(checkpoint: Checkpoint, study: Study) -> None:
    if study.task and study.task != checkpoint.task:
        asked, reads = get_task(study.task).title, get_task(checkpoint.task).title
        raise Refused(f"No result: this is a study of {asked.lower()}, and the model reads {reads.lower()}.")


def prediction_record(checkpoint: Checkpoint, study_id: str, rows: Sequence | np.ndarray, device: str) -> Prediction:
    """The `Prediction` of per-image probabilities `rows` (n_images, n_classes), rounded to `DECIMALS`."""
    per_image = np.round(np.asarray(rows, dtype=np.float64), DECIMALS)
    mean = np.round(per_image.mean(axis=0), DECIMALS)
    point = checkpoint.operating_point
    index = predicted_class(mean[None], get_task(checkpoint.task).positive_index, point.threshold if point else None)[0]
    return Prediction(
        study_id=study_id,
        model_version=checkpoint.version,
        task=checkpoint.task,
        probabilities={name: float(p) for name, p in zip(checkpoint.classes, mean, strict=True)},
        per_image=per_image,
        predicted=checkpoint.classes[index],
        operating_point=point,
        device=device,
        preprocessing=checkpoint.preprocessing.as_dict(),
        versions=library_versions(),
    )
