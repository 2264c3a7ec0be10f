"""The DNS names in a certificate file, by which one of several certificates is chosen.

The ssl module tells the names of a peer's certificate, and of none of ours, so the few bytes on the way to them are
read here (X.690 §8.1, RFC 5280 §4.1)::

    Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { … [3] SEQUENCE OF Extension }, … }
    Extension   ::= SEQUENCE { OBJECT IDENTIFIER, BOOLEAN OPTIONAL, OCTET STRING }
    the octets, of subjectAltName: SEQUENCE OF [2] dNSName | …
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _OID, _OCTETS, _EXTENSIONS, _DNS_NAME = 0x30, 0x06, 0x04, 0xA3, 0x82
_SUBJECT_ALT_NAME = bytes([0x55, 0x1D, 0x11])


def certificate_names(pem: str) -> tuple[str, ...]:
    """Return the DNS names of the first certificate in a PEM text, in lower case; none if it has none.

    Raises:
        ValueError: there is no certificate in it.
    """
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("there is no certificate in it")
    certificate = ssl.PEM_cert_to_DER_cert(found[0])
    for _, whole in _elements(certificate):
        for _, body in list(_elements(whole))[:1]:
            for kind, value in _elements(body):
                if kind == _EXTENSIONS:
                    return tuple(_dns_names(value))
    return ()


def _dns_names(extensions: bytes) -> Iterator[str]:
    for _, listed in _elements(extensions):
        for _, extension in _elements(listed):
            parts = list(_elements(extension))
            if (_OID, _SUBJECT_ALT_NAME) not in parts:
                continue
            for _, names in _elements(next(value for kind, value in parts if kind == _OCTETS)):
                yield from (
                    name.decode("ascii", "replace").lower() for kind, name in _elements(names) if kind == _DNS_NAME
                )


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element; all tags here have one byte."""
    at = 0
    while at + 2 <= len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            length, at = int.from_bytes(data[at : at + octets], "big"), at + octets
        yield tag, data[at : at + length]
        at += length
