"""Tests of `portcast.runtime.tls_peer`."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest

from portcast.config import TlsOptions
from portcast.runtime.certificates import Certificates
from portcast.runtime.tls_peer import TlsInfo, handshake_failure, tls_info
from runtime_kit import Events
from tls_kit import Authority, ClientTls, waiting


def connected(options: TlsOptions, context: ssl.SSLContext) -> tuple[ClientTls, ssl.SSLObject]:
    """Join a client and a server in memory."""
    client = ClientTls(context)
    server = (
        Certificates(options, "owner", Events())
        .context_for("")
        .wrap_bio(client.outgoing, client.incoming, server_side=True)
    )
    for _ in range(3):
        with waiting():
            client.tls.do_handshake()
        with waiting():
            server.do_handshake()
    return client, server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_who_shows_no_certificate_has_none(authority: Authority) -> None:
    _, server = connected(authority.options(), authority.client())
    info = tls_info(server, "gate.example")
    assert info == TlsInfo("TLSv1.3", info.cipher, "gate.example", None)
    assert info.cipher.startswith("TLS_")


def test_a_certificate_says_who_it_is(authority: Authority) -> None:
    """Everything by which an application may know a device."""
    names = ("tracker-7.example", "192.0.2.7", "ops@mail.example")
    certificate = authority.issue("device", *names, common_name="tracker-7")
    _, server = connected(authority.options(client_ca=authority.file), authority.client(certificate))
    found = tls_info(server, "").peer_certificate
    assert found is not None
    der = ssl.PEM_cert_to_DER_cert(
        Path(certificate[0]).read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n"
    )
    assert found.fingerprint == hashlib.sha256(der).hexdigest()
    assert (found.common_name, found.dns_names, found.ip_addresses, found.emails, found.uris) == (
        "tracker-7",
        ("tracker-7.example",),
        ("192.0.2.7",),
        ("ops@mail.example",),
        (),
    )
    assert ("commonName", "tracker-7") in found.subject
    assert ("organizationName", "ca") in found.issuer
    assert int(found.serial, 16) > 0
    assert found.not_after > 1_600_000_000


def test_an_optional_certificate_may_be_missing(authority: Authority) -> None:
    options = authority.options(client_ca=authority.file, client_cert="optional")
    _, server = connected(options, authority.client())
    assert tls_info(server, "").peer_certificate is None


def test_why_a_handshake_failed(authority: Authority, tmp_path: Path) -> None:
    """A word for counters, OpenSSL's own words for people."""
    options = authority.options(client_ca=authority.file)
    stranger = Authority(tmp_path, "stranger")
    foreign = authority.client(stranger.issue("foreign", "tracker-7.example"))
    for context, expected in (
        (authority.client(), ("client_certificate", "peer did not return a certificate")),
        (foreign, ("client_certificate", "unable to get local issuer certificate")),
    ):
        with pytest.raises(ssl.SSLError) as caught:
            connected(options, context)
        assert handshake_failure(caught.value) == expected
    server = Certificates(options, "owner", Events()).context_for("")
    incoming = ssl.MemoryBIO()
    incoming.write(b"GET / HTTP/1.1\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        server.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    assert handshake_failure(caught.value) == ("tls_failed", "http request")
