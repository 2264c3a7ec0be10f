"""TLS for HTTP, between the socket and uvicorn's protocol.

uvicorn leaves TLS to the event loop: a handshake then has 60 s, a goodbye 30 s, strangers are not counted, and a
renewed certificate needs a restart. Here HTTP has what device listeners have (`portcast.runtime.entrance`). HTTP/1.1 is
spoken, and nothing else is negotiated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from portcast.config import TlsOptions
from portcast.events import Emit
from portcast.runtime.certificates import Certificates, CertificateWatch
from portcast.runtime.entrance import Entrance
from portcast.runtime.limits import most_pending, raise_descriptor_limit

OWNER = "http"
"""What events call it."""


class HttpTls:
    """The certificates of the HTTP side, and who comes in with them."""

    def __init__(self, options: TlsOptions, emit: Emit) -> None:
        """Read the files.

        Args:
            options: with a certificate.
            emit: takes what happens.

        Raises:
            ConfigurationError: a file cannot be used.
        """
        self.certificates = Certificates(options, OWNER, emit, alpn=["http/1.1"])
        self._emit = emit
        self._entrance: Entrance | None = None
        self._watch: CertificateWatch | None = None

    @classmethod
    def of(cls, options: TlsOptions, emit: Emit) -> HttpTls | None:
        """Return one if there is a certificate; see `HttpTls`."""
        return cls(options, emit) if options.is_enabled else None

    def around(self, protocol: Callable[..., asyncio.Protocol]) -> Callable[..., asyncio.Protocol]:
        """Return a factory like ``protocol``, with TLS before it, for ``uvicorn.Config(http=…)``."""

        def make(**arguments: Any) -> asyncio.Protocol:
            if self._entrance is None:
                # uvicorn gives every connection the same arguments, and the first only while the loop runs.
                self._entrance = self._open(partial(protocol, **arguments))
            return self._entrance.arrive()

        return make

    def _open(self, protocol: Callable[[], asyncio.Protocol]) -> Entrance:
        return Entrance(
            owner=OWNER,
            certificates=self.certificates,
            most=most_pending(raise_descriptor_limit()),
            clock=asyncio.get_running_loop(),
            emit=self._emit,
            enter=lambda _: protocol(),
            left=lambda _: None,
        )

    def watch(self) -> None:
        """Read renewed files from now on, on the running loop."""
        self._watch = CertificateWatch([self.certificates], asyncio.get_running_loop())

    def close(self) -> None:
        """Send away whoever has not come in, and look at files no more."""
        if self._watch is not None:
            self._watch.close()
        if self._entrance is not None:
            self._entrance.close()


def reload_all(tls: HttpTls | None, other: Callable[[], object] | None) -> Callable[[], object] | None:
    """Return what reads all certificates anew: those of HTTP, and what ``other`` knows; None if there are none."""
    if tls is None or other is None:
        return other if tls is None else tls.certificates.reload
    certificates = tls.certificates
    return lambda: (certificates.reload(), other())
