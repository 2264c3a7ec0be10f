"""What the hub has counted, as a snapshot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """A snapshot of the hub. A publication counts once for each subscriber that it was published to.

    Attributes:
        subscribers: connected now.
        delivered: publications handed to clients' transports, all clients together, since start.
        dropped: publications that clients did not get, by reason in `Hub.losses`.
        waiting: publications that wait for clients now, for the flush or in their outboxes.
        behind: publications that clients will read from history.
        flushes: how often the hub flushed.
        slow: how often a subscriber ceased to be healthy.
        demoted: how often one was demoted: its patience was used up, or it waited for too long.
        removed: how many were removed as slow consumers.
    """

    subscribers: int
    delivered: int
    dropped: int
    waiting: int
    behind: int
    flushes: int
    slow: int
    demoted: int
    removed: int


@dataclass(frozen=True, slots=True)
class ListenerStatistics:
    """A snapshot of one listener.

    Attributes:
        connections: connected now.
        accepted: sockets accepted since start.
        frames: frames received since start, those of open connections included.
        bytes_received: bytes received since start.
        bytes_sent: bytes sent since start.
        errors: connections that ended for a reason that is a fault, by reason, and sockets that never became one, by
            `portcast.events.RefusalReason` or ``accept``.
    """

    connections: int
    accepted: int
    frames: int
    bytes_received: int
    bytes_sent: int
    errors: dict[str, int]


ORDINARY_ENDS = frozenset({"peer_closed", "closed", "drain", "idle_timeout"})
"""Close reasons that are no fault of anyone."""
