"""TLS between a socket's transport and the protocol above it: a protocol to the one, a transport to the other.

Not the event loop's own TLS, for four reasons. It buffers without a bound of ours and keeps 256 KiB per connection;
here ciphertext is made when something is written and read when something comes, so all that waits does so in the
socket's transport, whose marks and pauses hold unchanged. It ends with the peer's half, and an answer that was still
being made is lost; here a peer that has said goodbye can be written to (RFC 8446 §6.1). Its deadlines end differently
on asyncio and uvloop. And it begins with the first byte, where a PROXY header may stand.

Stages::

    hello ──► handshake ──► open ──► goodbye ──► over
    which name is asked for    │ close()   peer's goodbye, its end, or the deadline
                               └─► over: broken, aborted, or the socket is gone

* *hello* and *handshake* share one absolute deadline. A failure is told to the owner, once, and ends the socket.
* *open*: a goodbye or an end from the peer is an end of its stream to the protocol, which may go on writing.
* *goodbye*: our goodbye follows what was written. Once all of that is with the kernel, the peer has the shutdown
  deadline to answer, so that nothing that it had under way resets the connection before it has read ours; what it
  still sends is thrown away. Until then the deadlines of the protocol above hold, as for a transport without TLS.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal, Protocol, cast

from portcast.events import RefusalReason
from portcast.runtime.certificates import Certificates
from portcast.runtime.client_hello import server_name
from portcast.runtime.clock import Clock, Timer
from portcast.runtime.tls_peer import TlsInfo, handshake_failure, tls_info

READ_BYTES = 65_536
"""Asked of OpenSSL at a time; it gives one record, 16 KiB at most."""
MOST_CONTROL_BYTES = 16_384
"""Answers that a peer may make us owe (new keys, RFC 8446 §4.6.3) while it does not read."""

Stage = Literal["hello", "handshake", "open", "goodbye", "over"]


class TlsOwner(Protocol):
    """What is told of a handshake's end."""

    def tls_open(self, transport: TlsTransport) -> asyncio.Protocol | None:
        """Return the protocol for an open connection, not told of its transport yet; None ends it."""
        ...

    def tls_failed(self, reason: RefusalReason, detail: str) -> None:
        """Take note that the handshake failed; the socket is about to be closed."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the socket of a handshake that has failed is gone."""
        ...


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """See the theory on top of the module.

    Attributes:
        info: what the handshake has brought; only from `TlsOwner.tls_open` on.
    """

    __slots__ = (
        "_buffer",
        "_certificates",
        "_clock",
        "_error",
        "_has_ended",
        "_incoming",
        "_is_full",
        "_is_paused",
        "_name",
        "_outgoing",
        "_owner",
        "_protocol",
        "_raw",
        "_stage",
        "_timer",
        "_tls",
        "info",
    )

    info: TlsInfo
    _raw: asyncio.Transport
    _tls: ssl.SSLObject
    _protocol: asyncio.Protocol

    def __init__(self, certificates: Certificates, owner: TlsOwner, clock: Clock) -> None:
        super().__init__()
        self._certificates = certificates
        self._owner = owner
        self._clock = clock
        self._stage: Stage = "hello"
        self._timer: Timer | None = None
        self._buffer = b""
        self._name = ""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        # Towards the protocol.
        self._is_paused = False
        self._has_ended = False
        self._error: Exception | None = None
        # Towards the socket: its transport has told us to pause.
        self._is_full = False

    # What the socket's transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Await the handshake."""
        self._raw = cast("asyncio.Transport", transport)
        self._set_timer(self._certificates.options.handshake_timeout_s, self._handshake_timed_out)

    def data_received(self, data: bytes) -> None:
        """Take ciphertext."""
        if self._stage == "hello":
            self._hello(data)
        elif self._stage != "over" and not self._has_ended:
            # After its goodbye OpenSSL reads no more, and the rest would pile up.
            self._incoming.write(data)
            self._advance()

    def eof_received(self) -> bool:
        """Take the end of the peer's side, with or without a goodbye before it; True keeps ours open."""
        if self._stage in ("hello", "handshake"):
            self._fail("gone", "it left during the handshake")
        elif self._stage == "open":
            if self._incoming.pending:
                self._read()
            if self._stage == "open":
                self._peer_ended()
        return self._stage == "open"

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the socket."""
        was_open = hasattr(self, "_protocol")
        if self._stage in ("hello", "handshake"):
            self._fail("gone", "it left during the handshake")
        self._over()
        if was_open:
            protocol = self._protocol
            # Protocol and transport know each other, and what OpenSSL holds is too much to wait for the collector.
            del self._protocol
            protocol.connection_lost(self._error or exc)
        else:
            self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on that too much waits for the peer."""
        self._is_full = True
        if hasattr(self, "_protocol"):
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the peer has taken what waited."""
        self._is_full = False
        self._flush()
        if hasattr(self, "_protocol"):
            self._protocol.resume_writing()
        if self._stage == "goodbye":
            self._await_goodbye()

    # Handshake

    def _hello(self, data: bytes) -> None:
        self._buffer += data
        name = server_name(self._buffer)
        if name is None:
            return
        self._name = name
        context = self._certificates.context_for(name)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._stage = "handshake"
        self._incoming.write(self._buffer)
        self._buffer = b""
        self._advance()

    def _advance(self) -> None:
        """Do what the ciphertext that has come allows."""
        if self._stage == "handshake":
            self._shake_hands()
        if self._stage == "open" and not self._is_paused:
            self._read()
        elif self._stage == "goodbye":
            self._discard()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()  # the alert that says why
            self._fail(*handshake_failure(error))
            return
        self._flush()
        self._stop_timer()
        self.info = tls_info(self._tls, self._name)
        self._stage = "open"
        protocol = self._owner.tls_open(self)
        if protocol is None:
            self.abort()
            return
        self._protocol = protocol
        protocol.connection_made(self)

    def _handshake_timed_out(self) -> None:
        self._fail("tls_timeout", f"no handshake within {self._certificates.options.handshake_timeout_s:g} s")
        self._raw.abort()

    def _fail(self, reason: RefusalReason, detail: str) -> None:
        self._over()
        self._owner.tls_failed(reason, detail)
        self._raw.close()

    # In

    def _read(self) -> None:
        pieces = []
        try:
            while piece := self._tls.read(READ_BYTES):
                pieces.append(piece)
            has_ended = True
        except ssl.SSLWantReadError:
            has_ended = False
        except ssl.SSLZeroReturnError:
            has_ended = True
        except ssl.SSLError as error:
            self._break(error)
            return
        if pieces:
            self._protocol.data_received(b"".join(pieces))
        if self._stage == "open" and self._outgoing.pending:
            self._answer()
        if has_ended and self._stage == "open":
            self._peer_ended()

    def _answer(self) -> None:
        """Send what TLS itself has to say; while the peer does not read, that waits for it, but not without end."""
        if not self._is_full:
            self._flush()
        elif self._outgoing.pending > MOST_CONTROL_BYTES:
            self._break(ConnectionAbortedError("it makes us answer and does not read"))

    def _peer_ended(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            if not self._protocol.eof_received():
                self.close()

    def _break(self, error: Exception) -> None:
        self._error = error
        self.abort()

    def _resumed(self) -> None:
        if self._stage == "open" and not self._is_paused:
            self._read()

    # Out

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """See `asyncio.WriteTransport.write`; what comes after `close` is dropped."""
        if self._stage != "open" or not data:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._break(error)
            return
        self._flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """See `asyncio.WriteTransport.writelines`; one write, so few records and one system call."""
        self.write(b"".join(list_of_data))

    # The end

    def close(self) -> None:
        """Say goodbye after what was written, then close; see the theory."""
        if self._stage != "open":
            return
        self._stage = "goodbye"
        # It does not wait: without the peer's goodbye it asks for more to read.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        if self._has_ended:
            self._raw.close()
            return
        if self._is_paused and not self._raw.is_closing():
            self._raw.resume_reading()
        # From here on "full" means that anything waits at all.
        self._raw.set_write_buffer_limits(high=0)
        if not self._raw.get_write_buffer_size():
            self._await_goodbye()

    def _await_goodbye(self) -> None:
        timeout = self._certificates.options.shutdown_timeout_s
        if self._timer is None and not self._raw.is_closing():
            self._set_timer(timeout, self.abort) if timeout else self._raw.close()

    def _discard(self) -> None:
        try:
            while self._tls.read(READ_BYTES):
                pass
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            pass  # its goodbye, or nonsense: in either case the end
        self._raw.close()

    def abort(self) -> None:
        """See `asyncio.WriteTransport.abort`."""
        self._over()
        self._raw.abort()

    def _over(self) -> None:
        self._stage = "over"
        self._buffer = b""
        self._stop_timer()

    def _set_timer(self, seconds: float, callback: Any) -> None:
        self._timer = self._clock.call_at(self._clock.time() + seconds, callback)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What else a transport can do

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport.is_closing`."""
        return self._stage in ("goodbye", "over") or self._raw.is_closing()

    def is_reading(self) -> bool:
        """See `asyncio.ReadTransport.is_reading`."""
        return not self._is_paused and not self.is_closing()

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport.pause_reading`; what has come already waits, one read of the socket at most."""
        if not self._is_paused and not self.is_closing():
            self._is_paused = True
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport.resume_reading`."""
        if self._is_paused and not self.is_closing():
            self._is_paused = False
            self._raw.resume_reading()
            if self._incoming.pending or self._tls.pending():
                self._clock.call_soon(self._resumed)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport.set_write_buffer_limits`; in bytes of ciphertext."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport.get_write_buffer_size`; in bytes of ciphertext."""
        return self._raw.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """Return False: the end of our side is `close`."""
        return False

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio.BaseTransport.get_protocol`."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport.set_protocol`."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport.get_extra_info`, with ``ssl_object``, ``sslcontext``, ``peercert``, ``cipher``."""
        if name == "ssl_object":
            return self._tls
        if name == "sslcontext":
            return self._tls.context
        if name == "peercert":
            return self._tls.getpeercert()
        if name == "cipher":
            return self._tls.cipher()
        return self._raw.get_extra_info(name, default)
