"""What a subscriber gets of history when it subscribes, and the pages of a ``history`` command.

Each is two steps, with the broker's history between them: first what to read, then what to answer::

    top = broker.position(channel)
    read = wanted_by_subscribe(request, mode, top)
    found = broker.history(channel, **read._asdict(), now=now) if read else []
    result = subscribe_result(request, mode, top, found, to_message)

``top`` and ``found`` must be of one moment, and the subscriber attached to the hub at that moment.

What a subscription gets (centrifugal/centrifuge ``client.go``, ``subscribeCmd``, ``isStreamRecovered`` and
``isCacheRecovered``):

=============================================  ==============================================================
subscription                                   result
=============================================  ==============================================================
mode ``none`` (no history, or a wildcard)      no position; asked to recover, it says ``was_recovering``
mode ``stream``, not asked to recover          the top position
mode ``stream``, asked: nothing is lost        ``recovered``, all publications after the position asked for
mode ``stream``, asked: something is lost      the top position; error 112 instead, if the client asked for that
mode ``cache``, the newest is held             ``recovered``, the newest, unless the client has it already
mode ``cache``, nothing is held                ``recovered`` only if the client has the newest already
=============================================  ==============================================================

* *Nothing is lost* means: the epoch is the client's (an empty one fits every epoch), and the publications after the
  client's offset are held without a hole up to the top, and are at most `MAX_RECOVERED`.
* A success returns the offset that was **asked for**: the client counts up as it replays. A failure, and a fresh
  subscription, return the top.
* Mode ``cache`` recovers whether asked or not (Centrifugo: ``auto_cache_recover``), and has no error 112.
* A publication that a filter hides is not sent, but it is not a hole either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from portcast.centrifuge.codes import BAD_REQUEST, UNRECOVERABLE_POSITION, ReplyError
from portcast.centrifuge.messages import (
    RECOVERY_MUST_SUCCEED,
    HistoryRequest,
    HistoryResult,
    SubscribeRequest,
    SubscribeResult,
)
from portcast.centrifuge.messages import Publication as PublicationMessage
from portcast.publication import Position, Publication

Mode = Literal["none", "stream", "cache"]
"""How a channel recovers; named after what a subscriber gets: nothing, all that it missed, or the newest."""

ToMessage = Callable[[Publication], PublicationMessage]
"""Makes of a publication what this client is sent: data in its format, offset, tags."""

IsVisible = Callable[[Publication], bool]
"""Whether a client gets a publication; False hides it."""

MAX_RECOVERED = 300
"""Most publications in one recovery (Centrifugo: ``client.recovery_max_publication_limit``)."""

MAX_PAGE = 300
"""Most publications in one history page (Centrifugo: ``client.history_max_publication_limit``)."""


class Read(NamedTuple):
    """What to read of a topic's history, as `portcast.brokers.Broker.history` takes it.

    Attributes:
        since: only those after it (before it, in reverse); None for all. Its epoch is the topic's own.
        limit: at most so many.
        is_reverse: newest first.
    """

    since: Position | None
    limit: int
    is_reverse: bool


# Subscribing


def wanted_by_subscribe(
    request: SubscribeRequest, mode: Mode, top: Position, *, is_filtered: bool = False
) -> Read | None:
    """Return what must be read for a subscription; None if nothing, because history cannot change the result.

    Args:
        request: for a server-side subscription, its entry in ``connect.subs``, or an empty one.
        mode: of the channel; ``none`` for a wildcard.
        top: the position of the channel's newest publication.
        is_filtered: some publications are hidden from the client, so the newest may not be the one to send.
    """
    if mode == "cache":
        return Read(None, MAX_RECOVERED if is_filtered else 1, True)
    if mode == "none" or not request.recover or request.epoch not in ("", top.epoch):
        return None
    if not 0 < top.offset - request.offset <= MAX_RECOVERED:
        return None
    return Read(Position(top.epoch, request.offset), MAX_RECOVERED, False)


def subscribe_result(
    request: SubscribeRequest,
    mode: Mode,
    top: Position,
    found: Sequence[Publication],
    to_message: ToMessage,
    *,
    is_visible: IsVisible | None = None,
) -> SubscribeResult | ReplyError:
    """Return the result of a subscription, or error 112.

    Args:
        request: see `wanted_by_subscribe`.
        mode: see `wanted_by_subscribe`.
        top: see `wanted_by_subscribe`.
        found: what was read, in the order in which it was read; empty if there was nothing to read.
        to_message: called for each publication that is sent.
        is_visible: hides publications; None hides none.
    """
    if mode == "none":
        return SubscribeResult(was_recovering=request.recover)
    sent: list[Publication] | None = None
    if mode == "cache":
        sent = _newest(request, top, found, is_visible)
    elif request.recover:
        sent = _missed(request, top, found, is_visible)
        if sent is None and request.flag & RECOVERY_MUST_SUCCEED:
            return UNRECOVERABLE_POSITION
    return SubscribeResult(
        recoverable=True,
        positioned=True,
        epoch=top.epoch,
        offset=top.offset if sent is None else request.offset,
        recovered=sent is not None,
        was_recovering=request.recover or mode == "cache",
        publications=[to_message(one) for one in sent or ()],
    )


def _missed(
    request: SubscribeRequest, top: Position, found: Sequence[Publication], is_visible: IsVisible | None
) -> list[Publication] | None:
    """Return all that the client missed and may see; None if something is lost."""
    if request.epoch not in ("", top.epoch) or len(found) > MAX_RECOVERED:
        return None
    # History is held without holes, so both ends tell of all between.
    if found and found[0].offset != request.offset + 1:
        return None
    if (found[-1].offset if found else request.offset) != top.offset:
        return None
    return list(found) if is_visible is None else [one for one in found if is_visible(one)]


def _newest(
    request: SubscribeRequest, top: Position, found: Sequence[Publication], is_visible: IsVisible | None
) -> list[Publication] | None:
    """Return the newest that the client may see, nothing if it has it already; None if that is gone."""
    is_up_to_date = 0 < request.offset == top.offset and request.epoch == top.epoch
    newest = next((one for one in found if is_visible is None or is_visible(one)), None)
    if newest is None or is_up_to_date:
        return [] if is_up_to_date else None
    # Of a topic whose newest publication is gone nothing older is held.
    return [newest] if found[0].offset == top.offset else None


# History pages


def wanted_by_history(request: HistoryRequest, top: Position) -> Read | ReplyError:
    """Return what must be read for a page; error 112 for another epoch, 107 for what lies before the first.

    ``limit`` 0 reads nothing (the client wants the position), and a negative one as much as there may be: `MAX_PAGE`.
    An empty epoch fits every epoch. In reverse, a position beyond the next publication reads nothing.
    """
    limit = request.limit if 0 <= request.limit <= MAX_PAGE else MAX_PAGE
    since = request.since
    if since is None:
        return Read(None, limit, request.reverse)
    if request.reverse and since.offset == 0:
        return BAD_REQUEST
    if since.epoch not in ("", top.epoch):
        return UNRECOVERABLE_POSITION
    if request.reverse and since.offset > top.offset + 1:
        limit = 0
    return Read(Position(top.epoch, since.offset), limit, request.reverse)


def history_result(top: Position, found: Sequence[Publication], to_message: ToMessage) -> HistoryResult:
    """Return the page: what was read, in the order in which it was read, and the position of the newest."""
    return HistoryResult([to_message(one) for one in found], top.epoch, top.offset)
