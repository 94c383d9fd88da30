"""How metrics are called on pages."""

from __future__ import annotations

_TITLES = {
    "auc": "AUC", "ppv": "PPV", "npv": "NPV", "f1": "F1", "mcc": "MCC", "brier": "Brier score", "log_loss": "Log loss",
    "ece": "ECE", "pr_auc": "PR AUC", "lr_positive": "LR+", "lr_negative": "LR−",
}  # fmt: skip


def title_of(name: str) -> str:
    """'AUC' for auc, 'Balanced accuracy' for balanced_accuracy, 'AUC monocyte' for auc_monocyte."""
    if name in _TITLES:
        return _TITLES[name]
    first, _, rest = name.partition("_")
    if first in _TITLES:
        return f"{_TITLES[first]} {rest.replace('_', ' ')}"
    return name.replace("_", " ").capitalize()


def class_name(name: str) -> str:
    """A class as people read it."""
    return name.replace("_", " ")
