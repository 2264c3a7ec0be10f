"""How long a connection lives: its state, and what ends it by time.

===========  =====================================================================  ======================
state        ends by itself                                                         with
===========  =====================================================================  ======================
WAITING      after ``connect_timeout_s``                                            3502
CONNECTING   after ``connect_timeout_s``, counted anew                              3004
REFUSED      at the same moment                                                     3502
CONNECTED    when the lifetime of the connection is over                            3005
CONNECTED    when a pong does not come in time (`portcast.centrifuge.deadlines`)    3012
ENDED        (it has ended)
===========  =====================================================================  ======================

How the states follow each other is told in `portcast.centrifuge.session`. The reference server closes a connection
whose app takes too long with 3502, which is final: its clients stay away for a fault that was not theirs. 3004 lets
them come back, and the time is counted anew, so that a client that connects late leaves the app as much of it.
"""

from __future__ import annotations

from enum import Enum

from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect
from portcast.centrifuge.deadlines import NEVER, Heartbeat, Lifetime
from portcast.centrifuge.options import SessionOptions


class State(Enum):
    """See the tables on top of this module and of `portcast.centrifuge.session`."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    REFUSED = "refused"
    CONNECTED = "connected"
    ENDED = "ended"


_TOO_LATE = {
    State.WAITING: codes.STALE,
    State.CONNECTING: codes.SERVER_ERROR,
    State.REFUSED: codes.STALE,
    State.CONNECTED: codes.CONNECTION_EXPIRED,
}
"""Why a state ends by itself."""


class Life:
    """The state of one connection and its own deadlines.

    Invariant: there is a heartbeat exactly while the state is CONNECTED.
    """

    __slots__ = ("_ends_at", "_first_ping_s", "_heartbeat", "_options", "is_refreshed_by_client", "state")

    def __init__(self, options: SessionOptions, now: float, first_ping_s: float) -> None:
        """Begin WAITING.

        Args:
            options: the session's.
            now: monotonic seconds.
            first_ping_s: from being connected to the first ping.
        """
        self._options = options
        self._first_ping_s = first_ping_s
        self.state = State.WAITING
        # When the state ends by itself, and whether the client can prevent that.
        self._ends_at = now + options.connect_timeout_s
        self.is_refreshed_by_client = False
        self._heartbeat: Heartbeat | None = None

    # Steps

    def connecting(self, now: float) -> None:
        """Give the app its time to decide."""
        self.state = State.CONNECTING
        self._ends_at = now + self._options.connect_timeout_s

    def refused(self) -> None:
        """Wait for the client to leave."""
        self.state = State.REFUSED

    def connected(self, lifetime: Lifetime, now: float) -> None:
        """Let the heart beat."""
        self.state = State.CONNECTED
        self._heartbeat = Heartbeat(self._options, now + self._first_ping_s)
        self.keep(lifetime, now)

    def keep(self, lifetime: Lifetime, now: float) -> None:
        """Begin a lifetime of the connection."""
        self._ends_at = lifetime.until(now, self._options.refresh_grace_s)
        self.is_refreshed_by_client = lifetime.is_refreshed_by_client

    def end(self) -> None:
        """End it; no deadline is left."""
        self.state = State.ENDED
        self._ends_at = NEVER
        self._heartbeat = None

    # Heartbeat

    def pong(self, now: float) -> bool:
        """Note a pong; return False if none was expected."""
        return self._heartbeat is not None and self._heartbeat.pong(now)

    def ping(self, now: float) -> bool:
        """Return True if a ping must be sent now, and take it as sent."""
        return self._heartbeat is not None and self._heartbeat.ping(now)

    def stop(self, now: float) -> None:
        """Let the clock of the pong stand still: a command is being carried out."""
        if self._heartbeat is not None:
            self._heartbeat.stop(now)

    def resume(self, now: float) -> None:
        """Let the clock of the pong run on."""
        if self._heartbeat is not None:
            self._heartbeat.resume(now)

    # Time

    def verdict(self, now: float) -> Disconnect | None:
        """Return why the connection must end by now; None if it may live."""
        if now >= self._ends_at:
            return _TOO_LATE[self.state]
        return codes.NO_PONG if self._heartbeat is not None and self._heartbeat.is_overdue(now) else None

    def deadline(self) -> float:
        """Return when `verdict` and `ping` must be asked next."""
        return self._ends_at if self._heartbeat is None else min(self._ends_at, self._heartbeat.deadline())
