"""The frame around every page: page settings, navigation, who is signed in, and the sentence that is always there."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from db.users import User
from pages.ui import case, identity, messages, wants

HERE = Path(__file__).parent
_STYLE = """<style>
[data-testid=stMainBlockContainer] {padding: 4.2rem 1.25rem 1rem; max-width: 120rem}
[data-testid=stProgress] p {font-size: .82rem; margin-bottom: -.3rem}
[data-testid=stToastContainer] {top: auto !important; bottom: 1rem; right: auto; left: 1.25rem}
[data-testid=stToast] {width: max(11rem, 17vw); min-width: 0}
</style>"""


def navigation(user: User) -> st.navigation:
    # Hidden from reviewers, whose page would only say no; what keeps them out is in the page's own functions.
    for_leads = "visible" if user.role == "lead" else "hidden"
    for_readers = "hidden" if user.role == "lead" else "visible"
    # What people open all day is one click away; the rest is gathered by what it is about.
    daily = [
        st.Page(HERE / "worklist.py", title="Worklist", icon=":material/list:", default=True),
        st.Page(HERE / "review.py", title="Review", icon=":material/radiology:"),
        st.Page(HERE / "upload.py", title="Upload", icon=":material/upload_file:"),
        st.Page(HERE / "clean.py", title="Clean", icon=":material/ink_eraser:"),
        st.Page(HERE / "reader_studies.py", title="Reader studies", icon=":material/groups:"),
    ]
    readers = [
        st.Page(HERE / "study_results.py", title="Study results", icon=":material/analytics:", visibility=for_leads),
        st.Page(HERE / "my_results.py", title="My results", icon=":material/person_search:", visibility=for_readers),
        st.Page(HERE / "adjudication.py", title="Adjudication", icon=":material/gavel:", visibility=for_leads),
        st.Page(HERE / "agreement.py", title="Agreement", icon=":material/handshake:"),
    ]
    models = [
        st.Page(HERE / "performance.py", title="Performance", icon=":material/monitoring:"),
        st.Page(HERE / "comparison.py", title="Comparison", icon=":material/compare_arrows:"),
        st.Page(HERE / "runs.py", title="Runs", icon=":material/table_rows:"),
        st.Page(HERE / "explanations.py", title="Explanations", icon=":material/fact_check:", visibility=for_leads),
        st.Page(HERE / "models.py", title="Models", icon=":material/deployed_code:"),
        st.Page(HERE / "features.py", title="Features", icon=":material/texture:"),
        st.Page(HERE / "datasets.py", title="Datasets", icon=":material/dataset:", visibility=for_leads),
    ]
    leave = [st.Page(HERE / "sign_out.py", title="Sign out", icon=":material/logout:")]
    sections = {"": daily, "Readers": readers, "Models and data": models, user.name: leave}
    return st.navigation(sections, position="top")


st.set_page_config(page_title="TumorTrace", page_icon=str(HERE / "ui" / "favicon.png"), layout="wide")
st.html(_STYLE)
user = identity.current_user()
page = navigation(user)
body = st.container()
# Placed before the page runs, shown below it: it stays even where a page stops early.
st.caption("Research use, not for diagnosis.")
if page.url_path != "review":
    case.leave()
    wants.leave_other_views()  # maps and checks of the case that was open
with body, messages.shown():
    page.run()
