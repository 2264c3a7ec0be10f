from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocketDisconnect

from asgi_fakes import Message, Owner, Peer, Transport, texts, until
from portcast.delivery import Batch
from portcast.web import asgi_sink
from portcast.web.asgi_sink import MOST_ANSWERS, SLICE, AsgiSink
from runtime_kit import turns

pytestmark = pytest.mark.anyio

KEEPALIVE: Message = {"type": "http.response.body", "body": b": keepalive\n\n", "more_body": True}


def _farewell(code: int, reason: str) -> Message:
    return {"type": "websocket.close", "code": code, "reason": reason}


@dataclass
class Running:
    """A sink that runs, and what surrounds it."""

    peer: Peer
    owner: Owner
    transport: Transport
    sink: AsgiSink
    task: asyncio.Task[str] = field(init=False)

    async def ended(self) -> str:
        """Return why it ended, within the deadline."""
        with anyio.fail_after(5):
            return await self.task

    @property
    def texts(self) -> list[str]:
        """The text messages sent so far."""
        return [one["text"] for one in self.peer.sent if one["type"] == "websocket.send"]


@asynccontextmanager
async def run(*, has_transport: bool = True, **options: Any) -> AsyncIterator[Running]:
    peer, owner, transport = Peer(), Owner(), Transport()
    sink = AsgiSink(peer.send, transport=transport if has_transport else None, farewell=_farewell, **options)  # type: ignore[arg-type]
    sink.bind(owner)
    running = Running(peer, owner, transport, sink)
    before = asyncio.all_tasks()
    running.task = asyncio.ensure_future(sink.run(peer.receive))
    try:
        yield running
    finally:
        running.task.cancel()
        await asyncio.wait([running.task])
        await until(lambda: asyncio.all_tasks() <= before, "the sink's tasks to end")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let deadlines pass at once."""
    monkeypatch.setattr(asgi_sink, "CLOSE_S", 0.02)
    monkeypatch.setattr(asgi_sink, "WRITE_S", 0.02)


async def test_batches_are_written_in_order_one_at_a_time() -> None:
    """After a batch the owner is told and gives the next; nothing is sent twice or out of order."""
    async with run() as it:
        it.sink.write(texts("a", "b"))
        await until(lambda: it.owner.drained == 1, "the first batch")
        it.sink.write(texts("c"))
        await until(lambda: it.owner.drained == 2, "the second batch")
        assert it.texts == ["a", "b", "c"]


async def test_a_batch_given_before_the_start_is_written() -> None:
    """A subscription may be served by live traffic before its writer task has had its first turn."""
    peer, owner = Peer(), Owner()
    sink = AsgiSink(peer.send, transport=None, farewell=_farewell)
    sink.bind(owner)
    sink.write(texts("early"))
    task = asyncio.ensure_future(sink.run(peer.receive))
    await until(lambda: owner.drained, "the batch")
    peer.leaves()
    assert await task == "client left"


async def test_writing_is_never_done_at_once() -> None:
    """Whatever the server does, one batch is given at a time."""
    async with run() as it:
        assert it.sink.write(texts("a")) is False
        await until(lambda: it.owner.drained == 1, "the batch")


@pytest.mark.parametrize("has_transport", [True, False])
async def test_what_the_kernel_has_not_taken_is_seen(has_transport: bool) -> None:
    """As far as the server shows its transport: a peer that takes some of it gets on."""
    async with run(has_transport=has_transport) as it:
        it.transport.buffered = 700
        assert it.sink.buffered == (700 if has_transport else 0)
        it.transport.buffered = 0


async def test_others_get_a_turn_during_a_large_batch() -> None:
    """uvicorn's `send` returns without a turn of the loop, so a large batch would starve everybody."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with run() as it:
        counter = asyncio.ensure_future(count())
        it.sink.write(texts(*map(str, range(10 * SLICE))))
        before = turns
        await until(lambda: it.owner.drained, "the batch")
        counter.cancel()
        await asyncio.wait([counter])
        assert turns - before >= 9


async def test_progress_is_told_during_a_large_batch() -> None:
    """Whether a client gets on is known while it does: a batch may be larger than every limit."""
    async with run() as it:
        it.peer.may_take.clear()
        it.sink.write(texts(*["12345"] * (3 * SLICE)))
        it.peer.may_take.set()
        await until(lambda: it.owner.written[0], "progress")
        await until(lambda: it.owner.drained, "the batch")
        assert it.owner.written == (2 * SLICE, 2 * SLICE * 5)


async def test_a_notice_is_no_publication() -> None:
    """A gap notice is a batch of no publications and must not disturb the counting."""
    async with run() as it:
        it.sink.write(Batch([{"type": "websocket.send", "text": "gap"}], 0, 0))
        await until(lambda: it.owner.drained, "the batch")
        assert it.owner.written == (0, 0)


# How it ends


async def test_the_goodbye_comes_after_what_is_written() -> None:
    """A client sees everything that was delivered, then why it ended."""
    async with run() as it:
        it.sink.write(texts("a"))
        await until(lambda: it.owner.drained, "the batch")
        it.sink.close(1012, "server is restarting")
        assert await it.ended() == "server is restarting"
        assert it.peer.sent[-1] == _farewell(1012, "server is restarting")
        assert not it.transport.is_aborted


async def test_a_batch_is_abandoned_for_the_goodbye_and_counted() -> None:
    """What the client got of it is told, not more and not less: delivered and dropped must add up."""
    async with run() as it:
        it.peer.stops_after = SLICE + 5
        it.sink.write(texts(*["xy"] * (2 * SLICE)))
        await until(lambda: not it.peer.may_take.is_set(), "the peer to stop")
        it.sink.close(3008, "slow consumer")
        assert it.owner.written == (SLICE + 5, 2 * (SLICE + 5))
        it.peer.may_take.set()
        assert await it.ended() == "slow consumer"
        # One more was in the server's hands already.
        assert len(it.texts) == SLICE + 6
        assert it.owner.written == (SLICE + 6, 2 * (SLICE + 6))


async def test_who_shall_come_back_gets_the_rest_of_the_batch() -> None:
    """The server restarts: what was accepted is delivered first, but nothing that is queued behind it."""
    async with run() as it:
        it.owner.next_batch = texts("queued behind")
        it.owner.sink = it.sink
        it.sink.write(texts("a", "b", "c"))
        it.sink.close(1012, "server is restarting")
        assert await it.ended() == "server is restarting"
        assert it.texts == ["a", "b", "c"]
        assert it.peer.sent[-1] == _farewell(1012, "server is restarting")
        assert it.owner.drained == 1


async def test_a_batch_of_one_item_counts_as_a_whole() -> None:
    """An event stream has all publications of a batch in one item."""
    async with run() as it:
        it.peer.stops_after = 1
        it.sink.write(Batch([KEEPALIVE, KEEPALIVE], 2, 70))
        await until(lambda: not it.peer.may_take.is_set(), "the first item")
        it.peer.leaves()
        await it.ended()
        assert it.owner.written == (1, 35)


async def test_what_was_taken_is_told_when_the_client_leaves() -> None:
    """The ledger must not count as dropped what the client got."""
    async with run() as it:
        it.peer.stops_after = 3
        it.sink.write(texts(*["x"] * SLICE))
        await until(lambda: not it.peer.may_take.is_set(), "the peer to stop")
        it.peer.leaves()
        await it.ended()
        assert it.owner.written == (3, 3)


async def test_only_the_first_close_counts() -> None:
    """The hub may say goodbye to a subscriber that is being removed already."""
    async with run() as it:
        it.sink.close(3008, "slow consumer")
        it.sink.close(1012, "server is restarting")
        assert await it.ended() == "slow consumer"
        assert it.peer.sent == [_farewell(3008, "slow consumer")]


async def test_what_the_client_says_is_ignored() -> None:
    """Reading goes on always, so that pongs are seen, and nothing comes of it."""
    async with run() as it:
        for number in range(100):
            it.peer.says({"type": "websocket.receive", "text": str(number)})
        it.sink.write(texts("still here"))
        await until(lambda: it.owner.drained, "the batch")
        assert not it.task.done()


@pytest.mark.parametrize("kind", ["websocket.disconnect", "http.disconnect"])
async def test_it_ends_when_the_client_leaves(kind: str) -> None:
    """Also while `send` waits for it."""
    async with run() as it:
        it.peer.may_take.clear()
        it.sink.write(texts("a"))
        it.peer.says({"type": kind})
        assert await it.ended() == "client left"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ConnectionResetError(), id="server says so"),
        pytest.param(WebSocketDisconnect(1006), id="Starlette says so"),
    ],
)
async def test_a_client_that_is_gone_is_no_error(error: Exception) -> None:
    """One peer's doing is not an error of the application."""
    async with run() as it:
        it.peer.send_error = error
        it.sink.write(texts("a"))
        assert await it.ended() == "client left"


async def test_a_server_that_has_closed_already_is_no_error() -> None:
    """uvicorn raises RuntimeError when it closed by itself, for want of a pong for instance."""
    async with run() as it:
        it.transport.is_closed = True
        it.peer.send_error = RuntimeError("Unexpected ASGI message 'websocket.send', after sending 'websocket.close'.")
        it.sink.write(texts("a"))
        assert await it.ended() == "client left"


@pytest.mark.parametrize("has_transport", [True, False])
async def test_other_errors_are_raised(has_transport: bool) -> None:
    """A mistake of ours must not look like a client that left."""
    async with run(has_transport=has_transport) as it:
        it.peer.send_error = RuntimeError("not ASGI")
        it.sink.write(texts("a"))
        with pytest.raises(RuntimeError, match="not ASGI"):
            await it.ended()


async def test_errors_of_receive_are_raised() -> None:
    """Nor must one of the server's."""
    peer = Peer()
    peer.receive_error = KeyError("broken")
    sink = AsgiSink(peer.send, transport=None, farewell=_farewell)
    with pytest.raises(KeyError, match="broken"):
        await sink.run(peer.receive)


# A peer that never reads


@pytest.mark.parametrize("has_transport", [True, False])
@pytest.mark.usefixtures("short_waits")
async def test_a_goodbye_that_is_not_taken_is_given_up(has_transport: bool) -> None:
    """`send` waits for ever for such a peer; the sink does not, whether or not it can abort the transport."""
    async with run(has_transport=has_transport) as it:
        it.peer.may_take.clear()
        it.sink.write(texts("a"))
        it.sink.close(3008, "slow consumer")
        assert await it.ended() == "slow consumer"
        assert it.transport.is_aborted is has_transport
        assert it.peer.sent == []


@pytest.mark.usefixtures("short_waits")
async def test_bytes_left_in_the_transport_do_not_outlive_the_sink() -> None:
    """The server took the goodbye, the peer did not: a server that only closes would wait for it for ever."""
    async with run() as it:
        it.transport.buffered = 100
        it.sink.close(1012, "server is restarting")
        assert await it.ended() == "server is restarting"
        assert not it.transport.is_aborted
        await until(lambda: it.transport.is_aborted, "the abort")


@pytest.mark.usefixtures("short_waits")
async def test_the_same_when_the_server_ends_the_connection() -> None:
    """uvicorn closes its connections by itself when it stops, and tells the application that the client left."""
    async with run() as it:
        it.transport.buffered = 100
        it.peer.leaves()
        assert await it.ended() == "client left"
        await until(lambda: it.transport.is_aborted, "the abort")


@pytest.mark.usefixtures("short_waits")
async def test_a_peer_that_takes_the_rest_in_time_is_not_aborted() -> None:
    """A reset would cost it the last messages."""
    async with run() as it:
        it.transport.buffered = 100
        it.sink.close(1012, "server is restarting")
        await it.ended()
        it.transport.buffered = 0
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, passed.set)
        await passed.wait()
        assert not it.transport.is_aborted


@pytest.mark.usefixtures("short_waits")
async def test_a_transport_that_was_closed_twice_is_no_error() -> None:
    """asyncio's TLS transport knows no size any more then; uvicorn closes twice after a ping timeout."""
    async with run() as it:
        it.transport.is_forgetful = True
        assert it.sink.buffered == 0
        it.peer.leaves()
        assert await it.ended() == "client left"


async def test_no_receive_waits_during_a_goodbye_without_a_transport() -> None:
    """Granian answers a waiting `receive` and drops the close frame."""
    async with run(has_transport=False) as it:
        await until(lambda: it.peer.receiving == 1, "the reader")
        it.peer.may_take.clear()
        it.sink.close(3008, "slow consumer")
        await until(lambda: it.peer.receiving == 0, "the reader's end")
        assert not it.task.done()
        it.peer.may_take.set()
        assert await it.ended() == "slow consumer"
        assert it.peer.sent == [_farewell(3008, "slow consumer")]


async def test_reading_goes_on_during_a_goodbye_with_a_transport() -> None:
    """uvicorn must read the peer's answer, and says when it is gone."""
    async with run() as it:
        it.peer.may_take.clear()
        it.sink.close(3008, "slow consumer")
        await until(lambda: it.peer.receiving == 1, "the reader")
        it.peer.leaves()
        assert await it.ended() == "slow consumer"


async def test_abort_ends_at_once() -> None:
    """Whatever `send` waits for."""
    async with run() as it:
        it.peer.may_take.clear()
        it.sink.write(texts("a"))
        await until(lambda: it.sink._task is not None, "the writer")
        it.sink.abort()
        assert await it.ended() == "client left"
        assert it.transport.is_aborted


async def test_abort_before_the_start_does_nothing_but_abort() -> None:
    """No writer exists yet."""
    transport = Transport()
    AsgiSink(Peer().send, transport=transport, farewell=_farewell).abort()  # type: ignore[arg-type]
    assert transport.is_aborted


async def test_cancelling_ends_both_tasks() -> None:
    """A server that cancels its endpoints (hypercorn, uvicorn past its timeout) must find nothing left behind."""
    async with run() as it:  # which checks that no task is left
        it.peer.may_take.clear()
        it.sink.write(texts(*["x"] * 5))
        await until(lambda: it.sink._task is not None, "the writer")
        it.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await it.ended()


@pytest.mark.parametrize("ticks", range(6))
async def test_anyio_recognises_its_cancellation(ticks: int) -> None:
    """Starlette cancels by anyio's scopes, at any moment of the end; a scope swallows only its own cancellation."""
    peer = Peer()
    sink = AsgiSink(peer.send, transport=None, farewell=_farewell)
    scope = anyio.CancelScope()
    is_over = False

    async def serve() -> None:
        nonlocal is_over
        with scope:
            await sink.run(peer.receive)
        is_over = True

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        await until(lambda: sink._task is not None, "the writer")
        peer.leaves()
        for _ in range(ticks):
            await asyncio.sleep(0)
        scope.cancel()
    assert is_over, "the cancellation went past its scope"


# Keepalive


async def test_keepalives_are_sent_in_silence() -> None:
    """Proxies close what is silent, and a client that vanished is noticed by writing only."""
    async with run(keepalive=KEEPALIVE, keepalive_s=0.01) as it:
        await until(lambda: len(it.peer.sent) >= 2, "two keepalives")
        assert it.peer.sent[:2] == [KEEPALIVE, KEEPALIVE]


async def test_no_keepalive_without_one() -> None:
    """WebSockets have pings of their own."""
    async with run(keepalive_s=0.0) as it:
        it.sink.write(texts("a"))
        await until(lambda: it.owner.drained, "the batch")
        assert it.texts == ["a"]


@pytest.mark.usefixtures("short_waits")
async def test_a_keepalive_that_is_not_taken_ends_the_connection() -> None:
    """Nothing is published to it, so nothing else would."""
    async with run(keepalive=KEEPALIVE, keepalive_s=0.01) as it:
        it.peer.may_take.clear()
        assert await it.ended() == "client left"
        assert it.transport.is_aborted


# Answers, and what the client says


async def test_answers_stand_after_the_batch_that_was_written_and_before_the_next() -> None:
    """Whatever the server has taken of the batch when they come."""
    async with run() as it:
        it.peer.stops_after = 1
        it.sink.write(texts("a", "b"))
        await until(lambda: it.texts == ["a"], "half of it")
        assert it.sink.write_now(texts("1", "2").items) is True
        it.owner.sink, it.owner.next_batch = it.sink, texts("c")
        it.peer.may_take.set()
        await until(lambda: it.owner.drained == 2, "all of it")
        assert it.texts == ["a", "b", "1", "2", "c"]


async def test_answers_before_a_batch_come_before_it() -> None:
    """Also those that still wait when it is written, and not those after it."""
    async with run() as it:
        it.peer.may_take.clear()
        it.sink.write_now(texts("1", "2").items)
        it.sink.write(texts("a"))
        it.sink.write_now(texts("3").items)
        it.peer.may_take.set()
        await until(lambda: len(it.texts) == 4, "all of it")
        assert it.texts == ["1", "2", "a", "3"]
        assert it.owner.drained == 1


async def test_many_answers_are_too_many_until_they_are_out() -> None:
    """Also if most of them came while the first were being written; nothing is lost."""
    async with run() as it:
        it.peer.may_take.clear()
        numbers = [str(number) for number in range(MOST_ANSWERS + 20)]
        it.sink.write_now(texts(*numbers[:10]).items)
        await until(lambda: len(it.sink._answers) == 9, "the first of them")
        assert [it.sink.write_now(texts(one).items) for one in numbers[10:]] == [True] * 54 + [False] * 20
        assert it.owner.drained == 0
        it.peer.may_take.set()
        await until(lambda: it.owner.drained, "the room")
        assert it.texts == numbers
        assert it.sink.write_now(texts("more").items) is True


async def test_the_end_of_a_batch_tells_of_room_for_answers_too() -> None:
    """They were written before it, so there is some."""
    async with run() as it:
        it.peer.may_take.clear()
        assert it.sink.write_now(texts(*["x"] * MOST_ANSWERS).items) is False
        it.sink.write(texts("batch"))
        it.peer.may_take.set()
        await until(lambda: it.owner.drained, "the end of the batch")
        assert it.sink.write_now(texts("y").items) is True
        await until(lambda: it.texts[-1] == "y", "the answer")
        assert it.owner.drained == 1


async def test_it_stays_full_until_it_has_said_otherwise() -> None:
    """Who was told to wait waits for that."""
    async with run() as it:
        it.peer.may_take.clear()
        assert it.sink.write_now(texts(*["x"] * MOST_ANSWERS).items) is False
        await until(lambda: len(it.sink._answers) == MOST_ANSWERS - 1, "the first of them")
        it.sink._answers.pop()
        assert it.sink.write_now(texts("y").items) is False
        it.peer.may_take.set()
        await until(lambda: it.owner.drained, "the room")


async def test_what_was_answered_comes_before_the_goodbye() -> None:
    """An abandoned batch does not hold it up."""
    async with run() as it:
        it.peer.stops_after = 1
        it.sink.write(texts("a", "b", "c"))
        await until(lambda: it.texts == ["a"], "a part")
        it.sink.write_now(texts("answer").items)
        it.sink.close(3008, "slow")
        it.peer.may_take.set()
        await it.ended()
        assert it.texts == ["a", "b", "answer"]
        assert it.peer.sent[-1] == _farewell(3008, "slow")


@pytest.mark.parametrize("code", [1012, 3001])
async def test_one_that_shall_come_back_gets_all(code: int) -> None:
    """Batch, answers, goodbye."""
    async with run() as it:
        it.sink.write(texts("a", "b"))
        it.sink.write_now(texts("answer").items)
        it.sink.close(code, "restarting")
        await it.ended()
        assert it.texts == ["a", "b", "answer"]


async def test_what_the_client_says_is_handed_on() -> None:
    """Text and bytes, as servers give them: one of them may be None."""
    peer = Peer()
    said: list[str | bytes] = []
    sink = AsgiSink(peer.send, transport=None, farewell=_farewell)
    sink.bind(Owner())
    for message in ({"text": "a"}, {"bytes": b"b"}, {"text": None, "bytes": b"c"}, {"text": "", "bytes": None}):
        peer.says({"type": "websocket.receive", **message})
    peer.leaves()
    assert await sink.run(peer.receive, said.append) == "client left"
    assert said == ["a", b"b", b"c", ""]


async def test_the_loop_gets_a_turn_while_much_is_read() -> None:
    """A server's ``receive`` returns without one while messages wait."""
    peer = Peer(*[{"type": "websocket.receive", "text": "a"}] * (5 * SLICE))
    said: list[str | bytes] = []
    sink = AsgiSink(peer.send, transport=None, farewell=_farewell)
    sink.bind(Owner())
    task = asyncio.ensure_future(sink.run(peer.receive, said.append))
    seen = []
    while len(said) < 5 * SLICE:
        await asyncio.sleep(0)
        seen.append(len(said))
    assert max(after - before for before, after in zip([0, *seen], seen, strict=False)) <= SLICE
    peer.leaves()
    assert await task == "client left"


async def test_reading_may_be_held() -> None:
    """What comes meanwhile is the server's to keep; not even the end is seen."""
    peer = Peer()
    said: list[str | bytes] = []
    sink = AsgiSink(peer.send, transport=None, farewell=_farewell)

    def hold(message: str | bytes) -> None:
        said.append(message)
        if message == "hold":
            sink.hold_reading()
            sink.hold_reading()

    sink.bind(Owner())
    task = asyncio.ensure_future(sink.run(peer.receive, hold))
    for text in ("a", "hold", "b", "hold"):
        peer.says({"type": "websocket.receive", "text": text})
    peer.leaves()
    await turns()
    assert said == ["a", "hold"]
    sink.read_on()
    await turns()
    assert said == ["a", "hold", "b", "hold"]
    assert not task.done()
    sink.read_on()
    sink.read_on()
    assert await task == "client left"


async def test_one_that_is_held_can_be_closed() -> None:
    """The goodbye does not wait for it."""
    async with run() as it:
        assert not it.sink.can_be_held_long, "a server that pings by itself would end it"
        it.sink.hold_reading()
        it.peer.says({"type": "websocket.receive", "text": "a"})
        await turns()
        it.sink.close(3008, "slow")
        assert await it.ended() == "slow"
        it.sink.read_on()
