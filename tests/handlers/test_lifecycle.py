from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import wraps
from typing import Any

import pytest

from portcast.errors import ConfigurationError
from portcast.handlers.lifecycle import (
    ASYNC_GENERATOR,
    DECORATED,
    GENERATOR,
    GENERATOR_IN_THREAD,
    Lifecycle,
    Opened,
    unwind,
)

pytestmark = pytest.mark.anyio


class Log(list[str]):
    """What happened, in order."""


class Stop(Exception):
    """Not StopIteration: an ordinary error."""


def lend(log: Log, name: str = "a", ends: bool = False, replaces: BaseException | None = None) -> Iterator[str]:
    try:
        yield name
    except BaseException as error:
        log.append(f"{name} saw {type(error).__name__}")
        if replaces is not None:
            raise replaces from None
        if not ends:
            raise
    else:
        if replaces is not None:
            raise replaces
    finally:
        log.append(f"{name} closed")


async def lend_async(
    log: Log, name: str = "a", ends: bool = False, replaces: BaseException | None = None
) -> AsyncIterator[str]:
    with contextmanager(lend)(log, name, ends, replaces):
        yield name


def forwarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


KINDS = pytest.mark.parametrize(
    ("make", "lifecycle"),
    [
        pytest.param(lend, GENERATOR, id="generator"),
        pytest.param(lend, GENERATOR_IN_THREAD, id="generator in a thread"),
        pytest.param(lend_async, ASYNC_GENERATOR, id="async generator"),
        pytest.param(contextmanager(lend), DECORATED, id="contextmanager"),
        pytest.param(asynccontextmanager(lend_async), DECORATED, id="asynccontextmanager"),
        pytest.param(forwarded(lend), DECORATED, id="forwarded generator"),
        pytest.param(forwarded(lend_async), DECORATED, id="forwarded async generator"),
    ],
)


async def opened(*resources: tuple[Any, Lifecycle]) -> Opened:
    for resource, lifecycle in resources:
        await lifecycle.open(resource)
    return list(resources)


@KINDS
async def test_value_and_orderly_close(make: Any, lifecycle: Lifecycle) -> None:
    """What was yielded is injected, and what follows the yield runs at the end."""
    log = Log()
    resource = make(log, "db")
    assert await lifecycle.open(resource) == "db"
    assert log == []
    assert await lifecycle.close(resource, None) is None
    assert log == ["db closed"]


@KINDS
@pytest.mark.parametrize(
    "error", [Stop(), StopIteration(), StopAsyncIteration(), KeyboardInterrupt()], ids=lambda e: type(e).__name__
)
async def test_error_is_seen_and_left(make: Any, lifecycle: Lifecycle, error: BaseException) -> None:
    """An error is raised at the yield and stays what it was, although generators wrap some (PEP 479)."""
    log = Log()
    (resource, _) = (await opened((make(log), lifecycle)))[0]
    assert await lifecycle.close(resource, error) is error
    assert log == [f"a saw {type(error).__name__}", "a closed"]


@KINDS
async def test_error_is_ended(make: Any, lifecycle: Lifecycle) -> None:
    """A dependency that catches the error and does not raise it again has dealt with it."""
    (resource, _) = (await opened((make(Log(), ends=True), lifecycle)))[0]
    assert await lifecycle.close(resource, Stop()) is None


@KINDS
@pytest.mark.parametrize("error", [None, Stop()], ids=["after success", "after an error"])
async def test_error_in_close_is_left(make: Any, lifecycle: Lifecycle, error: BaseException | None) -> None:
    """What a dependency raises while it closes takes the place of the error before."""
    replacement = ValueError()
    (resource, _) = (await opened((make(Log(), replaces=replacement), lifecycle)))[0]
    assert await lifecycle.close(resource, error) is replacement


def never() -> Iterator[str]:
    yield from ()


async def never_async() -> AsyncIterator[str]:
    return
    yield


def again() -> Iterator[str]:
    with suppress(Stop):
        yield "once"
    yield "twice"


async def again_async() -> AsyncIterator[str]:
    with suppress(Stop):
        yield "once"
    yield "twice"


@pytest.mark.parametrize(
    ("make", "lifecycle"),
    [(never, GENERATOR), (never, GENERATOR_IN_THREAD), (never_async, ASYNC_GENERATOR)],
    ids=["generator", "generator in a thread", "async generator"],
)
async def test_no_yield(make: Any, lifecycle: Lifecycle) -> None:
    """A dependency that ends without a yield has no value: that is said by its name."""
    with pytest.raises(ConfigurationError, match=f"^dependency {make.__name__}: it ended without a yield; yield exac"):
        await lifecycle.open(make())


@pytest.mark.parametrize("error", [None, Stop()], ids=["after success", "after an error"])
@pytest.mark.parametrize(
    ("make", "lifecycle"),
    [(again, GENERATOR), (again, GENERATOR_IN_THREAD), (again_async, ASYNC_GENERATOR)],
    ids=["generator", "generator in a thread", "async generator"],
)
async def test_second_yield(make: Any, lifecycle: Lifecycle, error: BaseException | None) -> None:
    """A second yield is a mistake; the generator is closed, and the error before is still to be seen."""
    (resource, _) = (await opened((make(), lifecycle)))[0]
    left = await lifecycle.close(resource, error)
    assert str(left) == f"dependency {make.__name__}: it yielded twice; yield exactly once"
    assert left is not None
    assert left.__context__ is error


async def test_decorated_function_that_gives_a_plain_value() -> None:
    """A wrapper may make of a generator whatever it likes."""
    assert await DECORATED.open("value") == "value"
    error = Stop()
    assert await DECORATED.close("value", error) is error


async def test_unwind_is_in_reverse_order() -> None:
    """Who came last goes first; the list is empty then, so nothing is closed twice."""
    log = Log()
    resources = await opened((lend(log, "a"), GENERATOR), (lend_async(log, "b"), ASYNC_GENERATOR))
    assert await unwind(resources, None) is None
    assert log == ["b closed", "a closed"]
    assert resources == []


async def test_unwind_after_an_error_in_close() -> None:
    """A failure to close does not keep the others from being closed, and they see it."""
    log, failure = Log(), ValueError()
    resources = await opened((lend(log, "a"), GENERATOR), (lend_async(log, "b", replaces=failure), ASYNC_GENERATOR))
    assert await unwind(resources, None) is failure
    assert log == ["b closed", "a saw ValueError", "a closed"]


async def test_unwind_after_an_ended_error() -> None:
    """Once a dependency has dealt with the error, those outside of it see none."""
    log = Log()
    resources = await opened((lend(log, "a"), GENERATOR), (lend_async(log, "b", ends=True), ASYNC_GENERATOR))
    assert await unwind(resources, Stop()) is None
    assert log == ["b saw Stop", "b closed", "a closed"]


async def cancel_and_unwind(log: Log, *resources: tuple[Any, Lifecycle]) -> BaseException | None:
    """Return what is left after a real cancellation of the task that uses the resources."""

    async def work() -> BaseException | None:
        stack = await opened(*resources)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as error:
            return await unwind(stack, error)
        return None

    task = asyncio.ensure_future(work())
    await asyncio.wait((task,), timeout=0)
    task.cancel()
    return await task


async def test_cancellation_continues() -> None:
    """A dependency cannot keep its task alive: CancelledError goes on, and those outside of it see it too."""
    log = Log()
    left = await cancel_and_unwind(log, (lend(log, "a"), GENERATOR), (lend(log, "b", ends=True), GENERATOR))
    assert isinstance(left, asyncio.CancelledError)
    assert log == ["b saw CancelledError", "b closed", "a saw CancelledError", "a closed"]


async def test_error_in_close_while_cancelled() -> None:
    """An error in close does not hide the cancellation, and is not lost: it is its cause."""
    log, failure = Log(), ValueError()
    left = await cancel_and_unwind(log, (lend(log, "a"), GENERATOR), (lend(log, "b", replaces=failure), GENERATOR))
    assert isinstance(left, asyncio.CancelledError)
    assert left.__cause__ is failure
    assert "a saw CancelledError" in log


async def test_replaced_cancellation() -> None:
    """A CancelledError of its own is as good as the one that came."""
    log, other = Log(), asyncio.CancelledError("other")
    assert await cancel_and_unwind(log, (lend(log, replaces=other), GENERATOR)) is other


async def test_timeout_of_a_dependency_is_its_own() -> None:
    """`async with asyncio.timeout(…): yield` limits the handler: the cancellation it makes, it turns into an error."""

    async def limited() -> AsyncIterator[None]:
        async with asyncio.timeout(0):
            yield

    stack = await opened((limited(), ASYNC_GENERATOR))
    with pytest.raises(asyncio.CancelledError) as caught:
        await asyncio.get_running_loop().create_future()
    assert isinstance(await unwind(stack, caught.value), TimeoutError)


async def test_cancelled_while_closing() -> None:
    """A cancellation that arrives while one dependency closes is seen by the rest, and they are closed."""
    log, closing = Log(), asyncio.Event()

    async def slow() -> AsyncIterator[None]:
        yield
        closing.set()
        await asyncio.get_running_loop().create_future()

    async def work() -> BaseException | None:
        return await unwind(await opened((lend(log), GENERATOR), (slow(), ASYNC_GENERATOR)), None)

    task = asyncio.ensure_future(work())
    await closing.wait()
    task.cancel()
    assert isinstance(await task, asyncio.CancelledError)
    assert log == ["a saw CancelledError", "a closed"]


class Gate:
    """Holds a thread at a place until the test lets it go on."""

    def __init__(self) -> None:
        self.arrived, self.released = threading.Event(), threading.Event()

    def hold(self) -> None:
        self.arrived.set()
        self.released.wait()

    async def wait(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.arrived.wait)


async def cancelled_at(gate: Gate, work: Any) -> asyncio.Future[Any]:
    task: asyncio.Future[Any] = asyncio.ensure_future(work)
    await gate.wait()
    task.cancel()
    await asyncio.wait((task,), timeout=0)
    gate.released.set()
    await asyncio.wait((task,))
    return task


@pytest.mark.parametrize("fails", [False, True], ids=["opened", "failed"])
async def test_cancelled_while_opening_in_a_thread(fails: bool) -> None:
    """A generator whose thread opened it although nobody waits any more is closed, not forgotten."""
    gate, log = Gate(), Log()

    def slow() -> Iterator[str]:
        gate.hold()
        if fails:
            raise ValueError
        yield from lend(log)

    task = await cancelled_at(gate, GENERATOR_IN_THREAD.open(slow()))
    assert task.cancelled()
    assert log == ([] if fails else ["a saw CancelledError", "a closed"])


async def test_cancelled_while_closing_in_a_thread() -> None:
    """The thread comes to its end before the cancellation continues."""
    gate, log = Gate(), Log()

    def slow() -> Iterator[None]:
        yield
        gate.hold()
        log.append("closed")

    (resource, lifecycle) = (await opened((slow(), GENERATOR_IN_THREAD)))[0]
    task = await cancelled_at(gate, lifecycle.close(resource, None))
    assert isinstance(task.result(), asyncio.CancelledError)
    assert log == ["closed"]
