"""How long a subscriber may hold its publishers (design: slow consumers).

A full allowance is ``patience`` seconds. It is spent while the subscriber holds and does not get on, and refilled
slowly while it does not hold, its full amount once in ``REFILL_S``: who is stuck for a moment is waited for, who is
stuck all the time cannot pause devices again and again.

*Getting on* costs nothing: a bulk feed is faster than any client, so a healthy one holds nearly all the time, a few
milliseconds for each batch, and must get the feed whole. Time counts when

* nothing was taken for ``GRACE_S`` (then from the last progress on), or
* one hold lasts longer than ``long_s``: a client that takes a little now and then is slow, too.
"""

from __future__ import annotations

REFILL_S = 60.0
"""Seconds in which an empty allowance becomes full again."""
GRACE_S = 0.1
"""Longest pause between two signs of progress that is free, and never more than a fifth of the full allowance. A sink
shows progress every 32 messages; with 100 busy sinks on one loop that is every 50 ms."""


class Patience:
    """The allowance of one subscriber. Invariant: ``0 <= spent <= full``.

    ``_spent`` was true at ``_at``: while holding, the last progress; otherwise when the last hold ended.
    """

    __slots__ = ("_at", "_held_since", "_is_holding", "_long_s", "_spent", "full_s")

    def __init__(self, now: float, long_s: float) -> None:
        """Prepare an allowance of nothing; its owner sets ``full_s``.

        Args:
            now: monotonic seconds.
            long_s: seconds after which a hold counts in spite of progress.
        """
        self.full_s = 0.0
        """The allowance: the largest patience that any of the subscriber's topics may have."""
        self._long_s = long_s
        self._spent = 0.0
        self._at = self._held_since = now
        self._is_holding = False

    def hold(self, now: float, since: float) -> None:
        """Begin to hold.

        Args:
            now: monotonic seconds.
            since: when the client took something last. Who has taken nothing for longer than its patience before
                anybody had to wait for it does not hold at all: a stuck client costs a steady feed nothing.
        """
        self._settle(max(since, self._at))
        self._held_since = now
        self._is_holding = True

    def progress(self, now: float) -> None:
        """Note that the client has taken something."""
        if self._is_holding:
            self._settle(now)

    def release(self, now: float) -> None:
        """Stop holding; refilling begins."""
        self._settle(now)
        self._is_holding = False

    def _settle(self, now: float) -> None:
        self._spent = self.spent(now)
        self._at = now

    @property
    def _grace_s(self) -> float:
        return min(GRACE_S, self.full_s / 5)

    def spent(self, now: float) -> float:
        """Return the seconds that are spent."""
        passed = now - self._at
        if not self._is_holding:
            return max(0.0, self._spent - passed * self.full_s / REFILL_S)
        counts = passed > self._grace_s or now - self._held_since > self._long_s
        return min(self.full_s, self._spent + passed) if counts else self._spent

    def remaining(self, now: float) -> float:
        """Return the seconds that are left; 0 when spent."""
        return self.full_s - self.spent(now)

    def until(self, value: float, now: float) -> float:
        """Return in how many seconds ``value`` seconds are spent if there is no progress; for one that holds."""
        return max(self._grace_s, value - self._spent) - (now - self._at)
