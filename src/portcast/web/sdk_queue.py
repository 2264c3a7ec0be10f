"""Commands of one SDK client that wait for their turn, and what happens when too many do.

One that sends faster than its commands are carried out (a bulk of publications while a function of the app is slow, or
while the topic is held) is not read for a while: TCP slows it down, and nothing is lost. If not one command is done for
too long, it is read again, and more ends the connection with 3013; so does too much at once where the way in cannot be
held: requests beside a stream.

One that sends more than its rate (``[http] message_rate``, ``rate_bytes``) is not read until the average is right
again, however fast its commands are carried out; where it cannot be held, that ends the connection with 3013, too.

One that publishes while memory is short (`portcast.runtime.memory`) is not read until there is enough
(`portcast.web.sdk_commands`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from portcast.centrifuge.messages import Command
from portcast.runtime.rates import Throttle as RateThrottle

MAX_QUEUED = 4096
"""Commands that may wait. A reconnect brings 129; what an app does at once is far below what floods."""

MAX_QUEUED_BYTES = 1_048_576
"""Bytes of frames whose commands wait. A reconnect with 128 subscriptions and tokens has 60 KiB."""

MAX_STILL_S = 10.0
"""How long a client is held while not one of its commands is done: no function of an app should take longer. Meanwhile
nobody sees that the client leaves."""


class CommandQueue:
    """Commands in order. A frame counts with all its bytes until its last command is taken."""

    __slots__ = ("_commands", "_size")

    def __init__(self) -> None:
        # Made when something must wait: most clients never have a queue, and an empty deque costs 600 bytes.
        self._commands: deque[tuple[Command, int]] | None = None
        self._size = 0

    def __bool__(self) -> bool:
        """Return True if a command waits."""
        return bool(self._commands)

    def __len__(self) -> int:
        """Return how many commands wait."""
        return len(self._commands or ())

    @property
    def is_too_long(self) -> bool:
        """True if more waits than may."""
        return self._size > MAX_QUEUED_BYTES or len(self) > MAX_QUEUED

    @property
    def is_short(self) -> bool:
        """True if at most half of what may wait does."""
        return self._size <= MAX_QUEUED_BYTES // 2 and len(self) <= MAX_QUEUED // 2

    def put(self, commands: Sequence[Command], size: int) -> None:
        """Add the commands of a frame of ``size`` bytes."""
        if not commands:
            return
        if self._commands is None:
            self._commands = deque()
        self._commands.extend([(command, 0) for command in commands[:-1]])
        self._commands.append((commands[-1], size))
        self._size += size

    def take(self) -> Command:
        """Return the next command; there must be one."""
        assert self._commands, "there is one"
        command, size = self._commands.popleft()
        self._size -= size
        if not self._commands:
            self._commands = None
        return command

    def clear(self) -> None:
        """Forget them all."""
        self._commands, self._size = None, 0


class Reader(Protocol):
    """The way in of a client, as far as it can be held."""

    @property
    def can_be_held_long(self) -> bool:
        """True if the client is not taken for dead meanwhile, for want of pongs that nobody can read."""
        ...

    def hold_reading(self) -> None:
        """Read nothing more; a little may still come."""
        ...

    def read_on(self) -> None:
        """Read again."""
        ...


class SharedReader:
    """A way in that several may hold: it is read again when all have let go."""

    __slots__ = ("_holders", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._holders = 0

    @property
    def can_be_held_long(self) -> bool:
        """See `Reader`."""
        return self._reader.can_be_held_long

    def hold_reading(self) -> None:
        """See `Reader`."""
        self._holders += 1
        if self._holders == 1:
            self._reader.hold_reading()

    def read_on(self) -> None:
        """See `Reader`; once for each `hold_reading`."""
        self._holders -= 1
        if not self._holders:
            self._reader.read_on()


class Pace:
    """What one client sends per second; made when it sends something, and forgotten when it is silent."""

    __slots__ = ("_held_until", "_reader", "_throttle")

    def __init__(self, throttle: RateThrottle, reader: Reader | None) -> None:
        """Begin.

        Args:
            throttle: what it may send.
            reader: its way in; None if that cannot be held.
        """
        self._throttle = throttle
        self._reader = reader
        self._held_until: float | None = None

    def allows(self, messages: int, size: int, now: float) -> bool:
        """Count what came; hold the way in if it was too much. Return False if it cannot be held."""
        wait_s = self._throttle.charge(messages, size, now)
        if not wait_s:
            return True
        if self._reader is None:
            return False
        if self._held_until is None:
            self._reader.hold_reading()
        self._held_until = now + wait_s
        return True

    def look(self, now: float) -> bool:
        """Read on if it is time; return True if nothing is left to remember. To be called now and then."""
        if self._held_until is not None and now >= self._held_until and self._reader is not None:
            self._held_until = None
            self._reader.read_on()
        return self._held_until is None and self._throttle.is_full(now)


class Throttle:
    """Holds the way in while too much waits; made when that begins."""

    __slots__ = ("_reader", "_since", "_waiting", "is_spent")

    def __init__(self, reader: Reader, waiting: int, now: float) -> None:
        """Hold it.

        Args:
            reader: the way in.
            waiting: commands in the queue.
            now: monotonic seconds.
        """
        self._reader = reader
        self._waiting = waiting
        self._since = now
        # Held for nothing for too long: read again, and if more comes than may wait, that is the end.
        self.is_spent = False
        reader.hold_reading()

    def look(self, waiting: int, now: float) -> None:
        """Read on if nothing has moved for `MAX_STILL_S`; to be called now and then."""
        if waiting < self._waiting:
            self._waiting, self._since = waiting, now
        elif not self.is_spent and now - self._since >= MAX_STILL_S:
            self.is_spent = True
            self._reader.read_on()

    def end(self) -> None:
        """Read on: the queue is short again."""
        if not self.is_spent:
            self._reader.read_on()
