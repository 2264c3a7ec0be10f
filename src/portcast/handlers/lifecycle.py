"""Opening and closing of dependencies that hold something: generators and context managers.

The theory is that of `contextlib.AsyncExitStack`, written flat because it runs once per message:

* Every opened resource is closed exactly once, in reverse order, whatever the others did.
* A resource sees, raised at its ``yield``, the error that is current when its turn comes.
* A resource may end that error (the next one sees none) or replace it. It cannot end the cancellation of the task:
  while `asyncio.Task.cancelling` says that the task must go, `CancelledError` continues. A cancellation that belongs
  to the resource itself (``async with asyncio.timeout(5): yield``) is its own to end.

``close`` functions never raise: they return the error that is left, or None.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from inspect import GEN_SUSPENDED, getgeneratorstate
from types import TracebackType
from typing import Any, NamedTuple

from portcast.errors import ConfigurationError
from portcast.handlers.threads import run_in_thread


class Lifecycle(NamedTuple):
    """How resources of one kind are opened and closed."""

    open: Callable[[Any], Awaitable[object]]
    """Takes what the dependency returned; gives the value to inject."""
    close: Callable[[Any, BaseException | None], Awaitable[BaseException | None]]
    """Takes the same and the current error; gives the error that is left."""


Opened = list[tuple[Any, Lifecycle]]
"""What must be closed, in the order in which it was opened."""


async def unwind(opened: Opened, error: BaseException | None) -> BaseException | None:
    """Close everything in reverse order and empty the list.

    A cancellation meanwhile is shown to the rest, which is closed all the same, and then returned.

    Args:
        opened: resources; empty afterwards.
        error: what ended the work that used them; None if it succeeded.

    Returns:
        The error that is left to raise; ``error`` itself if nobody ended or replaced it.
    """
    while opened:
        resource, lifecycle = opened.pop()
        left = await lifecycle.close(resource, error)
        if isinstance(error, asyncio.CancelledError) and left is not error:
            left = _lasting(error, left)
        error = left
    return error


def _lasting(cancelled: asyncio.CancelledError, left: BaseException | None) -> BaseException | None:
    task = asyncio.current_task()
    if isinstance(left, asyncio.CancelledError) or task is None or not task.cancelling():
        return left
    if left is None:
        return cancelled
    lasting = asyncio.CancelledError(*cancelled.args)
    lasting.__cause__ = left  # its own context is the first cancellation: nothing is lost, and no cycle made
    return lasting


def _left(raised: BaseException, error: BaseException | None, traceback: TracebackType | None) -> BaseException:
    """Return what a generator raised, seeing through the wrapping of PEP 479."""
    is_wrapped = isinstance(error, (StopIteration, StopAsyncIteration)) and raised.__cause__ is error
    if error is None or not (raised is error or is_wrapped):
        return raised
    # Without the frames of the way through the generator: the caller's holds the error, which would make a cycle.
    return error.with_traceback(traceback)


def _yield_error(generator: object, problem: str, context: BaseException | None = None) -> ConfigurationError:
    name = getattr(generator, "__qualname__", type(generator).__qualname__)
    error = ConfigurationError(f"dependency {name}", problem, "yield exactly once")
    error.__context__ = context
    return error


async def _open_async_generator(generator: AsyncGenerator[object, None]) -> object:
    try:
        return await generator.__anext__()
    except StopAsyncIteration:
        raise _yield_error(generator, "it ended without a yield") from None


async def _close_async_generator(
    generator: AsyncGenerator[object, None], error: BaseException | None
) -> BaseException | None:
    traceback = error.__traceback__ if error is not None else None
    try:
        if error is None:
            await generator.__anext__()
        else:
            await generator.athrow(error)
        await generator.aclose()
    except StopAsyncIteration:
        return None
    except BaseException as raised:  # noqa: BLE001 - returned, and raised when all are closed
        return _left(raised, error, traceback)
    return _yield_error(generator, "it yielded twice", error)


def _start(generator: Generator[object, None, None]) -> object:
    try:
        return next(generator)
    except StopIteration:
        raise _yield_error(generator, "it ended without a yield") from None


def _finish(generator: Generator[object, None, None], error: BaseException | None) -> BaseException | None:
    traceback = error.__traceback__ if error is not None else None
    try:
        if error is None:
            next(generator)
        else:
            generator.throw(error)
        generator.close()
    except StopIteration:
        return None
    except BaseException as raised:  # noqa: BLE001 - returned, and raised when all are closed
        return _left(raised, error, traceback)
    return _yield_error(generator, "it yielded twice", error)


async def _open_generator(generator: Generator[object, None, None]) -> object:
    return _start(generator)


async def _close_generator(
    generator: Generator[object, None, None], error: BaseException | None
) -> BaseException | None:
    return _finish(generator, error)


async def _open_generator_in_thread(generator: Generator[object, None, None]) -> object:
    try:
        return await run_in_thread(_start, generator)
    except asyncio.CancelledError as cancelled:
        # The thread has come to its end, so the generator may be open, and nobody else knows of it.
        if getgeneratorstate(generator) == GEN_SUSPENDED:
            await _close_generator_in_thread(generator, cancelled)
        raise


async def _close_generator_in_thread(
    generator: Generator[object, None, None], error: BaseException | None
) -> BaseException | None:
    try:
        return await run_in_thread(_finish, generator, error)
    except asyncio.CancelledError as cancelled:
        return cancelled


async def _open_context(context: Any) -> object:
    if hasattr(context, "__aenter__"):
        return await context.__aenter__()
    if hasattr(context, "__enter__"):
        return context.__enter__()
    lifecycle = _bare(context)
    return context if lifecycle is None else await lifecycle.open(context)


async def _close_context(context: Any, error: BaseException | None) -> BaseException | None:
    facts = (None, None, None) if error is None else (type(error), error, error.__traceback__)
    try:
        if hasattr(context, "__aexit__"):
            return None if await context.__aexit__(*facts) else error
        if hasattr(context, "__exit__"):
            return None if context.__exit__(*facts) else error
    except BaseException as raised:  # noqa: BLE001 - returned, and raised when all are closed
        return raised
    lifecycle = _bare(context)
    return error if lifecycle is None else await lifecycle.close(context, error)


def _bare(result: object) -> Lifecycle | None:
    if isinstance(result, AsyncGenerator):
        return ASYNC_GENERATOR
    return GENERATOR if isinstance(result, Generator) else None


ASYNC_GENERATOR = Lifecycle(_open_async_generator, _close_async_generator)
GENERATOR = Lifecycle(_open_generator, _close_generator)
GENERATOR_IN_THREAD = Lifecycle(_open_generator_in_thread, _close_generator_in_thread)
DECORATED = Lifecycle(_open_context, _close_context)
"""A decorated generator function: ``@asynccontextmanager`` and its like, or a wrapper that returns the generator."""
