"""The product of docs/guide-gt06.md: what real trackers send, cut at every byte, and what becomes of it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway_serving import http, serving
from portcast import CodecError
from portcast.codecs import codec_for
from portcast.testing import (
    GoldenFrame,
    Subscription,
    TestDevice,
    check_framing,
    check_golden,
    every_split,
    golden,
    in_memory,
)

NAME = "examples.gt06_tracker"
FRAMES = {one.name: one for one in golden(Path(__file__).parents[1] / "examples/gt06_tracker/frames.txt")}
IMEI = "353413532150362"
SENT = ("login", "position", "heartbeat", "alarm")
ANSWERED = b"".join(FRAMES[f"{name} acknowledged"].data for name in ("login", "heartbeat", "alarm"))
WIDE = bytes.fromhex("797900099b0380d600046f91e90d0a")
"""A packet with a length of two bytes, as recorded in Traccar's tests (Gt06ProtocolDecoderTest)."""


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The package, freshly imported, with an empty database."""
    monkeypatch.setenv("GT06_DATABASE", f"sqlite:///{tmp_path}/trackers.db")
    _forget()
    yield import_module(f"{NAME}.app")
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.startswith(NAME)]:
        del sys.modules[name]


def part(name: str) -> Any:
    """A module of the package that the test has imported."""
    return import_module(f"{NAME}.{name}")


def test_golden_frames_survive_every_split(product: Any) -> None:
    """Frames of the specification, and one with a long header; garbage ends the connection."""
    framing = part("framing").Gt06Framing()
    check_golden(framing, list(FRAMES.values()))
    check_golden(framing, [GoldenFrame("wide", WIDE, (WIDE[4:-4],))], encodes=False)
    login = FRAMES["login"]
    assert login.frames is not None
    check_framing(
        framing,
        valid=[(login.data, list(login.frames)), (login.data * 2, list(login.frames) * 2)],
        invalid=[b"garbage", b"\x78\x79\x05", b"\x78\x78\x04\x01\x00\x01\xd9\xdc\r\n", login.data[:-2] + b"\n\n"],
    )


@pytest.mark.parametrize("size", [0xFD, 0xFE, 2048 - 8])
def test_long_packets_get_the_long_header(product: Any, size: int) -> None:
    """A length of one byte says at most 255; what is longer, up to the bound, has two."""
    framing = part("framing").Gt06Framing()
    frame = bytes(size)
    data = framing.encode(frame)
    assert data[:2] == (b"xx" if size == 0xFD else b"yy")
    assert framing.decoder().feed(data) == [frame]
    with pytest.raises(CodecError):
        framing.encode(bytes(2048))


@pytest.mark.parametrize("name", [*SENT, "answer", "refusal"])
def test_golden_messages_are_read_and_written(product: Any, name: str) -> None:
    """What a tracker sends is one of the classes, which give the same bytes again."""
    messages = part("messages")
    (frame,) = FRAMES[name].frames or ()
    message = codec_for(messages.Message).decode(frame)
    assert type(message).__name__ == {"refusal": "Answer"}.get(name, name.capitalize())
    assert message.to_bytes() == frame


def test_a_command_is_written_as_in_the_specification(product: Any) -> None:
    """Length of the command, flag, text, serial number."""
    command = part("messages").Command(flag=0x1A958, text="DYD,000000#", serial=0xA0)
    assert part("framing").Gt06Framing().encode(command.to_bytes()) == FRAMES["command"].data


@pytest.mark.parametrize(
    ("west", "north", "place"), [(False, True, (23.111668, 114.409285)), (True, False, (-23.111668, -114.409285))]
)
def test_south_and_west_are_negative(product: Any, west: bool, north: bool, place: tuple[float, float]) -> None:
    messages = part("messages")
    position = messages.Position.from_bytes((FRAMES["position"].frames or ())[0])
    fix = position.fix.model_copy(update={"is_west": west, "is_north": north})
    assert messages.Fix.from_bytes(fix.to_bytes()).place == place


def test_a_place_that_is_none_costs_the_message(product: Any) -> None:
    """Bytes that say 2000 degrees north are refused, not stored."""
    frame = bytearray((FRAMES["position"].frames or ())[0])
    frame[8:12] = b"\xff" * 4
    with pytest.raises(CodecError):
        codec_for(part("messages").Message).decode(bytes(frame))


@pytest.mark.anyio
async def test_every_split_is_stored_published_and_acknowledged(product: Any) -> None:
    """However the network cuts it: login, position, heartbeat, alarm; sent again, they are kept once."""
    async with in_memory(product.app):

        async def scenario(pieces: list[bytes]) -> None:
            async with TestDevice(product.app) as device:
                await device.send(pieces)
                await device.expect(ANSWERED)

        await every_split(b"".join(FRAMES[name].data for name in SENT), scenario)
        async with http(product.app) as client:
            track = (await client.get(f"/trackers/{IMEI}/track")).json()
            (tracker,) = (await client.get("/trackers")).json()
    assert [(one["serial"], one["alarm"]) for one in track] == [(3, None), (54, "SOS")]
    assert tracker["place"] == track[-1]
    # The alarm came again, so the heartbeat was the last that said something of the battery.
    assert (tracker["imei"], tracker["battery"], tracker["signal"], tracker["is_online"]) == (IMEI, 1, 4, False)


@pytest.mark.anyio
async def test_live_and_sent_again(product: Any) -> None:
    """A position is published once; an alarm that comes again is acknowledged again and changes nothing."""
    async with (
        TestDevice(product.app) as device,
        Subscription(product.app, "places/+", "status/+", "$devices/+/status") as live,
    ):
        await device.send(FRAMES["login"].data)
        await device.expect(FRAMES["login acknowledged"].data)
        assert (await live.next()).topic == f"$devices/{IMEI}/status"
        await device.send(FRAMES["position"].data * 2)
        at = {"at": 1314639976, "latitude": 23.111668, "longitude": 114.409285}
        await live.expect(f"places/{IMEI}", {**at, "serial": 3, "speed": 0, "course": 143, "alarm": None})
        await device.send(FRAMES["alarm"].data * 2)
        await device.expect(FRAMES["alarm acknowledged"].data * 2)
        assert [one.topic for one in await live.take(2)] == [f"status/{IMEI}", f"places/{IMEI}"]
        await live.nothing()


@pytest.mark.anyio
async def test_bad_input_costs_what_it_should(product: Any) -> None:
    """A wrong check value costs the packet, a message before the login is nobody's, garbage costs the connection."""
    async with TestDevice(product.app) as device, Subscription(product.app, "places/+") as live:
        await device.send(FRAMES["position"].data)
        await device.send(FRAMES["login"].data[:-3] + b"\x07\r\n")
        await device.nothing()
        await device.send(WIDE)
        await device.send(FRAMES["login"].data + WIDE + FRAMES["position"].data)
        await device.expect(FRAMES["login acknowledged"].data)
        await live.next()
        await live.nothing()
        await device.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await device.wait_closed() == "malformed"


@pytest.mark.anyio
async def test_no_acknowledgement_without_the_database(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not kept is not acknowledged: the tracker sends it again, and then it is."""

    def broken(*args: object) -> None:
        raise OSError("disk full")

    async with TestDevice(product.app) as device:
        await device.send(FRAMES["login"].data)
        await device.expect(FRAMES["login acknowledged"].data)
        with monkeypatch.context() as patch:
            patch.setattr(part("database"), "save_place", broken)
            await device.send(FRAMES["alarm"].data)
            await device.nothing()
        assert len(device.failures) == 1
        await device.send(FRAMES["alarm"].data)
        await device.expect(FRAMES["alarm acknowledged"].data)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("golden_name", "text", "state"),
    [
        ("answer", "DYD=Success!", "answered"),
        ("refusal", "Already in the state of fuel supply cut off,the command is not running!", "refused"),
    ],
)
async def test_a_command_ends_with_the_trackers_own_answer(
    product: Any, golden_name: str, text: str, state: str
) -> None:
    """Over HTTP, with the number of the command in the tracker's answer."""
    messages = part("messages")
    answer = messages.Answer.from_bytes((FRAMES[golden_name].frames or ())[0])
    said = await _commanded(product, lambda device: device.send_frame(answer.model_copy(update={"flag": 1}).to_bytes()))
    assert said == {"state": state, "text": text}


async def _commanded(product: Any, answer: Callable[[TestDevice], Awaitable[None]]) -> Any:
    """Command a tracker that has logged in, have it answer, and return what HTTP said."""
    said: list[Any] = []
    async with TestDevice(product.app) as device, http(product.app) as client:
        await device.send(FRAMES["login"].data)
        await device.expect(FRAMES["login acknowledged"].data)

        async def post() -> None:
            said.append((await client.post(f"/trackers/{IMEI}/commands", json={"text": "DYD,000000#"})).json())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post)
            await device.expect_frame(part("messages").Command(flag=1, text="DYD,000000#", serial=1).to_bytes())
            await answer(device)
    (only,) = said
    return only


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("encoding", "content", "state", "text"),
    [
        (1, b"DYD=Success!", "answered", "DYD=Success!"),
        (2, "DYD=Speed Limit, 速度".encode("utf-16-be"), "refused", "DYD=Speed Limit, 速度"),
    ],
    ids=["ascii", "utf-16"],
)
async def test_newer_terminals_answer_with_0x21(
    product: Any, encoding: int, content: bytes, state: str, text: str
) -> None:
    """With the long header, flag, encoding, text, and the check value of the specification (CRC-ITU)."""
    body = b"\x21" + (1).to_bytes(4, "big") + bytes([encoding]) + content + b"\x00\x18"
    covered = (len(body) + 2).to_bytes(2, "big") + body
    frame = b"\x79\x79" + covered + _crc_itu(covered).to_bytes(2, "big") + b"\r\n"
    assert await _commanded(product, lambda device: device.send(frame)) == {"state": state, "text": text}


def _crc_itu(data: bytes) -> int:
    """Bit by bit, as appendix A of the specification defines it: reflected 0x1021, all ones before and after."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value ^ 0xFFFF


@pytest.mark.anyio
async def test_commands_that_cannot_be(product: Any) -> None:
    """No such tracker, no text, and a body that a foreign page could send without asking."""
    async with in_memory(product.app), http(product.app) as client:
        url = "/trackers/1/commands"
        assert (await client.post(url, json={"text": "DYD#"})).status_code == 404
        assert (await client.post(url, json={"text": "ümlaut"})).status_code == 422
        simple = {"content-type": "text/plain"}
        assert (await client.post(url, content='{"text": "DYD#"}', headers=simple)).status_code == 422
        assert "<title>Trackers</title>" in (await client.get("/")).text


@asynccontextmanager
async def _driving(simulator: Any, port: int, car: Any) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(simulator.keep_driving, car, port, 0.05)
        yield
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_simulated_trackers_obey_over_real_sockets(product: Any) -> None:
    """Login, positions and commands over TCP and HTTP: the fuel is cut, and the second cut is refused."""
    simulator = part("simulator")
    car = simulator.Car(1)
    async with (
        serving(product.app) as served,
        Subscription(product.app, "places/+") as live,
        _driving(simulator, served.app.ports[0], car),
    ):
        await live.next()
        said = [
            (await served.http.post(f"/trackers/{car.imei}/commands", json={"text": text})).json()
            for text in ("DYD,000000#", "DYD,000000#", "HFYD,000000#", "HFYD,000000#", "DWXX,000000#", "?")
        ]
        assert [one["state"] for one in said] == ["answered", "refused"] * 2 + ["answered"] * 2
        (tracker,) = (await served.http.get("/trackers")).json()
        assert tracker["is_online"]
