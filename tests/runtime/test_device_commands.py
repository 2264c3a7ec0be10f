from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from device_kit import fleet, history, line, say
from manual_clock import ManualClock
from portcast import (
    CommandFailed,
    CommandOptions,
    CommandQueueFull,
    ConfigurationError,
    ConnectionClosedError,
    DeviceSettings,
    ProtocolUnknown,
    by_field,
    one_at_a_time,
)
from portcast.devices import CommandState
from portcast.errors import CodecError
from portcast.events import HandlerFailed
from portcast.runtime import Device, DeviceProtocol
from portcast.runtime.device_commands import DeviceCommands
from portcast.runtime.device_directory import make_directory
from portcast.runtime.device_submission import Submission
from portcast.types import CommandId, DeviceId
from runtime_kit import Events, eventually

REPLIES = by_field("re")
PROTOCOL = DeviceProtocol(identify=lambda message: "a", replies=REPLIES)


class FakeConnection:
    """Takes frames while it is open."""

    id = "c1"
    listener = "tcp://127.0.0.1:8001"

    def __init__(self, *, breaks: bool = False) -> None:
        self.is_open = True
        self.device = None
        self.frames: list[bytes] = []
        self._breaks = breaks

    def push(self, frame: bytes) -> None:
        if self._breaks:
            self.is_open = False
        if not self.is_open:
            raise ConnectionClosedError(self.id, "closed")
        self.frames.append(frame)

    async def wait_writable(self) -> None: ...


class Desk:
    """Commands on a manual clock, with what they published."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock(now=0.0)
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.events = Events()
        settings = DeviceSettings(commands=CommandOptions(**options), known={"a": {}, "b": {}})
        self.directory = make_directory(
            settings,
            self.clock,
            publish=self._publish,
            unix_time=lambda at: at,
            emit=self.events,
            first_number=lambda: 1,
        )
        self.commands: DeviceCommands = self.directory.commands
        self.commands.speak(PROTOCOL)

    def _publish(self, topic: str, payloads: Sequence[bytes]) -> None:
        self.published += [(topic, json.loads(one)) for one in payloads]

    def connect(self, name: str = "a", *, protocol: DeviceProtocol = PROTOCOL, breaks: bool = False) -> Any:
        device, connection = self.directory.find(name), FakeConnection(breaks=breaks)
        device.connections = (connection,)  # type: ignore[assignment]
        device.protocol = protocol
        self.commands.connected(device)
        return connection

    def device(self, name: str = "a") -> Device:
        return self.directory.find(name)

    def submit(self, value: object, name: str = "a", **more: Any) -> CommandId:
        change = self.commands.submit_nowait(self.device(name), Submission(value, **more))
        return change.command.command_id

    def state(self, command_id: CommandId) -> CommandState:
        change = self.commands.get(command_id)
        assert change is not None
        return change.state

    @property
    def states(self) -> list[str]:
        return [change["state"] for _, change in self.published]


# States, publications, the timer


def test_every_change_is_published() -> None:
    """On the device's own topic, with command and answer."""
    desk = Desk()
    connection = desk.connect()
    desk.clock.advance(5)
    command = desk.submit("reboot")
    assert connection.frames == [b"reboot"]
    assert desk.commands.answered(desk.device(), PROTOCOL, {"re": 1, "v": "ok"})
    assert desk.states == ["queued", "written", "answered"]
    topic, change = desk.published[-1]
    assert topic == "$devices/a/commands"
    assert change == {
        "id": command,
        "device": "a",
        "state": "answered",
        "at": 5.0,
        "is_end": True,
        "command": "reboot",
        "answer": {"re": 1, "v": "ok"},
    }


def test_commands_wait_for_their_device() -> None:
    """In order; and those past their lifetime are not written."""
    desk = Desk(lifetime_s=60)
    first, second = desk.submit(b"1", lifetime_s=5), desk.submit(b"2")
    desk.clock.advance(6)
    assert desk.state(first) is CommandState.EXPIRED
    assert desk.connect().frames == [b"2"]
    assert [one.command.command_id for one in desk.commands.commands_of(DeviceId("a"))] == [second]


def test_one_timer_for_all_deadlines() -> None:
    """Moved only if something is due sooner."""
    desk = Desk(timeout_s=10, settle_s=0)
    desk.connect()
    desk.connect("b")
    slow, fast = desk.submit("slow"), desk.submit("fast", "b", timeout_s=2)
    desk.submit("slower", timeout_s=20)
    assert desk.clock.timers == 1
    desk.clock.advance(2)
    assert (desk.state(fast), desk.state(slow)) == (CommandState.TIMED_OUT, CommandState.WRITTEN)
    desk.clock.advance(8)
    assert desk.state(slow) is CommandState.TIMED_OUT
    assert desk.clock.timers == 1
    desk.commands.close()
    assert desk.clock.timers == 0
    assert desk.commands.statistics().written == 0
    desk.commands.close()


def test_the_same_id_is_the_same_command() -> None:
    """Whatever became of it; an ended one is not written again."""
    desk = Desk()
    connection = desk.connect()
    desk.submit("x", command_id=CommandId("k"), is_answered=False)
    assert desk.submit("x", command_id=CommandId("k"), is_answered=False) == "k"
    assert connection.frames == [b"x"]


def test_an_ended_command_that_is_not_remembered() -> None:
    """Whoever submitted it still learns how it ended."""
    desk = Desk(max_ended=0)
    desk.connect()
    change = desk.commands.submit_nowait(desk.device(), Submission("x", is_answered=False))
    assert change.state is CommandState.DELIVERED
    assert desk.commands.get(change.command.command_id) is None


def test_a_full_queue_is_refused() -> None:
    """And a command with the key of a queued one takes its place."""
    desk = Desk(max_queued=1)
    old = desk.submit("1", deduplication="k")
    with pytest.raises(CommandQueueFull):
        desk.submit("2")
    desk.submit("3", deduplication="k")
    assert desk.state(old) is CommandState.DISPLACED


def test_cancelled_before_it_was_written_it_is_not_written() -> None:
    """One that was written goes on."""
    desk = Desk()
    queued = desk.submit("1")
    change = desk.commands.cancel(queued)
    assert change is not None
    assert change.state is CommandState.CANCELLED
    connection = desk.connect()
    written = desk.submit("2")
    desk.commands.cancel(written)
    assert connection.frames == [b"2"]
    assert desk.state(written) is CommandState.WRITTEN
    assert desk.commands.cancel(CommandId("none")) is None


# Connections that go


def test_a_closing_connection_takes_no_command() -> None:
    """It stays queued, and is written on the next."""
    desk = Desk()
    desk.connect().is_open = False
    command = desk.submit("x")
    assert desk.state(command) is CommandState.QUEUED
    assert desk.connect().frames == [b"x"]


def test_a_connection_that_is_closed_already_does_not_count() -> None:
    """Its device is not in reach, and losing it changes nothing."""
    desk = Desk()
    desk.submit("x")
    device = desk.device()
    device.connections = (FakeConnection(),)  # type: ignore[assignment]
    device.connections[0].is_open = False  # type: ignore[misc]
    desk.commands.connected(device)
    desk.commands.disconnected(device)
    assert desk.states == ["queued"]


def test_what_cannot_be_written_any_more_is_unknown() -> None:
    """Handed out is written; an idempotent one waits for the next connection. Nothing is written twice in a step."""
    desk = Desk()
    lost, again = desk.submit("lost"), desk.submit("again", is_idempotent=True)
    desk.connect(breaks=True)
    assert (desk.state(lost), desk.state(again)) == (CommandState.UNKNOWN, CommandState.QUEUED)
    assert desk.connect().frames == [b"again"]


def test_a_forgotten_device_has_no_commands() -> None:
    """They end, and its numbers begin anew."""
    desk = Desk()
    desk.connect()
    command = desk.submit("x")
    desk.directory.forget(DeviceId("a"))
    assert desk.state(command) is CommandState.UNKNOWN


# How it is written


def test_another_protocol_makes_another_frame() -> None:
    """A device may come back on a listener that speaks differently."""
    desk = Desk()
    command = desk.submit("x")
    other = DeviceProtocol(
        identify=lambda m: "a", replies=REPLIES, write=lambda v, number: b"%s#%d" % (v.encode(), number)
    )
    assert desk.connect(protocol=other).frames == [b"x#1"]
    assert desk.state(command) is CommandState.WRITTEN


def test_a_frame_that_cannot_be_made_at_the_last_moment() -> None:
    """The command is refused, by us; the next one is written all the same."""
    desk = Desk()

    def write(value: str, number: int) -> bytes:
        if value == "bad":
            raise ValueError(value)
        return value.encode()

    bad, silent, good = desk.submit("bad"), desk.submit("bad", is_answered=False), desk.submit("good")
    connection = desk.connect(protocol=DeviceProtocol(identify=lambda m: "a", replies=REPLIES, write=write))
    assert connection.frames == [b"good"]
    assert (desk.state(bad), desk.state(silent)) == (CommandState.REFUSED, CommandState.DELIVERED)
    change = desk.commands.get(bad)
    assert change is not None
    assert change.answer == "it could not be written: ValueError"
    assert desk.state(good) is CommandState.WRITTEN
    assert len(desk.events.of(HandlerFailed)) == 2


def test_the_framing_says_why_it_cannot_carry_a_command() -> None:
    """Whoever gave it can then do something about it."""
    desk = Desk()

    def write(value: str, number: int) -> bytes:
        raise CodecError("lines", "the frame holds a line ending (lf)")

    bad = desk.submit("a\nb")
    desk.connect(protocol=DeviceProtocol(identify=lambda m: "a", replies=REPLIES, write=write))
    change = desk.commands.get(bad)
    assert change is not None
    assert change.answer == "it could not be written: lines: the frame holds a line ending (lf)"


def test_what_cannot_be_expressed_is_refused_at_once() -> None:
    """Before it is a command."""
    desk = Desk()
    with pytest.raises(CodecError):
        desk.submit(object())
    assert desk.commands.statistics().submitted == 0


def test_nobody_knows_how_a_device_will_speak() -> None:
    """That never came, if several listeners could be its own."""
    desk = Desk()
    desk.commands.speak(DeviceProtocol(identify=lambda message: "a"))
    with pytest.raises(ProtocolUnknown, match="never connected"):
        desk.submit("x")
    desk.connect()
    desk.submit("x")


def test_an_answer_needs_to_be_recognised() -> None:
    """Without `replies=` a command is sent, and asked for only by mistake."""
    desk = Desk()
    connection = desk.connect(protocol=DeviceProtocol(identify=lambda message: "a"))
    with pytest.raises(ConfigurationError, match="add replies="):
        desk.submit("x", is_answered=True)
    assert desk.state(desk.submit("x")) is CommandState.DELIVERED
    assert connection.frames == [b"x"]
    assert not desk.commands.answered(desk.device(), DeviceProtocol(), {"re": 1})


def test_answers_of_devices_that_answer_one_command_at_a_time() -> None:
    """What comes while none waits is no answer, and is not counted as one."""
    desk = Desk()
    protocol = DeviceProtocol(identify=lambda message: "a", replies=one_at_a_time(lambda text: text != "$"))
    connection = desk.connect(protocol=protocol)
    device = desk.device()
    assert not desk.commands.answered(device, protocol, "hello")
    first, second = desk.submit("1"), desk.submit("2")
    assert connection.frames == [b"1"]
    assert not desk.commands.answered(device, protocol, "$")
    assert desk.commands.answered(device, protocol, "one")
    assert connection.frames == [b"1", b"2"]
    assert desk.commands.answered(device, protocol, "two")
    assert [desk.commands.get(one).answer for one in (first, second)] == ["one", "two"]  # type: ignore[union-attr]
    assert not desk.commands.answered(device, protocol, "hello")
    assert desk.commands.statistics().doubled == 0


# Those who wait


@pytest.mark.anyio
async def test_whoever_waits_is_told_the_end() -> None:
    """All of them; one that has left is not missed."""
    desk = Desk()
    desk.connect()
    change = await desk.commands.submit(desk.device(), Submission("x"))
    waiting = [asyncio.ensure_future(desk.commands.wait_end(change)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    waiting[2].cancel()  # told and cancelled in the same turn
    desk.commands.answered(desk.device(), PROTOCOL, {"re": 1})
    assert (await waiting[1]).state is CommandState.ANSWERED
    assert (await desk.commands.wait_end(await waiting[1])).is_end
    assert waiting[0].cancelled()


@pytest.mark.row(2)
@pytest.mark.anyio
async def test_a_device_that_does_not_read_is_waited_for() -> None:
    """Nothing is submitted meanwhile; and at the end of the node every command has ended."""
    async with fleet(replies=by_field("re"), write_buffer_bytes=1024) as the:
        socket = await the.connect({"id": "a"})
        await the.heard(1)
        device = the.gateway.device("a")
        (connection,) = device.connections
        while connection.send_nowait(b"x" * 60_000):
            pass
        waiting = asyncio.ensure_future(device.send("later"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.sleep(0)
        assert not history(the.gateway, "$devices/a/commands")
        socket.close()


@pytest.mark.anyio
async def test_commands_under_cuts_end_once_each() -> None:
    """None without an outcome, none written twice; over real sockets."""
    async with fleet(replies=by_field("re"), write=lambda v, n: json.dumps({"n": n, "v": v}).encode()) as the:
        socket = await the.connect({"id": "a"})
        await the.heard(1)
        device = the.gateway.device("a")
        ends: list[str] = []

        async def ask(number: int) -> None:
            try:
                await device.request(number, timeout=0.5)
                ends.append("answered")
            except Exception as error:
                ends.append(getattr(error, "state", type(error).__name__))

        written: list[int] = []
        for cut in range(3):
            asks = [asyncio.ensure_future(ask(cut * 8 + number)) for number in range(8)]
            for _ in range(4):
                message = json.loads(await line(socket))
                written.append(message["v"])
                await say(socket, {"id": "a", "re": message["n"]})
            await _more(ends, 4 + cut * 8)
            socket.close()
            await asyncio.gather(*asks)
            socket = await the.connect({"id": "a"})
            await the.heard(2 + cut)
        assert len(ends) == 24
        assert set(ends) == {"answered", "unknown"}
        assert len(written) == len(set(written))


async def _more(ends: list[str], number: int) -> None:
    await eventually(lambda: len(ends) >= number)


@pytest.mark.anyio
async def test_an_answer_from_before_a_restart_is_nobodys() -> None:
    """The numbers of the new process begin elsewhere, so it ends no command of it."""
    asks: dict[str, Any] = {"replies": REPLIES, "write": lambda value, number: f"{number} {value}".encode()}
    async with fleet(first_number=100, **asks) as before:
        device = await before.connect({"id": "a"})
        await before.heard(1)
        lost = asyncio.ensure_future(before.gateway.device("a").request("boot"))
        assert await line(device) == b"100 boot"
    with pytest.raises(CommandFailed, match="unknown"):
        await lost
    async with fleet(first_number=7, **asks) as after:
        device = await after.connect({"id": "a"})
        await after.heard(1)
        asked = asyncio.ensure_future(after.gateway.device("a").request("status"))
        assert await line(device) == b"7 status"
        await say(device, {"id": "a", "re": 100, "v": "booted"}, {"id": "a", "re": 7, "v": "fine"})
        assert await asked == {"id": "a", "re": 7, "v": "fine"}
        assert after.seen[-1] == ("a", {"id": "a", "re": 100, "v": "booted"})
        assert after.gateway.node.devices.commands.statistics().foreign == 1
