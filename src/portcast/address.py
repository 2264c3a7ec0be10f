"""Addresses as users write them: ``8001``, ``HOST:PORT``, ``tcp://HOST:PORT?key=value``, ``unix:///PATH?key=value``.

A listener's may be ``tls://HOST:PORT?cert=…``; networks are written as ``10.0.0.0/8``.

Nothing here looks a name up or opens a socket.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from posixpath import normpath
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from portcast.errors import ConfigurationError

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener or the HTTP server is bound.

    ``tcp://HOST:PORT`` (an IPv6 host in brackets) or ``unix:///absolute/path``. Port 0 lets the system choose.
    ``is_tls`` makes it ``tls://HOST:PORT``, which is the same place.
    """

    scheme: Literal["tcp", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""
    is_tls: bool = False

    @property
    def url(self) -> str:
        """The address as a URL without options."""
        if self.scheme == "unix":
            return f"unix://{quote(self.path)}"
        return f"{'tls' if self.is_tls else 'tcp'}://{self.host_port}"

    @property
    def host_port(self) -> str:
        """``HOST:PORT``, an IPv6 host in brackets; for TCP only."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return self.url

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can connect."""
        if self.scheme == "unix" or self.host == "localhost":
            return True
        ip = _ip(self.host)
        return ip is not None and ip.is_loopback

    @property
    def is_ip(self) -> bool:
        """True if the host is an IP address and not a name."""
        return _ip(self.host) is not None

    def with_port(self, port: int) -> Address:
        """Return the address with the port that the system chose."""
        return replace(self, port=port)

    def overlaps(self, other: Address, *, is_dual_stack: bool = False) -> bool:
        """Return True if the two cannot both be bound: the same place, or one is a wildcard that covers the other.

        Names other than ``localhost``, which is both loopback addresses, are compared as text and never looked up.
        Port 0 overlaps nothing.

        Args:
            other: the other address.
            is_dual_stack: ``::`` covers IPv4 too. Listeners bind IPv6 alone, the HTTP server binds both.
        """
        if self.scheme != other.scheme:
            return False
        if self.scheme == "unix":
            return normpath(self.path) == normpath(other.path)
        if self.port != other.port or self.port == 0:
            return False
        pairs = [(a, b) for a in _hosts(self.host) for b in _hosts(other.host)]
        return any(_covers(a, b, is_dual_stack) or _covers(b, a, is_dual_stack) for a, b in pairs)


def _ip(host: str) -> Ip | None:
    try:
        return _unmapped(host)
    except ValueError:
        return None


def _unmapped(host: str) -> Ip:
    ip = ipaddress.ip_address(host)
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def _hosts(host: str) -> tuple[str, ...]:
    return ("127.0.0.1", "::1") if host == "localhost" else (str(_ip(host) or host),)


def _covers(wide: str, narrow: str, is_dual_stack: bool) -> bool:
    is_ipv6 = ":" in narrow
    if wide == "::":
        return is_ipv6 or is_dual_stack
    return wide == narrow or (wide == "0.0.0.0" and not is_ipv6)  # noqa: S104 - compared, not bound


def real_address(host: str) -> Ip:
    """Return a peer's address: without zone, and as IPv4 where it is only dressed as IPv6 (RFC 4291 §2.5.5.2).

    A zone (``fe80::1%eth0``) says through which interface; networks are written without.

    Raises:
        ValueError: it is no address.
    """
    return _unmapped(host.partition("%")[0])


def parse_networks(texts: Iterable[str], key: str) -> tuple[Network, ...]:
    """Return networks such as ``10.0.0.0/8`` and ``2001:db8::/32``; an address alone is a network of one.

    Args:
        texts: what the user wrote.
        key: what to name in the error.

    Raises:
        ConfigurationError: one is no network, or has bits behind its prefix.
    """
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigurationError(key, f"{text!r} is not a network ({error})", "write 10.0.0.0/8") from error
    return tuple(networks)


def parse_address(text: str, key: str | None = None) -> Address:
    """Return the address in ``PORT``, ``HOST:PORT``, ``tcp://HOST:PORT`` or ``unix:///PATH``.

    Args:
        text: what the user wrote.
        key: what to name in the error; ``text`` itself if None.

    Raises:
        ConfigurationError: the text is none of these, or carries options.
    """
    address, query = _split_url(text, key or text)
    if query:
        raise ConfigurationError(key or text, f"options are not allowed here: {query!r}")
    return address


def _split_url(text: str, key: str, *, takes_tls: bool = False) -> tuple[Address, str]:
    if re.match(r"[0-9]+(\?|$)", text):
        text = f"tcp://127.0.0.1:{text}"
    elif "://" not in text.partition("?")[0]:
        text = f"tcp://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(
            key, f"not an address ({error})", "write tcp://HOST:PORT, unix:///PATH or a port"
        ) from error
    if parts.fragment:
        raise ConfigurationError(key, "a '#' in a URL must be written %23")
    if parts.scheme == "unix":
        path = unquote(parts.path)
        if parts.netloc or not path.startswith("/"):
            raise ConfigurationError(key, "a Unix socket needs an absolute path", "write unix:///run/portcast.sock")
        return Address("unix", path=path), parts.query
    schemes = ("tcp", "tls") if takes_tls else ("tcp",)
    if parts.scheme not in schemes:
        use = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ConfigurationError(key, f"unknown scheme {parts.scheme!r}", f"use {use} or unix://")
    if port is None:
        raise ConfigurationError(key, "the port is missing", "write tcp://HOST:PORT, unix:///PATH or a port")
    if parts.path not in {"", "/"} or parts.username is not None:
        raise ConfigurationError(key, "only a host, a port and options are allowed", "write tcp://HOST:PORT?key=value")
    if parts.hostname == "*":
        raise ConfigurationError(key, "'*' is not a host", "0.0.0.0 is every IPv4 address, [::] every IPv6 address")
    is_tls = parts.scheme == "tls"
    return Address("tcp", host=parts.hostname or "127.0.0.1", port=port, is_tls=is_tls), parts.query


def parse_listen_url(text: str) -> tuple[Address, dict[str, str]]:
    """Split a listener's URL into its address and its options, which are not looked at.

    ``8001`` alone means ``tcp://127.0.0.1:8001``. Options are ``key=value`` joined by ``&``, percent-encoded as in
    RFC 3986: ``%26`` is ``&``, and ``+`` stands for itself (the space of HTML forms is ``%20`` here).

    Raises:
        ConfigurationError: the address is wrong, an option is written twice or has no value.
    """
    address, query = _split_url(text, text, takes_tls=True)
    options: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError(text, f"{pair!r} is not an option", "options are key=value joined by &")
        if name in options:
            raise ConfigurationError(text, f"the option {name!r} is written twice")
        if not value:
            raise ConfigurationError(text, f"the option {name!r} has no value", f"leave out {name}= for its default")
        if re.search("%(?![0-9A-Fa-f]{2})", value):
            hint = "write %25 for %"
            raise ConfigurationError(text, f"the option {name!r} has a % without two hexadecimal digits", hint)
        try:
            options[name] = unquote(value, errors="strict")
        except UnicodeDecodeError as error:
            raise ConfigurationError(text, f"the option {name!r} is not percent-encoded UTF-8") from error
    return address, options
