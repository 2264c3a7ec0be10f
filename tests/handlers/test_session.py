from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends

from portcast.errors import CodecError
from portcast.handlers.markers import PerConnection
from portcast.handlers.plan import Environment, plan
from portcast.handlers.session import ConnectionSession, ManagedSession, PlainSession
from portcast.handlers.signature import Signatures

pytestmark = pytest.mark.anyio


class Connection:
    """Holds what happened."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def taken(self) -> list[str]:
        """Return what happened since the last call."""
        log, self.log = self.log, []
        return log


def decode(frame: bytes) -> str:
    if frame == b"bad":
        raise CodecError("fake", "bad", frame)
    return frame.decode()


def session(kind: type[Any], function: Callable[..., Any], connection: Connection) -> Any:
    compiled = plan(function, Environment(Connection, {}, {}, Signatures()))
    return kind(compiled, connection, *(() if kind is ConnectionSession else (decode,)))


@contextmanager
def lend(connection: Connection, name: str) -> Iterator[str]:
    connection.log.append(f"open {name}")
    try:
        yield name
    except BaseException as error:
        connection.log.append(f"{name} saw {type(error).__name__}")
        raise
    finally:
        connection.log.append(f"close {name}")


def outer(connection: Connection) -> Iterator[str]:
    with lend(connection, "outer") as name:
        yield name


async def inner(connection: Connection, outer: Annotated[str, Depends(outer)]) -> AsyncIterator[str]:
    with lend(connection, "inner") as name:
        yield name


def lasting(connection: Connection) -> Iterator[str]:
    with lend(connection, "lasting") as name:
        yield name


async def longer(connection: Connection, lasting: Annotated[str, PerConnection(lasting)]) -> AsyncIterator[str]:
    with lend(connection, "longer") as name:
        yield name


def forgiving(connection: Connection, outer: Annotated[str, Depends(outer)]) -> Iterator[str]:
    try:
        yield "forgiving"
    except ValueError:
        connection.log.append("forgiven")


def failing(connection: Connection, outer: Annotated[str, Depends(outer)]) -> Iterator[str]:
    yield "failing"
    raise KeyError("close")


def broken(outer: Annotated[str, Depends(outer)]) -> None:
    raise ValueError("broken")


def upper(text: str) -> str:
    return text.upper()


async def lower(text: str) -> str:
    return text.lower()


async def act(text: str, connection: Connection, values: str) -> None:
    connection.log.append(f"{text}: {values}")
    if text == "fail":
        raise ValueError("fail")
    if text == "wait":
        await asyncio.get_running_loop().create_future()


async def plain(
    text: str,
    connection: Connection,
    a: Annotated[str, Depends(upper)],
    b: Annotated[str, Depends(lower)],
    c: Annotated[str, PerConnection(longer)],
) -> None:
    await act(text, connection, f"{a} {b} {c}")


async def managed(
    text: str, connection: Connection, a: Annotated[str, Depends(inner)], b: Annotated[str, PerConnection(longer)]
) -> None:
    await act(text, connection, f"{a} {b}")


async def forgiven(text: str, connection: Connection, a: Annotated[str, Depends(forgiving)]) -> None:
    await act(text, connection, a)


async def unclosable(text: str, connection: Connection, a: Annotated[str, Depends(failing)]) -> None:
    await act(text, connection, a)


async def half_open(text: str, connection: Connection, a: Annotated[None, Depends(broken)]) -> None:
    await act(text, connection, "")


async def half_connected(
    text: str, a: Annotated[str, PerConnection(longer)], b: Annotated[None, PerConnection(dict)]
) -> None: ...


async def whole(connection: Connection, a: Annotated[str, Depends(inner)]) -> None:
    connection.log.append(f"run {a}")
    raise ValueError("whole")


async def test_plain_session() -> None:
    """Dependencies of the connection run once, those of the message for each message, sync and async."""
    connection = Connection()
    it = session(PlainSession, plain, connection)
    await it.open()
    assert connection.taken() == ["open lasting", "open longer"]
    await it.handle("One")
    await it.handle("Two")
    assert connection.taken() == ["One: ONE one longer", "Two: TWO two longer"]
    await it.close(None)
    assert connection.taken() == ["close longer", "close lasting"]


async def test_managed_session() -> None:
    """The message's dependencies are closed after the handler in reverse order, the connection's at the end."""
    connection = Connection()
    it = session(ManagedSession, managed, connection)
    await it.open()
    connection.taken()
    for text in ("one", "two"):
        await it.handle(text)
        assert connection.taken() == [
            *("open outer", "open inner", f"{text}: inner longer", "close inner", "close outer")
        ]
    await it.close(None)
    assert connection.taken() == ["close longer", "close lasting"]


BOTH = pytest.mark.parametrize(
    ("kind", "function"), [(PlainSession, plain), (ManagedSession, managed)], ids=["plain", "managed"]
)


@BOTH
async def test_refused_frame(kind: type[Any], function: Callable[..., Any]) -> None:
    """What the codec refuses costs nothing else: it is asked before any dependency runs, and apart from `handle`."""
    connection = Connection()
    it = session(kind, function, connection)
    await it.open()
    connection.taken()
    with pytest.raises(CodecError):
        it.decode(b"bad")
    assert connection.taken() == []
    await it.handle(it.decode(b"good"))
    assert any(line.startswith("good: ") for line in connection.taken())


@BOTH
async def test_error_costs_its_message_only(kind: type[Any], function: Callable[..., Any]) -> None:
    """The handler's error is passed on as it is, and the next message is handled."""
    connection = Connection()
    it = session(kind, function, connection)
    await it.open()
    with pytest.raises(ValueError, match=r"^fail$") as caught:
        await it.handle("fail")
    assert caught.value.__context__ is None
    connection.taken()
    await it.handle("next")
    assert any(line.startswith("next: ") for line in connection.taken())


async def test_dependencies_see_the_error() -> None:
    """Dependencies of the message see the handler's error; those of the connection live on."""
    connection = Connection()
    it = session(ManagedSession, managed, connection)
    await it.open()
    connection.taken()
    with pytest.raises(ValueError, match=r"^fail$"):
        await it.handle("fail")
    assert connection.taken()[3:] == ["inner saw ValueError", "close inner", "outer saw ValueError", "close outer"]


async def test_dependency_that_ends_the_error() -> None:
    """A dependency that swallows the error has dealt with it, as for FastAPI's WebSocket routes."""
    connection = Connection()
    await session(ManagedSession, forgiven, connection).handle("fail")
    assert connection.taken() == ["open outer", "fail: forgiving", "forgiven", "close outer"]


@pytest.mark.parametrize(
    ("text", "context"), [("ok", None), ("fail", ValueError)], ids=["after success", "after an error"]
)
async def test_error_in_close(text: str, context: type[Exception] | None) -> None:
    """What a dependency raises while it closes is raised when the others are closed, and hides no other error."""
    connection = Connection()
    expected: type[Exception] = KeyError if context is None else context
    with pytest.raises(expected):
        await session(ManagedSession, unclosable, connection).handle(text)
    assert connection.taken()[-2:] == [f"outer saw {expected.__name__}", "close outer"]


async def test_error_in_close_keeps_its_context() -> None:
    """A traceback shows the handler's error above the one that closing made of it."""

    def translating() -> Iterator[None]:
        try:
            yield
        finally:
            raise KeyError("close")

    async def handler(text: str, x: Annotated[None, Depends(translating)]) -> None:
        raise ValueError("handler")

    with pytest.raises(KeyError) as caught:
        await session(ManagedSession, handler, Connection()).handle("x")
    assert isinstance(caught.value.__context__, ValueError)


async def test_error_while_opening() -> None:
    """A dependency that fails closes those before it; the handler is not called."""
    connection = Connection()
    with pytest.raises(ValueError, match=r"^broken$"):
        await session(ManagedSession, half_open, connection).handle("x")
    assert connection.taken() == ["open outer", "outer saw ValueError", "close outer"]


async def test_error_while_connecting() -> None:
    """A connection's dependency that fails leaves those before it to `close`, which shows them the error."""

    def fail(longer: Annotated[str, PerConnection(longer)]) -> None:
        raise ValueError("fail")

    async def handler(text: str, x: Annotated[None, PerConnection(fail)]) -> None: ...

    connection = Connection()
    it = session(PlainSession, handler, connection)
    with pytest.raises(ValueError, match=r"^fail$") as caught:
        await it.open()
    await it.close(caught.value)
    assert connection.taken()[2:] == [
        *("longer saw ValueError", "close longer", "lasting saw ValueError", "close lasting")
    ]


async def test_cancellation() -> None:
    """A cancelled message closes its dependencies, which see it, before the cancellation continues."""
    connection = Connection()
    it = session(ManagedSession, managed, connection)
    await it.open()
    task = asyncio.ensure_future(it.handle("wait"))
    await asyncio.wait((task,), timeout=0)
    connection.taken()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.taken() == [
        *("inner saw CancelledError", "close inner", "outer saw CancelledError", "close outer")
    ]


async def test_connection_session() -> None:
    """In a per-connection handler all dependencies run at connect and see its error at the end."""
    connection = Connection()
    it = session(ConnectionSession, whole, connection)
    await it.open()
    with pytest.raises(ValueError, match=r"^whole$") as caught:
        await it.run()
    assert connection.taken() == ["open outer", "open inner", "run inner"]
    await it.close(caught.value)
    assert connection.taken() == ["inner saw ValueError", "close inner", "outer saw ValueError", "close outer"]


async def test_close_raises_what_is_new() -> None:
    """The error that `close` was told is known already; one that a dependency raises is not. Twice does nothing."""

    async def handler(connection: Connection, x: Annotated[str, Depends(failing)]) -> None: ...

    connection = Connection()
    it = session(ConnectionSession, handler, connection)
    await it.open()
    with pytest.raises(KeyError):
        await it.close(None)
    assert connection.taken() == ["open outer", "outer saw KeyError", "close outer"]
    await it.close(None)
    assert connection.taken() == []


async def test_wrong_call() -> None:
    """The runtime must ask for what the handler is."""
    with pytest.raises(AssertionError):
        await session(PlainSession, plain, Connection()).run()
    with pytest.raises(AssertionError):
        await session(ConnectionSession, whole, Connection()).handle("")
    with pytest.raises(AssertionError):
        session(ConnectionSession, whole, Connection()).decode(b"")


async def test_error_leaves_no_cycle() -> None:
    """A handler that fails at a high rate must not leave its messages to the cyclic collector."""
    connection = Connection()
    it = session(ManagedSession, managed, connection)
    await it.open()
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ValueError, match=r"^fail$"):
            await it.handle("fail")
        assert gc.collect() == 0
    finally:
        gc.enable()
