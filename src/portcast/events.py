"""What happened, as values: the low layers emit these and never log.

`portcast.observability` turns them into log lines and counters; an application may listen too
(`Gateway(on_event=…)`). An event is emitted on the loop, after the fact it tells of, and its receiver must not block;
an exception in a receiver is caught and counted, it never reaches the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from portcast.process_events import (
    LoopBlocked as LoopBlocked,
)
from portcast.process_events import (
    MemoryRecovered as MemoryRecovered,
)
from portcast.process_events import (
    MemoryShort as MemoryShort,
)
from portcast.process_events import (
    RecordingCapped as RecordingCapped,
)
from portcast.process_events import (
    RecordingChanged as RecordingChanged,
)
from portcast.process_events import (
    RedactionFailed as RedactionFailed,
)
from portcast.types import ConnectionId, DeviceId, ListenerName

CloseReason = Literal[
    "peer_closed",  # the device closed its side in order
    "reset",  # the network or the device broke the connection
    "first_frame_timeout",  # no whole frame within the absolute deadline after accept
    "frame_timeout",  # a frame was begun and not completed in time
    "idle_timeout",  # nothing received for too long
    "write_timeout",  # the device did not take our bytes in time
    "oversize",  # framing errors, by `FramingError.reason`
    "malformed",
    "truncated",
    "checksum",
    "http_request",  # it began with an HTTP request line: a browser, not a device
    "tls_hello",  # it began with a TLS hello, where none is expected
    "bad_frames",  # too many frames in a row that the codec refused
    "handler_failed",  # a per-connection handler, or a dependency of the connection, raised
    "closed",  # the application called `Connection.close`, or its per-connection handler returned
    "replaced",  # its device connected anew, and takeover is `replace`
    "unauthenticated",  # it did not show who it is, or not in time, where its listener asks
    "rejected",  # its device is unknown, or connected already, and options say that it is refused
    "drain",  # orderly stop
    "aborted",  # orderly stop ran out of time, or stop without drain
]


@dataclass(frozen=True, slots=True)
class ListenerStarted:
    """A listener accepts connections."""

    listener: ListenerName
    address: str
    framing: str
    target: str
    """``topic logs`` for a relay, ``handler on_reading`` otherwise."""


@dataclass(frozen=True, slots=True)
class ListenerPaused:
    """A listener stopped accepting for now; what connects meanwhile waits in the kernel's backlog."""

    listener: ListenerName
    reason: Literal["max_connections", "descriptors", "suspended"]
    detail: str


@dataclass(frozen=True, slots=True)
class ListenerResumed:
    """A paused listener accepts again."""

    listener: ListenerName


@dataclass(frozen=True, slots=True)
class ListenerStopped:
    """A listener has closed its socket."""

    listener: ListenerName


RefusalReason = Literal[
    "proxy_untrusted",  # the listener takes connections of known proxies only
    "proxy_malformed",  # what came is no PROXY header that we take
    "proxy_timeout",  # no whole header in time
    "tls_failed",  # no version or cipher in common, a client that does not trust us, no TLS at all
    "tls_timeout",  # the handshake took too long
    "client_certificate",  # none, of an unknown authority, or expired
    "gone",  # the peer left before it was a connection
    "crowded",  # too many at once had come as far; the oldest is given up, or its place was needed
    "denied",  # its network is denied, or others are allowed
    "http_malformed",  # what came to the HTTP side is no request, be it the first or a later one of its connection
    "max_connections",  # the HTTP side has as many as it may
    "max_per_address",  # its address has as many connections as it may
    "connect_rate",  # its address connects too often
    "memory",  # the process uses more memory than it may, whoever it was
]


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """A socket was accepted and never became a connection: because of who it was, or of what it said at first."""

    listener: str
    """The listener's name; ``http`` for the HTTP side."""
    peer: str
    """As far as it was known: the address of the proxy, or of whom it spoke for."""
    reason: RefusalReason
    detail: str


@dataclass(frozen=True, slots=True)
class CertificatesReloaded:
    """Certificates were read anew; connections that are open keep theirs."""

    listener: str
    """The listener's name; ``http`` for the HTTP side."""


@dataclass(frozen=True, slots=True)
class CertificatesRefused:
    """Certificates were to be read anew and cannot be used; those from before stay."""

    listener: str
    """The listener's name; ``http`` for the HTTP side."""
    detail: str


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """A device connected."""

    connection_id: ConnectionId
    listener: ListenerName
    peer: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """A device's connection ended. Emitted exactly once for each `ConnectionOpened`."""

    connection_id: ConnectionId
    listener: ListenerName
    peer: str
    reason: CloseReason
    detail: str
    """The error's sentence when the reason is a fault; empty otherwise."""
    frames: int
    bytes_received: int
    bytes_sent: int
    seconds: float
    undelivered: int
    """Frames that were received but had not been handled when the connection was aborted."""
    skipped_bytes: int = 0
    """What the framing threw away where it may: noise before a start marker, frames with a wrong check value."""


@dataclass(frozen=True, slots=True)
class FrameRejected:
    """A codec refused a frame, or no handler takes such messages; that frame is lost.

    The connection goes on, unless its codec refused one too many in a row.
    """

    connection_id: ConnectionId
    listener: ListenerName
    detail: str
    in_a_row: int


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """A handler or one of its dependencies raised; that message is lost, the next is handled."""

    connection_id: ConnectionId
    listener: ListenerName
    handler: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class HandlerAbandoned:
    """A handler did not end even when cancelled at the end of the drain."""

    connection_id: ConnectionId
    listener: ListenerName
    handler: str


@dataclass(frozen=True, slots=True)
class DeviceAttached:
    """A device said who it is on a connection, and was let in or quarantined."""

    device_id: DeviceId
    connection_id: ConnectionId
    listener: ListenerName
    reason: Literal["online", "again", "quarantined"]
    """``again``: it has, or had until this moment, another connection."""


@dataclass(frozen=True, slots=True)
class DeviceDetached:
    """A device has no connection any more."""

    device_id: DeviceId
    connection_id: ConnectionId
    listener: ListenerName


@dataclass(frozen=True, slots=True)
class DeviceRejected:
    """A device was not let in; its message is lost, and its connection is closed if no other device has it."""

    device_id: DeviceId
    connection_id: ConnectionId
    listener: ListenerName
    reason: str
    """See `portcast.devices.RejectReason`."""


@dataclass(frozen=True, slots=True)
class AnswerStrayed:
    """A device answered where no command waits for it; the message is handled like any other."""

    device_id: DeviceId
    reason: Literal["late", "doubled", "foreign"]
    """See `portcast.devices.command_states.Stray`."""


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """A command was not taken: it was neither queued nor written."""

    device_id: str
    reason: Literal["unknown_device", "queue_full"]


@dataclass(frozen=True, slots=True)
class CredentialsRefused:
    """A client of the HTTP side showed a key or token that is not valid."""

    peer: str
    reason: Literal["login", "request", "connect", "throttled"]
    """``login``: on the live page or wherever else `POST /session` is used. ``connect``: as an SDK client.
    ``throttled``: its address had shown too much that is not valid before, so it was told to wait (429, or error 111).
    """


SubscriberReason = Literal["max_subscribers", "max_subscribers_per_address"]


@dataclass(frozen=True, slots=True)
class SubscriberRefused:
    """A client may not follow topics: there are as many as may, in all or of its address."""

    transport: str
    peer: str
    reason: SubscriberReason


@dataclass(frozen=True, slots=True)
class SubscriberOpened:
    """A client subscribed."""

    subscriber_id: str
    transport: str
    filters: tuple[str, ...]
    peer: str


@dataclass(frozen=True, slots=True)
class SubscriberSlow:
    """A subscriber ceased to be healthy: publishers on its topics wait while its patience lasts."""

    subscriber_id: str
    queued_messages: int
    queued_bytes: int


@dataclass(frozen=True, slots=True)
class SubscriberDemoted:
    """A subscriber used up its patience, or was behind for too long: it holds nobody, its policy applies."""

    subscriber_id: str
    queued_messages: int
    queued_bytes: int


@dataclass(frozen=True, slots=True)
class SubscriberClosed:
    """A client's subscription ended. ``delivered + dropped`` is all that was published to it."""

    subscriber_id: str
    transport: str
    reason: str
    delivered: int
    dropped: int
    seconds: float
    code: int = 0
    """What it was told (a close code); 0 if it left by itself, or its connection ended without a word."""


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """An orderly stop began."""

    connections: int
    subscribers: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class DrainFinished:
    """The orderly stop ended."""

    seconds: float
    is_clean: bool
    """False when something had to be aborted."""
    detail: str


@dataclass(frozen=True, slots=True)
class HistoryRestored:
    """History goes on where the last process ended: clients resume as after a short disconnect."""

    file: str
    topics: int
    publications: int


@dataclass(frozen=True, slots=True)
class HistorySaved:
    """History was written for the next start."""

    file: str
    topics: int
    publications: int


@dataclass(frozen=True, slots=True)
class HistoryNotKept:
    """History begins anew, now or with the next start: clients that resume are told of a gap."""

    file: str
    reason: Literal["not_restored", "not_saved"]
    detail: str


Event = (
    ListenerStarted
    | ListenerPaused
    | ListenerResumed
    | ListenerStopped
    | ConnectionRefused
    | CertificatesReloaded
    | CertificatesRefused
    | ConnectionOpened
    | ConnectionClosed
    | FrameRejected
    | HandlerFailed
    | HandlerAbandoned
    | LoopBlocked
    | MemoryShort
    | MemoryRecovered
    | DeviceAttached
    | DeviceDetached
    | DeviceRejected
    | AnswerStrayed
    | CommandRefused
    | CredentialsRefused
    | RecordingChanged
    | RecordingCapped
    | RedactionFailed
    | SubscriberRefused
    | SubscriberOpened
    | SubscriberSlow
    | SubscriberDemoted
    | SubscriberClosed
    | DrainStarted
    | DrainFinished
    | HistoryRestored
    | HistorySaved
    | HistoryNotKept
)

Emit = Callable[[Event], None]
"""Takes an event; never raises, never blocks."""
