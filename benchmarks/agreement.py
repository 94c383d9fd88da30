"""How long the numbers of the agreement page take with a million reviews in the store.

Run with `python -m benchmarks.agreement [reviews]`. The rows go into a scratch store past the mapper; the trigger counts them as it
counts any review. Each query runs in a session of its own, as on the page; the one before is what the page asked before there
were counts.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CASES, REVIEWERS, ROUNDS = 20_000, 50, 20
_CHUNK = 50_000


def fill(reviews: int) -> None:
    """`CASES` studies with a prediction each, and `reviews` aided reviews of them by `REVIEWERS` people over two years."""
    from sqlalchemy import insert

    from db import engine
    from db.tables import ModelRow, PredictionRow, ReviewRow, StudyRow

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
            {"id": i, "name": f"Study {n}", "modality": "MR", "patient_id": f"p{n}", "task": "breast-mri", "facts": {}}
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
                "comment": "", "regions": [], "birads": "",
            })  # fmt: skip
        with engine.write() as session:
            session.execute(insert(ReviewRow.__table__), rows)


def queries() -> dict[str, Callable[[object], object]]:
    """What the page asks, by name."""
    from db import review_counts, reviews
    from db.reviews import ReviewQuery

    lead, own = ReviewQuery(limit=25), ReviewQuery(reviewer="reviewer 7", shown_to="reviewer 7", limit=25)
    tables = ["model_version", "model_name", "task", "reviewer", "predicted", "label"]
    return {
        "counts by model and reviewer, lead": lambda s: review_counts.review_counts(s, tables),
        "counts by month and confidence, lead": lambda s: review_counts.review_counts(
            s, ["month", "band", "predicted", "label"]
        ),
        "counts of one reviewer's own": lambda s: review_counts.review_counts(
            s, tables, reviewer="reviewer 7", shown_to="reviewer 7"
        ),
        "first page of disagreements, lead": lambda s: reviews.list_disagreements(s, lead),
        "first page of one reviewer's own": lambda s: reviews.list_disagreements(s, own),
        "newest 5,000 ratings, lead": lambda s: review_counts.newest_ratings(s, "breast-mri"),
        "newest ratings of one reviewer": lambda s: review_counts.newest_ratings(
            s, "breast-mri", reviewer="reviewer 7"
        ),
        "before: counting the reviews": lambda s: reviews.agreement_counts(s, ReviewQuery()),
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
        for name, ask in queries().items():
            times = []
            for _ in range(3 if name.startswith("before") else ROUNDS):
                start = time.perf_counter()
                with engine.read() as session:
                    ask(session)
                times.append(1000 * (time.perf_counter() - start))
            print(f"| {name} | {np.percentile(times, 50):.0f} | {np.percentile(times, 95):.0f} |", flush=True)
        engine.dispose()


if __name__ == "__main__":
    main()
