"""What is known of a connection from its TLS handshake."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from typing import Any

from portcast.events import RefusalReason


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The certificate that a device has shown. It was verified against the listener's ``client_ca``.

    Attributes:
        common_name: the last CN of its subject; empty if there is none.
        dns_names: names of its kind among the subject's alternative names (RFC 5280 §4.2.1.6), and so on.
        uris: such as ``urn:uuid:…`` or SPIFFE ids.
        emails: mail addresses.
        ip_addresses: as text.
        subject: every part of the subject in its order, such as ``("organizationName", "Acme")``.
        issuer: the same of its authority.
        serial: its number at that authority, upper case hexadecimal.
        not_after: Unix seconds at which it expires.
        fingerprint: SHA-256 of the whole certificate, lower case hexadecimal.
    """

    common_name: str
    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    emails: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    subject: tuple[tuple[str, str], ...]
    issuer: tuple[tuple[str, str], ...]
    serial: str
    not_after: float
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """How a connection is encrypted, and who is at its other end.

    Attributes:
        version: ``TLSv1.2`` or ``TLSv1.3``.
        cipher: OpenSSL's name of it.
        server_name: what the client asked for (SNI); empty if nothing.
        peer_certificate: None if the client has shown none.
    """

    version: str
    cipher: str
    server_name: str
    peer_certificate: PeerCertificate | None


def tls_info(tls: ssl.SSLObject, server_name: str) -> TlsInfo:
    """Return what a finished handshake has brought."""
    cipher = tls.cipher()
    return TlsInfo(
        tls.version() or "",
        cipher[0] if cipher else "",
        server_name,
        _peer_certificate(tls),
    )


def _peer_certificate(tls: ssl.SSLObject) -> PeerCertificate | None:
    der = tls.getpeercert(binary_form=True)
    # Text is there only of a certificate that was verified.
    parts: dict[str, Any] | None = tls.getpeercert()
    if der is None or not parts:
        return None
    names: dict[str, list[str]] = {}
    for kind, name, *_ in parts.get("subjectAltName", ()):
        names.setdefault(kind, []).append(str(name))
    subject = _flat(parts.get("subject", ()))
    return PeerCertificate(
        common_name=next((value for kind, value in reversed(subject) if kind == "commonName"), ""),
        dns_names=tuple(names.get("DNS", ())),
        uris=tuple(names.get("URI", ())),
        emails=tuple(names.get("email", ())),
        ip_addresses=tuple(names.get("IP Address", ())),
        subject=subject,
        issuer=_flat(parts.get("issuer", ())),
        serial=str(parts.get("serialNumber", "")),
        not_after=float(ssl.cert_time_to_seconds(parts["notAfter"])),
        fingerprint=hashlib.sha256(der).hexdigest(),
    )


def _flat(name: Any) -> tuple[tuple[str, str], ...]:
    """Return a distinguished name as pairs; ssl gives a tuple of sets of pairs."""
    return tuple(pair for part in name for pair in part)


def handshake_failure(error: ssl.SSLError) -> tuple[RefusalReason, str]:
    """Return why a handshake failed, in a word and in OpenSSL's own."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "client_certificate", error.verify_message
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return ("client_certificate" if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE" else "tls_failed"), reason
