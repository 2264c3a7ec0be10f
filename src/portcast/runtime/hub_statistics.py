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
