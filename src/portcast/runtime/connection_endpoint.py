"""Who is at the other end of a connection, and what the application keeps of it.

How it lives is in `portcast.runtime.connection`, what is sent in `portcast.runtime.connection_output`.
"""

from __future__ import annotations

from itertools import count
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from portcast.types import ConnectionId

if TYPE_CHECKING:
    from portcast.config import ListenerOptions
    from portcast.proxy import ProxyHeader
    from portcast.runtime.device import Device
    from portcast.runtime.listener import Listener
    from portcast.runtime.tls_peer import PeerCertificate, TlsInfo

# 48 bits, counted up from a random start: unique in a process, unlikely to meet another's in a log.
_ids = count(SystemRandom().randrange(1 << 47))


class Endpoint:
    """The part of `portcast.runtime.connection.Connection` that says who it is.

    Attributes:
        id: unique in this process.
        device: whose the message is that is being handled; None if nobody said (see `portcast.runtime.device_session`).
        opened_at: when it was accepted, monotonic seconds.
        tls: how it is encrypted; None if it is not. What a proxy took off is in ``proxy.tls``.
        proxy: what the proxy in front of us said of it; None without one.
    """

    __slots__ = ("_listener", "_peer", "_state", "device", "id", "opened_at", "proxy", "tls")

    def _begin_endpoint(self, listener: Listener, peer: str, tls: TlsInfo | None, proxy: ProxyHeader | None) -> None:
        self.id = ConnectionId(f"{next(_ids):012x}")
        self.opened_at = listener.now()
        self.device: Device | None = None
        self.tls = tls
        self.proxy = proxy
        self._listener = listener
        self._peer = peer
        self._state: dict[str, Any] | None = None

    @property
    def listener(self) -> str:
        """The name of the listener that accepted it."""
        return self._listener.name

    @property
    def options(self) -> ListenerOptions:
        """The limits and deadlines of its listener."""
        return self._listener.options

    @property
    def peer(self) -> str:
        """The device's address: ``192.0.2.7:50123``, ``[2001:db8::7]:50123``, or ``unix`` for a Unix socket.

        Where a trusted proxy says for whom it connects, that address and not the proxy's.
        """
        return self._peer

    @property
    def idle_s(self) -> float:
        """Silence of which the application may be told: half of ``idle_timeout``, so that the device can answer."""
        return self._listener.options.idle_timeout_s / 2

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """The certificate that the device has shown, verified against the listener's ``client_ca``; None if none."""
        return self.tls.peer_certificate if self.tls is not None else None

    @property
    def host(self) -> str:
        """The device's IP address alone: ``192.0.2.7``, ``2001:db8::7``; empty for a Unix socket."""
        return self._peer.rpartition(":")[0].strip("[]")

    @property
    def state(self) -> dict[str, Any]:
        """A place for the application's own values, gone with the connection."""
        if self._state is None:
            self._state = {}
        return self._state
