"""The short form of `make soak`."""

from __future__ import annotations

import pytest

from faults import soak


@pytest.mark.row(10, 33)
@pytest.mark.timeout(120)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nothing_stays_of_bad_connections(loop: str) -> None:
    """Descriptors, tasks, objects and memory end where they were after the warm-up, and no line is lost."""
    done = soak.run(6, loop, print, rate=100)
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
