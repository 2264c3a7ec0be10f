"""A gateway whose devices speak TLS: who they are, renewal, and a start that fails."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from gateway_serving import running
from portcast import Connection, Device, Gateway
from portcast.errors import ConfigurationError
from portcast.events import CertificatesRefused, CertificatesReloaded, Event
from portcast.runtime import certificates as certificates_module
from portcast.testing import TestDevice as InMemoryDevice
from portcast.testing import in_memory
from runtime_kit import Device as Socket
from runtime_kit import eventually, free_port
from tls_kit import Authority, ClientTls, TlsDevice

pytestmark = pytest.mark.anyio


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def keywords(authority: Authority, **more: Any) -> dict[str, Any]:
    """Return the keywords of `listen` for a certificate."""
    cert, key = authority.issue("server", "gate.example")
    return {"cert": cert, "cert_key": key, **more}


def by_certificate(message: str, connection: Connection) -> str | None:
    """As docs/tls.md has it."""
    certificate = connection.peer_certificate
    return certificate.common_name if certificate is not None else None


async def connect(gateway: Gateway, authority: Authority, certificate: tuple[str, str] | None = None) -> TlsDevice:
    """Connect a device; whoever calls closes it."""
    device = await Socket.connect(gateway.listeners[0].address)
    return await TlsDevice(device, ClientTls(authority.client(certificate))).shake_hands()


def serial(device: TlsDevice) -> str:
    """Return the number of the certificate that a device was shown."""
    found = device.client.tls.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


async def test_a_device_is_who_its_certificate_says(authority: Authority) -> None:
    """Whatever its messages say; see also docs/devices.md."""
    gateway = Gateway()
    seen: list[tuple[str, str]] = []

    @gateway.listen("tls://127.0.0.1:0", identify=by_certificate, **keywords(authority, client_ca=authority.file))
    async def on_line(line: str, device: Device) -> None:
        seen.append((device.id, line))

    async with running(gateway):
        devices = [
            await connect(gateway, authority, authority.issue(name, f"{name}.example", common_name=name))
            for name in ("one", "two")
        ]
        for device in devices:
            await device.send(b"I am root\n")
        await eventually(lambda: len(seen) == 2)
        assert sorted(seen) == [("one", "I am root"), ("two", "I am root")]
        assert len(gateway.device("one").connections) == 1
        for device in devices:
            device.device.close()


async def test_a_renewed_certificate_is_found(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a look at the files, or at once when the application asks; a broken one is told and changes nothing."""
    monkeypatch.setattr(certificates_module, "LOOK_S", 0.05)
    events: list[Event] = []
    gateway = Gateway(on_event=events.append)
    with pytest.raises(RuntimeError):
        gateway.reload_certificates()
    options = keywords(authority)
    gateway.relay("tls://127.0.0.1:0", topic="t", **options)
    gateway.relay("tcp://127.0.0.1:0", topic="plain")
    async with running(gateway):
        first = await connect(gateway, authority)
        authority.issue("server", "gate.example")
        await eventually(lambda: any(isinstance(one, CertificatesReloaded) for one in events))
        second = await connect(gateway, authority)
        assert serial(first) != serial(second)
        assert gateway.reload_certificates()
        Path(options["cert"]).write_text("broken")
        assert not gateway.reload_certificates()
        assert [one.listener for one in events if isinstance(one, CertificatesRefused)] == [gateway.listeners[0].name]
        third = await connect(gateway, authority)
        assert serial(third) == serial(second)
        for device in (first, second, third):
            device.device.close()


async def test_a_file_that_cannot_be_used_ends_the_start(authority: Authority) -> None:
    """With its name; and no listener is left bound."""
    port = free_port()
    gateway = Gateway()
    gateway.relay(f"tcp://127.0.0.1:{port}", topic="t")
    gateway.relay("tls://127.0.0.1:0", topic="u", **keywords(authority, client_ca="/none.pem"))
    with pytest.raises(ConfigurationError, match=r"/none\.pem: cannot be read"):
        async with running(gateway):
            pass
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_in_memory_no_files_are_needed() -> None:
    """Tests of an app run where its certificates are not."""
    gateway = Gateway()
    gateway.relay("tls://127.0.0.1:8443", topic="t", cert="/none.pem", cert_key="/none.key", proxy="10.0.0.0/8")
    async with in_memory(gateway), InMemoryDevice(gateway) as device:
        await device.send(b"hello\n")
        await eventually(lambda: gateway.listeners[0].statistics().frames == 1)
