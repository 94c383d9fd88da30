"""What a Grad-CAM costs on top of a prediction: medians of same-run ratios to a plain forward, ResNet18 at 224 pixels.

Run with `python -m benchmarks.explain [rounds]`. Ratios travel between machines, times do not.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from captum.attr import LayerGradCam

from core.architectures import get_architecture
from core.explain import predict_with_gradcam


def main(rounds: int = 9) -> None:
    """Time the three ways in turn, so that a busy machine slows all of them alike."""
    torch.manual_seed(0)
    known = get_architecture("resnet18")
    net = known.build(2).eval().requires_grad_(False)
    x = torch.randn(1, 3, 224, 224)
    captum = LayerGradCam(net, net.get_submodule(known.heatmap_layer))

    def forward() -> None:
        with torch.no_grad():
            net(x)

    def predict_then_captum() -> None:
        forward()
        captum.attribute(x.clone().requires_grad_(), 1, relu_attributions=True)

    ways = {
        "forward": forward,
        "predict_with_gradcam": lambda: predict_with_gradcam(net, known.heatmap_layer, x, 1),
        "predict, then Captum LayerGradCam": predict_then_captum,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if i:  # the first round only warms up
                seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        ratio = statistics.median(t / plain for t, plain in zip(times, seconds["forward"], strict=True))
        print(f"{name:36} {ratio:5.2f} × forward")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
