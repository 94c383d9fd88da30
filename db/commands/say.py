"""How a command says what it did."""

from __future__ import annotations

import argparse
import json
from typing import Any


def say(options: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    """One line: `text`, or `facts` where JSON was asked for."""
    print(json.dumps(facts) if options.json else text, flush=True)
