"""Reading files: every kind, a mammogram beside plain pydicom + Pillow, what the child process costs, and an import.

Run with `python -m benchmarks.reading [rounds]`. What is compared is run alternately in one process; ratios travel between
machines, times do not. Peak memory is that of a fresh process for each path, above what it holds before the file.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from PIL import Image as Pillow
from pydicom import uid
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from core.preprocess import Preprocessing, preprocess
from core.reading import process, pydicom_plugin, studies
from tests.core.dicom_factory import encapsulated, make_dataset, to_bytes
from tests.core.reading.samples import subjects

pydicom_plugin.register()  # plain pydicom gets the same decoders: without them it reads no lossless JPEG at all
SHAPE = (3518, 2800)
SPEC = Preprocessing((224, 224), 1, (0.5,), (0.25,))
WINDOW = {"WindowCenter": 2000, "WindowWidth": 3000, "RescaleSlope": 1, "RescaleIntercept": 0}


def mammogram() -> np.ndarray:
    """A breast of 12 bits in 16 before a black background, with the noise of a detector: uint16 (3518, 2800)."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    inside = np.clip(1.2 - np.hypot((rows - 1759) / 1500, columns / 1700), 0, 1)
    noise = np.random.default_rng(0).normal(0, 8, SHAPE).astype(np.float32)
    return np.where(inside > 0, np.clip(800 + 2600 * inside + noise, 0, 4095), 0).astype(np.uint16)


def mammograms() -> dict[str, bytes]:
    """The mammogram in four encodings."""
    values = mammogram()
    dataset = make_dataset(values, BitsStored=12, Modality="MG", **WINDOW)
    files = {"uncompressed": to_bytes(dataset)}
    rle = pydicom.dcmread(io.BytesIO(files["uncompressed"]))
    rle.compress(uid.RLELossless)
    files["RLE"] = to_bytes(rle)
    frame = imagecodecs.jpeg2k_encode(values, bitspersample=12, codecformat="j2k", reversible=True)
    files["JPEG 2000"] = encapsulated(dataset, [frame], uid.JPEG2000Lossless)
    frame = imagecodecs.ljpeg_encode(values, bitspersample=12)
    files["JPEG lossless"] = encapsulated(dataset, [frame], uid.JPEGLosslessSV1)
    return files


def ours(data: bytes) -> object:
    """Decode, window and resize as this program does."""
    instance = studies.decode("a.dcm", data, "", b"")
    return preprocess(instance.images[0], SPEC)


def plain(data: bytes) -> object:
    """The same as most tutorials do it: floats through pydicom's functions, then Pillow."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float32)
    shown = (shown - shown.min()) / max(float(np.ptp(shown)), 1.0)
    small = Pillow.fromarray(shown).resize(SPEC.size[::-1], Pillow.Resampling.BILINEAR)
    return (np.asarray(small) - 0.5) / 0.25


def child(data: bytes) -> object:
    """As ours, decoded in a child process."""
    instance = process.shared().call("core.reading.studies:decode", name="a.dcm", data=data, task="", secret=b"")
    return preprocess(instance.images[0], SPEC)


def medians(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds of each side, run in turn."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    for _ in range(rounds):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def peak_megabytes(path: str, file: Path) -> float:
    """Memory that one path adds at its peak, in a process of its own that has read a small file before."""
    code = f"from benchmarks.reading import peak; peak({path!r}, {str(file)!r})"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return float(output)


def peak(path: str, file: str) -> None:
    """Print what `peak_megabytes` asks for."""
    side, data = {"ours": ours, "plain": plain}[path], Path(file).read_bytes()
    side(to_bytes(make_dataset(np.arange(4096, dtype=np.uint16).reshape(64, 64), BitsStored=12, **WINDOW)))
    before = highest_kilobytes()
    side(data)
    print((highest_kilobytes() - before) / 1024)


def highest_kilobytes() -> int:
    """The most memory that this process has had (`ru_maxrss` would also count the process that started it)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def pictures(folder: Path, count: int, edge: int) -> list[Path]:
    """Speckled PNG files, no two alike."""
    rng = np.random.default_rng(0)
    ground = Pillow.fromarray(rng.integers(0, 250, (32, 32), dtype=np.uint8)).resize((edge, edge))
    paths = []
    for number in range(count):
        values = np.roll(np.asarray(ground), 7 * number) + rng.integers(0, 4, (edge, edge), dtype=np.uint8)
        paths.append(folder / f"{number:04}.png")
        Pillow.fromarray(values).save(paths[-1])
    return paths


def import_rates(count: int, rounds: int) -> dict[str, float]:
    """Files per minute through reading and store: decoded here, and in child processes."""
    from core.reading import Source, intake
    from db import engine
    from db.importing import import_exams

    found: dict[str, list[float]] = {"direct": [], "child": []}
    reader = intake.Reader.__init__
    with tempfile.TemporaryDirectory() as folder:
        paths = pictures(Path(folder), count, 512)
        for turn in range(2 * rounds):
            side = ("direct", "child")[turn % 2]
            with tempfile.TemporaryDirectory() as home:
                os.environ["TUMORTRACE_HOME"] = home
                engine.init()

                def init(self: object, *given: object, side: str = side, **options: object) -> None:
                    reader(self, *given, **{**options, "trusted": side == "direct"})

                intake.Reader.__init__ = init
                start = time.perf_counter()
                results = [
                    r for exam in import_exams([Source.of_path(p) for p in paths], "breast-mri", by="x") for r in exam
                ]
                found[side].append(60 * count / (time.perf_counter() - start))
                engine.dispose()
            if sum(sum(result.added) for result in results) != count:
                raise RuntimeError("not every file was stored")
    intake.Reader.__init__ = reader
    return {side: statistics.median(rates) for side, rates in found.items()}


def main(rounds: int) -> None:
    """Print everything."""
    print("kind, 24 × 24: p50 direct / in the child, ms")
    for kind, data in subjects().items():
        if kind == "zip":
            continue
        times = medians(
            {
                "direct": lambda data=data: studies.decode("a", data, "", b""),
                "child": lambda data=data: process.shared().call(
                    "core.reading.studies:decode", name="a", data=data, task="", secret=b""
                ),
            },
            10 * rounds,
        )
        print(f"  {kind:14} {times['direct']:8.2f} {times['child']:8.2f}")
    print("mammogram 3518 × 2800, 12 of 16 bit: decode, window, resize to 224 × 224: ms, peak MB")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in mammograms().items():
            file = Path(folder) / "a.dcm"
            file.write_bytes(data)
            sides = {"plain": plain, "ours": ours, "child": child}
            times = medians({side: lambda f=f, data=data: f(data) for side, f in sides.items()}, rounds)
            memory = {side: peak_megabytes(side, file) for side in ("plain", "ours")}
            print(f"  {name:14} plain {times['plain']:7.0f} (+{memory['plain']:.0f} MB)  ours {times['ours']:7.0f}"
                  f" (+{memory['ours']:.0f} MB)  in the child {times['child']:7.0f}")  # fmt: skip
    rates = import_rates(100, max(rounds // 2, 2))
    print(
        f"import of 100 PNGs of 512 × 512, store included: direct {rates['direct']:,.0f} a minute, child {rates['child']:,.0f}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
