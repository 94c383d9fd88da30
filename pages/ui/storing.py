"""What becomes of a read file on the upload page: stored, held, known already or refused."""

from __future__ import annotations

from core.deidentify.hold import reason_to_hold
from core.reading import Outcome
from core.tasks import TASKS
from db import engine as store
from db import holds, pixels, studies
from db.users import User


def store_outcome(outcome: Outcome, user: User) -> dict[str, str]:
    """One file's studies, all stored in one transaction or none; the row of the table that says so."""
    if outcome.rejected:
        hint = f" {outcome.rejected.hint}" if outcome.rejected.hint else ""
        return {"File": outcome.name, "Result": "Refused", "What": f"{outcome.rejected.reason}{hint}", "study": ""}
    if any(not study.task for study in outcome.studies):
        what = "The file does not say what it shows. Choose the task above and drop it again."
        return {"File": outcome.name, "Result": "Refused", "What": what, "study": ""}
    with store.read() as session:
        new = [study for study in outcome.studies if not studies.is_stored(session, study.id)]
    for study in new:  # before the transaction: packing a mammogram must not hold up other people's saves
        pixels.put_all(study.images)
    reasons = {study.id: reason_to_hold(study) for study in outcome.studies}
    with store.write() as session:
        added = [studies.add_study(session, study) for study in outcome.studies]
        for study, is_new in zip(outcome.studies, added, strict=True):
            if is_new and reasons[study.id]:
                holds.add_hold(session, study.id, reasons[study.id], user.name)
    notices = "".join(f" · {notice}" for notice in outcome.facts.get("notices", ()))
    if not added:
        return {"File": outcome.name, "Result": "Read", "What": outcome.note + notices, "study": ""}
    first = outcome.studies[0]
    images = sum(len(study.images) for study in outcome.studies)
    pictures = "1 image" if images == 1 else f"{images} images"
    kind = f"{len(added)} studies" if len(added) > 1 else first.name
    what = f"{kind} · {TASKS[first.task].title} · {pictures}"
    if not any(added):
        return {"File": outcome.name, "Result": "Already stored", "What": what, "study": first.id}
    if reasons[first.id] and added[0]:
        return {
            "File": outcome.name,
            "Result": "Held",
            "What": f"{what} · {reasons[first.id]}{notices}",
            "study": first.id,
        }
    known = f" · {added.count(False)} already stored" if not all(added) else ""
    return {"File": outcome.name, "Result": "Stored", "What": what + known + notices, "study": first.id}
