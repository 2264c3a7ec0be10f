from __future__ import annotations

import asyncio
import json

import anyio
import pytest
from starlette.datastructures import QueryParams

from asgi_fakes import Message, Peer, started_node, until
from portcast.delivery import Encoding, OutboxLimits
from portcast.errors import PortcastError, TopicError
from portcast.events import Event, SubscriberClosed
from portcast.history import HistoryLimits
from portcast.runtime import Node
from portcast.web.asgi_sink import AsgiSink
from portcast.web.encodings import WebSocketJson, WebSocketPlain
from portcast.web.subscribe import (
    MAX_FILTERS,
    MAX_REPLAY,
    Replay,
    Wish,
    read_wish,
    ready_node,
    replay,
    running_node,
    serve,
)

DEFAULT = Wish(("#",), is_json=False, since="", history=0)


# What a client asks for


@pytest.mark.parametrize(
    ("path", "query", "filters"),
    [
        pytest.param(None, "", ["#"], id="nothing: all topics"),
        pytest.param("", "", ["#"], id="a bare slash"),
        pytest.param("sensors/", "", ["sensors/#"], id="trailing slash"),
        pytest.param("sensors/+/t", "", ["sensors/+/t"], id="path"),
        pytest.param("#", "", ["#"], id="hash, sent as %23"),
        pytest.param("#42", "", ["#42"], id="an ordinary topic"),
        pytest.param(None, "filter=a&filter=b/%23", ["a", "b/#"], id="repeated"),
        pytest.param("a", "filter=b", ["b", "a"], id="path and query"),
        pytest.param(None, "filter=sensors/", ["sensors/"], id="in the query a slash is a slash"),
        pytest.param("gr\u00fc\u00dfe", "", ["gr\u00fc\u00dfe"], id="not ASCII"),
    ],
)
def test_filters(path: str | None, query: str, filters: list[str]) -> None:
    """A trailing slash in the path stands for all below, because a bare # would begin a URL's fragment."""
    assert list(read_wish(path, QueryParams(query)).filters) == filters


def test_parameters() -> None:
    """Format, history and where to resume."""
    assert read_wish(None, QueryParams("")) == DEFAULT
    wish = read_wish("a", QueryParams("format=json&history=300&since=e:4"))
    assert wish == Wish(("a",), is_json=True, since="e:4", history=300)
    assert read_wish(None, QueryParams("format=plain&history=0")) == DEFAULT


def test_the_header_goes_before_the_query() -> None:
    """A browser reconnects to the URL it was given, with the header saying where it is by now."""
    assert read_wish(None, QueryParams("since=e:4"), last_event_id="e:9").since == "e:9"


@pytest.mark.parametrize(
    ("path", "query", "problem"),
    [
        pytest.param("a/#/b", "", "must be the last level", id="hash inside"),
        pytest.param(None, "filter=", "empty", id="empty filter"),
        pytest.param("a\x00b", "", "control character", id="NUL"),
        pytest.param("x" * 256, "", "longer than 255 bytes", id="too long"),
        pytest.param(None, "format=xml", "'xml' is not one of plain, json", id="format"),
        pytest.param(None, "history=-1", f"from 0 to {MAX_REPLAY}", id="negative history"),
        pytest.param(None, "history=301", f"from 0 to {MAX_REPLAY}", id="too much history"),
        pytest.param(None, "history=", f"from 0 to {MAX_REPLAY}", id="empty history"),
        pytest.param(None, "history=\u0664", f"from 0 to {MAX_REPLAY}", id="other digits"),
        pytest.param(None, "fliter=a", "unknown parameter 'fliter': did you mean 'filter'", id="mistyped"),
        pytest.param(None, "history=" + "9" * 5000, f"from 0 to {MAX_REPLAY}", id="thousands of digits"),
        pytest.param(None, "&".join(["filter=a"] * (MAX_FILTERS + 1)), f"more than {MAX_FILTERS}", id="many filters"),
    ],
)
def test_wrong_wishes_are_refused_in_words(path: str | None, query: str, problem: str) -> None:
    """The message goes to the client, so it says the rule and never quotes without end."""
    with pytest.raises(ValueError, match=problem) as caught:
        read_wish(path, QueryParams(query))
    assert isinstance(caught.value, TopicError) or not isinstance(caught.value, PortcastError)
    assert len(str(caught.value)) < 300


def test_as_many_filters_as_allowed() -> None:
    """The limit is inclusive, and the path counts."""
    query = QueryParams("&".join(["filter=a"] * (MAX_FILTERS - 1)))
    assert len(read_wish("b", query).filters) == MAX_FILTERS


# The node


def _raise() -> Node:
    raise RuntimeError("not running")


@pytest.mark.anyio
async def test_only_a_ready_node_takes_clients() -> None:
    """Before the start, and from the stop signal on, a new client would only be in the way."""
    assert ready_node(_raise) is None
    assert running_node(_raise) is None
    async with started_node() as node:
        assert ready_node(lambda: node) is node
        await node.drain()
        assert ready_node(lambda: node) is None
        assert running_node(lambda: node) is node


# The replay


def _said(past: Replay) -> list[str]:
    return [] if past.batch is None else [item["text"] for item in past.batch.items]  # type: ignore[index]


def _plain() -> Encoding:
    return WebSocketPlain()


def _json() -> Encoding:
    return WebSocketJson(lambda one: f"{one.epoch}:{one.offset}", lambda at: at)


@pytest.mark.anyio
async def test_history_is_the_newest_oldest_first() -> None:
    """Over all topics that match."""
    async with started_node() as node:
        for number in range(5):
            node.publish_nowait("ab"[number % 2], [b"%d" % number])
        past = replay(node, Wish(("#",), False, "", 3), _plain())
        assert (_said(past), past.unsaid) == (["2", "3", "4"], "")
        assert replay(node, DEFAULT, _plain()) == Replay()


@pytest.mark.anyio
async def test_resuming_brings_exactly_what_was_missed() -> None:
    """Without a gap nothing is said of one."""
    async with started_node() as node:
        position = node.publish_nowait("a", [b"0"])
        node.publish_nowait("a", [b"1", b"2"])
        past = replay(node, Wish(("a",), False, str(position), 0), _plain())
        assert (_said(past), past.unsaid) == (["1", "2"], "")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("since", "in_band", "out_of_band"),
    [
        pytest.param("exact", '{"gap":{"missed":2,"exact":true}}', "missed 2 publications", id="counted"),
        pytest.param("x:9", '{"gap":{"missed":3,"exact":false}}', "missed at least 3 publications", id="unknown"),
    ],
)
async def test_a_gap_is_said_first(since: str, in_band: str, out_of_band: str) -> None:
    """In-band where that is possible; otherwise nothing is replayed and the close says it."""
    async with started_node(history=HistoryLimits(publications=2)) as node:
        position = node.publish_nowait("a", [b"0"])
        node.publish_nowait("a", [b"1", b"2", b"3", b"4"])
        wish = Wish(("a",), False, str(position) if since == "exact" else since, 0)
        said = _said(replay(node, wish, _json()))
        assert said[0] == in_band
        assert [json.loads(one)["data"] for one in said[1:]] == ["3", "4"]
        assert replay(node, wish, _plain()) == Replay(unsaid=out_of_band)


@pytest.mark.anyio
async def test_a_long_absence_begins_with_one_round() -> None:
    """What is more follows in rounds, so that one client cannot make the server encode all of history at once."""
    async with started_node(history=HistoryLimits(publications=1000)) as node:
        position = node.publish_nowait("a", [b"0"])
        node.publish_nowait("a", [b"%d" % number for number in range(1, 900)])
        past = replay(node, Wish(("a",), False, str(position), 0), _plain())
        assert _said(past) == [str(number) for number in range(1, 301)]
        assert past.more == 599
        assert past.position is not None
        assert past.position.offset == 301


@pytest.mark.anyio
async def test_large_publications_make_a_shorter_round() -> None:
    """A round must not make the client slow at once: 256 KiB, or one publication that is larger."""
    async with started_node(history=HistoryLimits(topic_bytes=10_000_000)) as node:
        position = node.publish_nowait("a", [b"0"])
        node.publish_nowait("a", [b"x" * 60_000] * 10)
        wish = Wish(("a",), False, str(position), 0)
        past = replay(node, wish, _plain())
        assert (len(_said(past)), past.more) == (4, 6)
        node.publish_nowait("b", [b"y" * 300_000] * 2)
        assert len(_said(replay(node, Wish(("b",), False, "", 2), _plain()))) == 1, "of history the newest"


@pytest.mark.anyio
async def test_history_is_cut_at_its_old_end() -> None:
    """Who asks for the newest hundred gets the newest that fit."""
    async with started_node(history=HistoryLimits(topic_bytes=10_000_000)) as node:
        node.publish_nowait("a", [b"%d" % number + b"x" * 59_999 for number in range(9)])
        said = _said(replay(node, Wish(("a",), False, "", 9), _plain()))
        assert [one[0] for one in said] == list("5678")


# The life of a subscriber


def _farewell(code: int, reason: str) -> Message:
    return {"type": "websocket.close", "code": code, "reason": reason}


def _start(node: Node, peer: Peer, wish: Wish = DEFAULT) -> asyncio.Task[None]:
    sink = AsgiSink(peer.send, transport=None, farewell=_farewell)
    return asyncio.ensure_future(
        serve(node, wish, WebSocketPlain(), sink, peer.receive, transport="websocket", peer="192.0.2.7:5")
    )


def _closed(events: list[Event]) -> SubscriberClosed:
    (event,) = [one for one in events if isinstance(one, SubscriberClosed)]
    return event


@pytest.mark.anyio
async def test_history_and_live_join_without_a_seam() -> None:
    """Publishing goes on while a client subscribes: nothing is lost and nothing doubled."""
    events: list[Event] = []
    async with started_node(events.append) as node:
        peer = Peer()
        for number in range(3):
            node.publish_nowait("a", [b"%d" % number])
        task = _start(node, peer, Wish(("a",), False, "", 10))
        node.publish_nowait("a", [b"3"])  # before the task's first step: from history
        await until(lambda: node.hub.subscribers, "the subscription")
        node.publish_nowait("a", [b"4"])
        await until(lambda: len(peer.sent) == 5, "five messages")
        assert [one["text"] for one in peer.sent] == list("01234")
        peer.leaves()
        with anyio.fail_after(5):
            await task
        assert not node.hub.subscribers
    # The ledger is of what was published to the subscriber while it was one.
    assert (_closed(events).delivered, _closed(events).dropped, _closed(events).reason) == (1, 0, "client left")


@pytest.mark.anyio
async def test_a_long_absence_comes_back_whole() -> None:
    """Rounds from history, while publishing goes on, join what is live without a seam."""
    events: list[Event] = []
    async with started_node(events.append, history=HistoryLimits(publications=5000)) as node:
        position = node.publish_nowait("a", [b"0"])
        node.publish_nowait("a", [b"%d" % number for number in range(1, 1000)])
        peer = Peer()
        peer.stops_after = 100
        task = _start(node, peer, Wish(("a",), False, str(position), 0))
        await until(lambda: not peer.may_take.is_set(), "the client to stop reading")
        node.publish_nowait("a", [b"1000"])
        peer.may_take.set()
        await until(lambda: len(peer.sent) > 700, "the third round")
        node.publish_nowait("a", [b"1001"])
        await until(lambda: len(peer.sent) >= 1001, "everything")
        assert [one["text"] for one in peer.sent] == [str(number) for number in range(1, 1002)]
        assert node.hub.statistics().behind == 0
        peer.leaves()
        with anyio.fail_after(5):
            await task
    closed = _closed(events)
    assert closed.dropped == 0
    assert closed.delivered == 701, "of history only what came after the first round was waited for and counts"


@pytest.mark.anyio
async def test_a_replay_that_is_not_taken_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no publication of the ledger, but a client that takes nothing of it is gone in time like any other."""
    monkeypatch.setattr("portcast.runtime.slow_consumers.REVIEW_S", 0.01)
    events: list[Event] = []
    async with started_node(events.append, outbox=OutboxLimits(hard_age_s=0.02)) as node:
        node.publish_nowait("a", [b"old"])
        peer = Peer()
        peer.may_take.clear()
        task = _start(node, peer, Wish(("a",), False, "", 1))
        await until(lambda: not node.hub.subscribers and events, "its removal")
        peer.may_take.set()
        with anyio.fail_after(5):
            await task
    closed = _closed(events)
    assert closed.reason.startswith("slow consumer: took nothing for")
    assert (closed.delivered, closed.dropped) == (0, 0)


@pytest.mark.anyio
async def test_who_comes_during_the_stop_is_sent_away() -> None:
    """The subscription may be made in the moment in which the hub says goodbye."""
    async with started_node() as node:
        node.publish_nowait("a", [b"old"])
        node.hub.close("server is restarting")
        peer = Peer()
        with anyio.fail_after(5):
            await _start(node, peer, Wish(("a",), False, "", 1))
        assert peer.sent == [_farewell(1012, "server is restarting")]


@pytest.mark.anyio
async def test_a_gap_that_cannot_be_said_closes_with_its_number() -> None:
    """A gap is never silent (design: slow consumers)."""
    events: list[Event] = []
    async with started_node(events.append) as node:
        node.publish_nowait("a", [b"1"])
        peer = Peer()
        with anyio.fail_after(5):
            await _start(node, peer, Wish(("a",), False, "other-epoch:1", 0))
        assert peer.sent == [_farewell(3008, "missed at least 1 publications")]
    assert (_closed(events).delivered, _closed(events).dropped) == (0, 0)


@pytest.mark.anyio
async def test_every_end_is_counted_once() -> None:
    """An endpoint that fails or is cancelled unsubscribes all the same."""
    events: list[Event] = []
    async with started_node(events.append) as node:
        peer = Peer()
        task = _start(node, peer)
        await until(lambda: node.hub.subscribers, "the subscription")
        task.cancel()
        await asyncio.wait([task])
        assert not node.hub.subscribers
    assert _closed(events).reason == "aborted"
