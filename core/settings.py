"""Where the program reads and writes, from the environment. Read afresh at each call, so that tests can set it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from core.records import Refused

CHECKOUT = Path(__file__).resolve().parents[1]


def home() -> Path:
    """`TUMORTRACE_HOME`, the folder of everything the program writes (default `var/` in the checkout); created if absent."""
    path = Path(os.environ.get("TUMORTRACE_HOME") or CHECKOUT / "var").expanduser().resolve()
    path.mkdir(parents=True, exist_ok=True)
    return path


def database_url() -> str:
    """`DATABASE_URL`, or SQLite in the home folder."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{home() / 'tumortrace.db'}"


def device() -> str:
    """`cpu` or `cuda` after `TUMORTRACE_DEVICE` (auto, cpu, cuda); auto takes CUDA when there is one.

    Raises `Refused` for other values, or when cuda is asked for and absent.
    """
    wanted = os.environ.get("TUMORTRACE_DEVICE", "auto").lower()
    if wanted not in ("auto", "cpu", "cuda"):
        raise Refused(f"TUMORTRACE_DEVICE is '{wanted}'; it must be auto, cpu or cuda.")
    if wanted == "cpu":
        return "cpu"
    import torch  # slow to import, and not needed to choose the CPU

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise Refused("TUMORTRACE_DEVICE is cuda, but this machine has no usable CUDA device.")
    return "cpu"


def engine() -> str:
    """`TUMORTRACE_ENGINE`: `auto` (default: ONNX Runtime on the CPU where it gives the same results) or `pytorch`."""
    wanted = os.environ.get("TUMORTRACE_ENGINE", "auto").lower()
    if wanted not in ("auto", "pytorch"):
        raise Refused(f"TUMORTRACE_ENGINE is '{wanted}'; it must be auto or pytorch.")
    return wanted


def reading_protocol() -> str:
    """`TUMORTRACE_PROTOCOL`: `unaided-then-aided` (default: the model stays hidden until the first reading is saved) or `aided`."""
    wanted = os.environ.get("TUMORTRACE_PROTOCOL", "unaided-then-aided").lower()
    if wanted not in ("unaided-then-aided", "aided"):
        raise Refused(f"TUMORTRACE_PROTOCOL is '{wanted}'; it must be unaided-then-aided or aided.")
    return wanted


def hold_policy() -> str:
    """`TUMORTRACE_HOLD`: which studies wait until somebody has looked for names in their pixels.

    `usual` (default), `all` or `declared`; what each means is said in `core.deidentify.hold`. Raises `Refused` for others.
    """
    wanted = os.environ.get("TUMORTRACE_HOLD", "usual").lower()
    if wanted not in ("usual", "all", "declared"):
        raise Refused(f"TUMORTRACE_HOLD is '{wanted}'; it must be usual, all or declared.")
    return wanted


def study_names() -> str:
    """`TUMORTRACE_STUDY_NAMES`: `neutral` (default: a file's name, often the patient's, is not stored) or `files`.

    Raises `Refused` for others.
    """
    wanted = os.environ.get("TUMORTRACE_STUDY_NAMES", "neutral").lower()
    if wanted not in ("neutral", "files"):
        raise Refused(f"TUMORTRACE_STUDY_NAMES is '{wanted}'; it must be neutral or files.")
    return wanted


def kept_copies() -> str:
    """`TUMORTRACE_KEEP`: what is kept of an imported file beside its pictures. Raises `Refused` for others.

    `nothing` (default), `deidentified` (of DICOM, a copy under the rules of `core.deidentify`) or `original` (as it was sent).
    """
    wanted = os.environ.get("TUMORTRACE_KEEP", "nothing").lower()
    if wanted not in ("nothing", "deidentified", "original"):
        raise Refused(f"TUMORTRACE_KEEP is '{wanted}'; it must be nothing, deidentified or original.")
    return wanted


def installation_secret() -> bytes:
    """32 random bytes of this installation (for pseudonyms and signed addresses), made once and kept in the home folder."""
    path = home() / "secret.key"
    if not path.exists():
        draft = path.with_name(f".secret-{secrets.token_hex(8)}")
        draft.touch(mode=0o600)
        draft.write_bytes(secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):  # another process was first: its secret stands
            os.link(draft, path)
        draft.unlink()
    key = path.read_bytes()
    if len(key) != 32:
        raise Refused(f"{path} is damaged: it must hold 32 bytes. Restore it from a backup.")
    return key
