"""Listening sockets: made, explained when they cannot be made, and tidied up.

Everything here is done before the first connection is accepted, so it may block the loop for a moment (a host name is
looked up).
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import socket
import stat
import struct

from portcast.address import Address
from portcast.errors import ListenError


def bound_socket(address: Address, backlog: int) -> socket.socket:
    """Return a non-blocking socket that listens on ``address``.

    Args:
        address: port 0 lets the system choose. A Unix socket that nobody listens on any more is replaced.
        backlog: connections that the kernel holds until they are accepted.

    Raises:
        ListenError: it cannot be bound; the error says why and what to do. Nothing is left behind.
    """
    try:
        sock = _bound_unix(address.path) if address.scheme == "unix" else _bound_tcp(address)
    except (OSError, ValueError) as error:
        raise _listen_error(address, error) from error
    try:
        sock.setblocking(False)
        sock.listen(backlog)
    except OSError as error:
        close_listening(sock, address)
        raise _listen_error(address, error) from error
    return sock


def close_listening(sock: socket.socket, address: Address) -> None:
    """Close what `bound_socket` made; the file of a Unix socket goes, too."""
    sock.close()
    if address.scheme == "unix":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address.path)


def reset(sock: socket.socket) -> None:
    """End an accepted socket with a reset: nothing is said, and no TIME_WAIT is left for each of a flood."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _bound_tcp(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    infos = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    info = next((i for i in infos if i[0] == family), infos[0])
    sock = socket.socket(info[0], socket.SOCK_STREAM)
    try:
        # Not SO_REUSEPORT: it would hide that another process listens there already, and share its devices.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if info[0] == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted sockets inherit these on Linux.
        set_keepalive(sock)
        sock.bind(info[4])
    except BaseException:
        sock.close()
        raise
    return sock


def set_keepalive(sock: socket.socket) -> None:
    """Let the kernel notice a peer that vanished: idle 60 s, then 4 probes 15 s apart; unacknowledged data 30 s."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 60),
        ("TCP_KEEPINTVL", 15),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", 30_000),
    ):
        # Names differ between systems; those that a system does not have keep its default.
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _bound_unix(path: str) -> socket.socket:
    if "\0" in path:
        # The system would stop reading there and bind another path.
        raise ValueError("a path has no null byte")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_stale(path):
                raise
            os.unlink(path)
            sock.bind(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_stale(path: str) -> bool:
    """Return True if the path is a socket that nobody listens on, left by a process that was killed."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A live listener whose backlog is full would keep a blocking connect waiting.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            # Full, a datagram socket, or not ours to connect to: somebody's, in any case.
            return False
    return False


def _listen_error(address: Address, error: OSError | ValueError) -> ListenError:
    number = error.errno if isinstance(error, OSError) else None
    problem, hint = os.strerror(number) if number else str(error), ""
    if isinstance(error, (socket.gaierror, UnicodeError)):
        problem, hint = f"the host {address.host!r} is unknown", "write an address of this machine"
    elif number == errno.EADDRINUSE and address.scheme == "unix" and not _is_socket(address.path):
        problem, hint = "a file that is not a socket is there", "move it away, or choose another path"
    elif number == errno.EADDRINUSE:
        other = "port" if address.scheme == "tcp" else "path"
        problem, hint = "the address is in use", f"stop the process that listens there, or choose another {other}"
        if multiprocessing.parent_process() is not None:
            hint += "; if this is one of several workers, only one can have it: run the app with one"
    elif number in (errno.EACCES, errno.EPERM) and 0 < address.port < 1024:
        problem = "ports below 1024 need privileges"
        hint = "choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE"
    elif number == errno.EADDRNOTAVAIL:
        problem, hint = "this machine has no such address", "bind one of its own, or 0.0.0.0 for all"
    elif address.scheme == "unix":
        hint = "choose a path in a directory that exists and is yours to write"
    return ListenError(address.url, problem, hint)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
