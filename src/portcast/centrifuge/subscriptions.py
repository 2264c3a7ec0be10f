"""The subscriptions of one connection.

A channel has one standing at a time:

============  =============================================  ======================================================
standing      entered by                                     left by
============  =============================================  ======================================================
(none)        the beginning, and `remove`                    `begin`, `add`
SUBSCRIBING   a subscribe command (`begin`)                  `confirm` to CLIENT_SIDE, `remove`
CLIENT_SIDE   the app agreed                                 `remove`: the client or the server ended it, it expired
SERVER_SIDE   the server subscribed the client (`add`)       `remove`
============  =============================================  ======================================================

Commands are in order, so at most one channel is SUBSCRIBING. A server that wants to end it meanwhile cannot: a client
does not heed the push before the reply (centrifuge-js, ``_handleUnsubscribe``). So it is *doomed*: `confirm` says so,
and it ends right after the reply.

The limit counts every standing. A standing is a shared object, not one per channel: what few subscriptions have (an
expiry) is kept apart.

A subscription that the server ends gives two decisions: a `Detach` for the shell, and the push for the client. Some
ends are the connection's end, too; then a `Disconnect` is the last decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from portcast.centrifuge import codes
from portcast.centrifuge.codes import ReplyError, Unsubscribe
from portcast.centrifuge.deadlines import NEVER, Lifetime
from portcast.centrifuge.decisions import Decision, Detach
from portcast.centrifuge.guard import GapGuard
from portcast.centrifuge.messages import Push, Reply, UnsubscribePush
from portcast.centrifuge.options import SessionOptions


class Standing(Enum):
    """See the table on top of the module."""

    SUBSCRIBING = "subscribing"
    CLIENT_SIDE = "client-side"
    SERVER_SIDE = "server-side"


class _Expiry(NamedTuple):
    at: float
    is_refreshed_by_client: bool


class Subscriptions:
    """Which channels a connection has, and until when."""

    __slots__ = ("_doom", "_expiries", "_guard", "_options", "_standings")

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self._standings: dict[str, Standing] = {}
        # Why the channel that is SUBSCRIBING must end as soon as it is there.
        self._doom: Unsubscribe | None = None
        # Of those that expire or are refreshed by the client; most connections have none.
        self._expiries: dict[str, _Expiry] | None = None
        # Few connections ever have a gap.
        self._guard: GapGuard | None = None

    def __len__(self) -> int:
        return len(self._standings)

    def __iter__(self) -> Iterator[str]:
        """Yield the channels that are subscribed, not the one that is SUBSCRIBING."""
        return (channel for channel, standing in self._standings.items() if standing is not Standing.SUBSCRIBING)

    def standing(self, channel: str) -> Standing | None:
        """Return the standing of a channel; None if there is none."""
        return self._standings.get(channel)

    def begin(self, channel: str) -> ReplyError | None:
        """Make a channel SUBSCRIBING; return why that cannot be: error 105 or 106."""
        refusal = self._refusal(channel)
        if refusal is None:
            self._standings[channel] = Standing.SUBSCRIBING
            self._doom = None
        return refusal

    def _refusal(self, channel: str) -> ReplyError | None:
        if channel in self._standings:
            return codes.ALREADY_SUBSCRIBED
        return codes.LIMIT_EXCEEDED if len(self._standings) >= self._options.max_subscriptions else None

    def confirm(self, channel: str, lifetime: Lifetime, now: float) -> list[Decision]:
        """Make the channel CLIENT_SIDE; return what must follow the reply, nothing if it may stay."""
        self._standings[channel] = Standing.CLIENT_SIDE
        self.keep(channel, lifetime, now)
        return self.end(channel, self._doom) if self._doom else []

    def add(self, channel: str, lifetime: Lifetime, now: float) -> ReplyError | None:
        """Make a channel SERVER_SIDE; return why that cannot be, as `begin`."""
        refusal = self._refusal(channel)
        if refusal is None:
            self._standings[channel] = Standing.SERVER_SIDE
            # The protocol has no refresh for these: the client knows no token of theirs.
            self.keep(channel, Lifetime(lifetime.ttl_s), now)
        return refusal

    def remove(self, channel: str) -> bool:
        """Forget a channel; return False if it had no standing."""
        if self._expiries is not None:
            self._expiries.pop(channel, None)
        return self._standings.pop(channel, None) is not None

    # Ends that the server decides

    def end(self, channel: str, unsubscribe: Unsubscribe) -> list[Decision]:
        """End the subscription to a channel, or doom the one that is SUBSCRIBING; the first doom stays."""
        standing = self._standings.get(channel)
        if standing is None:
            return []
        if standing is Standing.SUBSCRIBING:
            self._doom = self._doom or unsubscribe
            return []
        self.remove(channel)
        push = Push(UnsubscribePush(unsubscribe.code, unsubscribe.reason), channel)
        return [Detach(channel, unsubscribe), Reply(0, push)]

    def insufficient(self, channel: str, now: float) -> list[Decision]:
        """End what has a gap: with 2500, on the server's side with 3010, too often within a minute with 3008."""
        standing = self._standings.get(channel)
        if standing is None:
            return []
        if standing is Standing.SERVER_SIDE:
            return [codes.INSUFFICIENT]
        if self._guard is None:
            self._guard = GapGuard(self._options.max_gaps_per_minute)
        return self.end(channel, codes.INSUFFICIENT_STATE) if self._guard.allows(now) else [codes.SLOW]

    def expire(self, now: float) -> list[Decision]:
        """End those whose lifetime is over: with 2501, on the server's side with 3006."""
        decisions: list[Decision] = []
        for channel in [channel for channel, expiry in (self._expiries or {}).items() if now >= expiry.at]:
            if self._standings[channel] is Standing.SERVER_SIDE:
                return [*decisions, codes.SUB_EXPIRED]
            decisions += self.end(channel, codes.SUBSCRIPTION_EXPIRED)
        return decisions

    # Lifetimes

    def keep(self, channel: str, lifetime: Lifetime, now: float) -> None:
        """Begin a lifetime of a channel's subscription."""
        if lifetime.ttl_s is None and not lifetime.is_refreshed_by_client:
            return
        if self._expiries is None:
            self._expiries = {}
        self._expiries[channel] = _Expiry(
            lifetime.until(now, self._options.refresh_grace_s), lifetime.is_refreshed_by_client
        )

    def is_refreshed_by_client(self, channel: str) -> bool:
        """Return True if a ``sub_refresh`` for the channel makes sense."""
        expiry = (self._expiries or {}).get(channel)
        return expiry is not None and expiry.is_refreshed_by_client

    def next_expiry(self) -> float:
        """Return when the next lifetime is over."""
        return min((expiry.at for expiry in (self._expiries or {}).values()), default=NEVER)
