"""One accepted socket: bytes in, frames to its consumer, frames out to the device.

States::

    open ──────────► closing ──────────► lost ──────────► done
          end of stream,        transport gone     consumer has
          fault, close()                           handled all it got

* *open*: bytes are decoded as they come. Reading pauses when the consumer says so and resumes when it asks.
* *closing*: nothing more is decoded. After an orderly end of the stream the socket stays writable until the consumer
  has handled what was received, so that a device that half-closes still gets its answers (RFC 9293 §3.6).
* *lost*: the socket is gone, what was received before is still being handled.
* *done*: `ConnectionClosed` is emitted, exactly once, and the registry forgets the connection.

A framing error ends the connection, but the good frames before it are delivered first. An exception never leaves a
protocol callback: both loops would close the socket and write a traceback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from portcast.errors import ConnectionClosedError
from portcast.events import CloseReason, ConnectionClosed
from portcast.runtime.connection_deadlines import Deadlines
from portcast.runtime.connection_output import is_ordinary_reset
from portcast.runtime.consumer import Consumer
from portcast.runtime.rates import Throttle
from portcast.runtime.stray_clients import HTTP_REFUSAL, TLS_REFUSAL, is_http_request, is_tls_hello
from portcast.runtime.tap import Tap, TappedDecoder

if TYPE_CHECKING:
    from portcast.framing import FrameDecoder
    from portcast.proxy import ProxyHeader
    from portcast.runtime.listener import Listener
    from portcast.runtime.tls_peer import TlsInfo

DISCARDING = frozenset({"closed", "handler_failed", "bad_frames", "replaced", "rejected", "unauthenticated"})
"""Reasons after which frames that wait are not handled."""


class Connection(Deadlines):
    """One device's connection, as handlers see it.

    Everything here belongs to the loop that runs the app; from another thread use
    ``loop.call_soon_threadsafe``.

    Attributes:
        frames: frames received so far.
        bytes_received: bytes received so far.
        bytes_sent: bytes handed to the transport so far.
        throttle: what it may send; None without limits. Connections of one device share it.
        throttled: how often reading paused because it sent more than ``message_rate`` or ``rate_bytes``.
        received_at: when something was received last, or reading began again after a pause; monotonic seconds.
        is_admitted: False until the device has shown who it is, where its listener asks.
        is_made: True once it has a transport, which then tells of its end.
    """

    __slots__ = (
        "_close_detail",
        "_close_reason",
        "_consumer",
        "_consumer_is_done",
        "_consumer_is_full",
        "_decoder",
        "_is_aborted",
        "_is_finished",
        "_is_lost",
        "_is_reading",
        "_is_throttled",
        "_undelivered",
        "_waits_for_memory",
        "bytes_received",
        "frames",
        "is_admitted",
        "is_made",
        "received_at",
        "throttle",
        "throttled",
    )

    _consumer: Consumer

    def __init__(
        self, listener: Listener, peer: str, *, tls: TlsInfo | None = None, proxy: ProxyHeader | None = None
    ) -> None:
        self._decoder: FrameDecoder = listener.framing.decoder()
        self._begin_endpoint(listener, peer, tls, proxy)
        # Progress, for deadlines and counters.
        self.received_at = self.opened_at
        self.frames = 0
        self.bytes_received = 0
        self.throttled = 0
        self._begin_deadlines()
        self.throttle: Throttle | None = None
        if listener.is_throttling:
            options = listener.options
            self.throttle = Throttle(options.message_rate, options.rate_bytes, self.opened_at)
        self._begin_output()
        # How far the connection is on its way in and out.
        self.is_made = False
        self.is_admitted = True
        # Reading stops while the consumer is full, while it has sent more than it may, and while memory is short.
        self._is_reading = True
        self._consumer_is_full = False
        self._is_throttled = False
        self._waits_for_memory = False
        self._is_aborted = False
        self._is_lost = False
        self._consumer_is_done = False
        self._is_finished = False
        self._close_reason: CloseReason | None = None
        self._close_detail = ""
        self._undelivered = 0

    # What handlers use

    @property
    def is_open(self) -> bool:
        """True while frames can be sent: until `close`, until the device is gone, or until all its frames are handled.

        A device that ended its side only (half-close) still gets what is sent while its last frames are handled.
        """
        return not (self._is_lost or self._is_aborted or self._consumer_is_done or self._close_reason == "closed")

    @property
    def is_lost(self) -> bool:
        """True once the socket is gone; what came before may still be handled."""
        return self._is_lost

    @property
    def is_closing(self) -> bool:
        """True once no more frames will be read."""
        return self._close_reason is not None

    @property
    def close_reason(self) -> CloseReason | None:
        """Why no more frames will be read, one of `portcast.events.CloseReason`; None while it goes on."""
        return self._close_reason

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._consumer.receive()
        except ConnectionClosedError:
            raise StopAsyncIteration from None

    async def receive(self) -> bytes:
        """Return the next frame; for per-connection handlers only.

        Cancelling loses no frame.

        Raises:
            ConnectionClosedError: the connection has ended and all its frames have been returned.
            RuntimeError: the listener's handler is called once per message, it is a relay, or somebody else waits
                for the next frame already.
        """
        return await self._consumer.receive()

    def close(self) -> None:
        """End the connection after what was sent is out. Frames not yet handled are dropped and counted."""
        self.end("closed")

    # The protocol (asyncio calls these)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol.connection_made`."""
        self.is_made = True
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._listener.options.write_buffer_bytes)
        self._consumer = self._listener.connection_made(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol.data_received`."""
        if self._close_reason is not None:
            # Read before we stopped reading; on uvloop also after.
            return
        self.received_at = self._listener.now()
        is_first = not self.bytes_received
        self.bytes_received += len(data)
        self._listener.allowance.spend(len(data))
        if not (is_first and self._is_refused(data)):
            frames = self.frames
            self._decode(self._decoder.feed, data)
            if self.throttle is not None and self._close_reason is None:
                wait_s = self.throttle.charge(self.frames - frames, len(data), self.received_at)
                if wait_s and not self._is_throttled:
                    self._is_throttled = True
                    self.throttled += 1
                    self.pause_reading()
                    self._listener.call_later(wait_s, self._throttle_is_over)

    def _throttle_is_over(self) -> None:
        self._is_throttled = False
        self._read_again()

    def _is_refused(self, beginning: bytes) -> bool:
        if self._listener.refuses_http and is_http_request(beginning):
            self.end("http_request", HTTP_REFUSAL)
        elif self._listener.refuses_tls and is_tls_hello(beginning):
            self.end("tls_hello", TLS_REFUSAL)
        return self._close_reason is not None

    def _decode(self, decode: Callable[..., list[bytes]], *data: bytes) -> None:
        """Take the frames that ``decode`` returns, then act on the error that it met."""
        try:
            frames = decode(*data)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's decoder; this is a protocol callback
            self.end("malformed", f"the framing raised {type(error).__name__}: {error}")
            return
        if frames and (self.frames or not self._is_refused(frames[0])):
            self.frames += len(frames)
            try:
                if self._consumer.frames_received(frames):
                    self._consumer_is_full = True
                    self.pause_reading()
            except Exception as error:  # noqa: BLE001 - a broker that failed; this is a protocol callback
                self._undelivered += len(frames)
                self.end("handler_failed", f"{type(error).__name__}: {error}")
        if (fault := self._decoder.error) is not None:
            self.end(cast("CloseReason", fault.reason), str(fault))

    def eof_received(self) -> bool:
        """See `asyncio.Protocol.eof_received`; True keeps the socket writable for the answers."""
        if self._close_reason is None:
            self._decode(self._decoder.end)
        if self._close_reason is None:
            self._close_reason = "peer_closed"
            self._consumer.ended()
        return not self._consumer_is_done

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol.connection_lost`."""
        self._is_lost = True
        self._listener.connection_lost(self)
        self._wake_senders()
        if self._close_reason is None:
            # No end of stream came first: the network or the device broke it.
            self._close_reason = "reset"
            if exc is not None and not is_ordinary_reset(exc):
                self._close_detail = f"{type(exc).__name__}: {exc}"
            self._consumer.ended()
        self._finish()

    # What the runtime uses

    def admit(self, consumer: Consumer) -> None:
        """Give the frames to another consumer from now on: the device has shown who it is."""
        self.is_admitted = True
        self._consumer = consumer

    @property
    def is_refused(self) -> bool:
        """True if it ends because the device did not show who it is, or not in time."""
        return self._close_reason == "unauthenticated"

    def pause_reading(self) -> None:
        """Stop reading, so that TCP slows the device. Does nothing when already stopped or closing."""
        if self._is_reading and not self._transport.is_closing():
            self._is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, unless no more is wanted, the device has sent more than it may, or memory is short."""
        self._consumer_is_full = False
        self._read_again()

    def wait_for_memory(self, *, is_short: bool) -> None:
        """Read nothing while memory is short."""
        self._waits_for_memory = is_short
        if is_short:
            self.pause_reading()
        else:
            self._read_again()

    def _read_again(self) -> None:
        """Read if nothing is against it any more."""
        is_held = self._consumer_is_full or self._is_throttled or self._waits_for_memory
        if not (self._is_reading or is_held or self._close_reason is not None):
            self._is_reading = True
            # The clock of the idle deadline stood still meanwhile: it was us who did not read.
            self.received_at = self._listener.now()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that were received and not handled."""
        return self._decoder.buffered + self._consumer.waiting_bytes

    @property
    def skipped_bytes(self) -> int:
        """Bytes that the framing threw away, where it may."""
        return self._decoder.skipped_bytes

    @property
    def is_reading(self) -> bool:
        """False while backpressure keeps us from reading."""
        return self._is_reading

    @property
    def is_busy(self) -> bool:
        """True while a received frame has not been handled."""
        return self._consumer.is_busy

    @property
    def is_handled(self) -> bool:
        """True once every received frame has been handled and its handler, if any, is no more."""
        return self._consumer_is_done

    def end(self, reason: CloseReason, detail: str = "") -> None:
        """Stop reading and close once the consumer has handled what was received. The first reason counts."""
        if self._close_reason is None:
            self._close_reason = reason
            self._close_detail = detail
            self.pause_reading()
            if reason in DISCARDING:
                # The handler asked for it or is no more, or the device is not ours to hear any longer.
                self._undelivered += self._consumer.discard()
            self._consumer.ended()
            # `close` makes waiting senders give up; for the other reasons they wait on.
            self._wake_senders()

    def abort(self, reason: CloseReason) -> None:
        """End now: drop what waits in either direction, count it. Does nothing the second time."""
        if self._is_aborted:
            return
        self._is_aborted = True
        if self._close_reason is None:
            self._close_reason = reason
        if not self._is_lost:
            self._transport.abort()
        self._undelivered += self._consumer.abort()
        self._wake_senders()

    def tap_with(self, tap: Tap | None, max_bytes: int = 0) -> None:
        """Show what comes and goes from now on to a tap; None: no longer to any.

        Args:
            tap: takes the place of the one there was.
            max_bytes: how much of an unfinished frame is remembered, in case the framing refuses it.
        """
        if isinstance(self._decoder, TappedDecoder):
            self._decoder = self._decoder.inner
        self._tap = tap
        if tap is not None:
            self._decoder = TappedDecoder(self._decoder, tap, max_bytes)

    def abandon(self) -> None:
        """Say that its handler ignores its cancellation, and go on without it."""
        self._consumer.abandon()
        self.consumer_done()

    def consumer_done(self) -> None:
        """Take note that every frame has been handled and the consumer needs the socket no more."""
        if not self._consumer_is_done:
            self._consumer_is_done = True
            if not self._is_lost:
                if self._waits_for_device_since is None:
                    self._waits_for_device_since = self._listener.now()
                self._transport.close()
            self._finish()

    def _finish(self) -> None:
        if self._is_finished or not (self._is_lost and self._consumer_is_done):
            return
        self._is_finished = True
        self._listener.connection_done(
            self,
            ConnectionClosed(
                self.id,
                self._listener.name,
                self._peer,
                self._close_reason or "reset",
                self._close_detail,
                self.frames,
                self.bytes_received,
                self.bytes_sent,
                self._listener.now() - self.opened_at,
                self._undelivered,
                self.skipped_bytes,
            ),
        )
