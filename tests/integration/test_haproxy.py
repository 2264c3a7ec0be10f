"""A real HAProxy in front of a listener: both versions of its PROXY protocol, with TLS taken off and passed through.

Needs the program ``haproxy`` (Debian: ``apt-get install haproxy``); without it these tests are skipped, and say so.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portcast.address import Address
from portcast.runtime import Connection
from runtime_kit import Device, Recorder, Serving, eventually, free_port, recording, serving
from tls_kit import Authority, ClientTls, TlsDevice

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed"),
]

CONFIG = """
global
    log stderr format raw local0
defaults
    mode tcp
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend device
    bind 127.0.0.1:{port} {bind}
    unique-id-format %{{+X}}o%ci:%cp-%pid
    default_backend portcast
backend portcast
    server portcast 127.0.0.1:{target} {server}
"""


@contextmanager
def haproxy(folder: Path, it: Serving, *, bind: str = "", server: str) -> Iterator[Address]:
    """Run one in front of a listener; return where devices connect."""
    port = free_port()
    file = folder / "haproxy.cfg"
    file.write_text(CONFIG.format(port=port, bind=bind, target=it.address.port, server=server))
    process = subprocess.Popen(["haproxy", "-db", "-f", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield Address("tcp", "127.0.0.1", port)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


async def reached(it: Serving, address: Address) -> Device:
    """Connect through the proxy, once it listens."""
    found: list[Device] = []

    async def connect() -> bool:
        try:
            found.append(await Device.connect(address))
        except ConnectionRefusedError:
            return False
        return True

    while not await connect():
        await eventually(lambda: True)
    it.devices += found
    return found[0]


async def only_connection(it: Serving) -> Connection:
    await eventually(lambda: len(it.registry) == 1, "it is not connected")
    (connection,) = it.registry
    return connection


async def heard(connection: Connection, frame: bytes) -> None:
    consumer = connection._consumer
    assert isinstance(consumer, Recorder)
    await eventually(lambda: consumer.frames == [frame], f"{frame!r}; there is {consumer.frames}")


def name_of(device: Device) -> str:
    """The device's own address, which only the proxy sees."""
    host, port = device.sock.getsockname()
    return f"{host}:{port}"


async def test_version_1(tmp_path: Path) -> None:
    async with serving(recording(), proxy=("127.0.0.1",)) as it:
        with haproxy(tmp_path, it, server="send-proxy") as address:
            device = await reached(it, address)
            await device.send(b"hello\n")
            connection = await only_connection(it)
            await heard(connection, b"hello")
            assert connection.peer == name_of(device)
            assert connection.proxy is not None
            assert (connection.proxy.version, connection.proxy.destination) == (1, ("127.0.0.1", address.port))


async def test_version_2_with_everything_that_it_says_of_tls(tmp_path: Path) -> None:
    """The proxy takes TLS off and tells who the client was: certificate, host name, checksum."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "gate.example")
    both = tmp_path / "both.pem"
    both.write_bytes(Path(cert).read_bytes() + Path(key).read_bytes())
    async with serving(recording(), proxy=("127.0.0.0/8",)) as it:
        options = "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id"
        bind = f"ssl crt {both} ca-file {authority.file} verify required"
        with haproxy(tmp_path, it, bind=bind, server=options) as address:
            device = await reached(it, address)
            context = authority.client(authority.issue("device", "tracker-7.example", common_name="tracker-7"))
            tls = await TlsDevice(device, ClientTls(context)).shake_hands()
            await tls.send(b"hello\n")
            connection = await only_connection(it)
            await heard(connection, b"hello")
            assert connection.peer == name_of(device)
            assert connection.tls is None
            said = connection.proxy
            assert said is not None
            assert said.tls is not None
            assert (said.version, said.authority) == (2, "gate.example")
            assert said.unique_id.startswith(b"7F000001:")
            assert (said.tls.has_certificate, said.tls.is_verified) == (True, True)
            assert (said.tls.version, said.tls.common_name) == ("TLSv1.3", "tracker-7")
            assert said.tls.cipher.startswith("TLS_")
            assert 0x03 in dict(said.tlvs)


async def test_a_header_before_tls_that_is_passed_through(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(recording(), proxy=("127.0.0.1",), tls=authority.options()) as it:
        with haproxy(tmp_path, it, server="send-proxy-v2 proxy-v2-options crc32c") as address:
            device = await reached(it, address)
            tls = await TlsDevice(device, ClientTls(authority.client())).shake_hands()
            await tls.send(b"hello\n")
            connection = await only_connection(it)
            await heard(connection, b"hello")
            assert connection.peer == name_of(device)
            assert connection.tls is not None
            await connection.send(b"answer")
            assert await tls.receive(7) == b"answer\n"
