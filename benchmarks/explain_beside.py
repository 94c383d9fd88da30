"""What a prediction waits while Occlusion runs for somebody else, with and without giving way, against a quiet engine.

Run with `python -m benchmarks.explain_beside [rounds]`: ResNet18 at 224 px, prediction and Grad-CAM by ONNX Runtime as in the app.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

from benchmarks.explain import checkpoint_of, timed
from core.checkpoint import Checkpoint
from core.explain import Cancelled, Request, Watch, explain
from core.onnx import export_onnx, open_checked
from core.predict import Engine
from core.records import Image, Window

ALONE, POLITE, RUDE = "alone", "beside Occlusion", "beside Occlusion that does not give way"


def main(rounds: int) -> None:
    """All three in turn, then percentiles over all rounds, and how fast Occlusion went on and how soon it stopped."""
    checkpoint, x = checkpoint_of("resnet18"), torch.randn(1, 3, 224, 224)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(checkpoint, Path(folder) / "m.onnx")
        network = open_checked(checkpoint, Path(folder) / "m.onnx")
    engine = Engine(lambda _: checkpoint, "cpu", faster=lambda _v, _c: network)
    engine.answer("resnet18", x)
    time.sleep(0.5)
    waited: dict[str, list[float]] = {ALONE: [], POLITE: [], RUDE: []}
    rates: dict[str, list[float]] = {POLITE: [], RUDE: []}
    stops: list[float] = []
    for _ in range(rounds):
        waited[ALONE] += asked(engine, x)
        for name, give_way in ((POLITE, engine.give_way), (RUDE, None)):
            with covering(checkpoint, give_way, stops) as scored:
                before, start = scored(), time.perf_counter()
                waited[name] += asked(engine, x)
                rates[name].append((scored() - before) / (time.perf_counter() - start))
    quiet = np.quantile(waited[ALONE], [0.5, 0.95])
    for name, seconds in waited.items():
        half, late = np.quantile(seconds, [0.5, 0.95])
        goes_on = f"  {np.median(rates[name]):5.1f} windows/s" if name in rates else ""
        shown = f"p50 {half * 1e3:5.0f} ms × {half / quiet[0]:5.2f}  p95 {late * 1e3:5.0f} ms × {late / quiet[1]:5.2f}"
        print(f"prediction {name:40} {shown}{goes_on}", flush=True)
    print(f"stopped within {max(stops) * 1e3:.0f} ms, median {np.median(stops) * 1e3:.0f} ms", flush=True)
    engine.close()


def asked(engine: Engine, x: torch.Tensor, times: int = 20) -> list[float]:
    """Seconds that predictions took, asked for with pauses."""
    found = []
    for pause in np.random.default_rng(0).uniform(0.1, 0.5, times):
        time.sleep(pause)
        found.append(timed(lambda: engine.answer("resnet18", x)))
    return found


@contextmanager
def covering(
    checkpoint: Checkpoint, give_way: Callable[[], None] | None, stops: list[float]
) -> Iterator[Callable[[], int]]:
    """Occlusion of one image after another in a thread of its own; gives how many covered copies it has scored."""
    stop, watches = threading.Event(), [Watch()]
    image = Image(np.random.default_rng(0).integers(0, 256, (224, 224), dtype=np.uint8), Window(128, 256))
    request = Request("occlusion", "malignant", parameters={"window": 32, "stride": 16})

    def run() -> None:
        with suppress(Cancelled):
            while True:
                watches.append(Watch(cancelled=stop.is_set, give_way=give_way))
                explain(checkpoint, image, request, watch=watches[-1])

    thread = threading.Thread(target=run)
    thread.start()
    while not watches[-1].done:
        time.sleep(0.01)
    try:
        yield lambda: sum(watch.done for watch in watches)
    finally:
        stop.set()
        stops.append(timed(thread.join))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
