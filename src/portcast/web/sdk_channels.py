"""The channels of one SDK client: how each is seen, what it may do there, and how it comes and goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from portcast.centrifuge.codes import ReplyError
from portcast.centrifuge.messages import (
    ClientInfo,
    FilterNode,
    HistoryRequest,
    HistoryResult,
    SubscribeRequest,
    SubscribeResult,
)
from portcast.centrifuge.recovery import (
    IsVisible,
    history_result,
    subscribe_result,
    wanted_by_history,
    wanted_by_subscribe,
)
from portcast.centrifuge.tag_filter import compile_filter
from portcast.delivery import Encoding
from portcast.publication import Position, Publication
from portcast.topics import is_wildcard
from portcast.web.sdk_access import Grant
from portcast.web.sdk_encodings import Subscription, condition_key, settled, wants_envelopes
from portcast.web.sdk_wire import Wire

if TYPE_CHECKING:
    from portcast.web.sdk_client import SdkClient

MAX_REPLY_BYTES = 786_432
"""Payload bytes in one reply: as JSON they stay below 1 MiB, the most that Python's ``websockets`` takes by default. A
client that could not read its recovery would connect again and ask for the same, for ever."""

NOWHERE = Position("", 0)
"""The position of a wildcard: its topics are counted each by itself."""


class SdkChannels:
    """See the top of the module."""

    __slots__ = ("_client", "_conditions", "_grants", "_seen", "_wire")

    def __init__(self, client: SdkClient, wire: Wire) -> None:
        self._client = client
        self._wire = wire
        self._grants: dict[str, Grant] = {}
        self._seen: dict[str, Subscription] = {}
        self._conditions: dict[str, FilterNode] | None = None

    def encoding(self) -> Encoding:
        """Return the encoding for all that the client has."""
        return self._client.node.encodings.of(self._wire, self._seen.values(), self._conditions)

    def attach(self, request: SubscribeRequest, grant: Grant) -> SubscribeResult | ReplyError:
        """Read history and join the hub; nothing awaits between them. Nothing waits for the client (`Hub.follow`).

        Args:
            request: a valid channel, and a valid condition if it has one.
            grant: what the app allows.

        Returns:
            What the client is told; an error leaves nothing behind.
        """
        node, channel = self._client.node, request.channel
        mode = "none" if is_wildcard(channel) else grant.mode
        top = NOWHERE if is_wildcard(channel) else node.broker.position(channel)
        read = wanted_by_subscribe(request, mode, top, is_filtered=request.tf is not None)
        found = node.broker.history(channel, **read._asdict(), now=node.now()) if read else []
        if mode == "stream" and len(_fitting(found)) < len(found):
            found = []  # which is not all, so it counts as lost; the client may page through history
        # The SDKs do not combine them: a client could not know to what a hidden publication's successor applies.
        # And no two envelopes are alike enough.
        is_enveloped = wants_envelopes(request.data)
        is_plain = request.tf is None and not is_enveloped
        is_delta = request.delta == "fossil" and grant.has_delta and mode != "none" and is_plain
        to_message = node.to_message(self._wire, is_delta=is_delta, is_enveloped=is_enveloped)
        result = subscribe_result(request, mode, top, found, to_message, is_visible=self._visible(request))
        if isinstance(result, ReplyError):
            return result
        condition = condition_key(request.tf)
        if request.tf is not None:
            self._conditions = {**(self._conditions or {}), condition: request.tf}
        if is_delta:
            self._client.subscriber.need_all()
        grant = replace(grant, gets_join_leave=grant.gets_join_leave or request.join_leave)
        self._grants[channel] = grant
        base = top.offset if is_delta and not result.publications else -1
        self._seen[channel] = Subscription(channel, condition, is_delta, base, is_enveloped)
        node.hub.follow(self._client.subscriber, channel, self.encoding())
        if grant.gets_join_leave:
            node.watch(self._client, channel)
        return replace(result, data=grant.data, delta=is_delta)

    def _visible(self, request: SubscribeRequest) -> IsVisible | None:
        if request.tf is None:
            return None
        is_match = compile_filter(request.tf)
        return lambda one: is_match(one.meta.tags if one.meta is not None else {})

    def detach(self, channel: str) -> None:
        """Take the client out of a channel, in the hub and for the others; does nothing if it is not there."""
        if self._seen.pop(channel, None) is not None and not self._client.subscriber.is_closed:
            self._prune()
            self._client.node.hub.unfollow(self._client.subscriber, channel, self.encoding())
        self._leave(channel)

    def _prune(self) -> None:
        """Forget conditions that no subscription has any more."""
        used = {one.condition for one in self._seen.values()}
        self._conditions = {key: node for key, node in (self._conditions or {}).items() if key in used} or None

    def page(self, request: HistoryRequest) -> HistoryResult | ReplyError:
        """Return a page of history, as long as fits."""
        node = self._client.node
        top = node.broker.position(request.channel)
        read = wanted_by_history(request, top)
        if isinstance(read, ReplyError):
            return read
        found = node.broker.history(request.channel, **read._asdict(), now=node.now())
        return history_result(top, _fitting(found), node.to_message(self._wire, is_delta=False))

    def info(self, channel: str) -> ClientInfo:
        """Return what others see of the client in a channel."""
        caller, grant = self._client.caller, self._grants.get(channel)
        assert caller is not None, "it is connected"
        return ClientInfo(caller.user, caller.client, caller.info, grant.info if grant is not None else b"")

    def join(self, channel: str) -> None:
        """List the client in a channel, and tell the others, itself among them."""
        grant = self._grants[channel]
        if grant.has_presence:
            self._client.node.join(channel, self.info(channel), is_told=grant.sends_join_leave)

    def _leave(self, channel: str) -> None:
        grant = self._grants.pop(channel, None)
        if grant is None:
            return
        if grant.gets_join_leave:
            self._client.node.unwatch(self._client, channel)
        if grant.has_presence:
            self._client.node.leave(channel, self._client.session.client, is_told=grant.sends_join_leave)

    def leave_all(self) -> None:
        """Note that the client is gone from everywhere; the hub knows already."""
        for channel in list(self._grants):
            self._leave(channel)
        self._seen.clear()

    def settle(self) -> None:
        """Share the encoding of the others once the first publication after a base is out (see `settled`)."""
        if not any(one.base >= 0 for one in self._seen.values()) or not self._client.subscriber.outbox.is_queue_empty:
            return
        node, subscriber = self._client.node, self._client.subscriber
        if not any(settled(one, node.broker.position(name).offset) is not one for name, one in self._seen.items()):
            return
        node.hub.flush()  # what waits for it may be the one after a base
        if not subscriber.is_closed:
            self._seen = {name: settled(one, node.broker.position(name).offset) for name, one in self._seen.items()}
            subscriber.encoding = self.encoding()


def _fitting(found: Sequence[Publication]) -> Sequence[Publication]:
    """Return the first publications that fit one reply, at least one if there is one."""
    left = MAX_REPLY_BYTES
    for index, one in enumerate(found):
        left -= len(one.data)
        if left < 0 and index:
            return found[:index]
    return found
