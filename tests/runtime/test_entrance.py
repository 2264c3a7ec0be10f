"""Tests of `portcast.runtime.entrance`, through a listener with real sockets."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from portcast.address import Address
from portcast.events import ConnectionClosed, ConnectionOpened, ConnectionRefused, RefusalReason
from portcast.framing import CustomFraming
from portcast.proxy.parser import SIGNATURE
from portcast.runtime import Connection
from portcast.runtime import listener as listener_module
from runtime_kit import Device, FakeHandler, Recorder, Serving, eventually, handling, recording, serving, turns
from tls_kit import Authority, ClientTls, TlsDevice

pytestmark = pytest.mark.anyio

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 443\r\n"
V2 = (
    SIGNATURE
    + b"\x21\x11\x00\x18"
    + bytes([192, 0, 2, 7, 198, 51, 100, 1])
    + (50_123).to_bytes(2, "big")
    + (443).to_bytes(2, "big")
    + b"\x02\x00\x09a.example"
)
LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def refused(it: Serving, reason: RefusalReason) -> ConnectionRefused:
    """Wait until one was refused; check that it is counted, and that no socket is left."""
    await eventually(lambda: it.events.of(ConnectionRefused), "nobody was refused")
    (event,) = it.events.of(ConnectionRefused)
    assert (event.listener, event.reason) == (it.listener.name, reason)
    await eventually(lambda: it.is_empty, "its socket is left")
    assert it.listener.statistics().errors == {reason: 1}
    assert it.events.of(ConnectionOpened) == []
    return event


async def tls_device(
    it: Serving, authority: Authority, *, before: bytes = b"", context: ssl.SSLContext | None = None
) -> TlsDevice:
    """Connect a device, with something sent before its handshake."""
    device = await it.connect()
    if before:
        await device.send(before)
    return await TlsDevice(device, ClientTls(context or authority.client())).shake_hands()


async def only_connection(it: Serving) -> Connection:
    await eventually(lambda: len(it.registry) == 1, "it is not connected")
    (connection,) = it.registry
    return connection


def frames_of(connection: Connection) -> list[bytes]:
    consumer = connection._consumer
    assert isinstance(consumer, Recorder)
    return consumer.frames


class TestProxy:
    @pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
    async def test_the_real_address_counts(self, header: bytes) -> None:
        """In the connection, its events and what they are logged with; what follows is the first frame."""
        async with serving(recording(), proxy=LOOPBACK) as it:
            device = await it.connect()
            await device.send(header + b"hello\n")
            connection = await only_connection(it)
            await eventually(lambda: frames_of(connection) == [b"hello"])
            assert connection.peer == "192.0.2.7:50123"
            assert connection.proxy is not None
            assert connection.proxy.destination == ("198.51.100.1", 443)
            assert connection.proxy.authority == ("a.example" if header is V2 else "")
            assert it.events.of(ConnectionOpened)[0].peer == "192.0.2.7:50123"
            device.close()
            await eventually(lambda: it.events.of(ConnectionClosed))
            assert it.events.closed.peer == "192.0.2.7:50123"

    @pytest.mark.row(23)
    async def test_limits_count_the_real_address(self) -> None:
        """Not the proxy's, which all share; and the place is free again when the device leaves."""
        async with serving(recording(), proxy=LOOPBACK, max_per_address=1, deny=("198.51.100.0/24",)) as it:
            first, second, other, denied = [await it.connect() for _ in range(4)]
            await first.send(V1 + b"hello\n")
            await only_connection(it)
            await second.send(V1)
            assert await second.receive_all() == b""
            await denied.send(b"PROXY TCP4 198.51.100.9 198.51.100.1 50123 443\r\n")
            assert await denied.receive_all() == b""
            await other.send(b"PROXY TCP4 192.0.2.8 198.51.100.1 50123 443\r\n")
            await eventually(lambda: len(it.registry) == 2, "another address is not connected")
            refusals = [(one.peer, one.reason) for one in it.events.of(ConnectionRefused)]
            assert refusals == [("192.0.2.7:50123", "max_per_address"), ("198.51.100.9:50123", "denied")]
            first.close()
            await eventually(lambda: len(it.registry) == 1)
            again = await it.connect()
            await again.send(V1 + b"hello\n")
            await eventually(lambda: len(it.registry) == 2, "its place was not given back")

    @pytest.mark.row(23)
    async def test_a_handshake_that_fails_gives_its_place_back(self, authority: Authority) -> None:
        """Behind the header the address has a place while it is a stranger, and no connection tells of its end."""
        async with serving(
            recording(), proxy=LOOPBACK, max_per_address=1, tls=authority.options(handshake_timeout_s=0.5)
        ) as it:
            admission = it.listener.admission
            assert admission is not None
            garbage = await it.connect()
            await garbage.send(V1 + b"this is no TLS\n")
            await eventually(lambda: it.events.of(ConnectionRefused) and not len(admission), "garbage keeps a place")
            leaving = await it.connect()
            await leaving.send(V1)
            await eventually(lambda: len(admission) == 1, "it has no place")
            leaving.close()
            await eventually(lambda: not len(admission), "who left keeps a place")
            silent = await it.connect()
            await silent.send(V1)
            assert await silent.receive_all() == b"", "its handshake timed out"
            await eventually(lambda: len(admission) == 0, "its place was not given back")
            await tls_device(it, authority, before=V1)
            await only_connection(it)
            assert len(admission) == 1

    async def test_in_pieces(self) -> None:
        async with serving(recording(), proxy=LOOPBACK) as it:
            device = await it.connect()
            for byte in V2 + b"hello\n":
                await device.send(bytes([byte]))
                await turns(2)
            connection = await only_connection(it)
            await eventually(lambda: frames_of(connection) == [b"hello"])

    @pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00"], ids=["v1", "v2 LOCAL"])
    async def test_a_proxy_that_names_nobody_is_itself(self, header: bytes) -> None:
        """As with its health checks."""
        async with serving(recording(), proxy=LOOPBACK) as it:
            device = await it.connect()
            await device.send(header)
            connection = await only_connection(it)
            assert connection.peer.startswith("127.0.0.1:")
            assert connection.proxy is not None

    @pytest.mark.row(19)
    async def test_nobody_else_is_believed(self) -> None:
        """A connection from elsewhere is refused at once, whatever it begins with (faults.md, row 19)."""
        async with serving(recording(), proxy=("10.0.0.0/8",)) as it:
            device = await it.connect()
            event = await refused(it, "proxy_untrusted")
            assert event.peer.startswith("127.0.0.1:")
            assert await device.receive_all() == b""

    @pytest.mark.row(19)
    async def test_nothing_is_guessed(self) -> None:
        """Where no proxy is expected a header is data, and whoever sends it stays who he is."""
        async with serving(recording()) as it:
            device = await it.connect()
            await device.send(V1)
            connection = await only_connection(it)
            await eventually(lambda: frames_of(connection) == [V1.rstrip()])
            assert connection.peer.startswith("127.0.0.1:")
            assert connection.proxy is None

    async def test_what_is_no_header_is_refused(self) -> None:
        async with serving(recording(), proxy=LOOPBACK) as it:
            device = await it.connect()
            await device.send(b"hello\n")
            event = await refused(it, "proxy_malformed")
            assert "does not begin" in event.detail

    @pytest.mark.row(19)
    async def test_a_header_that_trickles_has_a_deadline(self) -> None:
        """Absolute: a byte from time to time does not move it."""
        async with serving(recording(), proxy=LOOPBACK, proxy_timeout_s=0.2) as it:
            loop = asyncio.get_running_loop()
            device, begun = await it.connect(), loop.time()
            trickling = asyncio.ensure_future(trickle(device, V1))
            event = await refused(it, "proxy_timeout")
            assert event.detail == "no whole PROXY header within 0.2 s"
            assert 0.15 < loop.time() - begun < 2
            trickling.cancel()

    @pytest.mark.parametrize("end", ["end", "reset"])
    async def test_a_proxy_that_leaves(self, end: str) -> None:
        async with serving(recording(), proxy=LOOPBACK) as it:
            device = await it.connect()
            await device.send(V1[:10])
            await turns(10)
            getattr(device, end)()
            await refused(it, "gone")

    async def test_a_unix_socket_may_have_a_proxy(self) -> None:
        with TemporaryDirectory(prefix="pc") as folder:
            address = Address("unix", path=str(Path(folder) / "s"))
            async with serving(recording(), url=address, proxy=("unix",)) as it:
                device = await it.connect()
                await device.send(V1)
                assert (await only_connection(it)).peer == "192.0.2.7:50123"


async def trickle(device: Device, data: bytes) -> None:
    for byte in data[:-1]:
        await device.send(bytes([byte]))
        await asyncio.sleep(0.02)


class TestTls:
    async def test_frames_both_ways(self, authority: Authority) -> None:
        """What a device sends before its handshake is over, and more than one record holds."""
        async with serving(recording(), tls=authority.options()) as it:
            device = await tls_device(it, authority)
            await device.send(b"a" * 50_000 + b"\nhello\n")
            connection = await only_connection(it)
            await eventually(lambda: frames_of(connection) == [b"a" * 50_000, b"hello"])
            assert connection.tls is not None
            assert (connection.tls.version, connection.tls.server_name) == ("TLSv1.3", "gate.example")
            assert connection.peer_certificate is None
            await connection.send(b"b" * 50_000)
            assert await device.receive(50_001) == b"b" * 50_000 + b"\n"

    async def test_a_device_with_a_certificate_is_known(self, authority: Authority) -> None:
        """mTLS: `Connection.peer_certificate` says who it is."""
        async with serving(recording(), tls=authority.options(client_ca=authority.file)) as it:
            context = authority.client(authority.issue("device", "tracker-7.example", common_name="tracker-7"))
            await tls_device(it, authority, context=context)
            certificate = (await only_connection(it)).peer_certificate
            assert certificate is not None
            assert (certificate.common_name, certificate.dns_names) == ("tracker-7", ("tracker-7.example",))

    async def test_a_device_without_one_is_refused(self, authority: Authority) -> None:
        async with serving(recording(), tls=authority.options(client_ca=authority.file)) as it:
            await tls_device(it, authority)
            event = await refused(it, "client_certificate")
            assert event.detail == "peer did not return a certificate"

    async def test_a_device_of_another_authority_is_refused(self, authority: Authority, tmp_path: Path) -> None:
        async with serving(recording(), tls=authority.options(client_ca=authority.file)) as it:
            stranger = Authority(tmp_path, "stranger").issue("stranger", "tracker-7.example")
            await tls_device(it, authority, context=authority.client(stranger))
            await refused(it, "client_certificate")

    @pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"hello\n", b"\x16\x03\x01\x00\x05hello", V1])
    async def test_what_is_no_tls_is_refused(self, authority: Authority, data: bytes) -> None:
        async with serving(recording(), tls=authority.options()) as it:
            await (await it.connect()).send(data)
            await refused(it, "tls_failed")

    async def test_an_old_client_is_refused(self, authority: Authority) -> None:
        """1.2 is the least (faults.md, row 37)."""
        async with serving(recording(), tls=authority.options()) as it:
            context = authority.client()
            context.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
            device = await it.connect()
            await device.send(ClientTls(context).step())
            event = await refused(it, "tls_failed")
            assert event.detail == "unsupported protocol"

    async def test_a_silent_client_does_not_delay_others(self, authority: Authority) -> None:
        """Handshakes run side by side, accepting waits for none, and each has its own deadline (row 34)."""
        options = authority.options(handshake_timeout_s=0.5)
        async with serving(recording(), tls=options) as it:
            loop = asyncio.get_running_loop()
            silent = [await it.connect() for _ in range(100)]
            await eventually(lambda: it.registry.sockets == 100)
            begun = loop.time()
            await tls_device(it, authority)
            await only_connection(it)
            assert loop.time() - begun < 0.4
            for device in silent:
                assert await device.receive_all() == b""
            assert 0.4 < loop.time() - begun < 3
            assert it.listener.statistics().errors == {"tls_timeout": 100}

    async def test_in_a_crowd_the_oldest_stranger_goes(
        self, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Their number is bounded; those who come through do not count."""
        monkeypatch.setattr(listener_module, "most_pending", lambda sockets: 3)
        async with serving(recording(), tls=authority.options()) as it:
            for _ in range(4):
                await tls_device(it, authority)
            await eventually(lambda: len(it.registry) == 4)
            silent = []
            for number in range(4):
                silent.append(await it.connect())
                await eventually(lambda number=number: it.listener.statistics().accepted == 5 + number)  # type: ignore[misc]
            assert await silent[0].receive_all() == b""
            (event,) = it.events.of(ConnectionRefused)
            assert (event.reason, event.detail) == ("crowded", "3 others had come as far")
            await eventually(lambda: it.registry.sockets == 7)

    async def test_strangers_count_against_the_listeners_limit(self, authority: Authority) -> None:
        """Otherwise they would be too many the moment they come through."""
        async with serving(recording(), tls=authority.options(), max_connections=100) as it:
            object.__setattr__(it.listener.options, "max_connections", 2)
            first = await it.connect()
            second = await it.connect()
            await eventually(lambda: it.listener.state == "paused")
            third = asyncio.ensure_future(tls_device(it, authority))
            await turns(20)
            assert not third.done()
            first.close()
            await third
            second.close()

    async def test_who_comes_after_the_end_is_sent_away(self, authority: Authority) -> None:
        """One that was accepted just before must not outlive the listener, shaking hands."""
        async with serving(recording(), tls=authority.options()) as it:
            first = await it.connect()
            await eventually(lambda: it.listener.statistics().accepted == 1)
            entrance = it.listener._entrance
            assert entrance is not None
            entrance.close()
            late = await it.connect()
            for device in (first, late):
                assert await device.receive_all() == b""
            await eventually(lambda: it.is_empty)
            assert it.events.of(ConnectionRefused) == []

    async def test_an_answer_to_a_device_that_has_ended_its_side(self, authority: Authority) -> None:
        """As without TLS: its last frames are handled and answered (row 11)."""

        async def answer(frame: bytes, connection: Connection) -> None:
            await asyncio.sleep(0.01)
            await connection.send(b"got " + frame)

        async with serving(handling(FakeHandler(answer)), tls=authority.options()) as it:
            device = await tls_device(it, authority)
            await device.device.send(device.client.write(b"1\n2\n") + device.client.goodbye())
            assert await device.receive_all() == b"got 1\ngot 2\n"
            await eventually(lambda: it.is_empty)
            assert it.events.closed.reason == "peer_closed"

    async def test_a_device_that_never_says_goodbye_is_aborted(self, authority: Authority) -> None:
        async with serving(recording(), tls=authority.options(shutdown_timeout_s=0.2)) as it:
            await tls_device(it, authority)
            connection = await only_connection(it)
            begun = asyncio.get_running_loop().time()
            connection.close()
            await eventually(lambda: it.is_empty)
            assert 0.15 < asyncio.get_running_loop().time() - begun < 2

    async def test_a_device_that_does_not_read_is_aborted(self, authority: Authority) -> None:
        """The write deadline is the one without TLS, and what waits is bounded meanwhile."""
        async with serving(recording(), tls=authority.options(), write_timeout_s=0.3, write_buffer_bytes=4096) as it:
            await tls_device(it, authority)
            connection = await only_connection(it)
            sent = 0
            while connection.send_nowait(b"x" * 10_000):
                sent += 1
                assert sent < 5000
            assert connection._transport.get_write_buffer_size() < 30_000
            await eventually(lambda: it.is_empty)
            assert it.events.closed.reason == "write_timeout"

    async def test_backpressure_reaches_the_device(self, authority: Authority) -> None:
        """A consumer that wants no more stops the socket; what TLS holds meanwhile is one read at most."""
        async with serving(recording(pauses=True), tls=authority.options()) as it:
            device = await tls_device(it, authority)
            connection = await only_connection(it)
            sending = asyncio.ensure_future(flood(device))
            await eventually(lambda: not connection.is_reading)
            before = connection.bytes_received
            await asyncio.sleep(0.1)
            assert connection.bytes_received == before
            assert not sending.done()
            for _ in range(3):
                connection.resume_reading()
                await eventually(lambda: not connection.is_reading)
            assert connection.bytes_received > before
            sending.cancel()

    async def test_a_stop_sends_strangers_away(self, authority: Authority) -> None:
        """Without a word in the log: it is not their fault."""
        async with serving(recording(), tls=authority.options()) as it:
            await tls_device(it, authority)
            stranger = await it.connect()
            await eventually(lambda: it.registry.sockets == 2)
            await it.listener.stop()
            assert await stranger.receive_all() == b""
            await eventually(lambda: it.registry.sockets == 1)
            assert it.events.of(ConnectionRefused) == []

    @pytest.mark.parametrize("is_tls", [True, False])
    async def test_a_framing_that_raises_costs_that_connection(self, authority: Authority, is_tls: bool) -> None:
        tls = authority.options() if is_tls else None
        async with serving(recording(), tls=tls, proxy=LOOPBACK, framing=BrokenFraming()) as it:
            if is_tls:
                await tls_device(it, authority, before=V1)
            else:
                await (await it.connect()).send(V1)
            await eventually(lambda: it.listener.statistics().errors == {"accept": 1} and it.is_empty)


class BrokenFraming(CustomFraming):
    """Raises for every connection."""

    def start(self) -> None:
        raise RuntimeError("no decoder")


async def flood(device: TlsDevice) -> None:
    while True:
        await device.send(b"x" * 10_000 + b"\n")


class TestBoth:
    async def test_the_header_comes_before_tls(self, authority: Authority) -> None:
        """In one piece with the handshake or before it; not a byte of the handshake is lost."""
        async with serving(recording(), tls=authority.options(), proxy=LOOPBACK) as it:
            device = await it.connect()
            client = ClientTls(authority.client())
            await device.send(V2 + client.step())
            tls = await TlsDevice(device, client).shake_hands()
            await tls.send(b"hello\n")
            connection = await only_connection(it)
            await eventually(lambda: frames_of(connection) == [b"hello"])
            assert connection.peer == "192.0.2.7:50123"
            assert connection.tls is not None
            await tls_device(it, authority, before=V1)
            await eventually(lambda: len(it.registry) == 2)

    async def test_a_failed_handshake_names_the_real_address(self, authority: Authority) -> None:
        async with serving(recording(), tls=authority.options(), proxy=LOOPBACK) as it:
            await (await it.connect()).send(V1 + b"no handshake")
            assert (await refused(it, "tls_failed")).peer == "192.0.2.7:50123"

    async def test_tls_before_the_header_is_refused(self, authority: Authority) -> None:
        async with serving(recording(), tls=authority.options(), proxy=LOOPBACK) as it:
            await (await it.connect()).send(ClientTls(authority.client()).step())
            await refused(it, "proxy_malformed")


class TestReload:
    async def test_new_connections_see_the_new_certificate_and_old_ones_go_on(self, authority: Authority) -> None:
        """faults.md, row 36."""
        options = authority.options()
        async with serving(recording(), tls=options) as it:
            old = await tls_device(it, authority)
            connection = await only_connection(it)
            authority.issue("server", "gate.example")
            assert it.listener.certificates is not None
            assert it.listener.certificates.reload()
            new = await tls_device(it, authority)
            assert serial(old) != serial(new)
            await old.send(b"still here\n")
            await eventually(lambda: frames_of(connection) == [b"still here"])

    async def test_a_handshake_that_is_under_way_goes_on(self, authority: Authority) -> None:
        async with serving(recording(), tls=authority.options()) as it:
            device = await it.connect()
            client = ClientTls(authority.client())
            await device.send(client.step())
            answer = await device._receive(65_536)
            authority.issue("server", "gate.example")
            assert it.listener.certificates is not None
            assert it.listener.certificates.reload()
            await device.send(client.step(answer))
            await only_connection(it)


def serial(device: TlsDevice) -> str:
    found = device.client.tls.getpeercert()
    assert found is not None
    return str(found["serialNumber"])
