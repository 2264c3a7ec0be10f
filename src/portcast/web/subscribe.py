"""What WebSockets and event streams have in common: which filters, what to replay, and the life of a subscriber."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fastapi import HTTPException
from starlette.datastructures import QueryParams

from portcast.delivery import Batch, Encoding, Sink
from portcast.errors import TopicError
from portcast.publication import Mark, Publication, mark_after, runs_of
from portcast.runtime import CLOSE_SLOW, Node, Subscriber, within_bytes
from portcast.topics import validate_filter
from portcast.web.asgi_sink import AsgiSink
from portcast.web.query import STREAM_NAMES, SYNONYMS, check_names
from portcast.web.transports import Receive

MAX_FILTERS = 128
"""Filters of one connection (design: defaults, subscriptions per client)."""
CLOSE_EXPIRED = 4401
"""Ours: the client must show a valid key or token, as 401 says over HTTP."""
MAX_REPLAY = 300
"""Publications replayed at most, as Centrifugo recovers per round."""

T = TypeVar("T")

NodeOf = Callable[[], Node]
"""Returns the running node; raises `RuntimeError` before start and after stop."""


def or_unavailable(get: Callable[[], T]) -> Callable[[], T]:
    """Return the same function for HTTP routes: before start and after stop it raises `HTTPException` 503."""

    def get_or_refuse() -> T:
        try:
            return get()
        except RuntimeError as error:
            raise HTTPException(503, str(error)) from error

    return get_or_refuse


def running_node(node: NodeOf) -> Node | None:
    """Return the running node; None before start and after stop."""
    try:
        return node()
    except RuntimeError:
        return None


def ready_node(node: NodeOf) -> Node | None:
    """Return the running node if it takes new clients: see `Node.takes_clients`."""
    the = running_node(node)
    return the if the is not None and the.takes_clients else None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asked for.

    Attributes:
        filters: valid topic filters, at least one.
        is_json: envelopes instead of bare payloads.
        since: resume after this id; empty for none.
        history: replay so many of the newest publications; only without ``since``.
    """

    filters: tuple[str, ...]
    is_json: bool
    since: str
    history: int

    @property
    def replays(self) -> bool:
        """True if it asks for history."""
        return bool(self.since or self.history)


def read_wish(path_filter: str | None, query: QueryParams, last_event_id: str = "") -> Wish:
    """Return what a client asked for in path, query and header.

    Args:
        path_filter: what follows ``/ws/`` or ``/events/``, decoded; None if there is nothing. A trailing ``/`` stands
            for ``/#``, because a bare ``#`` would begin a URL's fragment; an empty path is ``#``.
        query: ``filter`` (may repeat), ``format`` (``json``), ``since``, ``history`` (0 to 300); names unlike these are
            not ours to judge.
        last_event_id: the header of that name; ``since`` in the query is for clients that cannot set it.

    Raises:
        TopicError: a filter is not valid, or there are too many.
        ValueError: another parameter is not valid, or nearly a known one; the message is for the client.
    """
    check_names(query, STREAM_NAMES, SYNONYMS)
    filters = list(query.getlist("filter"))
    if path_filter is not None:
        filters.append(path_filter + "#" if path_filter == "" or path_filter.endswith("/") else path_filter)
    if len(filters) > MAX_FILTERS:
        raise TopicError(filters[MAX_FILTERS], f"more than {MAX_FILTERS} filters on one connection")
    for one in filters:
        validate_filter(one)
    style = query.get("format", "plain")
    if style not in ("plain", "json"):
        raise ValueError(f"format {style[:20]!r} is not one of plain, json")
    history = query.get("history", "0")
    # The length first: Python refuses to convert thousands of digits, in words that are not for clients.
    if not (history.isascii() and history.isdigit() and len(history) < 10 and int(history) <= MAX_REPLAY):
        raise ValueError(f"history must be a number from 0 to {MAX_REPLAY}")
    return Wish(tuple(filters) or ("#",), style == "json", last_event_id or query.get("since", ""), int(history))


@dataclass(frozen=True, slots=True)
class Replay:
    """What a client gets before anything live.

    Attributes:
        batch: encoded publications, after the notice of a gap if there is one; None if there is nothing.
        more: publications that history holds beyond those; they follow in rounds.
        position: where they begin.
        unsaid: what to say of a gap that this encoding cannot tell of in-band, as the reason of a close; empty if
            there is none. Then there is no batch: the client is told and must decide.
    """

    batch: Batch | None = None
    more: int = 0
    position: Mark | None = None
    unsaid: str = ""


def replay(node: Node, wish: Wish, encoding: Encoding) -> Replay:
    """Return the history that a client asked for. Must run in the same step as the subscription."""
    if not wish.since:
        publications = node.broker.latest(wish.filters, wish.history, node.now()) if wish.history else []
        newest_first = within_bytes(publications[::-1])
        return Replay(_batch(encoding, [], newest_first[::-1]))
    recovery = node.broker.recover(wish.filters, wish.since, MAX_REPLAY, node.now())
    notices: list[Batch] = []
    if recovery.missed:
        gap = encoding.gap(recovery.missed, recovery.is_exact)
        if gap is None:
            at_least = "" if recovery.is_exact else "at least "
            return Replay(unsaid=f"missed {at_least}{recovery.missed} publications")
        notices.append(gap)
    found = within_bytes(recovery.publications)
    more = len(recovery.publications) - len(found) + recovery.more
    return Replay(_batch(encoding, notices, found), more, mark_after(found[-1]) if found else None)


def _batch(encoding: Encoding, notices: list[Batch], publications: Sequence[Publication]) -> Batch | None:
    batches = [*notices, *(encoding.encode(run) for run in runs_of(publications))]
    return encoding.join(batches) if batches else None


def subscribe(
    node: Node,
    wish: Wish,
    encoding: Encoding,
    sink: Sink,
    bind: Callable[[Subscriber], object],
    *,
    transport: str,
    peer: str,
    left_s: float | None = None,
) -> Subscriber:
    """Subscribe a client, history first.

    Nothing awaits between the look at history and the subscription, so nothing is lost or doubled between them.
    ``left_s`` is how long its token counts; then it is closed with `CLOSE_EXPIRED`. None: for ever.
    """
    past = replay(node, wish, encoding)
    subscriber = node.hub.subscribe(wish.filters, encoding, sink, transport=transport, peer=peer, bind=bind)
    if past.unsaid:
        subscriber.close(CLOSE_SLOW, past.unsaid)
    elif not subscriber.is_closed:
        subscriber.replay(past.batch, past.more, past.position, node.now())
    if left_s is not None and not subscriber.is_closed:
        # Weakly: the timer must not keep a client that has left.
        asyncio.get_running_loop().call_later(max(0.0, left_s), _expire, weakref.ref(subscriber))
    return subscriber


def _expire(reference: weakref.ref[Subscriber]) -> None:
    subscriber = reference()
    if subscriber is not None and not subscriber.is_closed:
        subscriber.close(CLOSE_EXPIRED, "the token has expired")


class Chatterer(Protocol):
    """Takes what a client sends."""

    subscriber: Subscriber

    def __call__(self, message: str | bytes, /) -> None:
        """Take a message."""
        ...


async def serve(
    node: Node,
    wish: Wish,
    encoding: Encoding,
    sink: AsgiSink,
    receive: Receive,
    *,
    transport: str,
    peer: str,
    left_s: float | None = None,
    chatter: Chatterer | None = None,
) -> None:
    """Subscribe, write until the client leaves or is removed, unsubscribe; ``chatter`` takes what it sends."""
    subscriber = subscribe(node, wish, encoding, sink, sink.bind, transport=transport, peer=peer, left_s=left_s)
    if chatter is not None:
        chatter.subscriber = subscriber
    reason = "aborted"
    try:
        reason = await sink.run(receive, chatter)
    finally:
        subscriber.ended(reason)
