"""Devices that must show who they are: over real sockets, before a relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from access_kit import digest
from portcast.errors import ConfigurationError
from portcast.events import ConnectionClosed, ConnectionRefused, HandlerAbandoned, HandlerFailed
from portcast.runtime import Connection, Consumer, Registry, RelayConsumer
from portcast.runtime.authentication import Answer, Authenticate, Gate, check_of
from runtime_kit import Device, Events, Serving, eventually, make_hub, serving, turns

pytestmark = pytest.mark.anyio

TOKEN = "token-0123456789-0123456789"


class Relayed:
    """A listener whose relay is behind a check, and what it published."""

    def __init__(self, check: Authenticate) -> None:
        self.check = check
        self.published: list[bytes] = []
        self.serving: Serving

    def consumer(self, connection: Connection) -> Consumer:
        hub = make_hub(asyncio.get_running_loop())
        return RelayConsumer(connection, "t", self.publish, hub)

    def publish(self, topic: str, payloads: Sequence[bytes]) -> None:
        self.published += payloads

    def gate(self, connection: Connection, registry: Registry, events: Events) -> Gate:
        return Gate(connection, self.check, self.consumer, registry.tasks, events)


@asynccontextmanager
async def behind(check: Authenticate, **options: Any) -> AsyncIterator[Relayed]:
    relayed = Relayed(check)
    async with serving(relayed.gate, **options) as it:
        relayed.serving = it
        yield relayed


async def refused(device: Device, relayed: Relayed) -> str:
    """Wait until the connection is closed; return why."""
    assert await device.receive_all() == b""
    await eventually(lambda: relayed.serving.events.of(ConnectionClosed))
    event = relayed.serving.events.closed
    assert event.reason == "unauthenticated"
    assert relayed.published == []
    return event.detail


def yes(connection: Connection, frame: bytes) -> Answer:
    return frame != b"no"


def login(connection: Connection, frame: bytes) -> Answer:
    return "login" if frame == b"secret" else False


async def slow_yes(connection: Connection, frame: bytes) -> Answer:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return True


@pytest.mark.parametrize(
    ("check", "sent", "published"),
    [
        pytest.param(yes, b"a\nb\n", [b"a", b"b"], id="the frame is a message"),
        pytest.param(login, b"secret\na\nb\n", [b"a", b"b"], id="the frame is a login"),
        pytest.param(slow_yes, b"a\nb\n", [b"a", b"b"], id="later"),
    ],
)
async def test_who_is_let_in_is_heard_from_the_first_frame_on(
    check: Authenticate, sent: bytes, published: list[bytes]
) -> None:
    async with behind(check) as relayed:
        device, connection = await relayed.serving.connected()
        assert not connection.is_admitted
        await device.send(sent)
        await eventually(lambda: relayed.published == published)
        await device.send(b"c\n")
        await eventually(lambda: relayed.published == [*published, b"c"])
        assert connection.is_admitted


async def test_a_login_that_comes_alone_is_no_message() -> None:
    async with behind(login) as relayed:
        device, connection = await relayed.serving.connected()
        await device.send(b"secret\n")
        await eventually(lambda: connection.is_admitted)
        assert relayed.published == []


@pytest.mark.parametrize("sent", [b"wrong\na\n", b"\n", b"secret?\n"])
async def test_who_is_not_let_in_is_closed_and_published_nothing(sent: bytes) -> None:
    async with behind(login) as relayed:
        device, _ = await relayed.serving.connected()
        await device.send(sent)
        assert await refused(device, relayed) == "the check said False"
        assert relayed.serving.listener.statistics().errors == {"unauthenticated": 1}


async def test_each_attempt_counts_against_the_connect_rate() -> None:
    """There is one per connection, so an address that tries tokens is limited by how often it may connect."""
    async with behind(login, connect_rate=1) as relayed:
        first = await relayed.serving.connect()
        await first.send(b"wrong\n")
        assert await refused(first, relayed)
        second = await relayed.serving.connect()
        assert await second.receive_all() == b""
        assert [one.reason for one in relayed.serving.events.of(ConnectionRefused)] == ["connect_rate"]


async def _raises(connection: Connection, frame: bytes) -> Answer:
    raise ValueError("no database")


def _raises_at_once(connection: Connection, frame: bytes) -> Answer:
    raise ValueError("no database")


@pytest.mark.parametrize("check", [_raises, _raises_at_once])
async def test_a_check_that_fails_lets_nobody_in(check: Authenticate) -> None:
    """And is told of as the fault that it is."""
    async with behind(check) as relayed:
        device, _ = await relayed.serving.connected()
        await device.send(b"a\n")
        assert await refused(device, relayed) == "the check raised ValueError"
        (event,) = relayed.serving.events.of(HandlerFailed)
        assert event.handler == "authenticate"


async def test_only_a_clear_yes_is_one() -> None:
    """A check that returns the user's record, or None, was not written for us."""
    for answer in (None, 1, "yes", object()):
        async with behind(lambda connection, frame, answer=answer: answer) as relayed:  # type: ignore[misc]
            device, _ = await relayed.serving.connected()
            await device.send(b"a\n")
            assert await refused(device, relayed) == "the check gave no answer"


async def test_nothing_is_read_while_the_check_works() -> None:
    """At most one read waits, whatever the device sends."""
    release = asyncio.Event()

    async def check(connection: Connection, frame: bytes) -> Answer:
        await release.wait()
        return True

    async with behind(check) as relayed:
        device, connection = await relayed.serving.connected()
        await device.send(b"a\n")
        await eventually(lambda: not connection.is_reading)
        assert connection.is_busy
        await device.send(b"b\n" * 1000)
        await turns()
        assert connection.frames == 1
        release.set()
        await eventually(lambda: len(relayed.published) == 1001)


async def test_a_device_that_half_closes_is_still_heard() -> None:
    release = asyncio.Event()

    async def check(connection: Connection, frame: bytes) -> Answer:
        await release.wait()
        return True

    async with behind(check) as relayed:
        device, connection = await relayed.serving.connected()
        await device.send(b"a\n")
        await eventually(lambda: connection.is_busy)
        device.end()
        release.set()
        await eventually(lambda: relayed.published == [b"a"])
        await eventually(lambda: relayed.serving.events.of(ConnectionClosed))
        assert relayed.serving.events.closed.reason == "peer_closed"


@pytest.mark.parametrize("is_asked", [False, True], ids=["silent", "the check does not end"])
async def test_the_deadline_is_absolute(is_asked: bool) -> None:
    """From accept on, whether the device says nothing or the check takes for ever."""

    async def check(connection: Connection, frame: bytes) -> Answer:
        await asyncio.Event().wait()
        return True

    async with behind(check, authentication_timeout_s=3, first_frame_timeout_s=0) as relayed:
        device, connection = await relayed.serving.connected()
        if is_asked:
            await device.send(b"a\n")
            await eventually(lambda: connection.is_busy)
        connection.check_deadlines(connection.opened_at + 2.9)
        assert not connection.is_closing
        connection.check_deadlines(connection.opened_at + 3.1)
        assert await refused(device, relayed) == "not within 3 s"
        assert not relayed.serving.registry.tasks


async def test_a_stop_ends_a_check() -> None:
    async def check(connection: Connection, frame: bytes) -> Answer:
        await asyncio.Event().wait()
        return True

    async with behind(check) as relayed:
        device, connection = await relayed.serving.connected()
        await device.send(b"a\n")
        await eventually(lambda: connection.is_busy)
        connection.abort("aborted")
        await eventually(lambda: relayed.serving.events.of(ConnectionClosed))
        assert relayed.serving.events.closed.reason == "aborted"
        assert relayed.serving.events.closed.undelivered == 1


async def test_what_only_a_consumer_of_an_admitted_device_does() -> None:
    async with behind(yes) as relayed:
        _, connection = await relayed.serving.connected()
        gate = relayed.gate(connection, relayed.serving.registry, relayed.serving.events)
        gate.rest(1.0)
        gate.abandon()
        assert relayed.serving.events.of(HandlerAbandoned)[0].handler == "authenticate"
        with pytest.raises(RuntimeError, match="not let in"):
            await gate.receive()


class TestTokens:
    @pytest.mark.parametrize(
        ("frame", "answer"),
        [(TOKEN.encode(), "login"), (b" " + TOKEN.encode() + b"\r", "login"), (b"x", False), (b"", False)],
    )
    def test_the_first_frame_is_a_token(self, frame: bytes, answer: Answer) -> None:
        check = check_of(None, [digest("another"), digest(TOKEN)], {}, "x")
        assert check is not None
        assert check(None, frame) == answer  # type: ignore[arg-type]  # the connection is not looked at

    def test_tokens_from_the_environment(self) -> None:
        check = check_of(None, ["env:T"], {"T": TOKEN}, "x")
        assert check is not None
        assert check(None, TOKEN.encode()) == "login"  # type: ignore[arg-type]  # as above

    def test_without_tokens_the_application_decides(self) -> None:
        assert check_of(yes, (), {}, "x") is yes
        assert check_of(None, (), {}, "x") is None

    @pytest.mark.parametrize(
        ("authenticate", "tokens", "problem"),
        [(yes, [digest(TOKEN)], "given, too"), (None, [TOKEN], "neither"), (None, ["env:T"], "not set")],
    )
    def test_what_cannot_work(self, authenticate: Authenticate | None, tokens: list[str], problem: str) -> None:
        with pytest.raises(ConfigurationError, match=problem) as caught:
            check_of(authenticate, tokens, {}, "x")
        assert TOKEN not in str(caught.value)
