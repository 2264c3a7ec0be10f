"""Tests of `portcast.runtime.tls_transport`, between a client in memory and a protocol that takes notes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from portcast.events import RefusalReason
from portcast.runtime.certificates import Certificates
from portcast.runtime.tls_transport import MOST_CONTROL_BYTES, TlsTransport
from portcast.testing.clock import ManualClock
from portcast.testing.transport import MemoryTransport
from runtime_kit import Events, eventually, turns
from tls_kit import Authority, ClientTls

pytestmark = pytest.mark.anyio


class Upper(asyncio.Protocol):
    """Takes notes of what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.received = b""
        self.keeps_open = False
        self.on_data: Callable[[], object] = lambda: None
        self.error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.notes.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.on_data()

    def eof_received(self) -> bool:
        self.notes.append("eof")
        return self.keeps_open

    def pause_writing(self) -> None:
        self.notes.append("pause")

    def resume_writing(self) -> None:
        self.notes.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.notes.append("lost")
        self.error = exc


class Pair:
    """A client and our transport, with a network in memory between them."""

    def __init__(self, authority: Authority, *, has_protocol: bool = True, **options: object) -> None:
        self.clock = ManualClock()
        self.client = ClientTls(authority.client())
        certificates = Certificates(authority.options(**options), "owner", Events())  # type: ignore[arg-type]
        self.upper = Upper()
        self.failures: list[tuple[RefusalReason, str]] = []
        self.owner_lost = 0
        self.has_protocol = has_protocol
        self.raw = MemoryTransport("peer", lambda: None)
        self.tls = TlsTransport(certificates, self, self.clock)
        self.raw.set_protocol(self.tls)
        self.tls.connection_made(self.raw)

    # The owner

    def tls_open(self, transport: TlsTransport) -> asyncio.Protocol | None:
        assert transport is self.tls
        return self.upper if self.has_protocol else None

    def tls_failed(self, reason: RefusalReason, detail: str) -> None:
        self.failures.append((reason, detail))

    def connection_lost(self, exc: Exception | None) -> None:
        self.owner_lost += 1

    # The network

    async def arrive(self, data: bytes) -> None:
        """Send a piece and let it be read."""
        self.raw.deliver(data)
        await turns(2)

    def taken(self) -> bytes:
        """Return what was sent to the client since the last call."""
        data = bytes(self.raw.received)
        self.raw.received.clear()
        return data

    async def shake_hands(self, pieces: int = 1 << 20) -> None:
        """Finish the handshake, in pieces of so many bytes."""
        data = self.client.step()
        while True:
            for at in range(0, len(data), pieces):
                await self.arrive(data[at : at + pieces])
            answer = self.taken()
            if not data or not answer:
                return
            data = self.client.step(answer)

    async def lost(self) -> None:
        await eventually(lambda: self.raw.is_lost)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class TestHandshake:
    @pytest.mark.parametrize("pieces", [1, 7, 1 << 20])
    async def test_it_may_trickle(self, authority: Authority, pieces: int) -> None:
        """Whatever packets it comes in; the protocol hears of the connection after it."""
        pair = Pair(authority)
        await pair.shake_hands(pieces)
        assert pair.upper.notes == ["made"]
        assert (pair.tls.info.version, pair.tls.info.server_name) == ("TLSv1.3", "gate.example")
        await pair.arrive(pair.client.write(b"hello"))
        assert pair.upper.received == b"hello"
        pair.tls.write(b"answer")
        assert pair.client.read(pair.taken()) == b"answer"

    async def test_what_comes_with_its_last_piece_is_not_lost(self, authority: Authority) -> None:
        pair = Pair(authority)
        await pair.arrive(pair.client.step())
        finished = pair.client.step(pair.taken())
        await pair.arrive(finished + pair.client.write(b"at once"))
        assert pair.upper.received == b"at once"

    @pytest.mark.parametrize("has_begun", [False, True])
    @pytest.mark.row(34)
    async def test_it_has_a_deadline_that_trickling_does_not_move(self, authority: Authority, has_begun: bool) -> None:
        """5 s, absolute: for who says nothing, and for who sends a byte from time to time (faults.md, row 34)."""
        pair = Pair(authority)
        hello = pair.client.step() if has_begun else b""
        for second in range(4):
            await pair.arrive(hello[second : second + 1] if second < 3 else hello[3:])
            pair.clock.advance(1)
        pair.clock.advance(0.9)
        assert pair.failures == []
        pair.clock.advance(0.1)
        assert pair.failures == [("tls_timeout", "no handshake within 5 s")]
        await pair.lost()
        assert pair.owner_lost == 1
        assert pair.upper.notes == []

    async def test_it_has_no_deadline_any_more_once_it_is_done(self, authority: Authority) -> None:
        pair = Pair(authority)
        await pair.shake_hands()
        pair.clock.advance(3600)
        assert not pair.tls.is_closing()

    async def test_a_failure_is_told_to_both_sides(self, authority: Authority) -> None:
        """Once; the client learns why from an alert."""
        pair = Pair(authority)
        await pair.arrive(b"GET / HTTP/1.1\r\n\r\n")
        assert pair.failures == [("tls_failed", "http request")]
        await pair.lost()
        assert pair.owner_lost == 1
        other = Pair(authority)
        other.client = ClientTls(ssl.create_default_context())
        await other.arrive(other.client.step())
        with pytest.raises(ssl.SSLCertVerificationError):
            other.client.step(other.taken())
        await other.arrive(other.client.outgoing.read())
        assert other.failures == [("tls_failed", "tlsv1 alert unknown ca")]

    async def test_an_alert_leaves_before_the_end(self, authority: Authority) -> None:
        pair = Pair(authority, client_ca=authority.file)
        await pair.shake_hands()
        assert pair.failures == [("client_certificate", "peer did not return a certificate")]
        await pair.lost()

    @pytest.mark.parametrize("end", ["eof", "reset"])
    @pytest.mark.parametrize("has_begun", [False, True])
    async def test_a_client_that_leaves(self, authority: Authority, end: str, has_begun: bool) -> None:
        pair = Pair(authority)
        if has_begun:
            await pair.arrive(pair.client.step())
        pair.raw.deliver(None) if end == "eof" else pair.raw.break_off()
        await pair.lost()
        assert pair.failures == [("gone", "it left during the handshake")]
        assert pair.owner_lost == 1
        pair.clock.advance(10)
        assert len(pair.failures) == 1

    async def test_an_owner_who_has_no_protocol(self, authority: Authority) -> None:
        """The connection ends; the owner is told of that, and of no failure."""
        pair = Pair(authority, has_protocol=False)
        await pair.shake_hands()
        await pair.lost()
        assert (pair.failures, pair.owner_lost) == ([], 1)


@pytest.fixture
async def pair(authority: Authority) -> Pair:
    """A connection after its handshake."""
    pair = Pair(authority)
    await pair.shake_hands()
    pair.taken()
    return pair


class TestReading:
    async def test_many_records_of_one_read_are_one_piece(self, pair: Pair) -> None:
        sizes: list[int] = []
        pair.upper.on_data = lambda: sizes.append(len(pair.upper.received))
        await pair.arrive(pair.client.write(b"x" * 100_000))
        assert sizes == [100_000]

    async def test_a_pause_holds_for_what_has_come_already(self, pair: Pair) -> None:
        """A full inbox gets nothing more, and the socket is not read meanwhile."""
        pair.tls.pause_reading()
        assert (pair.tls.is_reading(), pair.raw.is_reading()) == (False, False)
        pair.tls.data_received(pair.client.write(b"on its way"))  # as on uvloop
        assert pair.upper.received == b""
        pair.tls.resume_reading()
        assert (pair.tls.is_reading(), pair.raw.is_reading()) == (True, True)
        pair.clock.tick()
        assert pair.upper.received == b"on its way"

    async def test_a_pause_within_a_piece(self, pair: Pair) -> None:
        pair.upper.on_data = pair.tls.pause_reading
        await pair.arrive(pair.client.write(b"1"))
        pair.tls.data_received(pair.client.write(b"2"))
        pair.tls.resume_reading()
        pair.tls.pause_reading()
        pair.clock.tick()
        assert pair.upper.received == b"1"

    async def test_a_goodbye_is_an_end_and_its_answer_still_arrives(self, pair: Pair) -> None:
        """RFC 8446 §6.1: only the direction that it was said in is over (faults.md, row 11)."""
        pair.upper.keeps_open = True
        await pair.arrive(pair.client.write(b"last") + pair.client.goodbye())
        assert (pair.upper.received, pair.upper.notes) == (b"last", ["made", "eof"])
        pair.tls.write(b"answer")
        pair.tls.close()
        await pair.lost()
        assert pair.client.read(pair.taken()) == b"answer"
        assert pair.upper.notes == ["made", "eof", "lost"]

    async def test_what_comes_after_a_goodbye_does_not_pile_up(self, pair: Pair) -> None:
        """OpenSSL reads no more then."""
        pair.upper.keeps_open = True
        await pair.arrive(pair.client.goodbye())
        for _ in range(10):
            await pair.arrive(b"x" * 65_536)
        assert pair.tls._incoming.pending == 0
        pair.raw.deliver(None)
        await turns(3)
        assert pair.upper.notes == ["made", "eof"]

    async def test_an_end_without_goodbye_is_an_end(self, pair: Pair) -> None:
        """Small devices just close; frames, not goodbyes, say what is complete."""
        pair.upper.keeps_open = True
        pair.raw.deliver(pair.client.write(b"last"))
        pair.raw.deliver(None)
        await turns(3)
        assert (pair.upper.received, pair.upper.notes) == (b"last", ["made", "eof"])
        pair.tls.write(b"answer")
        assert pair.client.read(pair.taken()) == b"answer"

    async def test_an_end_that_nobody_answers_closes(self, pair: Pair) -> None:
        pair.raw.deliver(None)
        await pair.lost()
        assert pair.upper.notes == ["made", "eof", "lost"]

    async def test_broken_records_end_it(self, pair: Pair) -> None:
        """With the reason for whoever logs it."""
        data = bytearray(pair.client.write(b"hello"))
        data[-1] ^= 1
        await pair.arrive(bytes(data))
        await pair.lost()
        assert pair.upper.notes == ["made", "lost"]
        assert isinstance(pair.upper.error, ssl.SSLError)

    async def test_answers_of_tls_itself_are_bounded(self, pair: Pair) -> None:
        """New keys (RFC 8446 §4.6.3) make us answer; who asks for them and does not read is cut off."""
        pair.raw.stop_reading()
        pair.tls.write(b"x" * 100_000)
        assert pair.upper.notes == ["made", "pause"]
        waiting = pair.tls.get_write_buffer_size()
        pair.tls._outgoing.write(b"y" * MOST_CONTROL_BYTES)
        await pair.arrive(pair.client.write(b"1"))
        assert pair.tls.get_write_buffer_size() == waiting
        assert not pair.tls.is_closing()
        pair.tls._outgoing.write(b"y")
        await pair.arrive(pair.client.write(b"2"))
        await pair.lost()
        assert isinstance(pair.upper.error, ConnectionAbortedError)


class TestWriting:
    async def test_pauses_are_those_of_the_socket(self, pair: Pair) -> None:
        """All that waits is in its transport, counted as ciphertext; nothing waits here."""
        pair.tls.set_write_buffer_limits(high=1000)
        pair.raw.stop_reading()
        pair.tls.write(b"x" * 900)
        assert pair.upper.notes == ["made"]
        assert 900 < pair.tls.get_write_buffer_size() < 1000
        pair.tls.writelines([b"y" * 100, b"z" * 100])
        assert pair.upper.notes == ["made", "pause"]
        pair.raw.read_again()
        assert pair.upper.notes == ["made", "pause", "resume"]
        assert pair.client.read(pair.taken()) == b"x" * 900 + b"y" * 100 + b"z" * 100

    async def test_nothing_is_nothing(self, pair: Pair) -> None:
        pair.tls.write(b"")
        assert pair.taken() == b""

    async def test_nothing_is_written_after_the_end(self, pair: Pair) -> None:
        pair.tls.close()
        pair.tls.write(b"too late")
        pair.tls.close()
        assert pair.client.read(pair.taken()) == b""


class TestEnd:
    async def test_both_say_goodbye(self, pair: Pair) -> None:
        """Ours follows what was written; what the client had under way is thrown away, and resets nothing."""
        pair.tls.write(b"last")
        pair.tls.close()
        assert pair.tls.is_closing()
        await pair.arrive(pair.client.write(b"under way"))
        assert not pair.raw.is_closing()
        assert pair.client.read(pair.taken()) == b"last"
        await pair.arrive(pair.client.goodbye())
        await pair.lost()
        assert (pair.upper.received, pair.upper.notes) == (b"", ["made", "lost"])

    async def test_a_client_that_never_says_goodbye_is_aborted(self, pair: Pair) -> None:
        """3 s after everything was sent, even if it goes on sending (faults.md, row 35)."""
        pair.tls.close()
        for _ in range(2):
            pair.clock.advance(1)
            await pair.arrive(pair.client.write(b"and more"))
        pair.clock.advance(0.9)
        assert not pair.raw.is_closing()
        pair.clock.advance(0.1)
        await pair.lost()
        assert pair.upper.notes == ["made", "lost"]

    async def test_the_deadline_begins_when_all_is_sent(self, pair: Pair) -> None:
        """Before that the protocol's own deadline holds, as without TLS: a slow device gets what was written to it."""
        pair.tls.set_write_buffer_limits(high=1000)
        pair.raw.stop_reading()
        pair.tls.write(b"x" * 5000)
        pair.tls.close()
        pair.clock.advance(10)
        assert not pair.raw.is_closing()
        pair.raw.read_again()
        pair.clock.advance(2.9)
        assert not pair.raw.is_closing()
        assert pair.client.read(pair.taken()) == b"x" * 5000
        pair.clock.advance(0.1)
        await pair.lost()

    async def test_without_a_deadline_nobody_is_waited_for(self, authority: Authority) -> None:
        pair = Pair(authority, shutdown_timeout_s=0)
        await pair.shake_hands()
        pair.tls.close()
        await pair.lost()
        assert pair.client.read(pair.taken()) == b""

    async def test_a_paused_transport_hears_the_goodbye(self, pair: Pair) -> None:
        """Who closes has usually stopped reading before."""
        pair.tls.pause_reading()
        pair.tls.close()
        await pair.arrive(pair.client.goodbye())
        await pair.lost()

    @pytest.mark.parametrize("end", ["eof", "nonsense"])
    async def test_another_end_will_do(self, pair: Pair, end: str) -> None:
        pair.tls.close()
        pair.raw.deliver(None if end == "eof" else b"\x17\x03\x03\x00\x05wrong")
        await pair.lost()
        assert pair.upper.notes == ["made", "lost"]

    async def test_an_abort_waits_for_nobody(self, pair: Pair) -> None:
        pair.raw.stop_reading()
        pair.tls.write(b"x" * 100_000)
        pair.tls.abort()
        await pair.lost()
        assert pair.upper.notes[-1] == "lost"
        assert pair.upper.error is None

    async def test_nothing_keeps_it_in_memory(self, pair: Pair) -> None:
        """What OpenSSL holds goes with the connection, not with the next run of the collector."""
        pair.tls.abort()
        await pair.lost()
        assert not hasattr(pair.tls, "_protocol")


async def test_what_else_a_transport_knows(pair: Pair) -> None:
    """uvicorn asks for ``sslcontext``; the rest is the socket's."""
    assert isinstance(pair.tls.get_extra_info("sslcontext"), ssl.SSLContext)
    assert isinstance(pair.tls.get_extra_info("ssl_object"), ssl.SSLObject)
    assert pair.tls.get_extra_info("cipher")[0] == pair.tls.info.cipher
    assert pair.tls.get_extra_info("peercert") is None
    assert pair.tls.get_extra_info("peername") == "peer"
    assert pair.tls.get_extra_info("nothing", 7) == 7
    assert not pair.tls.can_write_eof()
    other = Upper()
    assert pair.tls.get_protocol() is pair.upper
    pair.tls.set_protocol(other)
    await pair.arrive(pair.client.write(b"for the other"))
    assert other.received == b"for the other"
