"""Which libraries made a number: stored with every prediction, run and heatmap."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "captum",
    "onnxruntime",
    "numpy",
    "scikit-image",
    "scikit-learn",
    "pydicom",
    "pillow",
)


@cache
def library_versions() -> dict[str, str]:
    """Version of Python and of each installed library that can change a result; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
