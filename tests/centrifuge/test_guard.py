"""Five gaps a minute are allowed, in every minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portcast.centrifuge.guard import WINDOW_S, GapGuard


def test_one_more_than_the_limit_within_a_minute_is_refused() -> None:
    """The sixth within a minute; refusing does not count, so the seventh is allowed a minute after the first."""
    guard = GapGuard(5)
    assert [guard.allows(float(second)) for second in range(7)] == [True] * 5 + [False] * 2
    assert not guard.allows(59.9)
    assert guard.allows(60.0)
    assert not guard.allows(60.5)


def test_a_limit_of_zero_allows_nothing() -> None:
    """So that the first gap closes."""
    assert not GapGuard(0).allows(0.0)


@given(st.integers(0, 6), st.lists(st.floats(0, 50), max_size=40))
def test_no_window_of_a_minute_has_more_than_the_limit(limit: int, steps: list[float]) -> None:
    """Wherever the window begins; and nothing is refused that would fit."""
    guard = GapGuard(limit)
    now, allowed = 0.0, list[float]()
    for step in steps:
        now += step
        fits = len([at for at in allowed if at > now - WINDOW_S]) < limit
        assert guard.allows(now) is fits
        if fits:
            allowed.append(now)
