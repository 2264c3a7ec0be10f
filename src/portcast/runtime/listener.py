"""One bound address: accepts sockets and makes connections of them.

The accept loop is our own, because `asyncio.Server` cannot pause accepting, logs a traceback per failed accept and
waits for connections in a way that differs between Python versions. It waits until the socket is readable and accepts
then: `loop.sock_accept` would lose a connection that comes at the moment in which it is cancelled, and would take one
more after a suspension. It needs a loop with `add_reader`: any on Unix, `asyncio.SelectorEventLoop` on Windows.

States: *new* → *bound* → *accepting* ⇄ *paused* (no room, or no descriptors; ends by itself) or *suspended* (by the
user; ends by `resume`) → *stopped*. While a listener does not accept, up to ``backlog`` connections wait in the kernel.

The loop is one task. It is never cancelled: that could lose a socket between accept and connection. Whoever changes
the state wakes it, and it looks at the state again.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Callable
from typing import Literal

from portcast.address import Address
from portcast.config import ListenerOptions, TlsOptions
from portcast.events import (
    ConnectionClosed,
    ConnectionOpened,
    ConnectionRefused,
    Emit,
    ListenerPaused,
    ListenerResumed,
    ListenerStarted,
    ListenerStopped,
    RefusalReason,
)
from portcast.framing import Framing, RawFraming, describe
from portcast.runtime.admission import Admission, admission_of
from portcast.runtime.bind import bound_socket, close_listening, reset
from portcast.runtime.certificates import Certificates
from portcast.runtime.connection import Connection
from portcast.runtime.consumer import Consumer
from portcast.runtime.entrance import Arrival, Entrance
from portcast.runtime.limits import most_pending
from portcast.runtime.peers import host_of, peer_name
from portcast.runtime.registry import Registry
from portcast.runtime.statistics import ORDINARY_ENDS, ListenerStatistics
from portcast.types import ListenerName

ACCEPTS_PER_TICK = 64
"""Accepted in one go before the loop gets a turn; a connection storm must not starve those already connected."""
DESCRIPTOR_PAUSE_S = 0.1
"""How long accepting pauses when the process is out of file descriptors."""

DESCRIPTOR_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What `accept` fails with when the process or the machine has run out of something."""

ConsumerFactory = Callable[[Connection], Consumer]
"""Makes the consumer of a new connection."""

State = Literal["new", "bound", "accepting", "paused", "suspended", "stopped"]


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
        tls: TlsOptions | None = None,
        has_socket: bool = True,
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
            tls: what is shown to devices; they speak plainly if None or without a certificate.
            has_socket: False: nothing is bound, connections come from `adopt` alone.
        """
        self._has_own_name = name is not None
        self.name = ListenerName(address.url if name is None else name)
        self.address = address
        self.framing = framing
        self.target = target
        self.options = options
        self.refuses_http = address.scheme == "tcp" and not options.allow_http
        self.refuses_tls = address.scheme == "tcp" and not isinstance(framing, RawFraming)
        self.now = now
        self.state: State = "new"
        self._make_consumer = make_consumer
        self._registry = registry
        self.allowance = registry.allowance
        self.admission = admission_of(options)
        self.is_throttling = bool(options.message_rate or options.rate_bytes)
        self._emit = emit
        self._tls = tls if tls is not None and tls.is_enabled else None
        self._has_socket = has_socket
        self.certificates: Certificates | None = None
        """Of TLS, once it is bound."""
        self._entrance: Entrance | None = None
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._pause_timer: asyncio.TimerHandle | None = None
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
            ConfigurationError: a file of TLS cannot be used.
        """
        if self._has_socket:
            self._bind()
        self.state = "bound"

    def _bind(self) -> None:
        sock = self._socket = bound_socket(self.address, self.options.backlog)
        if self.address.scheme == "tcp":
            self.address = self.address.with_port(sock.getsockname()[1])
            if not self._has_own_name:
                self.name = ListenerName(self.address.url)
        if self._tls is not None:
            self.certificates = Certificates(self._tls, self.name, self._emit)
        if self._tls is not None or self.options.proxy:
            self._entrance = Entrance(
                owner=self.name,
                options=self.options,
                certificates=self.certificates,
                most=most_pending(self._registry.max_connections),
                clock=self._registry.clock,
                emit=self._emit,
                enter=self._enter,
                left=self._left,
                admission=self.admission,
            )

    def start(self) -> None:
        """Begin to accept."""
        assert self.state == "bound", "bind comes first"
        self.state = "accepting"
        if (sock := self._socket) is not None:
            self._task = asyncio.get_running_loop().create_task(self._accept_all(sock), name=f"accept {self.name}")
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

        What waits in the backlog is reset by the kernel. Cancelling leaves the socket closed, or about to be.
        """
        has_started = self.state not in ("new", "bound", "stopped")
        self._set_state("stopped")
        task, self._task = self._task, None
        try:
            if task is not None:
                await asyncio.wait([task])
        finally:
            if self._entrance is not None:
                self._entrance.close()
            sock, self._socket = self._socket, None
            if sock is not None:
                close_listening(sock, self.address)
            if has_started:
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
    def _taken(self) -> int:
        """How many connections there are, or may be in a moment."""
        return len(self._open) + (len(self._entrance) if self._entrance is not None else 0)

    @property
    def _has_room(self) -> bool:
        limit = self.options.max_connections
        return self._registry.has_room and (not limit or self._taken < limit)

    def _look_for_room(self) -> None:
        if self.state == "paused" and self._pause_timer is None and self._has_room:
            self._unpause()

    def _pause(self, state: State, reason: Literal["max_connections", "descriptors", "suspended"], detail: str) -> None:
        self._set_state(state)
        self._emit(ListenerPaused(self.name, reason, detail))

    def _unpause(self) -> None:
        self._set_state("accepting")
        self._emit(ListenerResumed(self.name))

    def _set_state(self, state: State) -> None:
        self.state = state
        self._wake.set()
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_timer = None

    async def _accept_all(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while self.state != "stopped":
            if self.state == "accepting" and not self._has_room:
                self._pause("paused", "max_connections", f"{self._registry.sockets} connections in the process")
            self._wake.clear()
            if self.state != "accepting":
                await self._wake.wait()
                continue
            loop.add_reader(sock, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                loop.remove_reader(sock)
            if self.state == "accepting":
                accepted = self._accept_some(sock)
                await asyncio.gather(*(self._connect(loop, one, peer) for one, peer in accepted))

    def _accept_some(self, sock: socket.socket) -> list[tuple[socket.socket, object]]:
        """Take what waits in the backlog, as much as there is room for, without a trip through the loop for each."""
        limit = self.options.max_connections
        accepted: list[tuple[socket.socket, object]] = []
        while len(accepted) < ACCEPTS_PER_TICK and self._registry.has_room:
            if limit and self._taken + len(accepted) >= limit:
                break
            try:
                one, peer = sock.accept()
            except OSError as error:
                self._accept_failed(error)
                break
            one.setblocking(False)
            accepted.append((one, peer))
            self._registry.socket_opened()
        return accepted

    def _accept_failed(self, error: OSError) -> None:
        if isinstance(error, (BlockingIOError, InterruptedError)) or error.errno in (errno.ECONNABORTED, errno.EPROTO):
            # Nothing waits any more, or that one connection was over before it began.
            return
        # No descriptors, or the socket itself is broken; without a pause this would spin.
        if error.errno not in DESCRIPTOR_ERRORS:
            self._errors["accept"] += 1
        self._pause("paused", "descriptors", os.strerror(error.errno or 0))
        self._pause_timer = asyncio.get_running_loop().call_later(DESCRIPTOR_PAUSE_S, self._pause_is_over)

    def _pause_is_over(self) -> None:
        self._pause_timer = None
        self._look_for_room()

    async def _connect(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, peer: object) -> None:
        self._accepted += 1
        name = peer_name(peer)
        # Behind an entrance it asks: the real address may come in a header.
        admission = self.admission if self._entrance is None else None
        if (reason := self._refusal(name, admission)) is not None:
            self._errors[reason] += 1
            reset(sock)
            self._registry.socket_closed()
            return
        protocol: Connection | Arrival | None = None
        try:
            made = protocol = self._entrance.arrive(peer) if self._entrance is not None else Connection(self, name)
            await loop.connect_accepted_socket(lambda: made, sock)
        except Exception:  # noqa: BLE001 - the peer is gone already, or a user's framing raised: one socket's failure
            self._errors["accept"] += 1
            if protocol is None or not protocol.is_made:
                sock.close()
                if admission is not None:
                    admission.left(host_of(name))
                self._registry.socket_closed()

    def _enter(self, arrival: Arrival) -> Connection | None:
        """Make a connection of a socket that has come through the entrance."""
        try:
            return Connection(self, arrival.peer, tls=arrival.tls, proxy=arrival.proxy)
        except Exception:  # noqa: BLE001 - a user's framing raised
            self._errors["accept"] += 1
            return None

    def _left(self, reason: RefusalReason | None) -> None:
        if reason is not None:
            self._errors[reason] += 1
        self._registry.socket_closed()

    def _refusal(self, peer: str, admission: Admission | None) -> RefusalReason | None:
        """Return why a peer may not come in, and tell of it; None: it may, and has its place."""
        reason: RefusalReason | None = "memory" if self._registry.is_paused else None
        if reason is None and admission is not None:
            reason = admission.refusal(host_of(peer), self.now())
        if reason is not None:
            self._emit(ConnectionRefused(self.name, peer, reason, ""))
        return reason

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after so many seconds of the node's clock."""
        self._registry.call_later(delay_s, callback)

    def adopt(self, transport: asyncio.Transport, peer: str) -> Connection:
        """Return a new connection over a transport that did not come through the socket, as from a test's memory.

        It counts like any other. The caller passes on what the transport receives, and its end, as a loop would.

        Args:
            transport: the way to the device.
            peer: the device's address, for `Connection.peer`.

        Raises:
            ConnectionRefusedError: the listener does not accept now, or has no room.
            Exception: whatever a user's framing raised when asked for a decoder.
        """
        if self.state != "accepting" or not self._has_room or self._registry.is_paused:
            raise ConnectionRefusedError(f"{self.name} takes no connection: {self.state}, {len(self._open)} are open")
        if (reason := self._refusal(peer, self.admission)) is not None:
            raise ConnectionRefusedError(f"{self.name} refuses {peer}: {reason}")
        connection = Connection(self, peer)
        self._registry.socket_opened()
        self._accepted += 1
        connection.connection_made(transport)
        return connection

    # What connections tell

    def connection_made(self, connection: Connection) -> Consumer:
        """Note an open connection and return what takes its frames."""
        self._open.add(connection)
        self._registry.add(connection)
        self._emit(ConnectionOpened(connection.id, self.name, connection.peer))
        return self._make_consumer(connection)

    def connection_lost(self, connection: Connection) -> None:
        """Note that the socket is gone."""
        if self.admission is not None:
            self.admission.left(host_of(connection.peer))
        self._registry.connection_lost(connection)

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
