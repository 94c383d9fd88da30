"""The one place that imports Captum: late, because it takes seconds, and also where matplotlib is absent."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any

_LOCK = Lock()
# What `captum.attr` imports for plots that TumorTrace never draws (Captum 0.9).
_PLOTTING = (
    "matplotlib", "matplotlib.axes", "matplotlib.cm", "matplotlib.collections", "matplotlib.colors", "matplotlib.figure",
    "matplotlib.image", "matplotlib.pyplot", "mpl_toolkits", "mpl_toolkits.axes_grid1",
)  # fmt: skip


class _Absent(ModuleType):
    """Answers any public name with `object`, enough for the annotations that are all Captum makes of them on import."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def captum_attr() -> ModuleType:
    """The module `captum.attr`.

    It imports matplotlib unconditionally. Where that is not installed, empty modules stand in for it during the import
    only and are gone afterwards: attribution works, and nobody else can take them for the real thing.
    """
    with _LOCK:
        if "captum.attr" in sys.modules or find_spec("matplotlib") is not None:
            return import_module("captum.attr")
        before = {name: sys.modules.get(name) for name in _PLOTTING}
        stand_ins = {name: _Absent(name) for name in _PLOTTING}
        for name, module in stand_ins.items():
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(stand_ins[parent], child, module)
        sys.modules.update(stand_ins)
        try:
            return import_module("captum.attr")
        finally:
            for name, module in before.items():
                del sys.modules[name]
                if module is not None:
                    sys.modules[name] = module
