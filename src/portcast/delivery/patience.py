"""How long a subscriber may hold its publishers (design: slow consumers).

A full allowance is ``patience`` seconds. It is spent second by second while the subscriber holds, and refilled slowly
while it does not, its full amount once in ``REFILL_S``: who is slow for a moment is waited for, who is slow all the
time cannot pause devices again and again.
"""

from __future__ import annotations

REFILL_S = 60.0
"""Seconds in which an empty allowance becomes full again."""


class Patience:
    """The allowance of one subscriber. Invariant: ``0 <= spent <= full``, settled up to ``_at``."""

    __slots__ = ("_at", "_is_holding", "_spent", "full_s")

    def __init__(self, now: float) -> None:
        self.full_s = 0.0
        """The largest patience of any topic that was delivered to the subscriber."""
        self._spent = 0.0
        self._at = now
        self._is_holding = False

    def _settle(self, now: float) -> None:
        passed = now - self._at
        if self._is_holding:
            self._spent = min(self.full_s, self._spent + passed)
        else:
            self._spent = max(0.0, self._spent - passed * self.full_s / REFILL_S)
        self._at = now

    def hold(self, now: float) -> None:
        """Begin to spend."""
        self._settle(now)
        self._is_holding = True

    def release(self, now: float) -> None:
        """Stop spending; refilling begins."""
        self._settle(now)
        self._is_holding = False

    def remaining(self, now: float) -> float:
        """Return the seconds that are left; 0 when spent."""
        self._settle(now)
        return self.full_s - self._spent
