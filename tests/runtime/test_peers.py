"""Tests of `portcast.runtime.peers`."""

from __future__ import annotations

import pytest

from portcast.errors import ConfigurationError
from portcast.runtime.peers import Peers, peer_name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (("192.0.2.7", 5), "192.0.2.7:5"),
        (("2001:db8::7", 5, 0, 0), "[2001:db8::7]:5"),
        ("", "unix"),
        (b"\0abstract", "unix"),
    ],
)
def test_peers_have_names(address: object, name: str) -> None:
    """As users write addresses."""
    assert peer_name(address) == name


@pytest.mark.parametrize(
    ("networks", "address", "is_in"),
    [
        (("10.0.0.0/8",), ("10.1.2.3", 5), True),
        (("10.0.0.0/8",), ("11.1.2.3", 5), False),
        (("192.0.2.7",), ("192.0.2.7", 5), True),
        (("2001:db8::/32", "10.0.0.0/8"), ("2001:db8::7", 5, 0, 0), True),
        (("10.0.0.0/8",), ("::ffff:10.1.2.3", 5, 0, 0), True),
        (("fe80::/10",), ("fe80::1%eth0", 5, 0, 2), True),
        (("0.0.0.0/0",), ("::1", 5, 0, 0), False),
        (("10.0.0.0/8",), "", False),
        (("unix",), "", True),
        (("unix",), ("127.0.0.1", 5), False),
        ((), ("127.0.0.1", 5), False),
    ],
)
def test_who_is_in_a_network(networks: tuple[str, ...], address: object, is_in: bool) -> None:
    """However the system writes the address; a Unix socket has none and is named."""
    assert (address in Peers(networks)) is is_in


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="host bits"):
        Peers(["10.0.0.1/8"])
