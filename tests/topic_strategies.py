"""Topics and filters for hypothesis, from a small alphabet so that they meet."""

from __future__ import annotations

from hypothesis import strategies as st

_LEVELS = ["a", "b", "", "$s", "#42"]

topics = st.lists(st.sampled_from(_LEVELS), min_size=1, max_size=4).map("/".join).filter(bool)

filters = st.builds(
    lambda levels, rest: "/".join([*levels, *rest]),
    st.lists(st.sampled_from([*_LEVELS, "+", "+"]), max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(bool)
