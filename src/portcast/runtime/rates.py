"""Token buckets: how much may come per second, on average and at once. No clock: time is an argument.

A bucket holds what may be taken now. It fills with its rate up to its burst, one second's worth and at least 1, unless
it is told another.
"""

from __future__ import annotations


class TokenBucket:
    """What is left for one peer."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, now: float, burst: float | None = None) -> None:
        """Begin full.

        Args:
            rate: tokens per second, more than 0.
            now: monotonic seconds.
            burst: tokens at once, at least 1; one second's worth if None.
        """
        self._rate = rate
        self._burst = self._tokens = max(1.0, rate) if burst is None else burst
        self._at = now

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now

    def is_taken(self, now: float) -> bool:
        """Take one token if there is one; return whether there was."""
        self._fill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def wait_s(self, now: float) -> float:
        """Return the seconds until there is a token, 0 if there is one; take none."""
        self._fill(now)
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def is_full(self, now: float) -> bool:
        """Return True if it is as in the beginning."""
        self._fill(now)
        return self._tokens >= self._burst

    def charge(self, tokens: int, now: float) -> float:
        """Take tokens, into debt if need be; return the seconds until the debt is paid, 0 if there is none."""
        self._fill(now)
        self._tokens -= tokens
        return max(0.0, -self._tokens / self._rate)


class Throttle:
    """What one peer may send: messages and bytes per second."""

    __slots__ = ("_bytes", "_messages")

    def __init__(self, messages: float, bytes_: float, now: float) -> None:
        """Begin with full buckets; a rate of 0 sets no limit."""
        self._messages = TokenBucket(messages, now) if messages else None
        self._bytes = TokenBucket(bytes_, now) if bytes_ else None

    def charge(self, messages: int, bytes_: int, now: float) -> float:
        """Count what came; return the seconds for which no more should be read, 0 to go on."""
        wait = self._messages.charge(messages, now) if self._messages is not None else 0.0
        return max(wait, self._bytes.charge(bytes_, now)) if self._bytes is not None else wait

    def is_full(self, now: float) -> bool:
        """Return True if it is as in the beginning, so that it may be forgotten and made again."""
        return all(one is None or one.is_full(now) for one in (self._messages, self._bytes))


class BucketTable:
    """A bucket for each of many peers, and a bound on how many are remembered.

    The peer not seen for longest is forgotten first, and begins with a full bucket when it comes back. Whoever has
    more addresses than the table has places is limited by the caps on connections instead.
    """

    def __init__(self, rate: float, most: int, burst: float | None = None) -> None:
        """Remember nobody yet.

        Args:
            rate: tokens per second of each peer, more than 0.
            most: peers remembered.
            burst: tokens of each peer at once, at least 1; one second's worth if None.
        """
        self._rate = rate
        self._most = most
        self._burst = burst
        self._buckets: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def is_taken(self, peer: str, now: float) -> bool:
        """Take one token of a peer if it has one; return whether it had."""
        bucket = self._buckets.pop(peer, None)
        if bucket is None:
            bucket = TokenBucket(self._rate, now, self._burst)
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
        # At the end again: the order is that of use.
        self._buckets[peer] = bucket
        return bucket.is_taken(now)

    def wait_s(self, peer: str, now: float) -> float:
        """Return the seconds until a peer has a token, 0 if it has one; take none, and remember nobody for it."""
        bucket = self._buckets.get(peer)
        return 0.0 if bucket is None else bucket.wait_s(now)
