"""Which libraries made a number: stored with every prediction, run and heatmap."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "torchvision", "captum", "numpy", "pydicom", "pillow")


@cache
def library_versions() -> dict[str, str]:
    """Installed version of each library that can change a result; absent ones are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
