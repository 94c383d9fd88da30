"""The parts of the Datasets page that need no picture: overview, missing values, distributions, cross-tables."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.datasets import explore, figures, pictures
from pages.ui import dataset_data as data
from pages.ui.dataset_data import Opened

MANY = 4  # values of a column that are named beneath its bars; numbers with more have a mean instead
_COUNT = st.column_config.NumberColumn(format="localized")
_PERCENT = st.column_config.NumberColumn(format="%.2f %%")


def overview(shown: Opened) -> None:
    """Counts by split and class, patients, images per patient, sizes."""
    profile, table = shown.profile, shown.profile.table
    per_patient = explore.images_per_patient(table)
    facts = {
        "Images": f"{len(table):,}",
        "With a picture": f"{int((table['pixel_hash'] != '').sum()):,}",
        "Patients": f"{int(per_patient.sum()):,}",
        "Images per patient, median": f"{table['patient_id'].value_counts().median():g}",
        "Patients on two sides": f"{len(explore.patients_on_two_sides(table)):,}",
    }
    for column, (title, value) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(title, value, border=True)
    if per_patient.index.max() == 1:
        st.caption(
            "Every image counts as a patient of its own: this dataset names no patients, or has one image of each."
        )
    left, right = st.columns(2)
    with left:
        st.subheader("By split and class")
        counts = explore.counts(table)
        st.dataframe(counts, column_config=dict.fromkeys(counts, _COUNT), alt="Images by split and class")
        shares = counts[list(table["label"].cat.categories)].div(counts["images"], axis=0).mul(100)
        st.caption("Share of each class in per cent:")
        st.dataframe(shares, column_config=dict.fromkeys(shares, _PERCENT), alt="Share of each class by split")
    with right:
        st.subheader("Images per patient")
        bars = pd.DataFrame({"value": per_patient.index.astype(str), "n": per_patient.to_numpy()})
        bars = bars.assign(percent=100 * bars["n"] / max(int(bars["n"].sum()), 1))
        st.plotly_chart(figures.distribution_figure(bars, "Patients by number of images"), key="ds_per_patient")
        if profile.has_pictures:
            sizes = pictures.sizes(profile.facts)
            st.caption(f"{len(sizes):,} picture size(s), the most frequent first:")
            st.dataframe(sizes.head(100), hide_index=True, height=150, alt="Picture sizes")
    st.caption(
        f"Fingerprint `{shown.entry.fingerprint}`, registered {shown.entry.created_at[:16].replace('T', ' ')} UTC."
    )


def missing(shown: Opened) -> None:
    """How much of each column is missing."""
    frame = explore.missing_values(shown.profile.table)
    st.caption(f"n = {len(shown.profile.table):,} rows. “picture” counts the cases whose picture is absent.")
    bar = st.column_config.ProgressColumn("Missing (%)", format="%.2f %%", min_value=0, max_value=100)
    rows = st.column_config.NumberColumn("Rows without it", format="localized")
    config = {"column": "Column", "missing": rows, "percent": bar}
    st.dataframe(frame, hide_index=True, column_config=config, alt="Missing values")


def distributions(shown: Opened) -> None:
    """Every column: its values, and mean and spread where it holds numbers."""
    made = data.distributions(shown.key, shown.profile)
    st.caption("Rows without a value are left out of a column's n. Numbers with many values are shown in equal steps.")
    places = st.columns(3)
    for number, (name, (frame, summary)) in enumerate(made.items()):
        with places[number % 3], st.container(border=True):
            st.plotly_chart(figures.distribution_figure(frame, name), key=f"ds_dist:{name}")
            if summary and len(frame) > MANY:
                st.caption(
                    f"Mean {summary.mean:.2f}, sd {summary.sd:.2f}, median {summary.median:g}, {summary.low:g} to {summary.high:g}"
                )
            else:
                top = frame.sort_values("n", ascending=False).head(MANY)
                st.caption(", ".join(f"{row.value}: {row.percent:.1f} %" for row in top.itertuples()))


def cross(shown: Opened) -> None:
    """The share of a class of the reference standard in each group of a column."""
    names = [name for name in data.columns(shown.key, shown.profile) if name not in ("label", "split")]
    with st.container(horizontal=True):
        column = st.selectbox("Column", [*names, "split"], key=f"ds_cross:{shown.entry.name}", width=260)
        class_name = st.selectbox("Class", shown.classes, key=f"ds_class:{shown.entry.task}", width=260)
    frame = data.cross_table(shown.key, shown.profile, column, class_name)
    left, right = st.columns([3, 2])
    left.plotly_chart(figures.share_figure(frame, column, class_name), key="ds_cross_chart")
    percent = frame.assign(**{name: 100 * frame[name] for name in ("share", "low", "high")})
    config = {
        "value": column,
        "n": _COUNT,
        "k": st.column_config.NumberColumn(class_name, format="localized"),
        "share": _PERCENT,
        "low": _PERCENT,
        "high": _PERCENT,
    }
    right.dataframe(percent, hide_index=True, column_config=config, alt="Cross-table with the reference standard")
    right.caption(
        "Wilson's 95 % interval per image. Images of one patient are alike, so it is too narrow where patients have several."
    )
