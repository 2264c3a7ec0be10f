"""What a PROXY header says, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Endpoint = tuple[str, int] | str
"""Host and port; or the path of a Unix socket, which may be empty."""


@dataclass(frozen=True, slots=True)
class ProxyTls:
    """What the proxy says of the TLS connection that it took off (specification §2.2.6, ``PP2_TYPE_SSL``).

    Attributes:
        has_certificate: the client showed a certificate on this connection (``PP2_CLIENT_CERT_CONN``).
        is_verified: the client showed a certificate, on this connection or in the session that it resumes, and the
            proxy has verified it.
        version: such as ``TLSv1.3``; empty if not said, like all text here.
        common_name: of the subject of the client's certificate. Who may be believed only if ``is_verified``.
        cipher: such as ``ECDHE-RSA-AES128-GCM-SHA256``.
        signature_algorithm: of the proxy's own certificate.
        key_algorithm: of the proxy's own certificate.
    """

    has_certificate: bool
    is_verified: bool
    version: str = ""
    common_name: str = ""
    cipher: str = ""
    signature_algorithm: str = ""
    key_algorithm: str = ""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a PROXY header of either version says.

    Attributes:
        version: 1 is text, 2 is binary.
        is_local: the proxy connected on its own account, such as to check our health.
        source: who connected to the proxy; None if it does not know or does not say.
        destination: what that client connected to.
        alpn: the application protocol that was negotiated.
        authority: the host that the client asked for: the server name of TLS.
        unique_id: the proxy's own name for the connection, at most 128 bytes.
        netns: the network namespace from which the connection came.
        tls: what was negotiated between client and proxy; None if that was not TLS.
        tlvs: every extension in its order, type and value, those above too; most of them are of one vendor only
            (0xEA is AWS, for example).
    """

    version: Literal[1, 2]
    is_local: bool = False
    source: Endpoint | None = None
    destination: Endpoint | None = None
    alpn: bytes = b""
    authority: str = ""
    unique_id: bytes = b""
    netns: str = ""
    tls: ProxyTls | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()
