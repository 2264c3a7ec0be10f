"""Addresses of peers: in words, and whether they are in a network that is trusted."""

from __future__ import annotations

from collections.abc import Sequence

from portcast.address import parse_networks, real_address

UNIX = "unix"
"""Stands for whoever connects through a Unix socket, which has no address."""


def host_of(peer: str) -> str:
    """Return the address in what `peer_name` returned, without its port and brackets."""
    return peer.rpartition(":")[0].strip("[]") or peer


def peer_name(address: object) -> str:
    """Return what `socket.accept` gave as address in the form of `Connection.peer`."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return UNIX


class Peers:
    """Networks, and ``unix``; ``address in peers`` tells of an address as `socket.accept` gives it."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Take what `portcast.config.ListenerOptions` has checked."""
        self._has_unix = UNIX in texts
        self._networks = parse_networks([text for text in texts if text != UNIX], "networks")

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, tuple):
            return self._has_unix
        ip = real_address(str(address[0]))
        return any(ip in network for network in self._networks)
