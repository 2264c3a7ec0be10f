from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial, wraps
from typing import Any

import pytest

from portcast.handlers.kinds import Kind, kind_of


def value() -> int:
    return 1


async def awaitable() -> int:
    return 1


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Plain:
    def __call__(self) -> int:
        return 1

    async def method(self) -> int:
        return 1


class Async:
    async def __call__(self) -> int:
        return 1


class Yields:
    def __call__(self) -> Iterator[int]:
        yield 1


class AsyncYields:
    async def __call__(self) -> AsyncIterator[int]:
        yield 1


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        pytest.param(value, Kind.VALUE, id="function"),
        pytest.param(awaitable, Kind.AWAITABLE, id="async function"),
        pytest.param(generator, Kind.GENERATOR, id="generator"),
        pytest.param(async_generator, Kind.ASYNC_GENERATOR, id="async generator"),
        pytest.param(Plain, Kind.VALUE, id="class"),
        pytest.param(Async, Kind.VALUE, id="class whose instances are async"),
        pytest.param(dict, Kind.VALUE, id="builtin class"),
        pytest.param(len, Kind.VALUE, id="builtin function"),
        pytest.param(Plain(), Kind.VALUE, id="instance"),
        pytest.param(Async(), Kind.AWAITABLE, id="async instance"),
        pytest.param(Yields(), Kind.GENERATOR, id="generator instance"),
        pytest.param(AsyncYields(), Kind.ASYNC_GENERATOR, id="async generator instance"),
        pytest.param(Plain().method, Kind.AWAITABLE, id="method"),
        pytest.param(partial(partial(awaitable)), Kind.AWAITABLE, id="partial"),
        pytest.param(partial(Async()), Kind.AWAITABLE, id="partial of an instance"),
        pytest.param(decorated(value), Kind.VALUE, id="decorated function"),
        pytest.param(decorated(awaitable), Kind.AWAITABLE, id="decorated async function"),
        pytest.param(decorated(generator), Kind.DECORATED, id="decorated generator"),
        pytest.param(contextmanager(generator), Kind.DECORATED, id="contextmanager"),
        pytest.param(asynccontextmanager(async_generator), Kind.DECORATED, id="asynccontextmanager"),
    ],
)
def test_kind(call: Callable[..., Any], kind: Kind) -> None:
    """What a call gives decides how a dependency is run; a wrapper is judged by itself first."""
    assert kind_of(call) is kind
