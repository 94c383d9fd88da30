"""Our training and evaluation loops against bare PyTorch ones, same network and tensors, turn by turn in one run.

Run with `OMP_NUM_THREADS=1 python -m benchmarks.training [rounds]`. Ratios travel between machines, times do not. Processor
time is counted, not the clock's, so that other programs on the machine do not count.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional as F

from core.architectures import get_architecture
from core.checkpoint import Checkpoint
from core.evaluation import predict_probabilities
from core.recipes import Augmentation, Recipe
from core.tasks import get_task
from core.trainer import Setup, Trainer

# Images of an epoch and of an evaluation: as many as small data sets have, so that what is done once, such as building the
# model from its checkpoint, weighs as it does there.
CASES = (
    ("small-cnn", 28, 1024, 8192),
    ("small-cnn", 64, 512, 2048),
    ("resnet18", 64, 256, 1024),
    ("resnet18", 224, 64, 256),
)
PLAIN = Recipe(optimizer="sgd", lr=1e-4, schedule="constant", batch_size=32)
CHANGED = replace(PLAIN, augment=Augmentation(hflip=0.5, shift=0.05, rotate=10, crop=0.8, brightness=0.1, contrast=0.1))


def main(rounds: int = 9) -> None:
    """Print images per second and ratios for every network and size."""
    print("| network | size | bare loop | ours | ratio | with augmentation | evaluation: bare | ours | ratio |")
    for name, size, n, scored in CASES:
        ways = _ways(name, size, n, scored)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for i in range(rounds + 1):
            for way, run in ways.items():
                start = time.process_time()
                run()
                if i:  # the first round only warms up
                    seconds[way].append(time.process_time() - start)
        images = {way: scored if "evaluation" in way else n for way in ways}
        rate = {way: images[way] / statistics.median(times) for way, times in seconds.items()}

        def ratio(way: str, bare: str, seconds: dict[str, list[float]] = seconds) -> float:
            return statistics.median(b / t for t, b in zip(seconds[way], seconds[bare], strict=True))

        print(
            f"| {name} | {size} | {rate['bare']:.0f} | {rate['ours']:.0f} | {ratio('ours', 'bare'):.2f} | "
            f"{ratio('changed', 'bare'):.2f} | {rate['bare evaluation']:.0f} | {rate['evaluation']:.0f} | "
            f"{ratio('evaluation', 'bare evaluation'):.2f} |",
            flush=True,
        )


def _ways(name: str, size: int, n: int, n_scored: int) -> dict[str, Callable[[], object]]:
    """One epoch, or one pass of evaluation, each way."""
    known = get_architecture(name)
    x, y = torch.randn(n, known.channels, size, size), torch.arange(n) % 2
    spec, task = known.preprocessing(size), get_task("breast-ultrasound")

    def trainer(recipe: Recipe) -> Callable[[], object]:
        torch.manual_seed(0)
        made = Trainer(known.build(2), Setup(recipe, task, spec, "cpu", 0, x, y, x[:2], y[:2]))
        return lambda: made.run_epoch(0, lambda *_: None)

    torch.manual_seed(0)
    net = known.build(2).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=0.01, fused=True)

    def bare() -> None:
        for index in torch.randperm(n).split(32):
            logits = net(x[index].contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    many = x.repeat(n_scored // n, 1, 1, 1)
    scored = known.build(2).to(memory_format=torch.channels_last).eval().requires_grad_(False)

    checkpoint = Checkpoint(name, task.name, task.classes, spec, scored.state_dict())

    def bare_evaluation() -> None:
        with torch.inference_mode():
            for part in many.split(32):
                scored(part.contiguous(memory_format=torch.channels_last)).softmax(dim=1)

    return {
        "bare": bare, "ours": trainer(PLAIN), "changed": trainer(CHANGED),
        "bare evaluation": bare_evaluation, "evaluation": lambda: predict_probabilities(checkpoint, many),
    }  # fmt: skip


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
