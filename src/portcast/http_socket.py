"""The listening socket for HTTP: bound, explained when it cannot be bound, and limited in what the kernel hides.

What the kernel has taken looks delivered, so a client that stops reading is noticed only when its buffers are full.
Accepted sockets inherit their options from the listening one (Linux; elsewhere some keep the system's defaults).
Megabytes hidden by one client that never reads (loopback, Linux 6.18), with the client's ``SO_RCVBUF`` left to the
system, and of 4096 bytes:

=======================================  ========  ==========
options of the listening socket          system's  4096 bytes
=======================================  ========  ==========
none                                     3.92      2.81
``SO_SNDBUF``                            0.60      0.38
``SO_SNDBUF`` and ``TCP_NOTSENT_LOWAT``  0.18      0.07
=======================================  ========  ==========

That costs nothing that could be measured: a burst of 1.5 million 119-byte lines to 100 WebSockets, ``patience=30``,
took 1.7 to 1.9 s of the server's processor with both, and 1.8 to 2.2 s with none (three runs each, uvloop, a machine
with two cores).
"""

from __future__ import annotations

import errno
import os
import socket

from portcast.config import Address
from portcast.errors import ListenError
from portcast.runtime.bind import set_keepalive

BACKLOG = 2048
"""HTTP connections that the kernel holds until they are accepted: uvicorn's default."""

SEND_BUFFER_BYTES = 262_144
"""``SO_SNDBUF``: what may be in flight. At 50 ms to the client that is 5 MB/s each, more than any browser shows; Linux
doubles the number for its own bookkeeping. Without it the buffer grows to 4 MB (``tcp_wmem``)."""
NOT_SENT_BYTES = 65_536
"""``TCP_NOTSENT_LOWAT``: with so much not even in flight the socket is not writable. What is not sent yet helps nobody
in the kernel; with us it can still be replaced or left out, and its age is known."""


def bind_http(address: Address) -> socket.socket:
    """Return a TCP socket bound to ``address``, not listening yet.

    Args:
        address: an address of scheme ``tcp``; a host name is looked up and its first address used.

    Raises:
        ListenError: it cannot be bound; the message names the address and what to do.
    """
    url = f"http://{address.host_port}"
    try:
        info = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(url, f"the host {address.host!r} is not known", "check --http") from error
    family, kind, protocol, _, place = info[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # Otherwise connections of a server that has just ended (TIME_WAIT) keep the port for a minute.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # There is one HTTP address, so "::" means both families (the default of Linux, but not of every system).
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        _set_options(bound)
        bound.bind(place)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise http_error(url, address, error) from error
    return bound


def _set_options(bound: socket.socket) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT_BYTES)
    # A tick's frames are written in one call, so Nagle's algorithm could only hold back the last segment of them, until
    # the client's delayed acknowledgement (40 ms).
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A machine that vanished says nothing. Our pings find it under a WebSocket; under other connections this does, and
    # TCP_USER_TIMEOUT ends whoever has not made room for what was written within 30 s, whatever the server does.
    set_keepalive(bound)


def http_error(url: str, address: Address, error: OSError) -> ListenError:
    """Return the error that says why the HTTP address cannot be had, and what to do."""
    if error.errno == errno.EADDRINUSE:
        # Not the next port up: 8001 to 8003 are the devices'.
        other = address.with_port(8080 if address.port != 8080 else 8888).host_port
        hint = (
            f"another program, perhaps another `portcast serve`, has it; stop that one or take another: --http {other}"
        )
        return ListenError(url, "the HTTP port is already in use", hint)
    if error.errno == errno.EACCES:
        return ListenError(url, "no permission to bind", "ports below 1024 need root; take a higher one with --http")
    if error.errno == errno.EADDRNOTAVAIL:
        return ListenError(url, "this machine has no such address", "0.0.0.0 stands for all of them")
    return ListenError(url, (error.strerror or str(error)).lower(), "check --http")
