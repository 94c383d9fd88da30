"""Tensors -> probabilities: one engine per process, shared by all sessions, batching what waits together."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import nn

from core.checkpoint import Checkpoint
from core.explain.case import PATIENCE
from core.explain.gradcam import grad_cam, layer_pass
from core.onnx import OnnxNetwork
from core.preprocess import preprocess_batch
from core.records import Prediction, Refused, Study
from core.statistics.discrimination import predicted_class
from core.tasks import get_task
from core.versions import library_versions

_LOG = logging.getLogger("tumortrace")
DECIMALS = 6  # stored probabilities are rounded: the last bits change with batch size and device


@dataclass(frozen=True)
class Answer:
    """What a model said of N images: `logits` (N, C) float64, `maps` (N, C, h, w) float32 or None, and by which `engine`.

    `maps` are raw Grad-CAMs of the same pass. They are NaN for classes that would have cost a backward pass of their own, and
    None for models with members or views, which have no layer of their own.
    """

    logits: np.ndarray
    maps: np.ndarray | None
    engine: str

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax (N, C), float64."""
        return torch.softmax(torch.from_numpy(self.logits), dim=1).numpy()

    def part(self, start: int, count: int) -> Answer:
        """The answer for `count` images from `start`."""
        rows = slice(start, start + count)
        return replace(self, logits=self.logits[rows], maps=None if self.maps is None else self.maps[rows])


Run = Callable[
    [torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]
]  # images to logits, and maps where there are some


def plain_run(module: nn.Module, device: str) -> Run:
    """Logits (N, C) of images (N, C, H, W) on the CPU, by a module in eval mode on `device`; no maps."""

    def run(x: torch.Tensor) -> tuple[torch.Tensor, None]:
        with torch.inference_mode():
            return module(x.to(device)).cpu(), None

    return run


Rule = Callable[[torch.Tensor], torch.Tensor]  # logits (N, C) to the class of each image (N,)


def mapping_run(module: nn.Module, device: str, layer: str, rule: Rule | None = None) -> Run:
    """Logits and Grad-CAMs from one pass: of every class in the closed form, else of the class that `rule` gives each image.

    Without a rule that is the most probable class.
    """
    rule = rule or partial(torch.argmax, dim=1)

    def run(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen = layer_pass(module, layer, x.to(device), rule)
        if seen.head is not None:
            cells = seen.activations.shape[2] * seen.activations.shape[3]
            maps = torch.einsum("ck,nkhw->nchw", seen.head / cells, seen.activations).relu()
        else:
            maps = torch.full((*seen.logits.shape, *seen.activations.shape[2:]), torch.nan, device=device)
            maps[torch.arange(len(x)), rule(seen.logits)] = grad_cam(seen)
        return seen.logits.cpu(), maps.cpu()

    return run


@contextmanager
def arranged(module: nn.Module) -> Iterator[nn.Module]:
    """The module takes every batch in channels-last order while the `with` lasts: batches are copied, not the whole of x."""

    def arrange(_module: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0].contiguous(memory_format=torch.channels_last),)

    with module.register_forward_pre_hook(arrange):
        yield module


def out_of_memory(error: RuntimeError) -> bool:
    """Whether that is what it says: PyTorch has an exception of its own for GPUs only, on a CPU there is but a message."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def called_class(checkpoint: Checkpoint) -> Rule:
    """The class that a checkpoint calls by its operating point, as a rule for `mapping_run`."""
    point, positive = checkpoint.operating_point, get_task(checkpoint.task).positive_index
    threshold = point.threshold if point else None

    def rule(logits: torch.Tensor) -> torch.Tensor:
        probabilities = torch.softmax(logits.detach().double(), dim=1).cpu().numpy()
        return torch.from_numpy(predicted_class(probabilities, positive, threshold)).to(logits.device)

    return rule


def batched(run: Run, x: torch.Tensor, engine: str = "PyTorch", batch_size: int = 32) -> Answer:
    """The answer of `run` for images (N, C, H, W), at most `batch_size` at a time.

    Out of memory halves the batch, down to one image, and then raises `Refused`; logits that are not finite raise `Refused`.
    """
    done: list[tuple[torch.Tensor, torch.Tensor | None]] = []
    start, size = 0, batch_size
    while start < len(x):
        try:
            done.append(run(x[start : start + size]))
        except RuntimeError as e:
            if not out_of_memory(e):
                raise
            if size == 1:
                raise Refused("The device has too little memory for one image of this model; use another.") from e
            torch.cuda.empty_cache()
            size = size // 2
            continue
        start += size
    logits = torch.cat([part for part, _ in done]).double()
    if not bool(torch.isfinite(logits).all()):
        raise Refused("The model's output is not a finite number for this image, so there is no result.")
    maps = [part for _, part in done if part is not None]
    return Answer(logits.numpy(), torch.cat(maps).numpy() if maps else None, engine)


def batched_probabilities(module: nn.Module, x: torch.Tensor, device: str, batch_size: int = 32) -> np.ndarray:
    """Softmax probabilities (N, n_classes), float64, of images (N, C, H, W) by a module in eval mode on `device`; see `batched`."""
    return batched(plain_run(module, device), x, batch_size=batch_size).probabilities


@dataclass
class _Request:
    version: str
    x: torch.Tensor
    ahead: bool = False
    answer: Future[Answer] = field(default_factory=Future)


_Waiting = tuple[int, int, _Request | None]  # rank, number, request: who is waited for, what is made ahead, the end


class Engine:
    """Predicts for every session of the process from one worker thread, so that nothing else touches its modules.

    `load(version)` gives a model's checkpoint; at most `max_models` stay in memory, the least recently used goes first.
    Requests for the same model that wait together run as one batch of at most `max_batch` images; a lone request starts at once.
    What is made ahead, for nobody yet, runs when no one waits, one request at a time, so that it delays the next by no more.

    `faster(version, checkpoint)` may give a quicker way to run a model on the CPU with the same results. It is asked once per
    model, in the background; until it answers, and where it refuses, PyTorch runs the model.
    """

    def __init__(
        self,
        load: Callable[[str], Checkpoint],
        device: str,
        *,
        faster: Callable[[str, Checkpoint], OnnxNetwork] | None = None,
        max_models: int = 3,
        max_batch: int = 32,
    ) -> None:
        self.device = device
        self._load, self._faster, self._max_models, self._max_batch = load, faster, max_models, max_batch
        self._models: OrderedDict[str, Checkpoint] = OrderedDict()
        self._runs: dict[str, tuple[str, Run]] = {}  # engine's name, and how it runs
        self._lock = threading.Lock()
        self._urgent = 0
        self._calm = threading.Condition()
        self._queue: queue.PriorityQueue[_Waiting] = queue.PriorityQueue()
        self._numbers = itertools.count()
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
                self._runs.pop(gone, None)
            return self._models[version]

    def answer(self, version: str, x: torch.Tensor, *, ahead: bool = False) -> Answer:
        """What the model says of preprocessed images (N, C, H, W); waits its turn, raises what the model raised.

        With `ahead` nobody waits for it yet: others overtake it, and long work does not give way to it.
        """
        request = _Request(version, x, ahead)
        with self._calm:
            self._urgent += not ahead
        try:
            self._queue.put((int(ahead), next(self._numbers), request))
            return request.answer.result()
        finally:
            with self._calm:
                self._urgent -= not ahead
                self._calm.notify_all()

    def probabilities(self, version: str, x: torch.Tensor) -> np.ndarray:
        """Probabilities (N, n_classes) of preprocessed images (N, C, H, W); as `answer`."""
        return self.answer(version, x).probabilities

    def give_way(self) -> None:
        """Return when no prediction is waited for: long work calls this between its layers, so that it blocks nobody.

        After `PATIENCE` seconds it goes on all the same, or a busy house would never finish a heatmap.
        """
        with self._calm:
            self._calm.wait_for(lambda: self._urgent == 0, timeout=PATIENCE)

    def engine_name(self, version: str) -> str:
        """By what the model runs now: PyTorch, or the name of the quicker way; empty before its first prediction."""
        return self._runs.get(version, ("", None))[0]

    def close(self) -> None:
        """Finish what waits and stop the worker."""
        self._queue.put((2, next(self._numbers), None))
        self._worker.join()

    def _work(self) -> None:
        while (first := self._queue.get()[2]) is not None:
            by_version: dict[str, list[_Request]] = {}
            for request in self._waiting_with(first):
                by_version.setdefault(request.version, []).append(request)
            for version, requests in by_version.items():
                self._answer(version, requests)

    def _waiting_with(self, first: _Request) -> list[_Request]:
        waiting = [first]
        while not first.ahead and sum(len(r.x) for r in waiting) < self._max_batch:
            try:
                rank, number, other = self._queue.get_nowait()
            except queue.Empty:
                break
            if rank:  # for nobody yet, or the end: in its turn
                self._queue.put((rank, number, other))
                break
            waiting.append(other)
        return waiting

    def _run(self, version: str) -> tuple[str, Run]:
        checkpoint = self.checkpoint(version)
        with self._lock:
            if version in self._runs:
                return self._runs[version]
        module, layer = checkpoint.module(self.device), checkpoint.heatmap_layer
        with_maps = partial(mapping_run, module, self.device, layer, called_class(checkpoint))
        made = ("PyTorch", with_maps() if checkpoint.has_own_layer else plain_run(module, self.device))
        with self._lock:
            if version not in self._models:
                return made  # another thread's model took its place meanwhile: this answer, then no more
            self._runs[version] = made
        if self._faster is not None and self.device == "cpu":
            threading.Thread(target=self._hasten, args=(version, checkpoint), name="faster", daemon=True).start()
        return made

    def _hasten(self, version: str, checkpoint: Checkpoint) -> None:
        try:
            network = self._faster(version, checkpoint)  # type: ignore[misc]
        except Exception as reason:  # whatever it is, the model runs without it
            _LOG.warning("model %s runs by PyTorch: %s", version[:8], reason)
            return
        with self._lock:
            # Logits alone are no gain where the pass that gives the heatmap as well would have to follow.
            if version in self._runs and (network.has_maps or not checkpoint.has_own_layer):
                self._runs[version] = (network.name, network)

    def _answer(self, version: str, requests: list[_Request]) -> None:
        try:
            name, run = self._run(version)
            answer = batched(run, torch.cat([r.x for r in requests]), name, self._max_batch)
        except Exception as e:
            if len(requests) > 1:  # one reviewer's bad input must not fail the others in its batch
                for request in requests:
                    self._answer(version, [request])
            else:
                requests[0].answer.set_exception(e)
            return
        start = 0
        for request in requests:
            request.answer.set_result(answer.part(start, len(request.x)))
            start += len(request.x)


def predict_study(engine: Engine, version: str, study: Study) -> Prediction:
    """One model's prediction for a study: each image scored, the study's probabilities are their mean.

    Raises `Refused` when the model reads another task than the study's.
    """
    return predict_study_with_maps(engine, version, study)[0]


def predict_study_with_maps(
    engine: Engine, version: str, study: Study, *, ahead: bool = False
) -> tuple[Prediction, Answer]:
    """The prediction for a study, and what the same pass over its images says of their Grad-CAMs.

    With `ahead` nobody waits for it yet, see `Engine.answer`.
    """
    checkpoint = engine.checkpoint(version)
    _check_scope(checkpoint, study)
    answer = engine.answer(version, preprocess_batch(study.images, checkpoint.preprocessing), ahead=ahead)
    made = prediction_record(checkpoint, study.id, answer.probabilities, engine.device)
    return replace(made, versions={**made.versions, "engine": answer.engine}), answer


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
