"""Who a device is when its messages do not say: a certificate, a PROXY header, an address; over real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_serving import running
from portcast import Connection, Device, Gateway
from portcast.proxy.parser import SIGNATURE
from portcast.proxy.tlvs import crc32c
from runtime_kit import Device as Socket
from runtime_kit import eventually
from tls_kit import Authority, ClientTls, TlsDevice

pytestmark = pytest.mark.anyio

LOCAL = ("127.0.0.0/8",)
VENDOR = 0xE0
"""The first type that the specification leaves to vendors (§2.2, PP2_TYPE_MIN_CUSTOM)."""


def by_subject(connection: Connection) -> str | None:
    """As docs/devices.md has it."""
    certificate = connection.peer_certificate
    return certificate.common_name if certificate is not None else None


def by_extension(connection: Connection) -> str | None:
    """As docs/devices.md has it."""
    extensions = dict(connection.proxy.tlvs) if connection.proxy is not None else {}
    return extensions[VENDOR].decode("ascii", "replace") if VENDOR in extensions else None


def by_proxied_subject(connection: Connection) -> str | None:
    """The certificate that the proxy has verified when it took TLS off."""
    tls = connection.proxy.tls if connection.proxy is not None else None
    return tls.common_name if tls is not None and tls.is_verified else None


def by_address(connection: Connection) -> str:
    return connection.host


def extension(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def subject(name: str, *, verify: int = 0) -> bytes:
    """PP2_TYPE_SSL (§2.2.6): TLS with a certificate on this connection, what came of verifying it, and its name."""
    return extension(0x20, b"\x05" + verify.to_bytes(4, "big") + extension(0x22, name.encode()))


def header(*extensions: bytes, address: str = "192.0.2.7") -> bytes:
    """A header of version 2 with a checksum (§2.2.3), as HAProxy sends it with ``crc32c``."""
    body = socket.inet_aton(address) + socket.inet_aton("198.51.100.1") + b"\xc3\xcb\x01\xbb" + b"".join(extensions)
    begin = SIGNATURE + b"\x21\x11" + (len(body) + 7).to_bytes(2, "big") + body + b"\x03\x00\x04"
    return begin + crc32c(begin + bytes(4)).to_bytes(4, "big")


class Seen:
    """A gateway, and whose its lines were."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.lines: list[tuple[str, str]] = []
        self.sockets: list[Socket] = []

    async def connect(self, data: bytes = b"") -> Socket:
        device = await Socket.connect(self.gateway.listeners[0].address)
        self.sockets.append(device)
        if data:
            await device.send(data)
        return device

    async def heard(self, *lines: tuple[str, str]) -> None:
        await eventually(lambda: len(self.lines) >= len(lines), f"{lines}; there are {self.lines}")
        assert sorted(self.lines) == sorted(lines)


@asynccontextmanager
async def listening(identify: Any, url: str = "tcp://127.0.0.1:0", **options: Any) -> AsyncIterator[Seen]:
    seen = Seen(Gateway())

    @seen.gateway.listen(url, identify=identify, **options)
    async def on_line(line: str, device: Device) -> None:
        seen.lines.append((device.id, line))

    async with running(seen.gateway):
        try:
            yield seen
        finally:
            for one in seen.sockets:
                one.close()


async def test_by_the_subject_of_its_certificate(tmp_path: Path) -> None:
    """It is there from the handshake on, before it says anything, and whatever it says is its own."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "gate.example")
    options = {"cert": cert, "cert_key": key, "client_ca": authority.file}
    async with listening(by_subject, "tls://127.0.0.1:0", **options) as the:
        devices = []
        for name in ("boiler-1", "boiler-2"):
            mine = authority.issue(name, f"{name}.example", common_name=name)
            devices.append(await TlsDevice(await the.connect(), ClientTls(authority.client(mine))).shake_hands())
        roster = the.gateway.node.devices.roster
        await eventually(lambda: roster.statistics().online == 2, "two devices that said nothing")
        for device in devices:
            await device.send(b"I am boiler-3\n")
        await the.heard(("boiler-1", "I am boiler-3"), ("boiler-2", "I am boiler-3"))


async def test_a_subject_that_is_no_id_closes_the_connection(tmp_path: Path) -> None:
    """An authority may sign any name."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "gate.example")
    options = {"cert": cert, "cert_key": key, "client_ca": authority.file}
    async with listening(by_subject, "tls://127.0.0.1:0", **options) as the:
        mine = authority.issue("x", "x.example", common_name="a/+/#")
        device = await TlsDevice(await the.connect(), ClientTls(authority.client(mine))).shake_hands()
        assert await device.receive_all() == b""
        assert the.gateway.node.devices.roster.statistics().online == 0


async def test_by_an_extension_of_the_proxy() -> None:
    """The proxy's word, with a checksum over it, before the first byte of the device."""
    async with listening(by_extension, proxy=LOCAL) as the:
        await the.connect(header(extension(VENDOR, b"boiler-1")) + b"21\n")
        await the.connect(header(extension(VENDOR, b"boiler-2")) + b"22\n")
        await the.heard(("boiler-1", "21"), ("boiler-2", "22"))
        assert the.gateway.device("boiler-1").info.address == "192.0.2.7:50123"


async def test_by_the_subject_that_the_proxy_has_verified() -> None:
    """One that it could not verify is nobody's."""
    async with listening(by_proxied_subject, proxy=LOCAL) as the:
        await the.connect(header(subject("thief", verify=1)) + b"20\n")
        await the.connect(header(subject("boiler-1")) + b"21\n")
        await the.heard(("boiler-1", "21"))
        assert "thief" not in the.gateway.node.devices.roster


async def test_a_header_from_elsewhere_names_nobody() -> None:
    """Who is no proxy cannot say who it is: the connection is refused, and nothing of it is handled."""
    async with listening(by_extension, proxy=("10.0.0.0/8",)) as the:
        device = await the.connect(header(extension(VENDOR, b"boiler-1")) + b"21\n")
        assert await device.receive_all() == b""
        assert the.lines == []
        assert "boiler-1" not in the.gateway.node.devices.roster


async def test_by_the_address_behind_the_proxy() -> None:
    """Two connections from one address are one device, and the newer takes over."""
    async with listening(by_address, proxy=LOCAL) as the:
        await the.connect(header(address="192.0.2.7") + b"a\n")
        await the.connect(header(address="192.0.2.8") + b"b\n")
        await the.heard(("192.0.2.7", "a"), ("192.0.2.8", "b"))
        await the.connect(header(address="192.0.2.7") + b"c\n")
        await the.heard(("192.0.2.7", "a"), ("192.0.2.8", "b"), ("192.0.2.7", "c"))
        await eventually(lambda: len(the.gateway.device("192.0.2.7").connections) == 1, "the old one is closed")
