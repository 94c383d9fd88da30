"""A small data set that a network can learn and a person can check: upright bars are malignant, lying ones benign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Png

from core.recipes import Augmentation, Recipe

TASK = "breast-ultrasound"  # label 0 is malignant, label 1 is benign
QUICK = Recipe(name="quick", lr=5e-3, batch_size=16, epochs=8, patience=8, augment=Augmentation(hflip=0.5, vflip=0.5))


def bar_images(n: int, seed: int, edge: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures (n, edge, edge) uint8 with one bright bar each, and labels (n,) that alternate 0, 1."""
    rng = np.random.default_rng(seed)
    images = rng.normal(60, 25, (n, edge, edge))
    labels = np.arange(n) % 2
    for image, label in zip(images, labels, strict=True):
        at, start = rng.integers(2, edge - 4), rng.integers(0, 4)
        bar = image if label else image.T  # an upright bar is a lying one of the transposed picture
        bar[at : at + 2, start : start + edge - 6] += 90
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.uint8)


def write_bars_npz(path: Path, train: int = 96, val: int = 32, test: int = 40) -> Path:
    """A MedMNIST-style file of bars; labels are (n, 1), as MedMNIST stores them."""
    arrays = {}
    for seed, (split, n) in enumerate({"train": train, "val": val, "test": test}.items()):
        if n:
            images, labels = bar_images(n, seed)
            arrays |= {f"{split}_images": images, f"{split}_labels": labels[:, None]}
    np.savez(path, **arrays)
    return path


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """A PNG file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Png.fromarray(pixels).save(path)
    return path


def write_bars_tree(root: Path, patients: int, *, split: str = "", files: int = 2, seed: int = 0) -> Path:
    """A tree `[split/]Class/Patient/file.png` with so many patients of each class."""
    images, labels = bar_images(2 * patients * files, seed)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        name, patient = ("Malignant", "Benign")[label], f"{split}{'MB'[label]}{i // 2 // files}"
        write_png(root / split / name / patient / f"{i}.png", image)
    return root
