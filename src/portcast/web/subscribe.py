"""What WebSockets and event streams have in common: which filters, what to replay, and the life of a subscriber."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.datastructures import QueryParams

from portcast.delivery import Batch
from portcast.errors import TopicError
from portcast.publication import Publication, Run
from portcast.runtime import Node
from portcast.topics import validate_filter
from portcast.web.asgi_sink import AsgiSink
from portcast.web.encodings import ClientEncoding
from portcast.web.transports import Receive

MAX_FILTERS = 128
"""Filters of one connection (design: defaults, subscriptions per client)."""
MAX_REPLAY = 300
"""Publications replayed at most, as Centrifugo recovers per round."""

NodeOf = Callable[[], Node]
"""Returns the running node; raises `RuntimeError` before start and after stop."""


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


def read_wish(path_filter: str | None, query: QueryParams, last_event_id: str = "") -> Wish:
    """Return what a client asked for in path, query and header.

    Args:
        path_filter: what follows ``/ws/`` or ``/events/``, decoded; None if there is nothing. A trailing ``/`` stands
            for ``/#``, because a bare ``#`` would begin a URL's fragment; an empty path is ``#``.
        query: ``filter`` (may repeat), ``format`` (``json``), ``since``, ``history`` (0 to 300).
        last_event_id: the header of that name; ``since`` in the query is for clients that cannot set it.

    Raises:
        TopicError: a filter is not valid, or there are too many.
        ValueError: another parameter is not valid; the message is for the client.
    """
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
    if not (history.isascii() and history.isdigit() and int(history) <= MAX_REPLAY):
        raise ValueError(f"history must be a number from 0 to {MAX_REPLAY}")
    return Wish(tuple(filters) or ("#",), style == "json", last_event_id or query.get("since", ""), int(history))


@dataclass(frozen=True, slots=True)
class Replay:
    """What a client gets before anything live.

    Attributes:
        batches: encoded publications, after the notice of a gap if there is one.
        unsaid: publications missed that this encoding cannot tell of in-band.
    """

    batches: Sequence[Batch]
    unsaid: int


def replay(node: Node, wish: Wish, encoding: ClientEncoding) -> Replay:
    """Return the history that a client asked for. Must run in the same tick as the subscription."""
    if not wish.since:
        publications = node.broker.latest(wish.filters, wish.history, node.now()) if wish.history else []
        return Replay([encoding.encode(run) for run in runs_of(publications)], 0)
    recovery = node.broker.recover(wish.filters, wish.since, MAX_REPLAY, node.now())
    batches = [encoding.encode(run) for run in runs_of(recovery.publications)]
    if not recovery.missed:
        return Replay(batches, 0)
    gap = encoding.gap(recovery.missed, recovery.is_exact)
    return Replay([gap, *batches], 0) if gap is not None else Replay(batches, recovery.missed)


def runs_of(publications: Sequence[Publication]) -> list[Run]:
    """Join publications to runs where nothing lies between them."""
    runs: list[Run] = []
    for one in publications:
        run = Run(one.topic, one.epoch, one.offset, one.sequence, one.at, [one.data])
        if runs and runs[-1].is_continued_by(run) and runs[-1].at == run.at:
            runs[-1].payloads.append(one.data)
        else:
            runs.append(run)
    return runs


async def serve(
    node: Node, wish: Wish, encoding: ClientEncoding, sink: AsgiSink, receive: Receive, *, transport: str, peer: str
) -> None:
    """Subscribe, write until the client leaves or is removed, unsubscribe."""
    past = replay(node, wish, encoding)
    subscriber = node.hub.subscribe(
        wish.filters, encoding, sink, transport=transport, peer=peer, bind=sink.bind, replay=past.batches
    )
    if past.unsaid:
        subscriber.close(3008, f"missed {past.unsaid} publications")
    reason = "aborted"
    try:
        reason = await sink.run(receive)
    finally:
        subscriber.ended(reason)
