"""The short forms of `make soak`."""

from __future__ import annotations

import pytest

from faults import soak


@pytest.mark.row(10, 33)
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("loop", "seconds", "rate"), [("asyncio", 6, 100), ("uvloop", 180, soak.CYCLES_PER_S)])
def test_nothing_stays_of_bad_connections(loop: str, seconds: float, rate: float) -> None:
    """Descriptors, tasks, objects and memory end where they were after the warm-up, and no line is lost.

    Three minutes on the loop that `portcast serve` takes, most of which the soak waits; `make soak` has the whole.
    """
    done = soak.run(seconds, loop, print, rate=rate)
    assert not done.problems, "\n".join(done.problems)
    assert set(done.cycles) == set(soak.KINDS), "every kind has come and gone"
    assert done.before.keys() == {"descriptors", "tasks", "objects", "memory"}


@pytest.mark.parametrize("name", ["descriptors", "tasks", "objects", "memory"])
def test_what_grows_is_told(name: str) -> None:
    """It can fail."""
    before = {"descriptors": 20, "tasks": 6, "objects": 80_000, "memory": 65_000_000}
    assert list(soak._grown(before, before)) == []
    (problem,) = soak._grown(before, {**before, name: int(before[name] * 1.06) + 1})
    assert problem.startswith(name)
