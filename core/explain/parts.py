"""Methods that look into a layer, on combined models: one map per member and view, and their mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from core.combine import Ensemble, Reading, Tempered, Viewed, seen
from core.explain.case import Case, Watch
from core.records import Refused

Findings = tuple[torch.Tensor, dict[str, Any]]


def over_parts(run: Callable[[Case, str], Findings], case: Case, layer: str, temperature: float = 1.0) -> Findings:
    """What `run` says of a network with that layer; for a combined model, which has none of its own, the mean of its parts.

    Each part (member, view turned back) is explained for its own logit, divided by the `temperature` of what is around it
    before it is explained: not every map is proportional to the scores. `map` in the findings says how it was put together.
    Raises `Refused` where the members' grids differ: there is no mean of those.
    """
    module = case.module
    if isinstance(module, Tempered):
        return over_parts(run, replace(case, module=module.net), layer, temperature * module.temperature)
    if isinstance(module, Reading):
        mean, std = (tuple(v.flatten().tolist()) for v in (module.mean, module.std))
        part = replace(case, module=module.net, x=module.read(case.x), mean=mean, std=std)
        return over_parts(run, part, layer, temperature)
    if isinstance(module, Viewed):
        cases = [replace(case, module=module.net, x=seen(case.x, view)) for view in module.views]
        parts = [over_parts(run, part, layer, temperature) for part in _watched(cases)]
        turned = [seen(values[None, None], view)[0, 0] for (values, _), view in zip(parts, module.views, strict=True)]
        of = f" of {parts[0][1]['map']}" if "map" in parts[0][1] else ""
        return torch.stack(turned).mean(dim=0), _said(f"mean over the views {', '.join(module.views)}{of}")
    if isinstance(module, Ensemble):
        cases = _watched([replace(case, module=member) for member in module.members])
        maps = [over_parts(run, part, name, temperature)[0] for part, name in zip(cases, module.layers, strict=True)]
        grids = sorted({tuple(m.shape) for m in maps})
        if len(grids) > 1:
            shown = " and ".join(f"{h} × {w}" for h, w in grids)
            raise Refused(
                f"The members' maps have different grids ({shown}), so there is no mean of them; explain one member by "
                "itself, or the ensemble by Occlusion or LIME."
            )
        return torch.stack(maps).mean(dim=0), _said(f"mean over the {len(maps)} members, each for its own logit")
    return run(case if temperature == 1 else replace(case, module=Tempered(module, temperature).eval()), layer)


def _said(how: str) -> dict[str, Any]:
    return {"score": "logit", "map": how}


def _watched(cases: list[Case]) -> list[Case]:
    """Each part's progress is its share of the whole."""
    whole, count = cases[0].watch, len(cases)

    def watch(i: int) -> Watch:
        report = whole.progress
        part = None if report is None else lambda share: report((i + share) / count)
        return Watch(part, whole.cancelled, whole.give_way)

    return [replace(case, watch=watch(i)) for i, case in enumerate(cases)]
