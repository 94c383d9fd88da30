"""Pictures of a dataset that show the same, bit for bit or nearly: a perceptual hash, and a search that compares few pairs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from core.preprocess import Preprocessing, preprocess
from core.records import Image

_HASH = Preprocessing((8, 9), 1, (0.0,), (1.0,))
_MOST_ALIKE = 20
_BLOCK = 4_000_000  # pairs compared at once, at most


def difference_hash(image: Image) -> int:
    """64 bits that look-alikes share: each says whether a pixel of the 9 × 8 picture is brighter than the one to its right.

    Row by row, most significant bit first (dHash, Krawetz 2013); on the display brightness, so that windows count.
    """
    tiny = (
        preprocess(image, _HASH)[0].mul(255).round().numpy()
    )  # (8, 9); whole levels, so that noise in black does not count
    bits = (tiny[:, :-1] > tiny[:, 1:]).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hash_pairs(hashes: np.ndarray, most: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of places (P, 2), smaller first, in `hashes` (N,) uint64 that differ in at most `most` bits, and how many (P,).

    Two hashes that differ in d bits agree in one of d + 1 bands of bits, so only those that share a band are compared. A
    hash that many pictures share is paired over its first 20 pictures only: a set with a thousand blanks has a million pairs.
    """
    if not len(hashes):
        return np.empty((0, 2), dtype=int), np.empty(0, dtype=int)
    unique, place = np.unique(hashes, return_inverse=True)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    close = {(i, i) for i in range(len(unique))} | _close_hashes(unique, most)
    pairs, distance = [], []
    for a, b in close:
        first, second = np.meshgrid(members[a][:_MOST_ALIKE], members[b][:_MOST_ALIKE], indexing="ij")
        both = np.column_stack([first.ravel(), second.ravel()])
        both = both[both[:, 0] < both[:, 1]] if a == b else np.sort(both, axis=1)
        pairs.append(both)
        distance.append(np.full(len(both), int(np.bitwise_count(unique[a] ^ unique[b]))))
    found, bits = np.concatenate(pairs), np.concatenate(distance)
    order = np.lexsort((found[:, 1], found[:, 0], bits))
    return found[order], bits[order]


def _close_hashes(unique: np.ndarray, most: int) -> set[tuple[int, int]]:
    """Places (i < j) of distinct hashes that differ in at most `most` bits."""
    found: set[tuple[int, int]] = set()
    edges = np.linspace(0, 64, most + 2).round().astype(int).tolist()
    for low, high in pairwise(edges):
        band = (unique >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(band, kind="stable")  # equal bands side by side, places ascending within
        for bucket in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            step = max(1, _BLOCK // len(bucket))
            for start in range(0, len(bucket), step):
                bits = np.bitwise_count(unique[bucket[start : start + step], None] ^ unique[bucket])
                i, j = np.nonzero(bits <= most)
                later = i + start < j
                found.update(zip(bucket[i[later] + start].tolist(), bucket[j[later]].tolist(), strict=True))
    return found


def duplicates(table: pd.DataFrame, facts: pd.DataFrame, copies: np.ndarray, likeness: float = 0.95) -> pd.DataFrame:
    """Pairs of cases that show the same picture, bit for bit, or nearly; pairs across splits first, then the most alike.

    Nearly means: hashes at most 6 bits apart, and small copies that correlate by `likeness` or more (Pearson, in [−1, 1]).
    Columns: `a`, `b` (rows of the table), `case_a`, `case_b`, `identical`, `likeness`, `across` (two splits), `same_patient`,
    `same_label`.
    """
    there = np.flatnonzero((table["pixel_hash"] != "").to_numpy())
    pairs, _ = hash_pairs(facts["dhash"].to_numpy()[there])
    a, b = there[pairs[:, 0]], there[pairs[:, 1]]
    hashes = table["pixel_hash"].to_numpy()
    identical = hashes[a] == hashes[b]
    alike = np.where(identical, 1.0, _likeness(copies, a, b))
    kept = alike >= likeness
    a, b = a[kept], b[kept]
    frame = pd.DataFrame({"a": a, "b": b, "identical": identical[kept], "likeness": alike[kept]})
    for name, column, differ in (
        ("across", "split", True), ("same_patient", "patient_id", False), ("same_label", "label", False),
    ):  # fmt: skip
        values = table[column].astype(str).to_numpy()
        frame[name] = (values[a] != values[b]) if differ else (values[a] == values[b])
    ids = table["case_id"].to_numpy()
    frame.insert(2, "case_a", ids[a])
    frame.insert(3, "case_b", ids[b])
    return frame.sort_values(["across", "likeness"], ascending=False, kind="stable").reset_index(drop=True)


def _likeness(copies: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation (P,) of the small copies of each pair, 0 where one of them is flat; a thousand pairs at a time."""
    result = np.zeros(len(a))
    for start in range(0, len(a), 1000):
        part = slice(start, start + 1000)
        x, y = (copies[places[part]].reshape(len(a[part]), -1).astype(np.float32) for places in (a, b))  # (p, pixels)
        x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
        scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
        np.divide((x * y).sum(axis=1), scale, out=result[part], where=scale > 0)
    return result
