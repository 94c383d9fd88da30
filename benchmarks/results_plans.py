"""What the results script trains: one plan for every row of docs/results.md."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.pretrained import IMAGENET

US, MRI, MG, BLOOD = "breast-ultrasound", "breast-mri", "mammography", "blood-cells"
LITE = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class Plan:
    """What one row reports: a recipe on a dataset, once for each seed. `epochs` 0 keeps the recipe's own."""

    name: str
    group: str
    task: str
    data: str
    recipe: str
    architecture: str = ""
    size: int = 0
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 0
    drop_leaks: bool = False
    published: str = ""
    weights: str = ""

    @property
    def key(self) -> str:
        """Name of its folders."""
        parts = (self.data.split(".")[0], self.recipe, self.architecture, str(self.size or ""), str(self.epochs or ""))
        return "_".join(p for p in (*parts, "no-leak" if self.drop_leaks else "") if p)


def plans() -> list[Plan]:
    """All rows, those that matter most first."""
    ours = [
        Plan(name, f"us-{edge}", US, "breastmnist" if edge == 28 else "busi-128", recipe, architecture, size, seeds,
             40 if size == 128 and not weights else 0, weights=weights)
        for edge, rows in RECIPES.items() for name, recipe, architecture, seeds, size, weights in rows
    ]  # fmt: skip
    leak = [replace(p, group=p.group.replace("us", "leak"), drop_leaks=True) for p in ours if p.name in TWICE]
    r4 = [
        Plan("novel CNN C, plain", "r4", US, "breastmnist", "r4-cnn-c", published="83 %"),
        Plan("novel CNN C, augmented", "r4", US, "breastmnist", "r4-cnn-c-augmented", published="77 %"),
        Plan("VGG16, 32 px", "r4", US, "breastmnist", "r4-vgg16-breast", published="71 %"),
    ]
    smoke = [
        Plan("R1 ResNet18", "smoke", MRI, "breadm", "r1-resnet18", "resnet18"),
        Plan("R1 ResNet50", "smoke", MRI, "breadm", "r1-resnet50", "resnet50"),
        Plan("R1 VGG16", "smoke", MRI, "breadm", "r1-vgg16", "vgg16"),
        Plan("R2 ResNet18", "smoke", MRI, "breadm", "r2-resnet18", "resnet18"),
        Plan("R2 ResNet50", "smoke", MRI, "breadm", "r2-resnet50", "resnet50"),
        Plan("R2 VGG16", "smoke", MRI, "breadm", "r2-vgg16", "vgg16"),
        Plan("R3 ResNet50, two phases", "smoke", US, "busi-png", "r3-resnet50-two-phase"),
        Plan("R4 novel CNN A", "smoke", BLOOD, "made-blood.npz", "r4-cnn-a"),
        Plan("R4 novel CNN B", "smoke", BLOOD, "made-blood.npz", "r4-cnn-b"),
        Plan("R4 ResNet50, 100 px", "smoke", BLOOD, "made-blood.npz", "r4-resnet50-blood"),
        Plan("R5 ResNet50V2", "smoke", MG, "rsna", "r5-resnet50v2"),
    ]
    smoke = [replace(p, seeds=(0,), epochs=3 if p.name.startswith("R3") else 1) for p in smoke]
    cells = [Plan("R4 novel CNN B on 61 real cells", "cells", BLOOD, "real-blood.npz", "r4-cnn-b", epochs=40)]
    return [*ours, *leak, *r4, *cells, *smoke]


# For each edge of the pictures: name, recipe, architecture, seeds, edge of the network's input, weights to start from.
RECIPES: dict[int, tuple[tuple[str, str, str, tuple[int, ...], int, str], ...]] = {
    28: (
        ("small-cnn, default recipe, 28 px", "default", "small-cnn", (0, 1, 2, 3, 4), 28, ""),
        ("small-cnn, breast-ultrasound, 28 px", "breast-ultrasound", "small-cnn", (0, 1, 2), 28, ""),
        ("EfficientNet-Lite0 from ImageNet, 28 px enlarged", "breast-ultrasound-imagenet", LITE, (0, 1, 2, 3, 4), 128, IMAGENET),
    ),
    64: (
        ("small-cnn, breast-ultrasound, 64 px", "breast-ultrasound", "small-cnn", (0, 1, 2), 64, ""),
        ("ResNet18, breast-ultrasound-resnet18, 64 px", "breast-ultrasound-resnet18", "resnet18", (0, 1, 2), 64, ""),
        ("ResNet10-T, breast-ultrasound-resnet10t, 64 px", "breast-ultrasound-resnet10t", "resnet10t", (0, 1, 2), 64, ""),
    ),
    128: (
        ("small-cnn, breast-ultrasound cut to 40 epochs, 128 px", "breast-ultrasound", "small-cnn", (0, 1, 2), 128, ""),
        ("EfficientNet-Lite0 from ImageNet, 128 px", "breast-ultrasound-imagenet", LITE, (0, 1, 2, 3, 4), 0, IMAGENET),
    ),
}  # fmt: skip
TWICE = (
    "small-cnn, default recipe, 28 px",
    "EfficientNet-Lite0 from ImageNet, 28 px enlarged",
)  # trained without the leaked picture as well
