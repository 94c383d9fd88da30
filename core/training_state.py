"""`state.pt` of an unfinished run: what a training that was killed needs to go on, whole or not there at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from core.datasets.dataset import base_name
from core.records import Refused

STATE = "state.pt"
_FORMAT = 1


def write_state(out: Path, state: dict[str, Any]) -> None:
    """Replace the state of the run folder `out`; tensors, numbers and texts only. It may name folders of this machine."""
    draft = out / f"{STATE}.part"
    with open(draft, "wb") as file:
        torch.save({"format": _FORMAT, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, out / STATE)


def read_state(out: Path) -> dict[str, Any]:
    """The state that `write_state` wrote last; raises `Refused` where there is none or it is another program's."""
    try:
        state = torch.load(out / STATE, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise Refused(f"There is no unfinished training in {base_name(out)}.") from None
    except Exception as e:  # the safe unpickler answers foreign bytes with almost any error
        raise Refused(f"{STATE} in {base_name(out)} cannot be loaded safely ({type(e).__name__}).") from e
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise Refused(f"{STATE} in {base_name(out)} is not the state of a training of this version.")
    return state
