from __future__ import annotations

import pytest

from portcast.delivery import FlushPacer


def test_an_idle_hub_flushes_at_once() -> None:
    """Nothing was flushed yet, so nothing must rest: no latency is added."""
    assert FlushPacer(0.5).delay(now=0.0) <= 0


@pytest.mark.parametrize(
    ("duty", "rest"),
    [
        pytest.param(1.0, 0.0, id="whole loop"),
        pytest.param(0.5, 0.2, id="half"),
        pytest.param(0.25, 0.6, id="quarter"),
    ],
)
def test_a_flush_is_followed_by_its_rest(duty: float, rest: float) -> None:
    """A flush of d seconds forbids the next before d * (1 / duty - 1) seconds after its end."""
    pacer = FlushPacer(duty)
    pacer.flushed(started=10.0, ended=10.2)
    assert pacer.delay(now=10.2) == pytest.approx(rest)
    assert pacer.delay(now=10.2 + rest) == pytest.approx(0.0)
    assert pacer.delay(now=10.3 + rest) < 0


@pytest.mark.parametrize(
    ("took", "rest"),
    [
        pytest.param(0.000_02, 0.000_16, id="a few subscribers"),
        pytest.param(0.000_375, 0.003, id="hundreds"),
        pytest.param(0.002, 0.003, id="a thousand"),
        pytest.param(0.003, 0.003, id="as long as it rests"),
        pytest.param(0.01, 0.01, id="long"),
    ],
)
def test_a_short_flush_rests_longer(took: float, rest: float) -> None:
    """So that several messages go with one write, at a price in latency that stays of three milliseconds."""
    pacer = FlushPacer(0.5)
    pacer.flushed(5.0, 5.0 + took)
    assert pacer.delay(5.0 + took) == pytest.approx(rest, abs=1e-9)
    whole = FlushPacer(1.0)
    whole.flushed(5.0, 5.0 + took)
    assert whole.delay(5.0 + took) <= 0, "who wants no rest has none"


@pytest.mark.parametrize("duty", [0.9, 0.5, 0.1])
def test_a_loaded_hub_spends_at_most_its_duty(duty: float) -> None:
    """However long each flush takes, flushing never exceeds its share of the loop."""
    pacer = FlushPacer(duty)
    now, busy = 0.0, 0.0
    for took in (0.01, 0.5, 0.02, 0.1, 0.3):
        now += max(0.0, pacer.delay(now))
        pacer.flushed(now, now + took)
        now += took
        busy += took
    now += max(0.0, pacer.delay(now))
    assert busy / now == pytest.approx(duty)
