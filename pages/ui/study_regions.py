"""Section of the results page: where the regions that readers drew meet the model's heatmaps."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import streamlit as st

from core.explain.answers import gradcam_of_answer
from core.predict import predict_study_with_maps
from core.records import Refused
from core.statistics.localisation import Overlap, localisation_summary, overlap, region_mask, stretched
from core.study_readings import StudyReadings
from core.tasks import TASKS
from db import engine as store
from db import reader_studies
from db.users import User
from pages.ui import identity
from pages.ui.jobs import Job
from pages.ui.resources import engine, study_pixels
from pages.ui.study_data import Finished, computed
from pages.ui.study_tables import percent, shown, study_csv

Row = tuple[str, str, str, int, Overlap]  # reader, phase, case, image, what was found
POINT_RADIUS = 5.0  # pixels about a point that count as marked
_TITLES = {"hit": "Pointing game", "energy": "Evidence inside", "iou": "IoU at half the maximum", "area": "Area marked"}


def show(user: User, study: Finished, readings: StudyReadings) -> None:
    """Pointing game, evidence inside and IoU of Grad-CAM with each reader's regions; made on demand, kept by content."""
    identity.require_lead(user)
    if study.origin == "imported":
        st.info("An imported study has no pictures here, so there are no heatmaps to compare its regions with.")
        return
    rows = readings.readings
    drawn = rows[rows["regions"] != "[]"]
    if drawn.empty:
        st.info("No reader drew a region in this study.")
        return
    with store.read() as session:
        record = reader_studies.get_reader_study(session, study.number)
    assert record is not None
    version, cases = record.model_version, drawn["case"].nunique()
    key = ("regions", readings.fingerprint, version)
    if not st.session_state.get("sr_regions") and cases > 0:
        st.caption(f"{len(drawn)} readings of {cases} cases have regions; the Grad-CAM of each case is made once.")
        if not st.button("Compare regions and heatmaps", type="primary", icon=":material/target:"):
            return
        st.session_state["sr_regions"] = True
    found = computed(key, lambda job: compare(drawn, version, readings.task, job))
    if found is None:
        return
    if not found:
        st.info("This model gives no Grad-CAM of these cases in one pass, so there is nothing to compare.")
        return
    _tables(found, readings)


def compare(drawn: pd.DataFrame, version: str, task: str, job: Job) -> list[Row]:
    """Overlaps of every reading's regions with the map of its picture, picture by picture."""
    found: list[Row] = []
    groups = list(drawn.groupby("case"))
    for place, (case, own) in enumerate(groups):
        job.report(place, len(groups), "Heatmaps of cases")
        maps = _maps(str(case), version, task)
        for row in own.itertuples():
            regions = json.loads(row.regions)
            for image in sorted({int(region.get("image", 0)) for region in regions} & maps.keys()):
                mask = region_mask(regions, maps[image].shape, image, POINT_RADIUS)
                found.append((row.reader, row.phase, str(case), image, overlap(maps[image], mask)))
    return found


def _maps(case: str, version: str, task: str) -> dict[int, np.ndarray]:
    """Image number -> Grad-CAM (H, W) of the positive class (of the predicted one where the task has none)."""
    study = study_pixels(case)
    prediction, answer = predict_study_with_maps(engine(), version, study)
    target = TASKS[task].positive or prediction.predicted
    if answer.maps is None:
        raise Refused("This model has no layer that a Grad-CAM could be made of.")
    found = {}
    for i, image in enumerate(study.images):
        heatmap = gradcam_of_answer(engine().checkpoint(version), image, answer.part(i, 1), target, engine().device)
        if heatmap is not None:
            found[i] = stretched(heatmap.values, image.pixels.shape[:2])
    return found


def _tables(found: list[Row], study: StudyReadings) -> None:
    def line(title: str, own: list[Row]) -> dict[str, str]:
        summary = localisation_summary([row[4] for row in own], [row[2] for row in own])
        return {"Reader": title, **{text: percent(summary[name]) for name, text in _TITLES.items()}}

    readers = sorted({row[0] for row in found})
    rows = [
        line("All readers", found),
        *(line(reader, [row for row in found if row[0] == reader]) for reader in readers),
    ]
    shown(pd.DataFrame(rows), "Regions and heatmaps")
    of = TASKS[study.task].positive or "the predicted class"
    st.caption(
        f"Grad-CAM of {of}. Pointing game: the map's maximum lies in the reader's region. Evidence inside would be the area "
        "marked if the map were the same everywhere. 95 % intervals, over cases where readers share them. A heatmap is no "
        "lesion outline."
    )
    study_csv(study, lambda: pd.DataFrame([
        {"reader": r, "phase": p, "case": c, "image": i, "hit": o.hit, "energy": o.energy, "iou": o.iou, "area": o.area}
        for r, p, c, i, o in found
    ]), "regions")  # fmt: skip
