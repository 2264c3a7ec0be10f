"""What the SDK clients of one node share: rules, encodings, presence, and one ticker for all their deadlines."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import uniform
from uuid import uuid4

from starlette.requests import HTTPConnection

from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.centrifuge.format import Format
from portcast.centrifuge.json_codec import quote
from portcast.centrifuge.messages import ClientInfo, ConnectRequest, Join, Leave, Push, Reply
from portcast.centrifuge.messages import Publication as PublicationMessage
from portcast.centrifuge.options import SessionOptions
from portcast.centrifuge.presence import Presence
from portcast.centrifuge.pushes import NOTHING, as_json
from portcast.centrifuge.session import Session
from portcast.delivery import Sink
from portcast.events import CredentialsRefused, Emit, HandlerFailed
from portcast.publication import Meta, Publication, Run, runs_of
from portcast.runtime import CLOSE_SHUTDOWN, Node, Subscriber
from portcast.types import ConnectionId, ListenerName
from portcast.web.credentials import shown_token
from portcast.web.peer import peer_of
from portcast.web.resume import EnvelopesOf
from portcast.web.sdk_access import Access
from portcast.web.sdk_client import SdkClient
from portcast.web.sdk_encodings import SdkEncodings
from portcast.web.sdk_queue import Reader
from portcast.web.sdk_wire import Wire

TICK_S = 1.0
"""How late a ping or the end of a lifetime may be."""


def _common(meta: Meta | None) -> PublicationMessage:
    if meta is None:
        return NOTHING
    info = ClientInfo(meta.user, meta.client, meta.conn_info, meta.chan_info) if meta.client or meta.user else None
    return PublicationMessage(info=info, tags=meta.tags)


def common_of(run: Run) -> PublicationMessage:
    """Return what the pushes of a run share."""
    return _common(run.meta)


class SdkNode:
    """See the top of the module."""

    def __init__(
        self,
        node: Node,
        access: Access,
        options: SessionOptions,
        emit: Emit,
        *,
        max_message_bytes: int = 65_536,
        rates: tuple[float, float] | None = None,
    ) -> None:
        """Prepare without clients.

        Args:
            node: the running node.
            access: the rules of the app.
            options: of every session; ``accepts_messages`` is the rules' to say.
            emit: takes what happens.
            max_message_bytes: largest message of a client. A server may take larger ones, uvicorn 16 MiB by itself.
            rates: commands and bytes per second of a client, 0 for no limit; None if neither has one.
        """
        self.max_message_bytes = max_message_bytes
        self.rates = rates
        self.hub = node.hub
        self.broker = node.broker
        self.memory = node.memory
        self.allowance = node.registry.allowance
        self.now = node.now
        self.access = access
        self._envelopes = EnvelopesOf(node.broker.node_epoch, lambda at: node.unix_time(at))
        self.encodings = SdkEncodings(common_of, self._enveloped)
        self.presence = Presence()
        self.id = secrets.token_hex(8)
        self._node = node
        self._options = options
        self._completed_options: dict[SessionOptions, SessionOptions] = {}
        self._emit = emit
        self._clients: dict[str, SdkClient] = {}
        self._sessions: dict[str, SdkClient] = {}
        # Who is told of joins and leaves, by channel.
        self._watchers: dict[str, dict[SdkClient, Wire]] = {}
        self._timer: asyncio.TimerHandle | None = None

    # Clients

    def accept(
        self,
        sink: Sink,
        wire: Wire,
        http: HTTPConnection,
        *,
        bind: Callable[[Subscriber], object],
        options: SessionOptions | None = None,
        peer: str = "",
        reader: Reader | None = None,
    ) -> SdkClient:
        """Begin a session.

        Args:
            sink: the way to the client.
            wire: how it is spoken to.
            http: the request by which it came.
            bind: gives the sink its owner.
            options: instead of the node's, for one that has pings of its own.
            peer: its address, for events.
            reader: its way in, if that can be held.
        """
        options = self._completed(options or self._options)
        first_ping = uniform(options.ping_s / 2, options.ping_s)  # noqa: S311 - spreads load, guards nothing
        session = Session(options, client=str(uuid4()), now=self.now(), first_ping_s=first_ping)
        client = SdkClient(self, session, wire, sink, http, reader)
        self._clients[session.client] = client

        def own(subscriber: Subscriber) -> None:
            client.subscriber = subscriber
            subscriber.follower = client
            subscriber.restart_code = CLOSE_SHUTDOWN
            bind(subscriber)

        self.hub.subscribe((), self.encodings.of(wire, ()), sink, transport="centrifuge", peer=peer, bind=own)
        self._arm()
        return client

    def _completed(self, options: SessionOptions) -> SessionOptions:
        """Return options with what only the rules know; one object for all sessions that share it."""
        known = self._completed_options.get(options)
        if known is None:
            known = replace(options, accepts_messages=self.access.accepts_messages)
            self._completed_options[options] = known
        return known

    def gone(self, client: SdkClient) -> None:
        """Forget a client."""
        self._clients.pop(client.session.client, None)
        if client.session_id:
            self._sessions.pop(client.session_id, None)

    def open_session(self, client: SdkClient) -> tuple[str, str]:
        """Give a client without a way back a session, named by a secret, for `find`; return it and the node's id."""
        client.session_id = secrets.token_urlsafe(24)
        self._sessions[client.session_id] = client
        return client.session_id, self.id

    def find(self, session_id: str) -> SdkClient | None:
        """Return the client of a session."""
        return self._sessions.get(session_id)

    def failed(self, client: str, error: BaseException) -> None:
        """Note that a function of the app raised."""
        self._emit(HandlerFailed(ConnectionId(client), ListenerName("centrifuge"), "access", error))

    def refused(self, http: HTTPConnection, request: ConnectRequest, why: ReplyError | Disconnect) -> None:
        """Note that a client was not let in; who showed nothing is not worth a line."""
        if why is codes.TOO_MANY_REQUESTS:
            self._emit(CredentialsRefused(peer_of(http.scope), "throttled"))
        elif why is codes.INVALID_TOKEN and (request.token or shown_token(http)):
            self._emit(CredentialsRefused(peer_of(http.scope), "connect"))

    def _arm(self) -> None:
        if self._timer is None and self._clients:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self.now()
        for client in list(self._clients.values()):
            client.expire(now)
        self._arm()

    def stop(self) -> None:
        """Stop the ticker."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Publications

    def publish(self, topic: str, payload: bytes, info: ClientInfo) -> None:
        """Publish what a client sent."""
        meta = Meta(user=info.user, client=info.client, conn_info=info.conn_info, chan_info=info.chan_info)
        self.broker.publish_nowait(topic, (payload,), self.now(), meta)

    def _enveloped(self, channel: str, run: Run) -> Sequence[bytes]:
        return [envelope.encode() for envelope in self._envelopes.of((channel,)).of(run)]

    def to_message(
        self, wire: Wire, *, is_delta: bool, is_enveloped: bool = False
    ) -> Callable[[Publication], PublicationMessage]:
        """Return what makes a message of a retained publication, for a reply.

        Args:
            wire: the client's.
            is_delta: delta compression was agreed: then JSON clients take data as strings.
            is_enveloped: the subscription gets envelopes.
        """
        is_json = wire.format is Format.JSON

        def make(one: Publication) -> PublicationMessage:
            common = _common(one.meta)
            payload = self._enveloped(one.topic, next(iter(runs_of([one]))))[0] if is_enveloped else one.data
            data = as_json(payload) if is_json else payload
            if is_json and is_delta:
                data = quote(data.decode())
            return PublicationMessage(data=data, info=common.info, offset=one.offset, tags=common.tags)

        return make

    # Who is where

    def watch(self, client: SdkClient, channel: str) -> None:
        """Tell a client of joins and leaves in a channel."""
        self._watchers.setdefault(channel, {})[client] = client.wire

    def unwatch(self, client: SdkClient, channel: str) -> None:
        """Undo `watch`."""
        watchers = self._watchers.get(channel, {})
        watchers.pop(client, None)
        if not watchers:
            self._watchers.pop(channel, None)

    def join(self, channel: str, info: ClientInfo, *, is_told: bool) -> None:
        """List a client in a channel, and tell those who watch."""
        if self.presence.join(channel, info) and is_told:
            self._tell(Reply(0, Push(Join(info), channel)), channel)

    def leave(self, channel: str, client: str, *, is_told: bool) -> None:
        """Take a client from the list of a channel, and tell those who watch."""
        info = self.presence.leave(channel, client)
        if info is not None and is_told:
            self._tell(Reply(0, Push(Leave(info), channel)), channel)

    def _tell(self, push: Reply, channel: str) -> None:
        encoded: dict[Wire, Sequence[object]] = {}
        for client, wire in list(self._watchers.get(channel, {}).items()):
            if wire not in encoded:
                encoded[wire] = wire.encode([push])
            client.write_items(encoded[wire])
