from __future__ import annotations

import pytest

from portcast.runtime.http_guard import REFUSAL, is_http_request


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
    assert "allow_http=true" in REFUSAL
