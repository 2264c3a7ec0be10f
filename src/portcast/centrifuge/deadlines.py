"""What ends by time: lifetimes that must be refreshed, and the heartbeat of a connection.

The heartbeat. The server sends a ping every ``ping_s``, and the client answers each with a pong:

==================  ============================  =========================================
outstanding pings   entered by                    left by
==================  ============================  =========================================
0                   the pong to the last of them  a ping
1 or more           a ping                        as many pongs; or none in time, and 3012
==================  ============================  =========================================

Only a pong counts as an answer, whatever else the client sends, and a pong that nothing was outstanding for breaks the
protocol (centrifugal/centrifuge ``client.go``, ``checkPong`` and ``dispatchCommand``). More than one ping is
outstanding only when the clock of the pong stood still: commands are handled in order, so while one is being carried
out the pong may be waiting behind it, unread. Pings go on meanwhile, because a client leaves without them. The
reference server forgets how many it sent, and closes a client that answers them all.

Times are monotonic seconds; `NEVER` is later than all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from portcast.centrifuge.options import SessionOptions

NEVER = math.inf
"""The deadline of what does not end."""

MAX_TTL_S = 365 * 24 * 3600
"""The longest lifetime that is told and kept; ``ttl`` has 32 bits on the wire. The reference server has the same."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a connection or a subscription may live.

    Attributes:
        ttl_s: whole seconds left, at most `MAX_TTL_S` of them count; 0 and less: it is over; None: it does not end.
        is_refreshed_by_client: True if the client is told and may bring a newer token, for some seconds longer than
            ``ttl_s`` (`SessionOptions.refresh_grace_s`). Otherwise it is not told, and it is over when it is over.
    """

    ttl_s: int | None = None
    is_refreshed_by_client: bool = False

    @property
    def is_over(self) -> bool:
        """True if nothing is left."""
        return self.ttl_s is not None and self.ttl_s <= 0

    @property
    def told(self) -> tuple[bool, int]:
        """What a result says: ``expires`` and ``ttl``."""
        if self.ttl_s is None or not self.is_refreshed_by_client:
            return False, 0
        return True, min(self.ttl_s, MAX_TTL_S)

    def until(self, now: float, grace_s: float) -> float:
        """Return when it ends if it begins now.

        Args:
            now: monotonic seconds.
            grace_s: added if the client refreshes it.
        """
        if self.ttl_s is None:
            return NEVER
        return now + min(self.ttl_s, MAX_TTL_S) + (grace_s if self.is_refreshed_by_client else 0.0)


FOREVER = Lifetime()
"""Does not end, and is not refreshed."""


class Heartbeat:
    """Pings and pongs of one connection.

    Invariant: ``_pong_by`` is `NEVER` exactly when nothing is outstanding, and ``_still_since`` is `NEVER` exactly
    while the clock of the pong runs. While it stands still, ``_pong_by - _still_since`` is the time that is left.
    """

    __slots__ = ("_options", "_outstanding", "_ping_at", "_pong_by", "_still_since")

    def __init__(self, options: SessionOptions, first_at: float) -> None:
        """Prepare the first ping.

        Args:
            options: the session's.
            first_at: when the first ping is due; of no meaning where there are none.
        """
        self._options = options
        self._ping_at = first_at if options.ping_s else NEVER
        self._outstanding = 0
        self._pong_by = NEVER
        self._still_since = NEVER

    def ping(self, now: float) -> bool:
        """Return True if a ping must be sent now, and take it as sent."""
        if now < self._ping_at:
            return False
        # From now and not from when it was due: after a long stall one ping is enough.
        self._ping_at = now + self._options.ping_s
        if self._options.pong_s:
            self._outstanding += 1
            self._expect(now)
        return True

    def pong(self, now: float) -> bool:
        """Note a pong; return False if no ping was outstanding."""
        if not self._outstanding:
            return False
        self._outstanding -= 1
        if self._outstanding:
            self._expect(now)
        else:
            self._pong_by = NEVER
        return True

    def _expect(self, now: float) -> None:
        self._pong_by = now + self._options.pong_s
        if self._still_since != NEVER:
            self._still_since = now

    def stop(self, now: float) -> None:
        """Let the clock of the pong stand still."""
        self._still_since = now

    def resume(self, now: float) -> None:
        """Let the clock of the pong run on, with the time that was left."""
        if self._outstanding:
            self._pong_by += now - self._still_since
        self._still_since = NEVER

    def is_overdue(self, now: float) -> bool:
        """Return True if a pong should have come."""
        return self._still_since == NEVER and now >= self._pong_by

    def deadline(self) -> float:
        """Return when `ping` or `is_overdue` must be asked next."""
        return min(self._ping_at, self._pong_by) if self._still_since == NEVER else self._ping_at
