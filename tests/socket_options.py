"""The options of a socket for HTTP, read back from the kernel."""

from __future__ import annotations

import socket
import sys

from portcast.http_socket import NOT_SENT_BYTES, SEND_BUFFER_BYTES

_TCP = (
    "TCP_NODELAY",
    "TCP_NOTSENT_LOWAT",
    "TCP_KEEPIDLE",
    "TCP_KEEPINTVL",
    "TCP_KEEPCNT",
    "TCP_USER_TIMEOUT",
)

EXPECTED_OPTIONS = {
    # Linux reports what it really reserves, which is twice what was asked for (socket(7)).
    "SO_SNDBUF": SEND_BUFFER_BYTES * (2 if sys.platform == "linux" else 1),
    "SO_KEEPALIVE": 1,
    **{
        name: value
        for name, value in zip(_TCP, (1, NOT_SENT_BYTES, 60, 15, 4, 30_000), strict=True)
        if hasattr(socket, name)
    },
}


def options_of(sock: socket.socket) -> dict[str, int]:
    """The options that `portcast.http_socket` sets, as they are."""
    found = {name: sock.getsockopt(socket.SOL_SOCKET, getattr(socket, name)) for name in ("SO_SNDBUF", "SO_KEEPALIVE")}
    for name in _TCP:
        if hasattr(socket, name):
            found[name] = sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
    return {name: bool(value) + 0 if name == "SO_KEEPALIVE" else value for name, value in found.items()}
