"""Leaves: hands the browser to the server's sign-out address, which takes the cookie back."""

from __future__ import annotations

import streamlit as st

_LEAVE = """
export default function () {
  window.location.assign("sign-out")
}
"""

st.components.v2.component("sign_out", js=_LEAVE)(key="sign_out")
st.markdown("Signing out …")
