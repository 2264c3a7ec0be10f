from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from portcast.codecs import BytesCodec, JsonCodec, ModelCodec, TextCodec
from portcast.errors import CodecError, ConfigurationError
from portcast.handlers.compile import compile_handler
from portcast.handlers.markers import PerConnection
from portcast.handlers.signature import Signatures, read_signatures
from portcast.runtime.connection import Connection
from portcast.runtime.session import Handler


class Reading(BaseModel):
    celsius: float


class Device:
    def __init__(self, connection: object) -> None:
        self.connection = connection


class FakeConnection:
    """Stands for the runtime's connection, which needs a listener."""


def get_name(connection: Connection) -> str:
    return "real"


def fake_name() -> str:
    return "fake"


async def on_reading(reading: Reading, connection: Connection) -> None: ...
async def on_text(text: str, connection: Connection) -> None: ...
async def on_frame(frame: bytes) -> None: ...
async def on_object(value: dict[str, Any]) -> None: ...
async def on_connection(connection: Connection) -> None: ...
async def on_name(text: str, name: Annotated[str, PerConnection(get_name)]) -> None: ...


def fake_of_device(device: Device) -> str:
    return "fake"


class Callables:
    async def method(self, text: str) -> None: ...

    async def __call__(self, text: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "name", "is_per_connection", "needs_open"),
    [
        pytest.param(on_reading, "on_reading", False, False, id="per message"),
        pytest.param(on_connection, "on_connection", True, True, id="per connection"),
        pytest.param(on_name, "on_name", False, True, id="connection's dependency"),
        pytest.param(Callables().method, "Callables.method", False, False, id="method"),
        pytest.param(Callables(), "Callables", False, False, id="instance"),
        pytest.param(partial(on_text), "on_text", False, False, id="partial"),
    ],
)
def test_what_the_runtime_asks(
    function: Callable[..., Any], name: str, is_per_connection: bool, needs_open: bool
) -> None:
    """The runtime learns when to start the task, and what to call it in logs, from the signature."""
    handler: Handler = compile_handler(function)
    assert (handler.name, handler.is_per_connection, handler.needs_open) == (name, is_per_connection, needs_open)


def test_representation() -> None:
    """A handler says what it is."""
    assert repr(compile_handler(on_text)) == "<CompiledHandler on_text per message>"
    assert repr(compile_handler(on_connection)) == "<CompiledHandler on_connection per connection>"


@pytest.mark.parametrize(
    ("function", "codec"),
    [(on_reading, ModelCodec), (on_text, TextCodec), (on_frame, BytesCodec), (on_object, JsonCodec)],
    ids=["model", "text", "bytes", "dict"],
)
def test_codec_of_the_annotation(function: Callable[..., Any], codec: type) -> None:
    """The message's annotation chooses the codec."""
    assert isinstance(compile_handler(function).codec, codec)


def test_written_codec() -> None:
    """A codec that was written wins."""
    codec = JsonCodec()
    assert compile_handler(on_text, codec=codec).codec is codec
    assert compile_handler(on_connection).codec is None


def sync(text: str) -> None: ...


def generator(text: str) -> Iterator[int]:
    yield 1


async def async_generator(text: str) -> AsyncIterator[int]:
    yield 1


async def on_device(device: Device) -> None: ...


@pytest.mark.parametrize(
    ("function", "codec", "sentence"),
    [
        pytest.param(
            sync, None, "handler sync: it is not async; write `async def`, and move what blocks to", id="sync"
        ),
        pytest.param(Device, None, "handler Device: it is not async", id="class"),
        pytest.param(generator, None, "handler generator: it yields; remove the yield", id="generator"),
        pytest.param(async_generator, None, "handler async_generator: it yields", id="async generator"),
        pytest.param(asynccontextmanager(async_generator), None, "handler async_generator: it yields", id="decorated"),
        pytest.param(
            on_connection,
            TextCodec(),
            "handler on_connection: the codec 'text' has no use: the handler is called once per connection and gets "
            "frames; leave it out, or add a parameter for the message",
            id="codec without message",
        ),
        pytest.param(
            on_device, None, "handler on_device, parameter 'device': no codec makes such messages", id="codec"
        ),
    ],
)
def test_refused(function: Callable[..., Any], codec: Any, sentence: str) -> None:
    """What can never work is refused when the handler is declared."""
    with pytest.raises(ConfigurationError) as caught:
        compile_handler(function, codec=codec)
    assert str(caught.value).startswith(sentence)


async def served(handler: Any, frames: list[bytes], connection: Any) -> None:
    session = handler.session(connection)
    await session.open()
    if handler.is_per_connection:
        await session.run()
    for frame in frames:
        await session.handle(session.decode(frame))
    await session.close(None)


@pytest.mark.anyio
async def test_each_kind_of_session() -> None:
    """A handler without, with, and only with dependencies that must be closed works from end to end."""
    log: list[object] = []

    def lend() -> Iterator[str]:
        yield "lent"
        log.append("closed")

    async def plain(reading: Reading, connection: FakeConnection) -> None:
        log.append((reading.celsius, connection))

    async def managed(text: str, x: Annotated[str, Depends(lend)]) -> None:
        log.append((text, x))

    async def whole(connection: FakeConnection, x: Annotated[str, Depends(lend)]) -> None:
        log.append((connection, x))

    connection = FakeConnection()
    for function, frames in ((plain, [b'{"celsius": 21.5}']), (managed, [b"a", b"b"]), (whole, [])):
        handler = compile_handler(function, connection_type=FakeConnection)
        await served(handler, frames, connection)
    assert log == [(21.5, connection), ("a", "lent"), "closed", ("b", "lent"), "closed", (connection, "lent"), "closed"]


@pytest.mark.anyio
async def test_bad_frame() -> None:
    """A frame that is no such message is the codec's error."""
    with pytest.raises(CodecError):
        await served(compile_handler(on_reading), [b"{}"], FakeConnection())


@pytest.mark.anyio
async def test_providers() -> None:
    """A provider makes the value of its type from the connection, for each message anew."""
    seen: list[Device] = []

    async def handler(text: str, device: Device) -> None:
        seen.append(device)

    connection = FakeConnection()
    await served(compile_handler(handler, providers={Device: Device}), [b"a", b"b"], connection)
    first, second = seen
    assert first is not second
    assert first.connection is connection


@pytest.mark.anyio
async def test_overrides_of_an_app() -> None:
    """They are taken when the handler is compiled, and it stays as it was."""

    class Local(BaseModel):
        name: str

    names: list[str] = []

    async def handler(local: Local, name: Annotated[str, Depends(get_name)]) -> None:
        names.append(f"{local.name} {name}")

    app = FastAPI()
    app.dependency_overrides[get_name] = fake_name
    overridden = compile_handler(handler, overrides=app.dependency_overrides)
    app.dependency_overrides.clear()  # as tests do at their end: what is running is not changed
    for one in (overridden, compile_handler(handler, overrides=app.dependency_overrides)):
        await served(one, [b'{"name": "x"}'], FakeConnection())
    assert names == ["x fake", "x real"]


@pytest.mark.anyio
async def test_overrides_at_once() -> None:
    """Overrides may be given from the start, and are checked like all dependencies."""
    names: list[str] = []

    async def handler(text: str, name: Annotated[str, Depends(get_name)]) -> None:
        names.append(name)

    await served(compile_handler(handler, overrides={get_name: fake_name}), [b"x"], FakeConnection())
    assert names == ["fake"]
    with pytest.raises(ConfigurationError, match="nothing provides Device"):
        compile_handler(handler, overrides={get_name: fake_of_device})


def test_local_names_survive() -> None:
    """Names local to the place of declaration are looked up there, and not again when the handler is compiled."""

    def declare() -> tuple[Any, Signatures]:
        class Local(BaseModel):
            name: str

        async def handler(local: Local) -> None: ...

        return handler, read_signatures(handler)

    handler, signatures = declare()
    assert compile_handler(handler, signatures=signatures).name.endswith("handler")
    with pytest.raises(ConfigurationError, match="cannot be resolved"):
        compile_handler(handler)
