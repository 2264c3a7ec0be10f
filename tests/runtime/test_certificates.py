"""Tests of `portcast.runtime.certificates` and of the identities that a handshake brings."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from portcast.config import TlsOptions
from portcast.errors import ConfigurationError
from portcast.events import CertificatesRefused, CertificatesReloaded
from portcast.runtime.certificates import LOOK_S, Certificates, CertificateWatch
from portcast.testing.clock import ManualClock
from runtime_kit import Events
from tls_kit import Authority, ClientTls, waiting


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def shown(certificates: Certificates, authority: Authority, name: str = "gate.example") -> str:
    """Return the serial number of the certificate that a client is shown."""
    client = ClientTls(authority.client(), name)
    server = certificates.context_for(name).wrap_bio(client.outgoing, client.incoming, server_side=True)
    for _ in range(2):
        with waiting():
            client.tls.do_handshake()
        with waiting():
            server.do_handshake()
    found = client.tls.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


def test_only_strong_ciphers(authority: Authority) -> None:
    """RFC 9325 §4.2: forward secrecy and authenticated encryption; no compression, no renegotiation."""
    context = Certificates(authority.options(), "owner", Events()).context_for("")
    names = {one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"}
    assert names
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "POLY1305" in name) for name in names)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION


class TestNames:
    def test_the_certificate_follows_the_name(self, authority: Authority) -> None:
        """The first is for everybody else; a wildcard stands for one label."""
        files = [authority.issue(stem, *names) for stem, names in STEMS.items()]
        certs, keys = zip(*files, strict=True)
        certificates = Certificates(TlsOptions(cert=certs, cert_key=keys), "owner", Events())
        first, second, third = (certificates.context_for(name) for name in ("gate.example", "b.example", "x.c.example"))
        assert len({first, second, third}) == 3
        assert certificates.context_for("c.example") is second
        assert certificates.context_for("y.x.c.example") is first
        assert certificates.context_for("") is first
        assert shown(certificates, authority) != shown(certificates, authority, "b.example")

    def test_an_exact_name_is_stronger_than_a_wildcard(self, authority: Authority) -> None:
        files = [authority.issue("wide", "*.example"), authority.issue("narrow", "b.example")]
        certs, keys = zip(*files, strict=True)
        certificates = Certificates(TlsOptions(cert=certs, cert_key=keys), "owner", Events())
        assert certificates.context_for("b.example") is not certificates.context_for("a.example")

    def test_a_certificate_that_nobody_can_ask_for_is_a_mistake(self, authority: Authority) -> None:
        options = authority.options()
        nameless = authority.issue("nameless", "192.0.2.7")
        both = TlsOptions(cert=(*options.cert, nameless[0]), cert_key=(*options.cert_key, nameless[1]))
        with pytest.raises(ConfigurationError, match="no DNS name"):
            Certificates(both, "owner", Events())


STEMS = {"a": ["gate.example"], "b": ["b.example", "c.example"], "c": ["*.c.example"]}


def test_old_versions_are_refused(authority: Authority) -> None:
    """TLS 1.2 and up, no renegotiation, no compression (faults.md, row 37)."""
    context = Certificates(authority.options(), "owner", Events()).context_for("")
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


def test_the_key_may_be_in_the_certificates_file(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("a", "gate.example")
    both = tmp_path / "both.pem"
    both.write_bytes(Path(key).read_bytes() + Path(cert).read_bytes())
    assert shown(Certificates(TlsOptions(cert=(str(both),)), "owner", Events()), authority)


Spoil = Callable[[Authority, TlsOptions], TlsOptions]


def _encrypted(authority: Authority, options: TlsOptions) -> TlsOptions:
    file = Path(options.cert_key[0])
    key = load_pem_private_key(file.read_bytes(), None)
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret"))
    )
    return options


def _written(name: str, text: str) -> Spoil:
    def spoil(authority: Authority, options: TlsOptions) -> TlsOptions:
        Path(getattr(options, name)[0]).write_text(text)
        return options

    return spoil


def _foreign_key(authority: Authority, options: TlsOptions) -> TlsOptions:
    return replace(options, cert_key=(authority.issue("other", "other.example")[1],))


def _no_ca(authority: Authority, options: TlsOptions) -> TlsOptions:
    return replace(options, client_ca=options.cert_key[0])


BROKEN: dict[str, tuple[Spoil, str]] = {
    "no certificate file": (lambda _, options: replace(options, cert=("/none.pem",)), "/none.pem: cannot be read"),
    "no key file": (lambda _, options: replace(options, cert_key=("/none.key",)), "/none.key: cannot be read"),
    "no CA file": (lambda _, options: replace(options, client_ca="/none.ca"), "/none.ca: cannot be read"),
    "not a certificate": (_written("cert", "x"), "server.pem: cannot be used"),
    "half a certificate": (_written("cert", "-----BEGIN CERTIFICATE-----\nAAAA\n"), "server.pem: cannot be used"),
    "not a key": (_written("cert_key", "x"), "server.pem: cannot be used with the key"),
    "another's key": (_foreign_key, "does not belong"),
    "an encrypted key": (_encrypted, "encrypted"),
    "not an authority": (_no_ca, "holds no certificates"),
}


@pytest.mark.parametrize(("spoil", "problem"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_used_is_said(authority: Authority, spoil: Spoil, problem: str) -> None:
    """With the file, at start; the terminal is never asked for a password."""
    options = spoil(authority, authority.options())
    with pytest.raises(ConfigurationError, match=problem):
        Certificates(options, "owner", Events())


class TestReload:
    def test_new_handshakes_see_new_files(self, authority: Authority) -> None:
        events = Events()
        certificates = Certificates(authority.options(), "owner", events)
        before = shown(certificates, authority)
        authority.issue("server", "gate.example")
        assert shown(certificates, authority) == before
        assert certificates.reload()
        assert shown(certificates, authority) != before
        assert events.all == [CertificatesReloaded("owner")]

    def test_a_broken_pair_is_refused_and_the_old_one_kept(self, authority: Authority) -> None:
        events = Events()
        options = authority.options()
        certificates = Certificates(options, "owner", events)
        before = shown(certificates, authority)
        shutil.copy(authority.issue("other", "gate.example")[1], options.cert_key[0])
        assert not certificates.reload()
        assert shown(certificates, authority) == before
        (event,) = events.of(CertificatesRefused)
        assert event.listener == "owner"
        assert "does not belong" in event.detail


class TestWatch:
    """The clock is manual; the files are real."""

    def test_changed_files_are_read_once_they_stay_the_same(self, authority: Authority) -> None:
        """The second look finds what the first has found; a look between certificate and key sees no pair."""
        events, clock = Events(), ManualClock()
        options = authority.options()
        certificates = Certificates(options, "owner", events)
        before = shown(certificates, authority)
        watch = CertificateWatch([certificates], clock)
        clock.advance(LOOK_S)
        cert, key = authority.issue("new", "gate.example")
        os.replace(cert, options.cert[0])
        clock.advance(LOOK_S)
        os.replace(key, options.cert_key[0])
        clock.advance(LOOK_S)
        assert events.all == []
        assert shown(certificates, authority) == before
        clock.advance(LOOK_S)
        assert events.all == [CertificatesReloaded("owner")]
        assert shown(certificates, authority) != before
        clock.advance(LOOK_S * 3)
        assert len(events.all) == 1
        watch.close()

    def test_a_broken_file_is_told_once(self, authority: Authority) -> None:
        """Not with every look; and mended, it is read."""
        events, clock = Events(), ManualClock()
        options = authority.options()
        watch = CertificateWatch([Certificates(options, "owner", events)], clock)
        good = Path(options.cert[0]).read_bytes()
        Path(options.cert[0]).unlink()
        clock.advance(LOOK_S * 5)
        (refused,) = events.of(CertificatesRefused)
        assert "cannot be read" in refused.detail
        Path(options.cert[0]).write_bytes(good)
        clock.advance(LOOK_S * 2)
        assert events.all[1:] == [CertificatesReloaded("owner")]
        watch.close()

    def test_nothing_is_looked_at_after_the_end(self, authority: Authority) -> None:
        events, clock = Events(), ManualClock()
        options = authority.options()
        watch = CertificateWatch([Certificates(options, "owner", events)], clock)
        watch.close()
        Path(options.cert[0]).unlink()
        clock.advance(LOOK_S * 5)
        assert events.all == []

    def test_without_certificates_there_is_no_timer(self) -> None:
        """A gateway without TLS is not woken for nothing."""
        clock = ManualClock()
        CertificateWatch([], clock).close()
        assert clock._timers == []
