"""Who may do what over the Centrifuge protocol: the interface between a client's connection and the app's rules.

A client's connection (`portcast.web.sdk_client`) asks; an `Access` answers, at once where it can (tokens, permissions)
or by an awaitable (the app's own functions). It never raises for what a client did: it answers with a `ReplyError`,
which fails the command, or a `Disconnect`, which ends the connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, TypeVar

from starlette.requests import HTTPConnection

from portcast.api_keys import NO_RIGHTS, Rights
from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.centrifuge.deadlines import FOREVER, Lifetime
from portcast.centrifuge.messages import (
    ConnectRequest,
    PublishRequest,
    RefreshRequest,
    RpcRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
)
from portcast.centrifuge.recovery import Mode

T = TypeVar("T")

Verdict: TypeAlias = T | ReplyError | Disconnect
"""What was asked for, or why not."""

Answer: TypeAlias = Verdict[T] | Awaitable[Verdict[T]]
"""A verdict, now or later."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a connection whose ``connect`` was accepted.

    Attributes:
        client: the id of the connection.
        user: who it belongs to; empty for an anonymous one.
        info: what others see of it (``conn_info``), as JSON; empty for nothing.
        meta: claims that are for the server only.
        http: the request by which it came: headers, cookies, session, query. Its body is not there.
        expires_at: not used by rules; when the connection's token ends, Unix seconds, 0 for never.
        rights: what its role gives it beside the permissions.
    """

    client: str
    user: str
    info: bytes
    meta: Mapping[str, object]
    http: HTTPConnection
    expires_at: int = 0
    rights: Rights = NO_RIGHTS


@dataclass(frozen=True, slots=True)
class Grant:
    """What a subscription may do.

    Attributes:
        mode: how it recovers; ``none`` for a wildcard or where nothing is retained.
        lifetime: of the subscription.
        info: what others see of the subscriber in this channel (``chan_info``), as JSON.
        data: what the client is told with the reply, as JSON.
        has_presence: the subscriber is listed, and joins and leaves are noted.
        sends_join_leave: its coming and going is pushed to the others.
        gets_join_leave: it is told of the others' coming and going, whether it asked or not.
        has_delta: it may ask for delta compression.
    """

    mode: Mode = "stream"
    lifetime: Lifetime = FOREVER
    info: bytes = b""
    data: bytes = b""
    has_presence: bool = True
    sends_join_leave: bool = False
    gets_join_leave: bool = False
    has_delta: bool = True


@dataclass(frozen=True, slots=True)
class Admission:
    """What a connection gets.

    Attributes:
        user: who it belongs to; empty for an anonymous one.
        lifetime: of the connection.
        info: what others see of it, as JSON; empty for nothing.
        data: what the client is told with the reply, as JSON.
        meta: claims that are for the server only.
        subs: server-side subscriptions by channel.
        expires_at: Unix seconds, 0 for never.
        rights: what its role gives it beside the permissions.
    """

    user: str = ""
    lifetime: Lifetime = FOREVER
    info: bytes = b""
    data: bytes = b""
    meta: Mapping[str, object] = field(default_factory=dict)
    subs: Mapping[str, Grant] = field(default_factory=dict)
    expires_at: int = 0
    rights: Rights = NO_RIGHTS


Question = Literal["history", "presence"]


class Access(Protocol):
    """The rules of the app. Called on the loop, in the order of a connection's commands; ``rpc`` beside the rest."""

    @property
    def accepts_messages(self) -> bool:
        """True if there is a handler for ``send``."""
        ...

    def connect(self, client: str, http: HTTPConnection, request: ConnectRequest) -> Answer[Admission]:
        """Decide on a connection. An invalid token is `INVALID_TOKEN` (3500), an expired one error 109."""
        ...

    def subscribe(self, caller: Caller, request: SubscribeRequest) -> Answer[Grant]:
        """Decide on a subscription of the client's own wish; the channel is a valid topic or topic filter."""
        ...

    def publish(self, caller: Caller, request: PublishRequest, is_subscribed: bool) -> Answer[None]:
        """Decide on a publication. None lets it be published; an app that publishes by itself answers likewise."""
        ...

    def ask(self, caller: Caller, question: Question, channel: str, is_subscribed: bool) -> Verdict[None]:
        """Decide on a look at history or presence."""
        ...

    def rpc(self, caller: Caller, request: RpcRequest) -> Awaitable[Verdict[bytes]]:
        """Call a method; return its result as JSON. An unknown one is error 108."""
        ...

    def message(self, caller: Caller, request: SendRequest) -> Awaitable[Verdict[None]]:
        """Take a message; only called if `accepts_messages`. Nobody is told of an error, but a `Disconnect` counts."""
        ...

    def refresh(self, caller: Caller, request: RefreshRequest) -> Answer[Lifetime]:
        """Look at a newer token of the connection; one of another user is `INVALID_TOKEN`."""
        ...

    def sub_refresh(self, caller: Caller, request: SubRefreshRequest) -> Answer[tuple[str, Lifetime]]:
        """Look at a newer token of a subscription; return its channel, which the request may lack."""
        ...
