"""The one table of tasks: classes in their order, the positive class, channels and DICOM modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.records import Refused


@dataclass(frozen=True)
class Task:
    """A classification problem.

    `classes` are in label order (label 0 first); `positive` is one of them or None where no class is the finding.
    `channels` is 1 (grey) or 3 (RGB). `aliases` maps other spellings of a class, lower case, to the class. `birads` says
    whether readers also give a BI-RADS category.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    positive: str | None
    channels: int
    modality: str  # DICOM modality code of its images
    aliases: Mapping[str, str] = field(default_factory=dict)
    birads: bool = False

    @property
    def positive_index(self) -> int | None:
        """Index of the positive class, or None."""
        return None if self.positive is None else self.classes.index(self.positive)

    def class_index(self, label: str) -> int:
        """Index of a class given by name or alias, any case.

        Raises `Refused` when the task has no such class.
        """
        wanted = label.strip().lower()
        wanted = self.aliases.get(wanted, wanted)
        if wanted not in self.classes:
            raise Refused(f"'{label}' is not a class of {self.name}; its classes are {', '.join(self.classes)}.")
        return self.classes.index(wanted)


_BLOOD = (
    "basophil", "eosinophil", "erythroblast", "immature_granulocyte",
    "lymphocyte", "monocyte", "neutrophil", "platelet",
)  # fmt: skip

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("breast-mri", "Breast MRI", ("benign", "malignant"), "malignant", 1, "MR", birads=True),
        # BreastMNIST's own order: label 0 is malignant, label 1 is "normal, benign".
        Task(
            "breast-ultrasound", "Breast ultrasound", ("malignant", "benign"), "malignant", 1, "US",
            {"normal": "benign", "normal, benign": "benign"}, birads=True,
        ),
        Task(
            "mammography", "Mammography", ("normal", "cancer"), "cancer", 1, "MG", {"0": "normal", "1": "cancer"},
            birads=True,
        ),
        Task("breast-histopathology", "Breast histopathology", ("benign", "malignant"), "malignant", 3, "SM"),
        # BloodMNIST's own order (MedMNIST v2); "ig" is its short name for immature granulocytes.
        Task("blood-cells", "Blood cells", _BLOOD, None, 3, "XC", {"ig": "immature_granulocyte"}),
    )
}  # fmt: skip


def get_task(name: str) -> Task:
    """The task of that name; raises `Refused` naming the known ones."""
    if name not in TASKS:
        raise Refused(f"There is no task '{name}'; the tasks are {', '.join(TASKS)}.")
    return TASKS[name]


def task_for_modality(modality: str) -> str:
    """Name of the task whose images have that DICOM modality code, or an empty string."""
    return next((task.name for task in TASKS.values() if task.modality == modality), "")
