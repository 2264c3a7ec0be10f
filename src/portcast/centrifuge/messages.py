"""What client and server say to each other, in either format (centrifugal/protocol ``definitions/client.proto``).

Only what this server uses is here: fields that it would ignore are not, and a codec skips fields that it does not know.
Names are those of the definition. A field that has its default is left out on the wire; a missing field has its
default. ``bytes`` fields named ``data``, ``conn_info`` and ``chan_info`` hold one JSON value for a client that speaks
JSON, and anything for one that speaks Protobuf; empty means absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcast.centrifuge.codes import ReplyError

RECOVERY_MUST_SUCCEED = 2
"""Bit of `SubscribeRequest.flag`: a position that cannot be recovered is error 112, not a subscription."""


# Both ways


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Who a client is, for presence, join, leave and the publications that it made."""

    user: str = ""
    client: str = ""
    conn_info: bytes = b""
    chan_info: bytes = b""


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A place in a channel; its publications are counted from 1."""

    offset: int = 0
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class FilterNode:
    """A condition on the tags of a publication; see `portcast.centrifuge.tag_filter`."""

    op: str = ""
    key: str = ""
    cmp: str = ""
    val: str = ""
    vals: Sequence[str] = ()
    nodes: Sequence[FilterNode] = ()


# From the client


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """Subscribe to a channel, recovering from a position if asked to."""

    channel: str = ""
    token: str = ""
    recover: bool = False
    epoch: str = ""
    offset: int = 0
    data: bytes = b""
    positioned: bool = False
    recoverable: bool = False
    join_leave: bool = False
    delta: str = ""
    tf: FilterNode | None = None
    flag: int = 0
    type: int = 0


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """The first command of a connection."""

    token: str = ""
    data: bytes = b""
    subs: Mapping[str, SubscribeRequest] = field(default_factory=dict)
    name: str = ""
    version: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnsubscribeRequest:
    """End a subscription."""

    channel: str = ""


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """Publish into a channel."""

    channel: str = ""
    data: bytes = b""
    type: int = 0


@dataclass(frozen=True, slots=True)
class PresenceRequest:
    """Ask who is in a channel."""

    channel: str = ""


@dataclass(frozen=True, slots=True)
class PresenceStatsRequest:
    """Ask how many are in a channel."""

    channel: str = ""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """Ask for retained publications: ``limit`` 0 for the position alone, -1 for as many as there may be."""

    channel: str = ""
    limit: int = 0
    since: StreamPosition | None = None
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class PingRequest:
    """A ping of an older protocol; refused."""


@dataclass(frozen=True, slots=True)
class SendRequest:
    """A message to the application; nobody answers it."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class RpcRequest:
    """Call a method."""

    data: bytes = b""
    method: str = ""


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """Bring a newer token for the connection."""

    token: str = ""


@dataclass(frozen=True, slots=True)
class SubRefreshRequest:
    """Bring a newer token for a subscription."""

    channel: str = ""
    token: str = ""
    type: int = 0


Request = (
    ConnectRequest
    | SubscribeRequest
    | UnsubscribeRequest
    | PublishRequest
    | PresenceRequest
    | PresenceStatsRequest
    | HistoryRequest
    | PingRequest
    | SendRequest
    | RpcRequest
    | RefreshRequest
    | SubRefreshRequest
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        id: the client's number for it, 1 to 2³²-1; 0 for a message without an answer, or a pong.
        request: what is asked; None for an empty command, which is a pong.
    """

    id: int = 0
    request: Request | None = None


# From the server


@dataclass(frozen=True, slots=True)
class Publication:
    """One publication as a client sees it.

    Attributes:
        data: the payload, or a delta from the one before.
        info: who published it, if that was a client.
        offset: its place in the channel; 0 where there is none.
        tags: what the publisher said of it.
        delta: True if ``data`` is a delta.
        time: Unix milliseconds; 0 if not told.
        channel: the concrete channel, for a subscription to a wildcard.
    """

    data: bytes = b""
    info: ClientInfo | None = None
    offset: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    delta: bool = False
    time: int = 0
    channel: str = ""


@dataclass(frozen=True, slots=True)
class SubscribeResult:
    """A subscription is made; with ``recovered`` or in cache mode its first publications come along."""

    expires: bool = False
    ttl: int = 0
    recoverable: bool = False
    epoch: str = ""
    publications: Sequence[Publication] = ()
    recovered: bool = False
    offset: int = 0
    positioned: bool = False
    data: bytes = b""
    was_recovering: bool = False
    delta: bool = False


@dataclass(frozen=True, slots=True)
class ConnectResult:
    """The connection is open. ``ping`` and ``ttl`` are seconds, ``time`` is Unix milliseconds."""

    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: int = 0
    data: bytes = b""
    subs: Mapping[str, SubscribeResult] = field(default_factory=dict)
    ping: int = 0
    pong: bool = False
    session: str = ""
    node: str = ""
    time: int = 0


@dataclass(frozen=True, slots=True)
class UnsubscribeResult:
    """The subscription is over."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """It is published."""


@dataclass(frozen=True, slots=True)
class PresenceResult:
    """Who is in the channel, by client id."""

    presence: Mapping[str, ClientInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PresenceStatsResult:
    """How many are in the channel."""

    num_clients: int = 0
    num_users: int = 0


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """Retained publications, and the position of the channel."""

    publications: Sequence[Publication] = ()
    epoch: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class RpcResult:
    """What a method returned."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The connection lives on, for ``ttl`` seconds if it ``expires``."""

    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class SubRefreshResult:
    """The subscription lives on, for ``ttl`` seconds if it ``expires``."""

    expires: bool = False
    ttl: int = 0


Result = (
    ConnectResult
    | SubscribeResult
    | UnsubscribeResult
    | PublishResult
    | PresenceResult
    | PresenceStatsResult
    | HistoryResult
    | RpcResult
    | RefreshResult
    | SubRefreshResult
)


@dataclass(frozen=True, slots=True)
class Join:
    """Somebody came into the channel."""

    info: ClientInfo


@dataclass(frozen=True, slots=True)
class Leave:
    """Somebody left the channel."""

    info: ClientInfo


@dataclass(frozen=True, slots=True)
class UnsubscribePush:
    """The server ended the subscription; see `portcast.centrifuge.codes.Unsubscribe`."""

    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SubscribePush:
    """The server subscribed the client."""

    recoverable: bool = False
    epoch: str = ""
    offset: int = 0
    positioned: bool = False
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class MessagePush:
    """A message to the client that belongs to no channel."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class DisconnectPush:
    """The connection ends; for transports that have no close frame."""

    code: int = 0
    reason: str = ""
    reconnect: bool = False


@dataclass(frozen=True, slots=True)
class Push:
    """Something that the client did not ask for; ``channel`` is empty for a message and a disconnect."""

    event: Publication | Join | Leave | UnsubscribePush | SubscribePush | MessagePush | DisconnectPush
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server writes: an answer to a command, a push, or with neither a ping.

    Attributes:
        id: of the command that is answered; 0 for a push or a ping.
        body: a result, an error or a push; None for a ping.
    """

    id: int = 0
    body: Result | ReplyError | Push | None = None


PING = Reply()
