from __future__ import annotations

import ssl

import pytest

from portcast.runtime.stray_clients import HTTP_REFUSAL, TLS_REFUSAL, is_http_request, is_tls_hello


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1",
        b"GET /a?b=c HTTP/1.0\r",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost:8001\r\nContent-Type: text/plain\r\n\r\nline\n",
        b"CONNECT localhost:8001 HTTP/1.1\r\n",
        b"POST /" + b"a" * 60_000,
    ],
)
def test_request_lines(data: bytes) -> None:
    """As the first frame without its line break, or as the first bytes with all that follows."""
    assert is_http_request(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET temperature",
        b"GET / HTTP/1.1 200 -",
        b"get / HTTP/1.1",
        b"10.0.0.1 - - GET / HTTP/1.1",
        b"POST / HTTP/1.10",
        b"POST  HTTP/1.1",
        b"PUT " + b"a" * 60_000,
        b"GET /a",
        b"\x00POST / HTTP/1.1",
    ],
)
def test_what_devices_say(data: bytes) -> None:
    """Commands of text protocols and lines of access logs are no requests."""
    assert not is_http_request(data)


def test_the_refusal_says_what_to_do() -> None:
    """It stands in the log, once for each such connection."""
    assert "allow_http=true" in HTTP_REFUSAL
    assert "cert=" in TLS_REFUSAL


def hello() -> bytes:
    """What the client of this Python says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="a.test")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_tls_hello() -> None:
    """As a client says it, and no more of it than the first bytes."""
    assert is_tls_hello(hello())
    assert is_tls_hello(hello()[:7])


@pytest.mark.parametrize(
    "data",
    [b"", b"\x16", b"\x16\x03\x01\x00\x05\x02\x00", b"\x16\x05\x01\x00\x05\x01\x00", b"x\x16\x03\x01\x02\x00\x01\x00"],
)
def test_what_is_none(data: bytes) -> None:
    assert not is_tls_hello(data)
