"""Devices that misbehave, over the whole way: bytes in, and ``POST /api/devices/{id}/commands``.

Each ends as docs/devices.md says, and is counted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gateway_serving import app_with, http
from portcast import (
    ChecksumFraming,
    CommandOptions,
    Device,
    DeviceOptions,
    DeviceSettings,
    Gateway,
    LineFraming,
    by_field,
)
from portcast.devices import CommandState, CommandStatistics
from portcast.events import (
    AnswerStrayed,
    CommandRefused,
    ConnectionClosed,
    DeviceAttached,
    DeviceRejected,
    Event,
    FrameRejected,
)
from portcast.testing import ManualClock, TestDevice, every_split, in_memory

pytestmark = pytest.mark.anyio

TIMEOUT_S = 5.0


class Desk:
    """An app, and somebody who commands its devices over HTTP; a command is ``{"re": n}``, as is its answer."""

    def __init__(self, listen: dict[str, Any], devices: dict[str, Any]) -> None:
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.handled: list[dict[str, Any]] = []
        settings = DeviceSettings(
            DeviceOptions(**devices), commands=CommandOptions(timeout_s=TIMEOUT_S, max_queued=2), known={"away": {}}
        )
        self.gateway = Gateway(devices=settings, on_event=self.events.append)
        self.app = app_with(self.gateway)
        self.client: httpx.AsyncClient

        @self.gateway.listen(
            "tcp://127.0.0.1:9001", identify=lambda message: message["id"], replies=by_field("re"), **listen
        )
        async def on_message(message: dict[str, Any], device: Device) -> None:
            self.handled.append(message)

    def device(self) -> TestDevice:
        return TestDevice(self.gateway)

    async def login(self, device: TestDevice, name: str = "a") -> None:
        await device.send(said(name))
        await device.handled()

    async def ask(self, device: TestDevice, number: int, name: str = "a") -> asyncio.Task[dict[str, Any]]:
        """Command a device over HTTP; return when it has the command, with who waits for the end."""
        task = asyncio.ensure_future(self.post(number, name))
        await device.expect_frame(b'{"re":%d}' % number)
        return task

    async def post(self, number: int, name: str = "a", **more: Any) -> dict[str, Any]:
        answer = await self.client.post(f"/api/devices/{name}/commands", json={"command": {"re": number}, **more})
        assert answer.status_code == 200
        end: dict[str, Any] = answer.json()
        assert end["is_end"]
        return end

    def of(self, kind: type[Any]) -> list[str]:
        """The reasons of the events of a kind."""
        return [one.reason for one in self.events if isinstance(one, kind)]

    @property
    def counted(self) -> CommandStatistics:
        return self.gateway.node.devices.commands.statistics()


def said(name: str = "a", re: int | None = None, text: str = "") -> bytes:
    return json.dumps({"id": name, "re": re, "text": text}).encode() + b"\n"


@asynccontextmanager
async def desk(listen: dict[str, Any] | None = None, **devices: Any) -> AsyncIterator[Desk]:
    the = Desk(listen or {}, devices)
    async with in_memory(the.app, clock=the.clock), http(the.app) as the.client:
        yield the


async def test_it_answers_twice() -> None:
    """The first ends the command; the second is a message like any other."""
    async with desk() as the, the.device() as device:
        await the.login(device)
        asked = await the.ask(device, 1)
        await device.send(said(re=1, text="first") + said(re=1, text="second"))
        end = await asked
        assert (end["state"], end["answer"]["text"]) == ("answered", "first")
        await device.handled()
        assert [one["text"] for one in the.handled] == ["", "second"]
        assert the.of(AnswerStrayed) == ["doubled"]
        assert (the.counted.doubled, the.counted.ended[CommandState.ANSWERED]) == (1, 1)


async def test_it_answers_late() -> None:
    """After the time-out; what is asked next under the same number is written when the late answer is here."""
    async with desk() as the, the.device() as device:
        await the.login(device)
        asked = await the.ask(device, 1)
        the.clock.advance(TIMEOUT_S + 1)
        assert (await asked)["state"] == "timed_out"
        again = asyncio.ensure_future(the.post(1))
        await device.nothing()
        await device.send(said(re=1, text="late"))
        await device.expect_frame(b'{"re":1}')
        assert not again.done(), "the late answer is not this command's"
        await device.send(said(re=1, text="in time"))
        assert (await again)["answer"]["text"] == "in time"
        assert [one["text"] for one in the.handled] == ["", "late"]
        assert the.of(AnswerStrayed) == ["late"]
        assert (the.counted.late, the.counted.ended[CommandState.TIMED_OUT]) == (1, 1)


async def test_it_never_answers() -> None:
    """The caller is told when the time is up, and no sooner; silence has its count."""
    async with desk() as the, the.device() as device:
        await the.login(device)
        asked = await the.ask(device, 1)
        the.clock.advance(TIMEOUT_S - 0.1)
        await device.nothing()
        assert not asked.done()
        the.clock.advance(0.1)
        end = await asked
        assert (end["state"], end["answer"]) == ("timed_out", None)
        assert (the.counted.written, the.counted.ended[CommandState.TIMED_OUT]) == (0, 1)


async def test_it_answers_for_another() -> None:
    """With the right number, and even on a connection on which both speak: who answers says his own id."""
    async with desk() as the, the.device() as device, the.device() as other:
        await the.login(device)
        await the.login(other, "b")
        asked = await the.ask(device, 1)
        await other.send(said("b", re=1, text="not mine"))
        await other.handled()
        await device.send(said("c", re=1, text="nor mine"))
        await device.handled()
        assert not asked.done()
        await device.send(said(re=1, text="mine"))
        assert (await asked)["answer"]["text"] == "mine"
        assert the.of(AnswerStrayed) == ["foreign", "foreign"]
        assert the.counted.foreign == 2
        assert [one["text"] for one in the.handled][-2:] == ["not mine", "nor mine"]


async def test_two_claim_one_id_and_the_newer_has_it() -> None:
    """What was written to the older is unknown; the next command goes to the newer."""
    async with desk() as the, the.device() as older, the.device() as newer:
        await the.login(older)
        asked = await the.ask(older, 1)
        await the.login(newer)
        assert await older.wait_closed() == "replaced"
        assert (await asked)["state"] == "unknown"
        again = await the.ask(newer, 2)
        await newer.send(said(re=2))
        assert (await again)["state"] == "answered"
        assert the.of(DeviceAttached) == ["online", "again"]
        assert the.of(ConnectionClosed) == ["replaced"]
        assert the.counted.ended[CommandState.UNKNOWN] == 1


async def test_two_claim_one_id_and_the_older_keeps_it() -> None:
    """With ``takeover="reject"``; the newer is closed and its message is lost."""
    async with desk(takeover="reject") as the, the.device() as older, the.device() as newer:
        await the.login(older)
        asked = await the.ask(older, 1)
        await newer.send(said(text="me too"))
        assert await newer.wait_closed() == "rejected"
        await older.send(said(re=1))
        assert (await asked)["state"] == "answered"
        assert the.of(DeviceRejected) == ["connected"]
        assert [one["text"] for one in the.handled] == [""]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        "+",
        "a+",
        "#",
        "a\nb",
        "\x00",
        "\x1b[2J",
        "..",
        "\u202ea",
        "\ufeffa",
        "a\u2028",
        "x" * 129,
        "x" * 10_000,
    ],
    ids=[
        "empty",
        "slash",
        "plus",
        "has-plus",
        "hash",
        "line",
        "zero",
        "escape",
        "dots",
        "right-to-left",
        "byte-order-mark",
        "line-separator",
        "129",
        "10kB",
    ],
)
async def test_an_id_that_is_none(name: str) -> None:
    """Costs its message, counted; nobody of that name is known, and nobody of that name can be commanded."""
    async with desk() as the, the.device() as device:
        await device.send(said(name))
        await device.handled()
        await the.login(device)
        assert len(the.handled) == 1
        (refused,) = [one for one in the.events if isinstance(one, FrameRejected)]
        assert len(refused.detail) < 300
        found = (await the.client.get("/api/devices")).json()["devices"]
        assert [one["id"] for one in found] == ["a", "away"]
        where = f"/api/devices/{quote(name, safe='')}/commands"
        assert (await the.client.post(where, json={"command": 1})).status_code in {404, 405}
        assert the.counted.submitted == 0


async def test_a_command_to_nobody() -> None:
    """404, and counted: neither queued nor written."""
    async with desk() as the:
        answer = await the.client.post("/api/devices/nobody/commands", json={"command": 1})
        assert (answer.status_code, "nobody" in answer.json()["detail"]) == (404, True)
        assert the.of(CommandRefused) == ["unknown_device"]
        assert the.counted.submitted == 0


async def test_a_full_queue() -> None:
    """429, and counted; those that wait are written when the device comes, the one too many is not."""
    async with desk() as the, the.device() as device:
        for number in (1, 2, 3):
            answer = await the.client.post("/api/devices/away/commands?wait=0", json={"command": {"re": number}})
            assert answer.status_code == (202 if number < 3 else 429)
        assert the.of(CommandRefused) == ["queue_full"]
        await the.login(device, "away")
        await device.expect_frame(b'{"re":1}')
        await device.expect_frame(b'{"re":2}')
        await device.nothing()
        assert (the.counted.submitted, the.counted.written) == (2, 2)


async def test_a_checksum_that_fails_ends_the_connection() -> None:
    """Its command is unknown; the frame is not handled."""
    framing = ChecksumFraming(LineFraming(), "nmea")
    async with desk({"framing": framing}) as the, the.device() as device:
        await device.send_frame(said()[:-1])
        await device.handled()
        asked = await the.ask(device, 1)
        await device.send(said(re=1)[:-1] + b"*00\n")
        assert await device.wait_closed() == "checksum"
        assert (await asked)["state"] == "unknown"
        assert the.of(ConnectionClosed) == ["checksum"]
        assert len(the.handled) == 1


async def test_a_checksum_that_fails_costs_its_frame() -> None:
    """Where the listener says so: the command goes on, and what was thrown away is counted."""
    framing = ChecksumFraming(LineFraming(), "nmea", on_mismatch="discard")
    async with desk({"framing": framing}) as the, the.device() as device:
        await device.send_frame(said()[:-1])
        await device.handled()
        asked = await the.ask(device, 1)
        bad = said(re=1, text="bad")[:-1] + b"*00\n"
        await device.send(bad)
        await device.handled()
        assert not asked.done()
        await device.send_frame(said(re=1, text="good")[:-1])
        assert (await asked)["answer"]["text"] == "good"
        (listed,) = (await the.client.get("/api/connections")).json()["connections"]
        assert listed["skipped_bytes"] == len(bad) - 1, "without the line's end"
        await device.close()
        (closed,) = [one for one in the.events if isinstance(one, ConnectionClosed)]
        assert (closed.reason, closed.skipped_bytes) == ("peer_closed", len(bad) - 1)


async def test_an_answer_in_pieces() -> None:
    """However the network cuts it, also between answer and the message behind it."""
    async with desk() as the:

        async def scenario(pieces: list[bytes]) -> None:
            async with the.device() as device:
                await the.login(device)
                asked = await the.ask(device, 1)
                await device.send(pieces)
                assert (await asked)["answer"] == {"id": "a", "re": 1, "text": "é"}
                await device.handled()
                assert the.handled[-1]["text"] == "news"

        await every_split('{"id": "a", "re": 1, "text": "é"}\n'.encode() + said(text="news"), scenario)

        assert the.counted.ended[CommandState.ANSWERED] == the.counted.submitted > 60
        assert the.of(AnswerStrayed) == []


async def test_an_answer_that_is_cut_off() -> None:
    """After every byte: the command is unknown, and what had come is no answer and no message."""
    answer = said(re=1)
    async with desk() as the:
        for kept in range(len(answer)):
            async with the.device() as device:
                await the.login(device)
                asked = await the.ask(device, 1)
                await device.send(answer[:kept])
                await device.close()
                assert (await asked)["state"] == "unknown", kept
        assert the.counted.ended[CommandState.UNKNOWN] == len(answer)
        assert len(the.handled) == len(answer), "the logins"
        ends = the.of(ConnectionClosed)
        assert (ends[0], set(ends[1:])) == ("peer_closed", {"truncated"})
