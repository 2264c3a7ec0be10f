from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from portcast.config import ListenerOptions
from portcast.framing import LineFraming
from portcast.runtime import Connection

OPTIONS = ListenerOptions(idle_timeout_s=10)


def connection(peer: str, **facts: Any) -> Connection:
    listener = SimpleNamespace(name="door", options=OPTIONS, framing=LineFraming(), now=lambda: 7.0)
    listener.is_throttling = False
    return Connection(cast("Any", listener), peer, **facts)


@pytest.mark.parametrize(
    ("peer", "host"),
    [("192.0.2.7:50123", "192.0.2.7"), ("[2001:db8::7]:50123", "2001:db8::7"), ("unix", "")],
)
def test_the_address_alone(peer: str, host: str) -> None:
    assert (connection(peer).peer, connection(peer).host) == (peer, host)


def test_what_is_known_from_the_start() -> None:
    one, other = connection("unix"), connection("unix")
    assert one.id != other.id
    assert (one.listener, one.options, one.opened_at, one.device) == ("door", OPTIONS, 7.0, None)
    assert (one.tls, one.proxy, one.peer_certificate) == (None, None, None)


def test_the_certificate_is_that_of_its_tls() -> None:
    certificate = object()
    one = connection("unix", tls=SimpleNamespace(peer_certificate=certificate))
    assert one.peer_certificate is certificate


def test_each_has_a_place_for_the_application() -> None:
    one, other = connection("unix"), connection("unix")
    one.state["n"] = 1
    assert (one.state, other.state) == ({"n": 1}, {})
