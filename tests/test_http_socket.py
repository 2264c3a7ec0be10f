"""Tests of `portcast.http_socket`."""

from __future__ import annotations

import errno
import socket
from contextlib import closing, suppress
from typing import Any

import pytest

from portcast.config import Address
from portcast.errors import ListenError
from portcast.http_socket import bind_http
from socket_options import EXPECTED_OPTIONS, options_of

LOOPBACK = Address("tcp", "127.0.0.1", 0)


def test_it_is_bound_and_does_not_listen_yet() -> None:
    """A client that came before the application has started would wait for an answer."""
    with closing(bind_http(LOOPBACK)) as bound:
        assert not bound.getblocking()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(bound.getsockname())


def test_an_occupied_port_is_found() -> None:
    """By whoever listens there."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ListenError, match="already in use"):
        bind_http(LOOPBACK.with_port(other.getsockname()[1]))


def test_its_options() -> None:
    """Accepted sockets inherit them; see also the test of `serve`."""
    with closing(bind_http(LOOPBACK)) as bound:
        assert options_of(bound) == EXPECTED_OPTIONS


def test_a_system_without_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names differ between systems; none is needed to serve."""
    monkeypatch.delattr("portcast.http_socket.socket.TCP_NOTSENT_LOWAT", raising=False)
    bind_http(LOOPBACK).close()


@pytest.mark.row(32)
def test_a_client_that_does_not_read_is_noticed_early() -> None:
    """Megabytes of it would look delivered otherwise."""
    with closing(bind_http(LOOPBACK)) as bound:
        bound.listen()
        bound.setblocking(True)
        with socket.create_connection(bound.getsockname()), closing(bound.accept()[0]) as accepted:
            accepted.setblocking(False)
            hidden = 0
            with suppress(BlockingIOError):
                while hidden < 8_000_000:
                    hidden += accepted.send(b"x" * 10_000)
    assert hidden < 1_000_000


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "ports below 1024 need root"),
        (errno.EADDRNOTAVAIL, "this machine has no such address"),
        (errno.ENOBUFS, "check --http"),
    ],
)
def test_what_cannot_be_bound_says_what_to_do(number: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: Any) -> None:
            raise OSError(number, "refused")

    monkeypatch.setattr("portcast.http_socket.socket.socket", Refusing)
    with pytest.raises(ListenError, match=r"http://127\.0\.0\.1:80: ") as caught:
        bind_http(Address("tcp", "127.0.0.1", 80))
    assert words in str(caught.value)


def test_a_host_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("portcast.http_socket.socket.getaddrinfo", unknown)
    with pytest.raises(ListenError, match="the host 'nowhere' is not known"):
        bind_http(Address("tcp", "nowhere", 80))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no dual-stack IPv6 here")
def test_the_ipv6_wildcard_is_reached_by_ipv4_too() -> None:
    with closing(bind_http(Address("tcp", "::", 0))) as bound:
        bound.listen()
        with socket.create_connection(("127.0.0.1", bound.getsockname()[1])):
            pass
