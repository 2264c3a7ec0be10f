"""One bound address: accepts sockets and makes connections of them.

The accept loop is our own (`loop.sock_accept`), because `asyncio.Server` cannot pause accepting, logs a traceback
per failed accept and waits for connections in a way that differs between Python versions.

States: *bound* → *accepting* ⇄ *paused* (no room, or no descriptors; ends by itself) or *suspended* (by the user; ends
by `resume`) → *stopped*. While a listener does not accept, up to ``backlog`` connections wait in the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from portcast.address import Address
from portcast.config import ListenerOptions
from portcast.errors import ListenError
from portcast.events import (
    ConnectionClosed,
    ConnectionOpened,
    Emit,
    ListenerPaused,
    ListenerResumed,
    ListenerStarted,
    ListenerStopped,
)
from portcast.framing import Framing, describe
from portcast.runtime.connection import (
    DESCRIPTOR_ERRORS,
    Connection,
    Consumer,
    ConsumerFactory,
    peer_name,
    set_keepalive,
)
from portcast.runtime.registry import Registry
from portcast.types import ListenerName

ACCEPTS_PER_TICK = 64
"""Accepted in one go before the loop gets a turn; a connection storm must not starve those already connected."""
DESCRIPTOR_PAUSE_S = 0.1
"""How long accepting pauses when the process is out of file descriptors."""

State = Literal["bound", "accepting", "paused", "suspended", "stopped"]


@dataclass(frozen=True, slots=True)
class ListenerStatistics:
    """A snapshot of one listener.

    Attributes:
        connections: connected now.
        accepted: sockets accepted since start.
        frames: frames received since start, those of open connections included.
        bytes_received: bytes received since start.
        bytes_sent: bytes sent since start.
        errors: connections that ended for a reason that is a fault, by reason.
    """

    connections: int
    accepted: int
    frames: int
    bytes_received: int
    bytes_sent: int
    errors: dict[str, int]


ORDINARY_ENDS = frozenset({"peer_closed", "closed", "drain", "idle_timeout"})
"""Close reasons that are no fault of anyone."""


class Listener:
    """See the theory on top of the module."""

    def __init__(
        self,
        *,
        name: str | None,
        address: Address,
        framing: Framing,
        target: str,
        options: ListenerOptions,
        make_consumer: ConsumerFactory,
        registry: Registry,
        now: Callable[[], float],
        emit: Emit,
    ) -> None:
        """Prepare a listener; nothing is bound yet.

        Args:
            name: names it in logs and the API; its address as bound if None.
            address: where to bind; port 0 lets the system choose.
            framing: cuts its connections' bytes into frames.
            target: where frames go, in words: ``topic logs`` or ``handler on_reading``.
            options: limits and deadlines.
            make_consumer: what takes the frames of a new connection.
            registry: knows all connections of the process.
            now: monotonic seconds.
            emit: takes what happens.
        """
        self._has_own_name = name is not None
        self.name = ListenerName(address.url if name is None else name)
        self.address = address
        self.framing = framing
        self.target = target
        self.options = options
        self.now = now
        self.state: State = "bound"
        self._make_consumer = make_consumer
        self._registry = registry
        self._emit = emit
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._may_accept = asyncio.Event()
        # Counters: totals of connections that ended; open ones are added when asked.
        self._open: set[Connection] = set()
        self._accepted = self._frames = self._received = self._sent = 0
        self._errors: Counter[str] = Counter()
        registry.when_room(self._look_for_room)

    # Life

    def bind(self) -> None:
        """Bind and listen; connections wait in the backlog until `start`.

        Raises:
            ListenError: the address cannot be bound; it says why and what to do.
        """
        try:
            sock = _bound_unix(self.address.path) if self.address.scheme == "unix" else _bound_tcp(self.address)
        except OSError as error:
            raise _listen_error(self.address, error) from error
        try:
            sock.setblocking(False)
            sock.listen(self.options.backlog)
        except OSError as error:
            sock.close()
            raise _listen_error(self.address, error) from error
        self._socket = sock
        if self.address.scheme == "tcp":
            self.address = self.address.with_port(sock.getsockname()[1])
            if not self._has_own_name:
                self.name = ListenerName(self.address.url)

    def start(self) -> None:
        """Begin to accept."""
        assert self._socket is not None, "bind comes first"
        self.state = "accepting"
        self._may_accept.set()
        self._task = asyncio.get_running_loop().create_task(self._accept_all(self._socket), name=f"accept {self.name}")
        self._emit(ListenerStarted(self.name, self.address.url, self.framing_text, self.target))

    def suspend(self) -> None:
        """Stop accepting until `resume`; connections that are open stay."""
        if self.state in ("accepting", "paused"):
            self._pause("suspended", "suspended", "by the application")

    def resume(self) -> None:
        """Accept again after `suspend`."""
        if self.state == "suspended":
            self._unpause()

    async def stop(self) -> None:
        """Stop accepting for good and close the socket; connections that are open stay.

        What waits in the backlog is reset by the kernel. Cancelling leaves the socket closed.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            if self.address.scheme == "unix":
                _unlink_socket(self.address.path)
        if self.state != "stopped":
            self.state = "stopped"
            self._emit(ListenerStopped(self.name))

    @property
    def framing_text(self) -> str:
        """The framing in words."""
        return describe(self.framing)

    def statistics(self) -> ListenerStatistics:
        """Return a snapshot."""
        return ListenerStatistics(
            connections=len(self._open),
            accepted=self._accepted,
            frames=self._frames + sum(c.frames for c in self._open),
            bytes_received=self._received + sum(c.bytes_received for c in self._open),
            bytes_sent=self._sent + sum(c.bytes_sent for c in self._open),
            errors=dict(self._errors),
        )

    # Accepting

    @property
    def _has_room(self) -> bool:
        limit = self.options.max_connections
        return self._registry.has_room and (not limit or len(self._open) < limit)

    def _look_for_room(self) -> None:
        if self.state == "paused" and not self._may_accept.is_set() and self._has_room:
            self._unpause()

    def _pause(self, state: State, reason: Literal["max_connections", "descriptors", "suspended"], detail: str) -> None:
        self.state = state
        self._may_accept.clear()
        self._emit(ListenerPaused(self.name, reason, detail))

    def _unpause(self) -> None:
        self.state = "accepting"
        self._may_accept.set()
        self._emit(ListenerResumed(self.name))

    async def _accept_all(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._may_accept.wait()
            if not self._has_room:
                self._pause("paused", "max_connections", f"{self._registry.sockets} connections in the process")
                continue
            try:
                accepted = [await loop.sock_accept(sock)]
                if not self._may_accept.is_set():
                    # Suspended while waiting; this one had been accepted already and is served.
                    self._registry.socket_opened()
                else:
                    self._registry.socket_opened()
                    self._accept_more(sock, accepted)
            except OSError as error:
                await self._accept_failed(error)
                continue
            await asyncio.gather(*(self._connect(loop, one, peer) for one, peer in accepted))

    def _accept_more(self, sock: socket.socket, accepted: list[tuple[socket.socket, object]]) -> None:
        """Take what else waits in the backlog, without a trip through the loop for each."""
        limit = self.options.max_connections
        while len(accepted) < ACCEPTS_PER_TICK and self._registry.has_room:
            if limit and len(self._open) + len(accepted) >= limit:
                return
            try:
                one, peer = sock.accept()
            except OSError:
                # Nothing waits, or it failed: then the next `sock_accept` meets the failure again.
                return
            one.setblocking(False)
            accepted.append((one, peer))
            self._registry.socket_opened()

    async def _accept_failed(self, error: OSError) -> None:
        if error.errno in DESCRIPTOR_ERRORS:
            self._pause("paused", "descriptors", os.strerror(error.errno or 0))
            await asyncio.sleep(DESCRIPTOR_PAUSE_S)
            if self.state == "paused":
                self._unpause()
        elif error.errno not in (errno.ECONNABORTED, errno.EPROTO, errno.EINTR):
            # The socket itself is broken; without a pause this would spin.
            self._errors["accept"] += 1
            await asyncio.sleep(DESCRIPTOR_PAUSE_S)

    async def _connect(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, peer: object) -> None:
        self._accepted += 1
        connection: list[Connection] = []

        def make() -> Connection:
            connection.append(Connection(self, peer_name(peer)))
            return connection[0]

        try:
            await loop.connect_accepted_socket(make, sock)
        except OSError:
            # The peer is gone already.
            self._errors["accept"] += 1
            sock.close()
            if not connection or connection[0] not in self._open:
                self._registry.socket_closed()

    # What connections tell

    def connection_made(self, connection: Connection) -> Consumer:
        """Note an open connection and return what takes its frames."""
        self._open.add(connection)
        self._registry.add(connection)
        self._emit(ConnectionOpened(connection.id, self.name, connection.peer))
        return self._make_consumer(connection)

    def connection_lost(self, connection: Connection) -> None:
        """Note that the socket is gone."""
        self._registry.socket_closed()

    def connection_done(self, connection: Connection, event: ConnectionClosed) -> None:
        """Note that all is said about a connection."""
        self._open.discard(connection)
        self._frames += event.frames
        self._received += event.bytes_received
        self._sent += event.bytes_sent
        if event.reason not in ORDINARY_ENDS:
            self._errors[event.reason] += 1
        self._registry.forget(connection)
        self._emit(event)
        self._look_for_room()


def _bound_tcp(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    infos = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    info = next((i for i in infos if i[0] == family), infos[0])
    sock = socket.socket(info[0], socket.SOCK_STREAM)
    try:
        # Not SO_REUSEPORT: it would hide that another process listens there already, and share its devices.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if info[0] == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted sockets inherit these on Linux.
        set_keepalive(sock)
        sock.bind(info[4])
    except BaseException:
        sock.close()
        raise
    return sock


def _bound_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_stale(path):
                raise
            os.unlink(path)
            sock.bind(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_stale(path: str) -> bool:
    """Return True if the path is a socket that nobody listens on, left by a process that was killed."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
    return False


def _unlink_socket(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _listen_error(address: Address, error: OSError) -> ListenError:
    problem, hint = os.strerror(error.errno or 0) if error.errno else str(error), ""
    if isinstance(error, socket.gaierror):
        problem, hint = f"the host {address.host!r} is unknown", "write an address of this machine"
    elif error.errno == errno.EADDRINUSE:
        problem, hint = "the address is in use", "stop the process that listens there, or choose another port"
    elif error.errno in (errno.EACCES, errno.EPERM) and 0 < address.port < 1024:
        problem = "ports below 1024 need privileges"
        hint = "choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE"
    elif error.errno == errno.EADDRNOTAVAIL:
        problem, hint = "this machine has no such address", "bind one of its own, or 0.0.0.0 for all"
    return ListenError(address.url, problem, hint)
