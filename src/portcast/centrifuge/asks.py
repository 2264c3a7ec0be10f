"""The commands of one connection that are being carried out: at most one in order, and some calls beside it."""

from __future__ import annotations

from portcast.centrifuge.decisions import Ask
from portcast.centrifuge.messages import Command, RpcRequest


class OpenAsks:
    """Which asks are not completed yet. Invariant: each is completed once."""

    __slots__ = ("_calls", "_open")

    def __init__(self) -> None:
        self._open: Ask | None = None
        # Most connections never call.
        self._calls: set[Ask] | None = None

    @property
    def is_busy(self) -> bool:
        """True while a command that is not a call is open."""
        return self._open is not None

    @property
    def calls(self) -> int:
        """How many calls are open."""
        return len(self._calls or ())

    def add(self, command: Command) -> Ask:
        """Open an ask."""
        ask = Ask(command)
        if isinstance(command.request, RpcRequest):
            self._calls = self._calls or set()
            self._calls.add(ask)
        else:
            assert self._open is None, "commands are carried out one after the other"
            self._open = ask
        return ask

    def complete(self, ask: Ask) -> None:
        """Close an ask that is open."""
        if isinstance(ask.command.request, RpcRequest):
            assert self._calls is not None, "a call is completed once"
            self._calls.remove(ask)
            self._calls = self._calls or None
        else:
            assert ask is self._open, "a command is completed once"
            self._open = None

    def clear(self) -> None:
        """Forget them all: nobody waits any more."""
        self._open = self._calls = None
