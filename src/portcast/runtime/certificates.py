"""The certificates of one address: read from files, chosen by name, and read anew without a restart.

Whatever is read is made into new contexts, which take the place of the old ones only when all of it can be used. A
handshake begins with the context of its moment and keeps it, so connections never notice.

Files are looked at every few seconds, not with each connection. Certificate and key are two files, and a look may fall
between the two: they are read when two looks in a row have seen the same.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path

from portcast.config import TlsOptions
from portcast.errors import ConfigurationError
from portcast.events import CertificatesRefused, CertificatesReloaded, Emit
from portcast.runtime.certificate_names import certificate_names
from portcast.runtime.clock import Clock, Timer

LOOK_S = 5.0
"""Between two looks at the files: a renewal is in use ten seconds later at the latest."""

_State = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """See the theory on top of the module.

    Attributes:
        options: what they were made from.
        owner: names the address in events.
    """

    def __init__(self, options: TlsOptions, owner: str, emit: Emit, *, alpn: Sequence[str] = ()) -> None:
        """Read the files.

        Args:
            options: they name at least one certificate.
            owner: names the address in events and errors.
            emit: is told of later readings.
            alpn: application protocols (RFC 7301); none are negotiated if empty.

        Raises:
            ConfigurationError: a file cannot be used.
        """
        self.owner = owner
        self.options = options
        self._emit = emit
        self._alpn = alpn
        self._read_state = self._seen_state = self._state()
        self._default, self._by_name = self._contexts()

    def context_for(self, name: str) -> ssl.SSLContext:
        """Return what a handshake begins with whose client asks for this name, in lower case; empty for none."""
        # A wildcard stands for one label (RFC 9525 §6.3).
        return self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2]) or self._default

    def reload(self) -> bool:
        """Read the files anew; return False if they cannot be used, and everything stays as it was."""
        self._read_state = self._seen_state = self._state()
        try:
            self._default, self._by_name = self._contexts()
        except ConfigurationError as error:
            self._emit(CertificatesRefused(self.owner, str(error)))
            return False
        self._emit(CertificatesReloaded(self.owner))
        return True

    def look(self) -> None:
        """Read the files anew if they have changed since, and have not since the last look."""
        state = self._state()
        if state != self._read_state and state == self._seen_state:
            self.reload()
        self._seen_state = state

    def _state(self) -> _State:
        options = self.options
        return tuple(_file_state(file) for file in (*options.cert, *options.cert_key, options.client_ca) if file)

    def _contexts(self) -> tuple[ssl.SSLContext, dict[str, ssl.SSLContext]]:
        """Return the first certificate's context, and those of all by name."""
        options = self.options
        keys = options.cert_key or options.cert
        contexts = [self._context(cert, key) for cert, key in zip(options.cert, keys, strict=True)]
        names: dict[str, ssl.SSLContext] = {}
        for cert, context in zip(options.cert, contexts, strict=True) if len(contexts) > 1 else ():
            found = certificate_names(_text(cert))
            if not found and context is not contexts[0]:
                raise ConfigurationError(
                    cert, "has no DNS name by which it could be chosen", "only the first needs none"
                )
            for name in found:
                names.setdefault(name, context)
        return contexts[0], names

    def _context(self, cert: str, key: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # of TLS 1.2; RFC 9325 §4.2
        context.options |= ssl.OP_NO_RENEGOTIATION
        if self._alpn:
            context.set_alpn_protocols(list(self._alpn))
        for file in {cert, key}:
            _text(file)
        try:
            # Without a password OpenSSL would ask the terminal for one.
            context.load_cert_chain(cert, key, password=_no_password)
        except ssl.SSLError as error:
            what = "the key does not belong to the certificate" if error.reason == "KEY_VALUES_MISMATCH" else ""
            raise ConfigurationError(cert, what or f"cannot be used with the key {key} ({error.reason})") from error
        except ValueError as error:
            raise ConfigurationError(key, str(error)) from error
        if ca := self.options.client_ca:
            _text(ca)
            try:
                context.load_verify_locations(ca)
            except ssl.SSLError as error:
                raise ConfigurationError(ca, f"holds no certificates ({error.reason})") from error
            is_required = self.options.client_cert == "required"
            context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
            # A ticket would let a client in again after its certificate has expired.
            context.num_tickets = 0
        return context


def _no_password() -> str:
    raise ValueError("the key is encrypted, and there is nobody to ask for its password")


def _file_state(file: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _text(file: str) -> str:
    try:
        return Path(file).read_text("utf-8", "replace")
    except OSError as error:
        raise ConfigurationError(file, f"cannot be read ({error.strerror})") from error


class CertificateWatch:
    """Looks at the files of several certificates, all with one timer."""

    def __init__(self, certificates: Iterable[Certificates], clock: Clock) -> None:
        """Begin, unless there are none."""
        self._certificates = list(certificates)
        self._clock = clock
        self._timer: Timer | None = None
        self._wait()

    def _wait(self) -> None:
        if self._certificates:
            self._timer = self._clock.call_at(self._clock.time() + LOOK_S, self._look)

    def _look(self) -> None:
        for one in self._certificates:
            one.look()
        self._wait()

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
