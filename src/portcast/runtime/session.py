"""What the runtime knows of a user's handler: these interfaces, and nothing of how it was declared.

`portcast.handlers` implements them; `portcast.gateway` joins the two.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from portcast.runtime.connection import Connection


class Session(Protocol):
    """One handler serving one connection. All methods run in the one task that the connection owns, in order.

    ``open`` first; then ``run`` once for a per-connection handler, or ``decode`` and ``handle`` once for each frame;
    last ``close``, also when ``open`` raised half-way or the task was cancelled.
    """

    async def open(self) -> None:
        """Run the dependencies that live as long as the connection."""
        ...

    async def run(self) -> None:
        """Run a per-connection handler to its end. Whatever it raises is passed on."""
        ...

    def decode(self, frame: bytes) -> object:
        """Return the message in one frame.

        Raises:
            CodecError: the codec refused the frame. Only here is that the device's fault: a handler may raise it, too,
                when it sends or publishes what cannot be expressed.
        """
        ...

    def handle(self, message: object) -> Awaitable[object]:
        """Run the message's dependencies and the handler, close the dependencies, return the handler's result.

        Raises:
            MessageUnhandled: no handler takes it.
            Exception: whatever the handler or a dependency raised; its yield-dependencies have seen it.
        """
        ...

    async def failed(self, error: Exception) -> None:
        """Take note of an error of a message, of its frame, or of `run`; all but the last is counted and logged."""
        ...

    async def idle(self) -> None:
        """Take note that the device is silent."""
        ...

    async def close(self, error: BaseException | None) -> None:
        """Close the connection's yield-dependencies in reverse order; they see ``error`` if there is one."""
        ...


class Handler(Protocol):
    """A user's function, compiled. Shared by all connections of its listener."""

    @property
    def name(self) -> str:
        """The function's qualified name, for logs."""
        ...

    @property
    def is_per_connection(self) -> bool:
        """True if the function is called once per connection, False if once per message."""
        ...

    @property
    def needs_open(self) -> bool:
        """True if dependencies must run at connect; otherwise the task starts with the first frame."""
        ...

    @property
    def has_idle_hook(self) -> bool:
        """True if `Session.idle` is to be called when the device was silent for half of ``idle_timeout``."""
        ...

    def session(self, connection: Connection) -> Session:
        """Return a fresh session for one connection."""
        ...
