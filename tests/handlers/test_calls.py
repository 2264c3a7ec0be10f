from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from portcast.handlers.calls import bind, run_steps, step
from portcast.handlers.lifecycle import Opened, unwind
from portcast.handlers.markers import in_thread


def collect(*args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
    return args, kwargs


@pytest.mark.parametrize("count", range(6))
def test_bind_by_position(count: int) -> None:
    """Each number of arguments is passed in order, from the slots that were named."""
    slots = [10, 11, 12, 13, 14, 15]
    positions = tuple(reversed(range(count)))
    assert bind(collect, positions, ())(slots) == (tuple(slots[i] for i in positions), {})


def test_bind_by_name() -> None:
    """Keyword-only parameters, and those behind one that is left at its default, are passed by name."""
    assert bind(collect, (1,), (("x", 0), ("y", 2)))([10, 11, 12]) == ((11,), {"x": 10, "y": 12})


def double(x: int) -> int:
    return 2 * x


async def double_async(x: int) -> int:
    return 2 * x


def double_and_close(x: int) -> Iterator[int]:
    yield 2 * x


async def double_and_close_async(x: int) -> AsyncIterator[int]:
    yield 2 * x


def thread_name(x: int) -> str:
    return threading.current_thread().name


def thread_names(x: int) -> Iterator[str]:
    yield threading.current_thread().name


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("call", "opened"),
    [
        pytest.param(double, 0, id="function"),
        pytest.param(double_async, 0, id="async function"),
        pytest.param(double_and_close, 1, id="generator"),
        pytest.param(double_and_close_async, 1, id="async generator"),
        pytest.param(contextmanager(double_and_close), 1, id="contextmanager"),
        pytest.param(in_thread(double), 0, id="function in a thread"),
        pytest.param(in_thread(double_and_close), 1, id="generator in a thread"),
    ],
)
async def test_step(call: Any, opened: int) -> None:
    """Whatever the kind of dependency, its value goes to the next slot, and what must be closed is kept."""
    slots, resources = [21], Opened()
    await run_steps([step(call, (0,), ())], slots, resources)
    assert slots == [21, 42]
    assert len(resources) == opened
    assert await unwind(resources, None) is None


@pytest.mark.anyio
@pytest.mark.parametrize("call", [thread_name, thread_names], ids=["function", "generator"])
async def test_thread_only_when_asked_for(call: Any) -> None:
    """Sync dependencies run on the loop; `in_thread` moves them."""
    slots, resources = list[Any]([0]), Opened()
    await run_steps([step(call, (0,), ()), step(in_thread(call), (0,), ())], slots, resources)
    await unwind(resources, None)
    here = threading.current_thread().name
    assert slots[1] == here
    assert slots[2] != here


@pytest.mark.anyio
async def test_failing_step_leaves_those_before_it() -> None:
    """What was opened before a dependency failed is there to be closed."""

    def fail(x: int) -> None:
        raise ValueError

    slots, resources = [1], Opened()
    with pytest.raises(ValueError, match=r"^$"):
        await run_steps([step(double_and_close, (0,), ()), step(fail, (0,), ())], slots, resources)
    assert slots == [1, 2]
    assert await unwind(resources, None) is None
