"""All device connections of the process, how many there may be, and the one ticker that watches their deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING

from portcast.runtime.clock import Clock, Timer
from portcast.types import ConnectionId

if TYPE_CHECKING:
    from portcast.runtime.connection import Connection


class Allowance:
    """Bytes that devices may send until somebody has to look at memory again; without end unless somebody looks."""

    __slots__ = ("left", "spent")

    def __init__(self) -> None:
        self.left = inf
        self.spent: Callable[[], None] = lambda: None

    def spend(self, size: int) -> None:
        """Take so many bytes, and call ``spent`` once there are none left."""
        self.left -= size
        if self.left < 0:
            self.spent()


class Registry:
    """Knows every connection from accept until `ConnectionClosed`.

    Two counts: *sockets* that are open, which the budget limits, and *connections* that are known, among them those
    whose socket is gone while their frames are still being handled.

    One lazy ticker looks at all deadlines: it runs only while there are connections, and a look at 10 000 of them
    takes about two milliseconds a second. A timer per connection would cost more memory than the connection.
    """

    def __init__(self, clock: Clock, *, max_connections: int, tick_s: float = 1.0) -> None:
        self.clock = clock
        self._tick_s = tick_s
        self.max_connections = max_connections
        self.sockets = 0
        self.allowance = Allowance()
        self.is_paused = False
        """True while no device is read and none may come: memory is short."""
        self.tasks: set[asyncio.Task[None]] = set()
        """The tasks of all handlers, kept alive here and waited for at the stop."""
        self._connections: dict[ConnectionId, Connection] = {}
        self._timer: Timer | None = None
        self._room_callbacks: list[Callable[[], None]] = []
        self._lost_callbacks: list[Callable[[Connection], None]] = []

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections.values()))

    def get(self, connection_id: str) -> Connection | None:
        """Return the connection with this id, if it is known."""
        return self._connections.get(ConnectionId(connection_id))

    @property
    def has_room(self) -> bool:
        """True while another socket may be accepted."""
        return self.sockets < self.max_connections

    def when_room(self, callback: Callable[[], None]) -> None:
        """Call back whenever a socket was closed."""
        self._room_callbacks.append(callback)

    def add(self, connection: Connection) -> None:
        """Note a new connection."""
        self._connections[connection.id] = connection
        if self.is_paused:  # it was on its way in
            connection.wait_for_memory(is_short=True)
        if self._timer is None:
            self._timer = self.clock.call_at(self.clock.time() + self._tick_s, self._tick)

    def socket_opened(self) -> None:
        """Note an accepted socket, before it is a connection."""
        self.sockets += 1

    def socket_closed(self) -> None:
        """Note that a socket is gone."""
        self.sockets -= 1
        for callback in self._room_callbacks:
            callback()

    def when_lost(self, callback: Callable[[Connection], None]) -> None:
        """Call back whenever a connection has lost its socket."""
        self._lost_callbacks.append(callback)

    def connection_lost(self, connection: Connection) -> None:
        """Note that the socket of a connection is gone."""
        for callback in self._lost_callbacks:
            callback(connection)
        self.socket_closed()

    def forget(self, connection: Connection) -> None:
        """Note that all is said about a connection."""
        self._connections.pop(connection.id, None)

    def pause(self, is_paused: bool) -> None:
        """Read no device, whether it is connected or comes later, until called with False."""
        self.is_paused = is_paused
        for connection in self:
            connection.wait_for_memory(is_short=is_paused)

    def _tick(self) -> None:
        self._timer = None
        now = self.clock.time()
        for connection in list(self._connections.values()):
            connection.check_deadlines(now)
        if self._connections:
            self._timer = self.clock.call_at(now + self._tick_s, self._tick)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after so many seconds; never cancelled."""
        self.clock.call_at(self.clock.time() + delay_s, callback)

    def close(self) -> None:
        """Stop the ticker."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
