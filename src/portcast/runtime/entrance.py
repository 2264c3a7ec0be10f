"""From an accepted socket to a connection: the PROXY header, then TLS, whichever a listener asks for.

Whoever has not come through is a stranger, and there may be many. Each step has an absolute deadline, a stranger costs
an object and no task, and there are at most so many at a time: one more pushes out the oldest, which in a crowd of
those that never finish is one of them. Accepting waits for none of it.

The header comes before TLS and is read from the same transport; what follows it in one piece goes to the next step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from portcast.config import ListenerOptions
from portcast.errors import ProxyHeaderError
from portcast.events import ConnectionRefused, Emit, RefusalReason
from portcast.proxy import ProxyHeader, ProxyParser
from portcast.runtime.admission import Admission
from portcast.runtime.certificates import Certificates
from portcast.runtime.clock import Clock, Timer
from portcast.runtime.peers import Peers, host_of, peer_name
from portcast.runtime.tls_peer import TlsInfo
from portcast.runtime.tls_transport import TlsTransport

Enter = Callable[["Arrival"], "asyncio.Protocol | None"]
"""Makes the protocol of one who came through; it is not told of its transport yet. None: there is none, close."""


class Entrance:
    """What one listener, or the HTTP side, asks of those who connect."""

    def __init__(
        self,
        *,
        owner: str,
        options: ListenerOptions | None = None,
        certificates: Certificates | None,
        most: int,
        clock: Clock,
        emit: Emit,
        enter: Enter,
        left: Callable[[RefusalReason | None], object],
        admission: Admission | None = None,
    ) -> None:
        """Let nobody in yet.

        Args:
            owner: names the address in events.
            options: whose PROXY headers are taken; None if there are none.
            certificates: of TLS; None if it is spoken plainly.
            most: strangers at a time.
            clock: measures deadlines.
            emit: takes what happens.
            enter: see `Enter`.
            left: called when the socket of one who did not come through is gone, with the reason if there was one.
            admission: who may connect, by the real address; everybody if None. Who came through is its caller's to
                let go.
        """
        self.admission = admission
        self.owner = owner
        self.clock = clock
        self.certificates = certificates
        self.emit = emit
        self.enter = enter
        self.left = left
        self.trusted = Peers(options.proxy) if options is not None and options.proxy else None
        self.proxy_timeout_s = options.proxy_timeout_s if options is not None else 0.0
        self.is_closed = False
        self._most = most
        self._strangers: dict[Arrival, None] = {}
        """The oldest first."""

    def __len__(self) -> int:
        return len(self._strangers)

    def arrive(self, address: object = None) -> Arrival:
        """Return the protocol for a socket that was accepted.

        Args:
            address: as `socket.accept` gives it; None: the transport knows it.
        """
        return Arrival(self, address)

    def add(self, arrival: Arrival) -> None:
        """Note a stranger."""
        if len(self._strangers) >= self._most:
            next(iter(self._strangers)).refuse("crowded", f"{self._most} others had come as far")
        self._strangers[arrival] = None

    def make_room(self) -> bool:
        """End the stranger that has had a place for longest; return False if none has."""
        for one in self._strangers:
            if one.has_place:
                one.give_place_back()
                one.refuse("crowded", "its place went to a newcomer, its handshake was not done")
                return True
        return False

    def remove(self, arrival: Arrival) -> None:
        """Forget a stranger."""
        self._strangers.pop(arrival, None)

    def close(self) -> None:
        """Send all strangers away, also who comes later, without a word: it is not their fault."""
        self.is_closed = True
        for arrival in list(self._strangers):
            arrival.abort()


class Arrival(asyncio.Protocol):
    """One socket on its way in.

    Attributes:
        peer: who is there, as far as it is known.
        has_place: True while it counts in the entrance's admission, and will tell of its end there.
        is_made: True once it has a transport, which then tells of its end.
        proxy: what the proxy said; None before, and without one.
        tls: what the handshake has brought; None before, and without one.
        transport: what the next protocol writes to, once this one has come through.
    """

    __slots__ = (
        "_address",
        "_entrance",
        "_is_silent",
        "_parser",
        "_reason",
        "_timer",
        "has_place",
        "is_made",
        "peer",
        "proxy",
        "tls",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, entrance: Entrance, address: object) -> None:
        self.peer = "" if address is None else peer_name(address)
        self.is_made = False
        self.proxy: ProxyHeader | None = None
        self.tls: TlsInfo | None = None
        self._entrance = entrance
        self._address = address
        self._parser: ProxyParser | None = None
        self._timer: Timer | None = None
        self._reason: RefusalReason | None = None
        self._is_silent = False
        self.has_place = False

    # What the transport tells, until the next step has it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with the first step."""
        self.is_made = True
        self.transport = cast("asyncio.Transport", transport)
        entrance = self._entrance
        if self._address is None:
            self._address = transport.get_extra_info("peername") or "unix"
            self.peer = peer_name(self._address)
        if entrance.is_closed:  # accepted just before
            self.abort()
            return
        entrance.add(self)
        if entrance.trusted is None:
            self._begin_tls(b"")
        elif self._address not in entrance.trusted:
            self.refuse("proxy_untrusted", "it is in no network of a proxy")
        else:
            self._parser = ProxyParser()
            self._timer = entrance.clock.call_at(entrance.clock.time() + entrance.proxy_timeout_s, self._timed_out)

    def data_received(self, data: bytes) -> None:
        """Take a piece of the PROXY header."""
        if self._parser is None or self._reason is not None or self._is_silent:
            return
        try:
            header = self._parser.feed(data)
        except ProxyHeaderError as error:
            self.refuse("proxy_malformed", str(error))
            return
        if header is not None:
            self._stop_timer()
            self.proxy = header
            if header.source is not None:
                self.peer = peer_name(header.source)
            rest, self._parser = self._parser.rest, None
            self._begin_tls(rest)

    def eof_received(self) -> None:
        """Take the end of the peer's side."""
        self.refuse("gone", "it left before its PROXY header was complete")

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the socket."""
        if self._reason is None and self._parser is not None:
            self.refuse("gone", "it left before its PROXY header was complete")
        self._stop_timer()
        self._entrance.remove(self)
        self.give_place_back()
        self._entrance.left(self._reason)

    def give_place_back(self) -> None:
        """Count no more in the admission; does nothing the second time."""
        if self._entrance.admission is not None and self.has_place:
            self.has_place = False
            self._entrance.admission.left(host_of(self.peer))

    # Steps

    def _timed_out(self) -> None:
        self.refuse("proxy_timeout", f"no whole PROXY header within {self._entrance.proxy_timeout_s:g} s")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin_tls(self, rest: bytes) -> None:
        entrance, raw = self._entrance, self.transport
        if entrance.admission is not None:
            reason = entrance.admission.refusal(host_of(self.peer), entrance.clock.time())
            if reason is not None:
                self.refuse(reason, "")
                return
            self.has_place = True
        if entrance.certificates is None:
            self._enter(raw, rest)
            return
        tls = TlsTransport(entrance.certificates, self, entrance.clock)
        raw.set_protocol(tls)
        tls.connection_made(raw)
        if rest:
            tls.data_received(rest)

    def _enter(self, raw: asyncio.Transport, rest: bytes) -> None:
        self._entrance.remove(self)
        protocol = self._entrance.enter(self)
        if protocol is None:
            raw.abort()
            return
        raw.set_protocol(protocol)
        protocol.connection_made(raw)
        if rest:
            protocol.data_received(rest)

    def tls_open(self, transport: TlsTransport) -> asyncio.Protocol | None:
        """See `portcast.runtime.tls_transport.TlsOwner`."""
        self._entrance.remove(self)
        self.transport, self.tls = transport, transport.info
        return self._entrance.enter(self)

    def tls_failed(self, reason: RefusalReason, detail: str) -> None:
        """See `portcast.runtime.tls_transport.TlsOwner`."""
        self._tell(reason, detail)

    def refuse(self, reason: RefusalReason, detail: str) -> None:
        """End it now; the first reason counts."""
        self._tell(reason, detail)
        self.transport.abort()

    def abort(self) -> None:
        """End it now, and say nothing."""
        self._is_silent = True
        self._stop_timer()
        self.transport.abort()

    def _tell(self, reason: RefusalReason, detail: str) -> None:
        self._entrance.remove(self)
        self._stop_timer()
        if self._reason is None and not self._is_silent:
            self._reason = reason
            self._entrance.emit(ConnectionRefused(self._entrance.owner, self.peer, reason, detail))
