"""Looking into a dataset's pictures: their sizes and brightness, a small copy of each, and those that stand out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch

from core.datasets.dataset import Case, Progress
from core.datasets.lookalikes import difference_hash
from core.preprocess import Preprocessing, display_values, preprocess
from core.records import Image, full_range_window

EDGE = 128  # of the small copies, in pixels, at most
INTENSITY = ("mean", "sd", "p01", "median", "p99", "dark")
_TELLING = ("mean", "sd", "median", "p99")  # the others are 0 for most pictures, and any other value is far from that
DARK = 0.02  # display brightness up to which a pixel counts as background


def measure(cases: Sequence[Case], copies: np.ndarray, progress: Progress | None = None) -> pd.DataFrame:
    """Facts of every case's picture, one row per case; the small copies go into `copies` (N, e, e) or (N, e, e, 3) uint8.

    Columns: `height`, `width` (pixels), `mean`, `sd`, `p01`, `median`, `p99` of the display brightness in [0, 1], `dark` (the
    share of pixels at or below 0.02), `dhash` (uint64, see `difference_hash`). Copies are stretched to the square, as a
    network sees them. A case without a picture has NaN, hash 0 and a black copy.
    """
    edge, channels = copies.shape[1], 3 if copies.ndim == 4 else 1
    small = Preprocessing((edge, edge), channels, (0.0,) * channels, (1.0,) * channels)

    def one(i: int) -> tuple[float, ...]:
        image = cases[i].load()
        copy = preprocess(image, small).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()  # (C, e, e)
        copies[i] = copy[0] if channels == 1 else copy.transpose(1, 2, 0)
        return (*image.pixels.shape[:2], *_intensity(image), difference_hash(as_image(copies[i])))

    rows: list[tuple[float, ...]] = [(np.nan,) * (2 + len(INTENSITY)) + (0,)] * len(cases)
    there = [i for i, case in enumerate(cases) if case.pixel_hash]
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for done, (i, row) in enumerate(zip(there, pool.map(one, there), strict=True), start=1):
            rows[i] = row
            if progress and (done % 100 == 0 or done == len(there)):
                progress(done, len(there), "Measuring pictures")
    frame = pd.DataFrame(rows, columns=["height", "width", *INTENSITY, "dhash"])
    return frame.assign(dhash=np.array([row[-1] for row in rows], dtype=np.uint64))


def as_image(copy: np.ndarray) -> Image:
    """A small copy (e, e) or (e, e, 3) as an image whose display brightness is the copy itself."""
    pixels = np.array(copy)
    return Image(pixels, None if pixels.ndim == 3 else full_range_window(pixels))


def _intensity(image: Image) -> tuple[float, ...]:
    """The statistics named in `INTENSITY`, of all pixels and channels."""
    shown = display_values(image)
    low, middle, high = np.quantile(shown, (0.01, 0.5, 0.99))
    return (
        float(shown.mean()),
        float(shown.std()),
        float(low),
        float(middle),
        float(high),
        float((shown <= DARK).mean()),
    )


def copy_shape(cases: Sequence[Case]) -> tuple[int, ...]:
    """Shape of the small copies of these cases, judged by the first picture: never larger than it, grey or colour."""
    first = next((case for case in cases if case.pixel_hash), None)
    pixels = first.load().pixels if first else np.zeros((1, 1))
    edge = min(EDGE, max(pixels.shape[:2]))
    return (len(cases), edge, edge, 3) if pixels.ndim == 3 else (len(cases), edge, edge)


def robust_z(values: np.ndarray) -> np.ndarray:
    """Modified z-scores of values (N,): 0.6745 (x − median) / MAD (Iglewicz and Hoaglin 1993); beyond 3.5 is an outlier.

    Where more than half of the values are equal (MAD 0), their mean absolute deviation times 1.2533 takes its place, as the
    same authors advise; where all are equal the scores are 0. NaN stays NaN.
    """
    away = values - np.nanmedian(values) if np.isfinite(values).any() else values
    spread = np.nanmedian(np.abs(away)) / 0.6745 if np.isfinite(away).any() else 0.0
    spread = spread or (np.nanmean(np.abs(away)) * 1.2533 if np.isfinite(away).any() else 0.0)
    return away / spread if spread else np.where(np.isfinite(away), 0.0, np.nan)


def outliers(facts: pd.DataFrame, limit: float = 3.5) -> pd.DataFrame:
    """Pictures with a brightness or shape far from the rest: `row`, `z` (the largest |robust z|), `because`; the farthest first.

    Looked at: mean, sd, median and p99 of the brightness, the aspect ratio (width / height), and a column `distance` where
    there is one (of the model's features to their centre, say).
    """
    looked = facts[list(_TELLING)].assign(aspect=facts["width"] / facts["height"])
    if "distance" in facts:
        looked = looked.assign(distance=facts["distance"])
    z = np.column_stack([robust_z(looked[name].to_numpy(dtype=float)) for name in looked])
    size = np.nan_to_num(np.abs(z))
    farthest = size.argmax(axis=1)
    rows = np.flatnonzero(size.max(axis=1) > limit)
    rows = rows[np.argsort(-size[rows].max(axis=1), kind="stable")]
    names = looked.columns.to_numpy()[farthest[rows]]
    values = looked.to_numpy()[rows, farthest[rows]]
    return pd.DataFrame({"row": rows, "z": z[rows, farthest[rows]], "because": names, "value": values})


def sizes(facts: pd.DataFrame) -> pd.DataFrame:
    """`height`, `width` and `n` of the pictures that are there, the most frequent first."""
    there = facts.dropna(subset=["height", "width"]).astype({"height": int, "width": int})
    return (
        there.groupby(["height", "width"])
        .size()
        .rename("n")
        .reset_index()
        .sort_values("n", ascending=False, kind="stable")
    )


def by_group(facts: pd.DataFrame, grouped: pd.Series, statistic: str) -> pd.DataFrame:
    """How one statistic of the pictures differs between groups, as between scanners: domain shift.

    `grouped` goes with the rows of `facts`; missing values are a group of their own. Columns: `value`, `n`, `mean`, `sd` and the
    quantiles `q05`, `q25`, `median`, `q75`, `q95`.
    """
    there = facts[statistic].notna()
    names = grouped.astype("object").where(grouped.notna(), "missing")[there].astype(str)
    order = [*map(str, grouped.cat.categories), "missing"]
    values = facts.loc[there, statistic].groupby(pd.Categorical(names, dict.fromkeys(order)), observed=True)
    result = values.agg(["size", "mean", "std"]).set_axis(["n", "mean", "sd"], axis=1)
    quantiles = values.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).unstack()
    result[["q05", "q25", "median", "q75", "q95"]] = quantiles.to_numpy()
    return result.rename_axis("value").reset_index().astype({"value": str})


def sample(table: pd.DataFrame, split: str, label: str, count: int, seed: int = 0) -> np.ndarray:
    """Rows (at most `count`) of cases with a picture, of that split and class, drawn without repetition; ascending."""
    fits = (table["split"] == split) & (table["label"] == label) & (table["pixel_hash"] != "")
    rows = np.flatnonzero(fits.to_numpy())
    return np.sort(np.random.default_rng(seed).choice(rows, min(count, len(rows)), replace=False))
