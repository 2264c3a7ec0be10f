"""What the tests of TLS share: certificates of their own, and a device whose every byte a test can hold back."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import trustme

from portcast.config import TlsOptions
from runtime_kit import Device


class Authority:
    """Issues certificates into files of one folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.ca = trustme.CA(organization_name=name)
        self.file = str(folder / f"{name}.pem")
        self.ca.cert_pem.write_to_path(self.file)

    def issue(self, stem: str, *names: str, common_name: str | None = None, **options: Any) -> tuple[str, str]:
        """Write a certificate with its chain, and its key; return both files."""
        issued = self.ca.issue_cert(*names, common_name=common_name, **options)
        cert, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return str(cert), str(key)

    def options(self, stem: str = "server", *names: str, **options: Any) -> TlsOptions:
        """Issue a server's certificate and return the options that show it."""
        cert, key = self.issue(stem, *(names or ("gate.example",)))
        return TlsOptions(cert=(cert,), cert_key=(key,), **options)

    def client(self, certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority, perhaps with a certificate of its own."""
        context = ssl.create_default_context(cafile=self.file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context


class ClientTls:
    """A client's half of TLS, in memory."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None = "gate.example") -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name)

    def step(self, data: bytes = b"") -> bytes:
        """Take what the server sent in its handshake, return what is to be sent."""
        if data:
            self.incoming.write(data)
        with waiting():
            self.tls.do_handshake()
        return self.outgoing.read()

    def write(self, data: bytes) -> bytes:
        """Return ciphertext."""
        self.tls.write(data)
        return self.outgoing.read()

    def goodbye(self) -> bytes:
        """Return the end of this side."""
        with waiting():
            self.tls.unwrap()
        return self.outgoing.read()

    def read(self, data: bytes = b"") -> bytes:
        """Take ciphertext, return what it says."""
        self.incoming.write(data)
        found = b""
        with waiting():
            while piece := self.tls.read(65_536):
                found += piece
        return found


@contextmanager
def waiting() -> Iterator[None]:
    """Go on where more would have to come, or the other side has said goodbye."""
    with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
        yield


class TlsDevice:
    """A device that speaks TLS."""

    def __init__(self, device: Device, client: ClientTls) -> None:
        self.device = device
        self.client = client

    async def shake_hands(self) -> TlsDevice:
        """Finish the handshake; raises what the server's alert or certificate causes."""
        await self.device.send(self.client.step())
        while True:
            try:
                self.client.tls.do_handshake()
            except ssl.SSLWantReadError:
                if out := self.client.outgoing.read():
                    await self.device.send(out)
                data = await self.device._receive(65_536)
                if not data:
                    raise ConnectionResetError("the server left") from None
                self.client.incoming.write(data)
            else:
                await self.device.send(self.client.outgoing.read())
                return self

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self.device.send(self.client.write(data))

    async def receive(self, size: int) -> bytes:
        """Return at least so many bytes; fewer if the server ends its side."""
        found = self.client.read()
        while len(found) < size:
            data = await self.device._receive(65_536)
            if not data:
                return found
            found += self.client.read(data)
        return found

    async def receive_all(self) -> bytes:
        """Return everything up to the end of the stream."""
        return self.client.read(await self.device.receive_all())
