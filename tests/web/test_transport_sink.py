from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import anyio
import pytest

from asgi_fakes import Message, Owner, Peer, Transport, until
from portcast.delivery import Batch
from portcast.web import asgi_sink, transport_sink
from portcast.web.transport_sink import HIGH_BYTES, LOW_BYTES, TransportSink, stock_protocol_of
from portcast.web.transports import OWNER_KEY

pytestmark = pytest.mark.anyio


class State(Enum):
    OPEN = 1
    CLOSING = 2


class Pipe(Transport):
    """A transport that keeps what is written and says how much of it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_stuck = False

    def write(self, data: bytes) -> None:
        assert not self.is_closing()
        self.written.append(data)
        if self.is_stuck:
            self.buffered += len(data)


@dataclass
class Conn:
    state: State = State.OPEN


@dataclass
class Stock:
    """What `stock_protocol_of` looks for; its module's name is uvicorn's, see below."""

    transport: Any
    conn: Conn = field(default_factory=Conn)
    handshake_complete: bool = True
    close_sent: bool = False
    disconnected: bool = False


Stock.__module__ = "uvicorn.protocols.websockets.made_up"


def _farewell(code: int, reason: str) -> Message:
    return {"type": "websocket.close", "code": code, "reason": reason}


def batch(*items: bytes) -> Batch:
    return Batch(items, len(items), sum(map(len, items)))


@dataclass
class Running:
    peer: Peer
    owner: Owner
    pipe: Pipe
    stock: Stock
    sink: TransportSink
    task: asyncio.Task[str] = field(init=False)

    async def ended(self) -> str:
        with anyio.fail_after(5):
            return await self.task


@asynccontextmanager
async def run() -> AsyncIterator[Running]:
    peer, owner, pipe = Peer(), Owner(), Pipe()
    stock = Stock(pipe)
    sink = TransportSink(peer.send, stock, farewell=_farewell)
    sink.bind(owner)
    it = Running(peer, owner, pipe, stock, sink)
    it.task = asyncio.ensure_future(sink.run(peer.receive))
    try:
        yield it
    finally:
        it.task.cancel()
        await asyncio.wait([it.task])


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let deadlines pass at once."""
    monkeypatch.setattr(asgi_sink, "CLOSE_S", 0.02)
    monkeypatch.setattr(transport_sink, "POLL_S", 0.001)


# Where it fits


async def test_a_class_whose_state_is_known_is_taken() -> None:
    """From what the probe has noted."""
    stock = Stock(Pipe())
    assert stock_protocol_of({"extensions": {OWNER_KEY: stock}}) is stock


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param({}, id="no extensions"),
        pytest.param({"extensions": None}, id="extensions are None"),
        pytest.param({"extensions": {}}, id="no probe"),
        pytest.param({"extensions": {OWNER_KEY: Running}}, id="another server's"),
    ],
)
async def test_any_other_falls_back(scope: dict[str, Any]) -> None:
    """Plain ASGI works everywhere."""
    assert stock_protocol_of(scope) is None


@pytest.mark.parametrize("name", ["transport", "conn", "handshake_complete", "close_sent", "disconnected"])
async def test_a_class_that_lacks_something_falls_back(name: str) -> None:
    """These attributes are not documented: a release of uvicorn may rename one, and its legacy class has not all."""
    stock = Stock(Pipe())
    delattr(stock, name)
    if name in Stock.__dict__:
        scope: dict[str, Any] = {"extensions": {OWNER_KEY: _without(stock, name)}}
    else:
        scope = {"extensions": {OWNER_KEY: stock}}
    assert stock_protocol_of(scope) is None


def _without(stock: Stock, name: str) -> object:
    """Like ``stock``, of a class that has no default of that name."""
    kind = type("Lacking", (), {"__module__": Stock.__module__})
    it = kind()
    it.__dict__.update({key: value for key, value in vars(stock).items() if key != name})
    return it


# Writing


async def test_a_batch_is_written_at_once() -> None:
    """In the hub's own step, without a task, in one write."""
    async with run() as it:
        assert it.sink.write(batch(b"a", b"b")) is True
        assert it.sink.write(batch(b"c")) is True
        assert it.pipe.written == [b"ab", b"c"]
        assert it.owner.drained == 0, "who was told that there is room is not told again"


async def test_a_full_transport_says_so_and_later_that_it_has_room() -> None:
    """Nothing tells us, so it is looked at."""
    async with run() as it:
        it.pipe.is_stuck = True
        assert it.sink.write(batch(b"x" * HIGH_BYTES)) is True
        assert it.sink.write(batch(b"y")) is False
        assert it.sink.buffered == HIGH_BYTES + 1
        it.pipe.buffered = LOW_BYTES + 1
        looks = _looks(it.pipe)
        await until(lambda: len(looks) >= 3, "three looks")
        assert it.owner.drained == 0
        it.pipe.buffered = LOW_BYTES
        await until(lambda: it.owner.drained, "the room")
        looks.clear()
        for _ in range(20):
            await asyncio.sleep(0)
        assert it.owner.drained == 1
        assert it.sink._poll_timer is None, "nobody looks at one that has room"


async def test_answers_stand_where_they_were_written() -> None:
    """Among batches, at once."""
    async with run() as it:
        it.sink.write(batch(b"a"))
        assert it.sink.write_now([b"b", b"c"]) is True
        it.sink.write(batch(b"d"))
        assert b"".join(it.pipe.written) == b"abcd"


async def test_a_transport_that_answers_fill_is_full_for_all() -> None:
    """What is written all the same is kept, and the owner is told of room once."""
    async with run() as it:
        it.pipe.is_stuck = True
        assert it.sink.write_now([b"x" * (HIGH_BYTES + 1)]) is False
        assert it.sink.write(batch(b"y")) is False
        assert it.sink.write_now([b"z"]) is False
        it.pipe.buffered = 0
        await until(lambda: it.owner.drained, "the room")
        it.pipe.is_stuck = False
        assert it.sink.write_now([b"!"]) is True
        assert [one[:1] for one in it.pipe.written] == [b"x", b"y", b"z", b"!"]
        assert it.owner.drained == 1


def _looks(pipe: Pipe) -> list[int]:
    """Note each look at the buffer."""
    found: list[int] = []
    size = pipe.get_write_buffer_size

    def noted() -> int:
        found.append(size())
        return found[-1]

    pipe.get_write_buffer_size = noted  # type: ignore[method-assign]
    return found


async def test_the_owner_may_write_from_within_on_drained() -> None:
    """And be told again when that has gone."""
    async with run() as it:
        it.owner.sink, it.owner.next_batch = it.sink, batch(b"z" * (HIGH_BYTES + 1))
        it.pipe.is_stuck = True
        it.sink.write(batch(b"x" * (HIGH_BYTES + 1)))
        it.pipe.buffered = 0
        await until(lambda: it.owner.drained == 1, "the room")
        assert it.sink.buffered == HIGH_BYTES + 1
        it.pipe.buffered = 0
        await until(lambda: it.owner.drained == 2, "the room again")


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda it: setattr(it.stock, "close_sent", True), id="close sent"),
        pytest.param(lambda it: setattr(it.stock, "disconnected", True), id="lost"),
        pytest.param(lambda it: setattr(it.stock, "handshake_complete", False), id="not accepted"),
        pytest.param(lambda it: setattr(it.stock.conn, "state", State.CLOSING), id="the server's stop"),
        pytest.param(lambda it: setattr(it.pipe, "is_closed", True), id="transport closed"),
    ],
)
async def test_nothing_is_written_after_the_end(end: Any) -> None:
    """Nothing may follow a close frame (RFC 6455 §5.5.1), and what is not written must not count as delivered."""
    async with run() as it:
        end(it)
        assert it.sink.write(batch(b"a")) is False
        assert it.pipe.written == []
        assert it.sink._poll_timer is None


async def test_nothing_is_written_once_it_is_closed() -> None:
    """The goodbye goes through the server, and may wait there for room."""
    async with run() as it:
        it.peer.may_take.clear()
        it.sink.close(3008, "slow consumer")
        assert it.sink.write(batch(b"a")) is False
        assert it.pipe.written == []


# Ending


async def test_the_goodbye_goes_through_the_server() -> None:
    """Its class must know that the connection closes."""
    async with run() as it:
        it.sink.write(batch(b"a"))
        it.sink.close(1012, "server is restarting")
        assert await it.ended() == "server is restarting"
        assert it.peer.sent == [_farewell(1012, "server is restarting")]


async def test_the_owner_hears_nothing_after_the_end() -> None:
    """A look that is due is called off."""
    async with run() as it:
        it.pipe.is_stuck = True
        it.sink.write(batch(b"x" * (HIGH_BYTES + 1)))
        it.peer.leaves()
        assert await it.ended() == "client left"
        assert it.sink._poll_timer is None
        assert it.owner.drained == 0


async def test_a_lost_transport_is_not_looked_at() -> None:
    """Its buffer may never be empty; the end of the call follows."""
    async with run() as it:
        it.pipe.is_stuck = True
        it.sink.write(batch(b"x" * (HIGH_BYTES + 1)))
        it.stock.disconnected = True
        await until(lambda: it.sink._poll_timer is None, "the last look")
        assert it.owner.drained == 0


async def test_a_goodbye_that_is_not_taken_is_given_up() -> None:
    """The server's ``send`` waits for room that never comes."""
    async with run() as it:
        it.peer.may_take.clear()
        it.sink.close(3008, "slow consumer")
        assert await it.ended() == "slow consumer"
        assert it.pipe.is_aborted


async def test_a_connection_that_does_not_end_is_aborted() -> None:
    """Whatever its transport shows: over TLS what waits below is not in the figure."""
    async with run() as it:
        it.sink.close(3008, "slow consumer")
        await it.ended()
        assert not it.pipe.is_aborted
        await until(lambda: it.pipe.is_aborted, "the abort")


async def test_one_that_has_ended_is_left_alone() -> None:
    """It is the transport's business then."""
    async with run() as it:
        it.sink.close(3008, "slow consumer")
        await it.ended()
        it.stock.disconnected = True
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, passed.set)
        await passed.wait()
        assert not it.pipe.is_aborted
