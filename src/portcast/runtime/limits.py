"""How many descriptors this process may use, and how many connections follow from that."""

from __future__ import annotations

import sys

MOST_CONNECTIONS = 10_000
"""Cap of the automatic budget; a user who needs more says so."""
RESERVE = 256
"""Descriptors kept for the HTTP side, logs, brokers and files."""
LEAST_CONNECTIONS = 16
FEW_SHARE = 4
"""Of few descriptors (below 466), where the reserve would take all, every fourth is a device's."""
LEAST_OWN, MOST_OWN = 32, 64
"""Descriptors that no peer gets, every fourth of few: standard streams, the loop, listeners, logs, state files, and
room for a health check."""
MOST_PENDING = 2048
"""Sockets at a time of which nothing is known yet, so many as the backlog of HTTP holds: a crowd that comes back in one
turn of the loop must not push itself out."""
PENDING_SHARE = 8
"""Of few sockets only every eighth may be pending."""
LEAST_PENDING = 64


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one and return what it is now.

    Returns 8192 where the system has no such limit to ask for (Windows).
    """
    if sys.platform == "win32":
        return 8192
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):
            # macOS reports an unlimited hard limit that it then refuses: stay with what we have.
            pass
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


def connection_budget(descriptors: int, wanted: int = 0) -> int:
    """Return how many device connections may be open: min(10 000, 80 % of the descriptors - 256).

    Of few descriptors it is a quarter, and never less than 16.

    Args:
        descriptors: the limit of open files.
        wanted: what the user asked for, 0 if nothing; capped by what the descriptors allow.
    """
    possible = max(LEAST_CONNECTIONS, descriptors // FEW_SHARE, descriptors * 8 // 10 - RESERVE)
    return min(possible, wanted or MOST_CONNECTIONS)


def http_budget(descriptors: int, connections: int) -> int:
    """Return how many sockets HTTP and WebSockets may have together, so that `MOST_OWN` descriptors are left.

    Of few descriptors a quarter is left, and at least 32. It is never less than 8.

    Args:
        descriptors: the limit of open files.
        connections: device connections that may be open, as `connection_budget` says.
    """
    return max(8, descriptors - connections - max(LEAST_OWN, min(MOST_OWN, descriptors // FEW_SHARE)))


def http_connections(descriptors: int, wanted: int = 0) -> int:
    """Return how many sockets HTTP and WebSockets may have: what devices can never use, at most 10 000.

    Args:
        descriptors: the limit of open files.
        wanted: what the user asked for, 0 if nothing; then it is that.
    """
    return wanted or min(MOST_CONNECTIONS, http_budget(descriptors, connection_budget(descriptors, descriptors)))


def subscriber_budget(connections: int, wanted: int = 0) -> int:
    """Return how many subscribers there may be where HTTP has so many sockets: nine of ten.

    The rest is for requests, health checks among them.
    """
    return wanted or max(1, connections * 9 // 10)


def most_pending(sockets: int) -> int:
    """Return how many sockets may be pending (no whole request head, no handshake yet) where so many may be open."""
    return max(LEAST_PENDING, min(MOST_PENDING, sockets // PENDING_SHARE))
