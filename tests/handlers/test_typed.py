from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from portcast import ConfigurationError, Connection, Device, Gateway, PerConnection, by_type
from portcast.codecs import BinaryModel, BinaryUnion, Bytes, JsonCodec, UInt8
from portcast.codecs.binary_lengths import REST
from portcast.events import Event, FrameRejected
from portcast.framing import LengthFieldFraming
from portcast.handlers import DeviceRouter
from portcast.handlers.listener import compile_listener
from portcast.testing import TestDevice

pytestmark = pytest.mark.anyio
URL = "tcp://127.0.0.1:9001"


class Login(BaseModel):
    kind: Literal["login"] = "login"
    id: str


class Reading(BaseModel):
    kind: Literal["reading"] = "reading"
    celsius: float


class Alarm(BaseModel):
    kind: Literal["alarm"] = "alarm"


class Ping(BaseModel):
    kind: Literal["ping"] = "ping"


Message = Annotated[Login | Reading | Alarm | Ping, Field(discriminator="kind")]


def line(message: BaseModel) -> bytes:
    return message.model_dump_json().encode() + b"\n"


def app_of(gateway: Gateway) -> FastAPI:
    app = FastAPI()
    app.include_router(gateway)
    return app


def compiled(*functions: Any, message: object = Message) -> Any:
    router = DeviceRouter()
    listener = router.listen(URL, message=message)
    for function in functions:
        listener.on(function)
    return compile_listener(
        router.declarations[0], providers={}, overrides={}, hook_providers={}, emit=lambda event: None
    )


async def test_the_model_picks_the_handler() -> None:
    """One model, several, and what is left; each message goes to exactly one handler, in order."""
    gateway, seen = Gateway(), list[tuple[str, object]]()
    listener = gateway.listen(URL, message=Message)

    @listener.on
    async def on_login(login: Login) -> None:
        seen.append(("login", login))

    @listener.on
    async def on_value(value: Reading | Alarm, connection: Connection) -> None:
        seen.append(("value", value))

    @listener.on
    async def on_rest(message: Message) -> None:
        seen.append(("rest", message))

    messages: list[BaseModel] = [Login(id="a"), Reading(celsius=1), Ping(), Alarm()]
    async with TestDevice(app_of(gateway)) as device:
        await device.send(b"".join(map(line, messages)), split="every-byte")
        await device.handled()
    assert seen == [
        ("login", messages[0]), ("value", messages[1]), ("rest", messages[2]), ("value", messages[3])
    ]  # fmt: skip


async def test_a_message_without_a_handler_is_refused_and_counted() -> None:
    """Each costs itself only: however many there are, the connection goes on; no acknowledgement says yes."""
    events: list[Event] = []
    gateway = Gateway(on_event=events.append)
    listener = gateway.listen(
        URL, message=Message, bad_frames=2, ack=lambda message, result: b"yes", nack=lambda message, error: b"no"
    )

    @listener
    async def on_login(login: Login) -> None: ...

    async with TestDevice(app_of(gateway)) as device:
        await device.send(line(Ping()) * 3 + line(Login(id="a")))
        await device.expect(b"no\nno\nno\nyes\n")
        await device.send(b'{"kind": "other"}\n')  # the codec refuses it
        await device.handled()
        assert device.closed_reason is None
    rejected = [one for one in events if isinstance(one, FrameRejected)]
    assert [one.detail for one in rejected[:3]] == ["message: no handler takes Ping"] * 3
    assert {one.in_a_row for one in rejected} == {1}
    assert len(rejected) == 4


async def test_binary_models() -> None:
    """The tag of a `BinaryUnion` picks the handler, and the model for unknown tags may have one."""

    class Hello(BinaryModel):
        tag: Annotated[Literal[1], UInt8()] = 1

    class Value(BinaryModel):
        tag: Annotated[Literal[2], UInt8()] = 2
        value: Annotated[int, UInt8()]

    class Unknown(BinaryModel):
        tag: Annotated[int, UInt8()]
        rest: Annotated[bytes, Bytes(REST)]

    gateway, seen = Gateway(), list[object]()
    listener = gateway.listen(
        URL,
        framing=LengthFieldFraming(length_field_length=1, bytes_to_strip=1),
        message=Annotated[Hello | Value | Unknown, BinaryUnion("tag", unknown=Unknown)],
    )

    @listener.on
    async def on_value(value: Value) -> None:
        seen.append(value.value)

    @listener.on
    async def on_unknown(message: Unknown) -> None:
        seen.append(message.rest)

    async with TestDevice(app_of(gateway)) as device:
        await device.send(bytes.fromhex("0202ff 03096162 020207"), split="every-byte")
        await device.handled()
    assert seen == [255, b"ab", 7]


async def test_handlers_share_what_lives_as_long_as_the_connection() -> None:
    """It is made once for each connection, whichever handlers ask for it, and closed once."""
    gateway, log = Gateway(), list[str]()

    async def session(connection: Connection) -> AsyncIterator[list[str]]:
        log.append("open")
        yield []
        log.append("close")

    async def work(rest: Annotated[list[str], PerConnection(session)]) -> AsyncIterator[None]:
        yield
        log.append(f"done {rest}")

    listener = gateway.listen(URL, message=Message)

    @listener.on
    async def on_login(login: Login, known: Annotated[list[str], PerConnection(session)]) -> None:
        known.append(login.id)

    @listener.on
    async def on_ping(
        ping: Ping, known: Annotated[list[str], PerConnection(session)], _: Annotated[None, Depends(work)]
    ) -> None:
        log.append(f"ping {known}")

    async with TestDevice(app_of(gateway)) as device:
        await device.send(line(Login(id="a")) + line(Ping()))
        await device.handled()
    assert log == ["open", "ping ['a']", "done ['a']", "close"]


async def test_with_devices_and_their_answers() -> None:
    """An answer to a command needs no handler: it ends the command."""
    gateway, answers = Gateway(), list[object]()
    listener = gateway.listen(
        URL,
        message=Message,
        identity="connection",
        replies=by_type({str: Reading}),
        ack=lambda message, result: b"ok",
    )

    @listener.identify
    def who(message: BaseModel) -> str | None:
        return message.id if isinstance(message, Login) else None

    @listener.on
    async def on_login(login: Login, device: Device) -> None:
        answers.append(await device.request("read"))

    async with TestDevice(app_of(gateway)) as device:
        await device.send(line(Login(id="a")))
        await device.expect(b"read\n")
        await device.send(line(Reading(celsius=20)))
        await device.expect(b"ok\n")
    assert answers == [Reading(celsius=20)]


async def test_a_codec_of_your_own_tells_models_apart_itself() -> None:
    """Then no discriminator is asked for, and any classes will do."""
    gateway, seen = Gateway(), list[object]()
    listener = gateway.listen(URL, codec=JsonCodec(), message=dict | list | int)

    @listener.on
    async def on_object(value: dict[str, Any] | list[Any]) -> None: ...

    router = DeviceRouter()
    listener = router.listen(URL, codec=JsonCodec(), message=dict | list | int)

    @listener.on
    async def on_number(value: int) -> None:
        seen.append(value)

    @listener.on
    async def on_rest(value: dict | list | int) -> None:  # type: ignore[type-arg]  # as in message=
        seen.append(type(value))

    other = Gateway()
    other.include_devices(router)
    async with TestDevice(app_of(other)) as device:
        await device.send(b'1\n{"a": 2}\n[3]\n')
        await device.handled()
    assert seen == [1, dict, list]


async def on_login(login: Login) -> None: ...
async def on_login_too(message: Login) -> None: ...
async def on_some(message: Login | Reading) -> None: ...
async def on_all(message: Message) -> None: ...
async def on_all_too(message: Message) -> None: ...
async def on_connection(connection: Connection) -> None: ...
async def on_other(message: BaseModel) -> None: ...
async def on_text(text: str) -> None: ...


@pytest.mark.parametrize(
    ("functions", "problem"),
    [
        ([on_login, on_login_too], "handler on_login_too, parameter 'message': on_login takes Login already"),
        ([on_login, on_some], "handler on_some, parameter 'message': on_login takes Login already"),
        ([on_all, on_all_too], "handler on_all_too, parameter 'message': on_all takes the rest already"),
        ([on_connection], "handler on_connection: its listener has message=, but it is called once per connection"),
        ([on_other], "BaseModel is none of the listener's messages (Login, Reading, Alarm, Ping)"),
        ([on_text], "str is none of the listener's messages"),
    ],
)
def test_what_cannot_work_is_refused(functions: list[Any], problem: str) -> None:
    """At the declaration where it can be seen, otherwise at start."""
    with pytest.raises(ConfigurationError) as error:
        compiled(*functions)
    assert problem in str(error.value)


def test_two_handlers_of_one_model_are_refused_where_they_are_declared() -> None:
    """The traceback then shows the line."""
    listener = DeviceRouter().listen(URL, message=Message)
    listener.on(on_login)
    with pytest.raises(ConfigurationError, match="on_login takes Login already"):
        listener.on(on_some)


def test_one_model_is_no_union() -> None:
    """Its handler takes it by name."""
    handler = compiled(on_login, message=Login)
    assert (handler.name, handler.needs_open, handler.is_per_connection) == ("on_login", False, False)
    assert set(handler.ways) == {Login}


def test_the_choice_is_one_look_into_a_dict() -> None:
    """Nothing is wrapped: what is awaited is the coroutine of the one session."""
    handler = compiled(on_login, on_all)
    session = handler.session(object())
    work = session.handle(Ping())
    assert work.__qualname__ == "PlainSession.handle"
    work.close()
