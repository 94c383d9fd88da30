"""What every file of a heatmap says of itself, whatever its kind."""

from __future__ import annotations

from typing import Any

from core.records import Heatmap

NOTICE = "Research use, not for diagnosis"


def provenance(heatmap: Heatmap, **shown: float | None) -> dict[str, Any]:
    """The notice and everything about the map but its values: method, layer, class, model version, image, parameters, versions.

    Seed, maximum, class score and share of it are among the parameters. `shown` says how a picture of it was coloured.
    """
    facts = {name: getattr(heatmap, name) for name in heatmap.__dataclass_fields__ if name != "values"}
    facts |= {"parameters": dict(heatmap.parameters), "versions": dict(heatmap.versions)}
    return {"notice": NOTICE, **facts, "shape": list(heatmap.values.shape), **({"shown": shown} if shown else {})}
