"""The certificates of HTTP; `portcast.http_entrance` puts TLS between the socket and uvicorn's protocol.

uvicorn leaves TLS to the event loop: a handshake then has 60 s, a goodbye 30 s, strangers are not counted, and a
renewed certificate needs a restart. Here HTTP has what device listeners have (`portcast.runtime.entrance`). HTTP/1.1 is
spoken, and nothing else is negotiated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from portcast.config import TlsOptions
from portcast.events import Emit
from portcast.runtime.certificates import Certificates, CertificateWatch

OWNER = "http"
"""What events call it."""


class HttpTls:
    """The certificates of the HTTP side."""

    def __init__(self, options: TlsOptions, emit: Emit) -> None:
        """Read the files.

        Args:
            options: with a certificate.
            emit: takes what happens.

        Raises:
            ConfigurationError: a file cannot be used.
        """
        self.certificates = Certificates(options, OWNER, emit, alpn=["http/1.1"])
        self._watch: CertificateWatch | None = None

    @classmethod
    def of(cls, options: TlsOptions, emit: Emit) -> HttpTls | None:
        """Return one if there is a certificate; see `HttpTls`."""
        return cls(options, emit) if options.is_enabled else None

    def watch(self) -> None:
        """Read renewed files from now on, on the running loop."""
        self._watch = CertificateWatch([self.certificates], asyncio.get_running_loop())

    def close(self) -> None:
        """Look at files no more."""
        if self._watch is not None:
            self._watch.close()


def reload_all(tls: HttpTls | None, other: Callable[[], object] | None) -> Callable[[], object] | None:
    """Return what reads all certificates anew: those of HTTP, and what ``other`` knows; None if there are none."""
    if tls is None or other is None:
        return other if tls is None else tls.certificates.reload
    certificates = tls.certificates
    return lambda: (certificates.reload(), other())
