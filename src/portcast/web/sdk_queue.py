"""Commands of one SDK client that wait for their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from portcast.centrifuge.messages import Command

MAX_QUEUED = 4096
"""Commands that may wait. A reconnect brings 129; what an app does at once is far below what floods."""

MAX_QUEUED_BYTES = 1_048_576
"""Bytes of frames whose commands wait. A reconnect with 128 subscriptions and tokens has 60 KiB."""


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

    @property
    def is_too_long(self) -> bool:
        """True if more waits than may."""
        return self._size > MAX_QUEUED_BYTES or len(self._commands or ()) > MAX_QUEUED

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
