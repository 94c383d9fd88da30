"""What every terminal command does with what goes wrong: one sentence on standard error and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable

from core.records import Refused, StudyRejected


def exit_status(
    command: Callable[[], int], refusals: tuple[type[Exception], ...] = (), stopped: str = "Stopped."
) -> int:
    """What `command` returns, or 1 when it was refused, a file could not be used, or one of `refusals` came; 130 at Ctrl+C."""
    try:
        return command()
    except (Refused, StudyRejected, *refusals) as problem:
        sys.stderr.write(f"Refused: {problem}\n")
        return 1
    except OSError as problem:
        sys.stderr.write(f"Refused: {problem.strerror or problem}: {problem.filename or 'output'}.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{stopped}\n")
        return 130
