"""How long the numbers of the agreement page take with a million reviews in the store.

Run with `python -m benchmarks.agreement [reviews]`. The rows go into a scratch store past the mapper; the trigger counts them as
it counts any review. `benchmarks.agreement_browser` times the page itself.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CASES, PATIENTS, REVIEWERS, ROUNDS = 20_000, 16_000, 50, 20
MARKED = 200  # one review in so many has a region
_CHUNK = 50_000
_REGION = [{"kind": "rect", "image": 0, "points": [[10.0, 10.0], [30.0, 40.0]]}]


def facts(n: int) -> dict[str, str]:
    """What the source of study n states."""
    return {
        "site": str(n % 5), "manufacturer": ("A", "B", "C")[n % 3], "density": "ABCD"[n % 4], "patient_age": f"{30 + n % 50:03}Y",
        "patient_sex": "F", "source": "DICOM",
    }  # fmt: skip


def fill(reviews: int) -> None:
    """`CASES` studies with a prediction each, and `reviews` aided reviews of them by `REVIEWERS` people over two years."""
    from sqlalchemy import insert

    from core.records import BIRADS
    from db import engine
    from db.tables import ImageRow, ModelRow, PredictionRow, ReviewRow, StudyRow

    rng = np.random.default_rng(0)
    truth = rng.random(CASES) < 0.3
    predicted = np.where(rng.random(CASES) < 0.85, truth, ~truth)
    names = np.array(["benign", "malignant"])
    with engine.write() as session:
        session.execute(insert(ModelRow), [{
            "version": "v", "name": "model", "architecture": "a", "task": "breast-mri", "status": "active", "card": {},
            "created_at": "",
        }])  # fmt: skip
        ids = [f"{i:064x}" for i in range(CASES)]
        session.execute(insert(StudyRow), [
            {"id": i, "name": f"Study {n}", "modality": "MR", "patient_id": f"p{n % PATIENTS}", "task": "breast-mri",
             "facts": facts(n)}
            for n, i in enumerate(ids)
        ])  # fmt: skip
        session.execute(insert(ImageRow), [
            {"study_id": i, "position": 0, "pixel_hash": i, "height": 64, "width": 64, "colour": False, "bits": 8,
             "laterality": "LR"[n % 2], "view": ("CC", "MLO")[n % 3 == 0], "frame": 0, "slope": 1.0, "intercept": 0.0,
             "windows": [], "series": 0}
            for n, i in enumerate(ids)
        ])  # fmt: skip
        session.execute(insert(PredictionRow), [
            {"study_id": i, "model_version": "v", "task": "breast-mri", "predicted": str(names[int(predicted[n])]), "device": "cpu",
             "requested_by": "x", "probabilities": {}, "per_image": [], "preprocessing": {}, "versions": {}}
            for n, i in enumerate(ids)
        ])  # fmt: skip
    order = rng.permutation(CASES * REVIEWERS)[:reviews]
    agrees = rng.random(reviews) < 0.88
    for start in range(0, reviews, _CHUNK):
        rows = []
        for k in range(start, min(start + _CHUNK, reviews)):
            case, reader = divmod(int(order[k]), REVIEWERS)
            label = predicted[case] if agrees[k] else not predicted[case]
            month = 24 * k // reviews
            rows.append({
                "study_id": ids[case], "reviewer": f"reviewer {reader}", "phase": "aided", "label": str(names[int(label)]),
                "client_token": str(k), "prediction_id": case + 1, "confidence": int(k * 7 % 101), "heatmap_verdict": "",
                "flagged": False, "seconds": 20.0, "created_at": f"{2025 + month // 12}-{month % 12 + 1:02d}-10T00:00:00.000+00:00",
                "comment": "", "regions": _REGION if k % MARKED == 0 else [], "birads": BIRADS[k * 11 % len(BIRADS)],
                "likelihood": int(k * 13 % 101),
            })  # fmt: skip
        with engine.write() as session:
            session.execute(insert(ReviewRow.__table__), rows)


def questions() -> dict[str, Callable[[], object]]:
    """What the page asks of the store and of the columns in memory, by name."""
    from core.statistics.agreement_groups import agreement_in_groups
    from core.statistics.agreement_summary import agreement_summary, pairwise
    from db import engine, reviews
    from db.reviews import ReviewQuery
    from pages.ui import daily_data
    from pages.ui.daily_data import Scope

    task, lead, own = "breast-mri", Scope(), Scope("reviewer 7", "reviewer 7")

    def cold() -> object:
        daily_data.forget()
        return daily_data.readings(lead, task)

    def groups(name: str) -> object:
        found = daily_data.readings(lead, task)
        label, predicted = found.codes(task)
        grouping = found.reviews[name].array if name in found.reviews else found.groupings()[name]()
        return agreement_in_groups(label, predicted, grouping, 2, found.patients())

    def disagreements(scope: Scope) -> object:
        found = daily_data.readings(scope, task)
        label, predicted = found.codes(task)
        ids = tuple(found.reviews["id"].to_numpy()[label != predicted][:-26:-1].tolist())
        with engine.read() as session:
            return reviews.list_reviews(session, ReviewQuery(reviewer=scope.reviewer, shown_to=scope.shown_to, ids=ids))

    return {
        "columns of everything, cold (3 rounds)": cold,
        "the same with nothing new": lambda: daily_data.readings(lead, task),
        "counts by model and reviewer, lead": lambda: daily_data.counts(lead),
        "counts of one reviewer's own": lambda: daily_data.counts(own),
        "agreement and kappa by site": lambda: groups("site"),
        "agreement and kappa by reviewer": lambda: groups("reviewer"),
        "coefficients of classes": lambda: agreement_summary(daily_data.readings(lead, task).ratings(task)),
        "coefficients of BI-RADS": lambda: agreement_summary(
            daily_data.readings(lead, task).ratings(task, "birads"), "ordinal"
        ),
        "kappa of every two readers": lambda: pairwise(daily_data.readings(lead, task).ratings(task)),
        "first page of disagreements, lead": lambda: disagreements(lead),
        "first page of one reviewer's own": lambda: disagreements(own),
    }


def main() -> None:
    """Print the table that stands in docs/benchmarks.md."""
    reviews = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUMORTRACE_HOME"], os.environ["DATABASE_URL"] = folder, f"sqlite:///{Path(folder) / 'store.db'}"
        from db import engine

        engine.init()
        begin = time.perf_counter()
        fill(reviews)
        size = (Path(folder) / "store.db").stat().st_size / 1e6
        print(f"{reviews:,} reviews filled in {time.perf_counter() - begin:.0f} s, {size:,.0f} MB\n")
        print("| question | p50 ms | p95 ms |\n| --- | --- | --- |")
        for name, ask in questions().items():
            times = []
            for _ in range(3 if "cold" in name else ROUNDS):
                start = time.perf_counter()
                ask()
                times.append(1000 * (time.perf_counter() - start))
            print(f"| {name} | {np.percentile(times, 50):.0f} | {np.percentile(times, 95):.0f} |", flush=True)
        engine.dispose()


if __name__ == "__main__":
    main()
