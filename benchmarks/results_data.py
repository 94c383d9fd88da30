"""Data of the results script: the public files as they are, and what it arranges of them for recipes that need another shape."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

BLOOD = (240, 40, 80)  # made cells in train, val and test


def breast_mri_tree(data: Path, out: Path) -> Path:
    """The 18 BreaDM slices as split/Class/Patient/Sequence/p-NNN.png. Patients are not known: each slice is its own."""
    for name, sides in (("benign", (1, 1, 1)), ("malignant", (9, 3, 3))):
        files = sorted((data / "mri" / "breadm" / "images").glob(f"{name}_*.png"))
        splits = np.repeat(["train", "val", "test"], sides)
        for file, split in zip(files, splits, strict=True):
            number = file.stem.split("_")[1]
            folder = out / str(split) / name.title() / f"BreaDM-{name[:2].title()}-{number}" / "SUB1"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / "p-001.png")
    return out


def ultrasound_tree(data: Path, out: Path) -> Path:
    """12 benign and 12 malignant BUSI pictures as Class/file, without their masks and unsplit."""
    for name in ("benign", "malignant"):
        (out / name).mkdir(parents=True, exist_ok=True)
        for file in sorted((data / "busi" / name).glob("*).png")):  # masks end in _mask.png
            shutil.copy(file, out / name / file.name)
    return out


def made_blood(out: Path) -> Path:
    """An NPZ in the shape of BloodMNIST, its eight classes discs of another colour and size: nothing about real cells."""
    rng, arrays = np.random.default_rng(0), {}
    y, x = np.mgrid[:28, :28]
    for split, n in zip(("train", "val", "test"), BLOOD, strict=True):
        labels = np.arange(n) % 8
        images = rng.normal(200, 20, (n, 28, 28, 3))
        for image, label in zip(images, labels, strict=True):
            cx, cy = rng.uniform(11, 17, 2)
            disc = (x - cx) ** 2 + (y - cy) ** 2 < (4 + label % 4 * 2) ** 2
            image[disc] -= (60, 20, 90) if label < 4 else (20, 90, 40)
        arrays |= {f"{split}_images": images.clip(0, 255).astype(np.uint8), f"{split}_labels": labels[:, None]}
    np.savez(out, **arrays)
    return out


def real_blood(data: Path, out: Path) -> Path:
    """The 61 real cells: of each class two for the test, one for validation, the rest for training."""
    with np.load(data / "blood" / "pbc_sample_28.npz", allow_pickle=False) as file:
        images, labels = file["test_images"], file["test_labels"].reshape(-1)
    sides: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for label in range(8):
        places = np.flatnonzero(labels == label).tolist()
        sides["test"] += places[:2]
        sides["val"] += places[2:3]
        sides["train"] += places[3:]
    arrays = {f"{split}_{what}": values[places] for split, places in sides.items()
              for what, values in (("images", images), ("labels", labels[:, None]))}  # fmt: skip
    np.savez(out, **arrays)
    return out


def prepare(data: Path, folder: Path) -> dict[str, Path]:
    """Every data set by name, made where it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "breadm": lambda to: breast_mri_tree(data, to),
        "busi-png": lambda to: ultrasound_tree(data, to),
        "made-blood.npz": made_blood,
        "real-blood.npz": lambda to: real_blood(data, to),
    }
    for name, make in made.items():
        if not (folder / name).exists():
            make(folder / name)
    return {
        **{name: folder / name for name in made},
        "breastmnist": data / "medmnist" / "breastmnist.npz",
        "busi-128": data / "busi" / "busi_128_in_breastmnist_order.npz",
        "rsna": data / "rsna" / "images.csv",
    }
