"""What heatmaps cost: medians of same-run ratios to a plain forward pass, against Captum and, where installed, `grad-cam`.

Run with `python -m benchmarks.explain [rounds] [cam|masked|sessions|memory ...] [resnet18|resnet50|vgg16 ...]`, all by default
but `masked`, which takes ResNet18 alone: ResNet50 costs minutes a round.
Everything is interleaved, so that a busy machine slows all ways alike. Ratios travel between machines, times do not.
With `OMP_NUM_THREADS=1` ratios are of processor time, which neighbours on the same cores hardly change; else of elapsed time.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from captum.attr import (
    FeatureAblation,
    IntegratedGradients,
    LayerGradCam,
    Lime,
    NoiseTunnel,
    Occlusion,
    Saliency,
    ShapleyValueSampling,
)

from core.architectures import get_architecture
from core.checkpoint import Checkpoint
from core.explain import METHODS, Request, explain, predict_with_gradcam
from core.explain.case import Case
from core.explain.gradcam import LayerPass, grad_cam_plus_plus, hirescam, layer_pass, layercam
from core.explain.superpixels import superpixels
from core.onnx import export_onnx, open_checked
from core.predict import Engine, mapping_run
from core.preprocess import preprocess
from core.records import Image, full_range_window

CAM = ("resnet18", "resnet50", "vgg16")
MASKED = ("resnet18", "resnet50")
CLOCK = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
Ways = dict[str, Callable[[], object]]


def checkpoint_of(name: str, edge: int = 224) -> Checkpoint:
    """Random weights; what anything costs does not depend on them."""
    torch.manual_seed(0)
    known = get_architecture(name)
    spec = known.preprocessing(edge)
    return Checkpoint(name, "breast-mri", ("benign", "malignant"), spec, known.build(2).state_dict(), version=name)


def noise_image(edge: int) -> Image:
    """A grey picture without structure."""
    pixels = np.random.default_rng(0).integers(0, 256, (edge, edge), dtype=np.uint8)
    return Image(pixels, full_range_window(pixels))


def ratios(title: str, ways: Ways, rounds: int) -> None:
    """Print each way's median ratio to the first one, which is a plain forward pass."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds + 1):
        for name, run in ways.items():
            took = timed(run, CLOCK)
            if i:  # the first round only warms up
                seconds[name].append(took)
    plain = seconds[next(iter(ways))]
    for name, times in seconds.items():
        ratio = statistics.median(t / p for t, p in zip(times, plain, strict=True))
        print(f"{title:10} {name:44} {ratio:7.2f} × forward", flush=True)


def long_ratios(title: str, ways: Ways, rounds: int) -> None:
    """As `ratios`, for ways of many forwards, each beside forwards of its own: three before it and three after it."""
    forward, *names = ways
    found: dict[str, list[float]] = {name: [] for name in names}
    timed(ways[forward], CLOCK)  # warms up
    for _ in range(rounds):
        for name in names:
            before = [timed(ways[forward], CLOCK) for _ in range(3)]
            seconds = timed(ways[name], CLOCK)
            after = [timed(ways[forward], CLOCK) for _ in range(3)]
            found[name].append(seconds / statistics.median(before + after))
            print(f"{title:10} {name:44} {statistics.median(found[name]):7.1f} × forward", flush=True)


def timed(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds."""
    start = clock()
    run()
    return clock() - start


def forward_of(net: torch.nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """A plain prediction."""
    return torch.no_grad()(lambda: net(x))


def family(rounds: int) -> None:
    """Prediction and class-activation maps of one image."""
    for name in [word for word in sys.argv[1:] if word in CAM] or CAM:
        checkpoint = checkpoint_of(name)
        net, layer = checkpoint.module(), checkpoint.heatmap_layer
        x = torch.randn(1, 3, 224, 224)
        captum = LayerGradCam(net, net.get_submodule(layer))
        forward = forward_of(net, x)

        def then_captum(forward=forward, captum=captum, x=x) -> None:
            forward()
            captum.attribute(x.clone().requires_grad_(), 1, relu_attributions=True)

        def by(formula: Callable[[LayerPass], torch.Tensor], net=net, layer=layer, x=x) -> Callable[[], object]:
            return lambda: formula(layer_pass(net, layer, x, 1))

        ways = {
            "forward": forward,
            "predict_with_gradcam": lambda net=net, layer=layer, x=x: predict_with_gradcam(net, layer, x, 1),
            "HiResCAM": by(hirescam), "Grad-CAM++": by(grad_cam_plus_plus), "LayerCAM": by(layercam),
            "explain, Grad-CAM": partial(map_of, checkpoint, noise_image(224), "gradcam", {}),
            "explain, Guided Grad-CAM": partial(map_of, checkpoint, noise_image(224), "guided-gradcam", {}),
            "predict, then Captum LayerGradCam": then_captum,
            **grad_cam_package(net, layer, x),
        }  # fmt: skip
        if name != "vgg16":
            with tempfile.TemporaryDirectory() as folder:
                export_onnx(checkpoint, Path(folder) / "m.onnx")
                network = open_checked(checkpoint, Path(folder) / "m.onnx")
            ways["ONNX Runtime, logits and all maps"] = lambda network=network, x=x: network(x)
        ratios(name, ways, rounds)


def grad_cam_package(net: torch.nn.Module, layer: str, x: torch.Tensor) -> Ways:
    """The `grad-cam` package's Grad-CAM, where it is installed."""
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError:
        print("the grad-cam package is not installed: left out")
        return {}

    def run() -> None:
        with GradCAM(model=net, target_layers=[net.get_submodule(layer)]) as cam:
            cam(input_tensor=x.clone().requires_grad_(), targets=[ClassifierOutputTarget(1)])

    return {"grad-cam package": run}


def masked(rounds: int) -> None:
    """Methods that run the network many times, by `explain` as the program calls it, and Captum's on the plain network."""
    for name in [word for word in sys.argv[1:] if word in MASKED] or MASKED[:1]:
        checkpoint, image = checkpoint_of(name), noise_image(224)
        net, x = checkpoint.module(), preprocess(image, checkpoint.preprocessing)[None]
        ways: Ways = {"forward": forward_of(net, x)}
        ways |= {f"{what}, first map": partial(first_map, checkpoint, image, *how) for what, how in FIRST.items()}
        ways |= {what: partial(map_of, checkpoint, image, *how) for what, how in OURS.items()}
        long_ratios(name, ways | captums(checkpoint, net, x), rounds)


OURS = {
    "Integrated Gradients 50": ("integrated-gradients", {"steps": 50}),
    "SmoothGrad 50": ("smoothgrad", {}),
    "Occlusion 169": ("occlusion", {"window": 32, "stride": 16}),
    "LIME 200": ("lime", {"samples": 200}),
    "Feature ablation 50": ("feature-ablation", {}),
    "Shapley 4 orders of 25": ("shapley", {"permutations": 4}),
    "Score-CAM 56 maps": ("score-cam", {}),
    "Score-CAM 512 maps": ("score-cam", {"channels": 512}),
}
FIRST = {"Integrated Gradients 24": ("integrated-gradients", {})}


def map_of(checkpoint: Checkpoint, image: Image, method: str, parameters: dict[str, int]) -> None:
    """A heatmap as the program makes it: the picture preprocessed, the network for this call, the class score, the record."""
    explain(checkpoint, image, Request(method, "malignant", parameters=parameters))


def first_map(checkpoint: Checkpoint, image: Image, method: str, parameters: dict[str, int]) -> None:
    """As `map_of`, for a model that was not explained before: its network is made faster first."""
    map_of(replace(checkpoint), image, method, parameters)


def captums(checkpoint: Checkpoint, net: torch.nn.Module, x: torch.Tensor) -> Ways:
    """Captum's own, on the plain network, with superpixels that are there already."""
    case = Case(net, x, 1, checkpoint.preprocessing.mean, checkpoint.preprocessing.std)
    fill, black = (case.baseline(kind).expand_as(x) for kind in ("mean", "black"))
    mask, few = (superpixels(case, segments).expand_as(x).contiguous() for segments in (50, 25))
    quiet = torch.no_grad()(lambda batch: net(batch))
    spread = 0.15 * float(x.max() - x.min())
    smooth = {"nt_type": "smoothgrad", "nt_samples": 50, "nt_samples_batch_size": 8, "stdevs": spread}
    return {
        "Captum Integrated Gradients 50": lambda: IntegratedGradients(net).attribute(
            x, black, target=1, n_steps=50, internal_batch_size=8
        ),
        "Captum SmoothGrad 50": lambda: NoiseTunnel(Saliency(net)).attribute(x, target=1, **smooth),
        "Captum Occlusion 169": lambda: Occlusion(quiet).attribute(
            x, (3, 32, 32), (3, 16, 16), fill, target=1, perturbations_per_eval=16
        ),
        "Captum LIME 200": lambda: Lime(quiet).attribute(
            x, fill, target=1, feature_mask=mask, n_samples=200, perturbations_per_eval=16
        ),
        "Captum feature ablation 50": lambda: FeatureAblation(quiet).attribute(
            x, fill, target=1, feature_mask=mask, perturbations_per_eval=16
        ),
        "Captum Shapley 4 orders of 25": lambda: ShapleyValueSampling(quiet).attribute(
            x, fill, target=1, feature_mask=few, n_samples=4, perturbations_per_eval=16
        ),
    }


def sessions(rounds: int) -> None:
    """Eight sessions that ask for prediction and Grad-CAM one after the other: eager in each, and through the engine."""
    checkpoint = checkpoint_of("resnet18")
    x = torch.randn(1, 3, 224, 224)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(checkpoint, Path(folder) / "m.onnx")
        network = open_checked(checkpoint, Path(folder) / "m.onnx")
    eager, fast = (Engine(lambda _: checkpoint, "cpu", faster=f) for f in (None, lambda _v, _c: network))
    for engine in (eager, fast):
        engine.answer("resnet18", x)
    time.sleep(0.5)
    runs = [mapping_run(checkpoint.module(), "cpu", "layer4") for _ in range(8)]
    ways: dict[str, Callable[[int], object]] = {
        "eager in each session": lambda i: runs[i](x),
        "engine, PyTorch": lambda _: eager.answer("resnet18", x),
        f"engine, {fast.engine_name('resnet18')}": lambda _: fast.answer("resnet18", x),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, ask in ways.items():
            found[name].append(eight(ask))
    base = found["eager in each session"]
    for name, values in found.items():
        rate = statistics.median(v[0] / b[0] for v, b in zip(values, base, strict=True))
        late = statistics.median(v[1] / b[1] for v, b in zip(values, base, strict=True))
        shown = statistics.median(v[0] for v in values)
        print(f"8 sessions {name:32} {shown:6.1f}/s  throughput × {rate:4.2f}  p95 × {late:4.2f}", flush=True)
    eager.close()
    fast.close()


def eight(ask: Callable[[int], object], each: int = 12) -> tuple[float, float]:
    """Requests per second and 95th percentile in seconds of eight threads with `each` requests."""
    waited: list[float] = []

    def session(i: int) -> None:
        for _ in range(each):
            start = time.perf_counter()
            ask(i)
            waited.append(time.perf_counter() - start)

    threads = [threading.Thread(target=session, args=(i,)) for i in range(8)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(waited) / (time.perf_counter() - start), float(np.quantile(waited, 0.95))


def memory(rounds: int) -> None:
    """10,000 maps of each cheap method by `explain`, with a small network: what the process has grown by after the first 1,000."""
    checkpoint, image = checkpoint_of("small-cnn", 16), noise_image(16)
    net, x = checkpoint.module(), torch.randn(1, 1, 16, 16)
    ways: Ways = {"predict_with_gradcam": lambda: predict_with_gradcam(net, "features", x, 1)}
    cheap = [name for name, method in METHODS.items() if not method.slow]
    for name, run in (ways | {name: partial(map_of, checkpoint, image, name, {}) for name in cheap}).items():
        for count in (1_000, 9_000):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(count):
                run()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"{name:24} maps 1,001 to 10,000: {grown / 1024:.1f} MiB more at the peak", flush=True)


PARTS = {"cam": family, "masked": masked, "sessions": sessions, "memory": memory}

if __name__ == "__main__":
    wanted = [word for word in sys.argv[1:] if word in PARTS] or list(PARTS)
    number = next((int(word) for word in sys.argv[1:] if word.isdigit()), 9)
    for part in wanted:
        PARTS[part](number)
