"""The parts of the Datasets page that look at pictures: samples, domain shift, duplicates, outliers. They use the small copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
import torch
from PIL import Image as Png

from core.augment import augment_batch
from core.datasets import explore, figures, pictures
from core.preprocess import Preprocessing, preprocess_batch
from core.recipes import load_recipe, recipe_names
from pages.ui import dataset_data as data
from pages.ui.dataset_data import Opened

PER_CLASS, PAGE = 8, 12
PLAIN = "as they are"


def thumbnail(shown: Opened, row: int, copy: np.ndarray | None = None, edge: int = 150) -> Png.Image:
    """A case's small copy in the picture's own proportions, its longer edge `edge` pixels."""
    height, width = (float(shown.profile.facts[name].iloc[row]) for name in ("height", "width"))
    scale = edge / max(height, width)
    picture = Png.fromarray(np.asarray(shown.profile.copies[row]) if copy is None else copy)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Tiny pictures keep their pixels visible; the others are shown smoothly.
    return picture.resize(size, Png.Resampling.NEAREST if max(picture.size) < 64 else Png.Resampling.BILINEAR)


def row_of(pictures: Sequence[Png.Image], captions: Sequence[str]) -> None:
    """Pictures beside each other, as many to a line as there is room for."""
    with st.container(horizontal=True, gap="small"):
        for picture, caption in zip(pictures, captions, strict=True):
            st.image(picture, caption=caption, width=picture.width, output_format="PNG")


def short(case_id: str) -> str:
    """A case id's end, which tells cases apart."""
    return case_id if len(case_id) <= 22 else f"…{case_id[-21:]}"


def caption(shown: Opened, row: int) -> str:
    """A case in a few words."""
    case = shown.profile.table.iloc[row]
    return f"{short(case['case_id'])}, {case['split']}, {case['label']}"


def samples(shown: Opened) -> None:
    """Some pictures of every class in every split, as they are or as a recipe changes them for training."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        recipe = st.selectbox("Pictures", [PLAIN, *recipe_names()], key="ds_recipe", width=260,
                              format_func=lambda name: name if name == PLAIN else f"changed by recipe “{name}”")  # fmt: skip
        st.session_state.setdefault("ds_seed", 0)
        st.button("Others", icon=":material/casino:", on_click=_next_seed)
    seed, table = st.session_state["ds_seed"], shown.profile.table
    for split in [s for s in table["split"].cat.categories if s in set(table["split"])]:
        st.subheader(split.capitalize())
        for label in table["label"].cat.categories:
            rows = pictures.sample(table, split, label, PER_CLASS, seed)
            if not len(rows):
                continue
            copies = shown.profile.copies[rows]
            if recipe != PLAIN:
                copies = augmented(copies, recipe, seed + int(rows[0]))  # else every row would turn alike
            st.markdown(
                f"**{label}** :gray[{len(rows)} of {int(((table['split'] == split) & (table['label'] == label)).sum()):,}]"
            )
            images = [thumbnail(shown, int(row), copy) for row, copy in zip(rows, copies, strict=True)]
            row_of(images, [short(table["case_id"].iloc[row]) for row in rows])


def augmented(copies: np.ndarray, recipe: str, seed: int) -> np.ndarray:
    """Small copies (n, e, e[, 3]) as that recipe's augmentation could change them, one draw each."""
    channels = 3 if copies.ndim == 4 else 1
    spec = Preprocessing(copies.shape[1:3], channels, (0.5,) * channels, (0.5,) * channels)
    x = preprocess_batch([pictures.as_image(copy) for copy in copies], spec)  # (n, C, e, e)
    changed = augment_batch(x, load_recipe(recipe).augment, spec, torch.Generator().manual_seed(seed))
    levels = (changed * 0.5 + 0.5).mul(255).round().to(torch.uint8).numpy()
    return levels[:, 0] if channels == 1 else levels.transpose(0, 2, 3, 1)


def _next_seed() -> None:
    st.session_state["ds_seed"] += 1


def shift(shown: Opened) -> None:
    """Brightness by site, machine or any other column."""
    names = data.columns(shown.key, shown.profile)
    likely = [
        name
        for name in names
        if any(word in name.lower() for word in ("site", "machine", "scanner", "vendor", "centre"))
    ]
    order = [*likely, *(name for name in names if name not in likely)]
    with st.container(horizontal=True):
        column = st.selectbox("Compare by", order, key=f"ds_shift:{shown.entry.name}", width=260)
        statistic = st.selectbox("Brightness", pictures.INTENSITY, key="ds_statistic", width=260)
    if not likely:
        st.caption("This dataset names neither site nor machine; the splits and its other columns can be compared.")
    frame = data.shift(shown.key, shown.profile, column, statistic)
    st.plotly_chart(figures.shift_figure(frame, statistic, column), key="ds_shift_chart")
    st.dataframe(frame, hide_index=True, alt="Brightness by group")
    st.caption(
        "Display brightness from 0 (black) to 1 (white), after the window: what a model sees before normalising."
    )


def duplicates(shown: Opened) -> None:
    """Pairs of pictures that are the same or nearly, and patients on two sides."""
    pairs, table = data.duplicates(shown.key, shown.profile), shown.profile.table
    patients_known = table["patient_id"].duplicated().any()
    sides = explore.patients_on_two_sides(table)
    if sides:
        st.error(f"{len(sides):,} patients are on two sides: {', '.join(sides[:10])}{' …' if len(sides) > 10 else ''}")
    kinds = {
        "Across splits": pairs["across"], "Within a split": ~pairs["across"], "Contradicting labels": ~pairs["same_label"],
        "Identical": pairs["identical"],
    }  # fmt: skip
    if patients_known:
        kinds["Different patients"] = ~pairs["same_patient"]
    kind = st.segmented_control(
        "Pairs", list(kinds), default="Across splits", required=True, key="ds_pairs", label_visibility="collapsed",
        format_func=lambda name: f"{name} ({int(kinds[name].sum()):,})",
    )  # fmt: skip
    st.caption(
        "Identical: equal pixels. Nearly: difference hashes at most 6 of 64 bits apart, and small copies that correlate by 0.95 "
        "or more. "
        "A pair across splits makes test figures too good; identical pictures with contradicting labels have a wrong one."
    )
    chosen = pairs[kinds[kind]]
    page = _page(len(chosen), f"ds_pairs_page:{kind}")
    with st.container(horizontal=True):
        for pair in chosen.iloc[page : page + PAGE].itertuples():
            with st.container(border=True, width=440):
                _pair(shown, pair, patients_known)
    if chosen.empty:
        st.caption("None.")


def _pair(shown: Opened, pair: Any, patients_known: bool) -> None:
    text = "**identical**" if pair.identical else f"**likeness {pair.likeness:.4f}**"
    if patients_known:
        text += " :gray[same patient]" if pair.same_patient else " :gray[different patients]"
    st.markdown(text if pair.same_label else f"{text} :orange[contradicting labels]")
    rows = (pair.a, pair.b)
    row_of([thumbnail(shown, row, edge=190) for row in rows], [caption(shown, row) for row in rows])


def outliers(shown: Opened) -> None:
    """Pictures whose brightness or proportions, or whose place in a model's eyes, are far from the rest."""
    facts = shown.profile.facts
    kept = {path.stem.removeprefix("embedding-"): path for path in sorted(shown.folder.glob("embedding-*.npz"))}
    if kept:
        version = st.selectbox("Also far away for model", ["none", *kept], key="ds_outlier_model", width=260)
        if version != "none":
            seen = data.embedding(str(kept[version]), str(kept[version].stat().st_mtime_ns))
            distance = pd.Series(seen.distance, index=list(seen.case_ids))
            facts = facts.assign(distance=shown.profile.table["case_id"].map(distance).to_numpy())
    found = pictures.outliers(facts)
    st.caption(
        f"{len(found):,} of {int(facts['height'].notna().sum()):,} pictures lie more than 3.5 robust standard deviations "
        "(modified z-score, Iglewicz and Hoaglin 1993) from the median of the brightness statistics, proportions or distance."
    )
    page = _page(len(found), "ds_outlier_page")
    rows = found.iloc[page : page + PAGE]
    if len(rows):
        texts = [f"{caption(shown, r.row)}: {r.because} {r.value:.3g} (z {r.z:+.1f})" for r in rows.itertuples()]
        row_of([thumbnail(shown, row, edge=190) for row in rows["row"]], texts)


def _page(total: int, key: str) -> int:
    """First row of the chosen page."""
    pages = max(1, -(-total // PAGE))
    number = st.number_input(f"Page of {pages:,}", 1, pages, 1, key=key, width=160) if pages > 1 else 1
    return (int(number) - 1) * PAGE
