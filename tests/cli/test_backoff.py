"""Tests of `portcast.cli.backoff`."""

from __future__ import annotations

import random

from portcast.cli.backoff import Backoff


class NoChance(random.Random):
    def random(self) -> float:
        return 0.0


def test_waits_double_up_to_a_limit_and_begin_anew() -> None:
    backoff = Backoff(NoChance())
    assert [backoff.next_s() for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_waits_are_spread() -> None:
    """A thousand clients of one gateway must not come back in the same millisecond."""
    waits = {Backoff(random.Random(seed)).next_s() for seed in range(50)}
    assert len(waits) == 50
    assert all(0.375 <= wait <= 0.5 for wait in waits)
