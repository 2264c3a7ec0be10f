"""Tests of `portcast.cli.api_client`, against a server that answers what the test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from portcast.cli import api_client
from portcast.cli.api_client import call
from portcast.errors import ConfigurationError, PortcastError


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads a request and gives one answer; its URL and what it read."""
    seen: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            one, _ = server.accept()
            with closing(one):
                one.settimeout(5)
                data = one.recv(65_536)
                if b"content-length" in data.lower() and data.endswith(b"\r\n\r\n"):
                    data += one.recv(65_536)
                seen.append(data)
                one.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
        thread.join(5)


def response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body)


def test_a_request_and_its_answer() -> None:
    """Under the prefix of the gateway, the body as JSON."""
    with answering(response(202, b'{"a": 1}')) as (url, seen):
        assert call(f"{url}/iot/", "POST", "/api/x?wait=0", {"command": "ü"}) == {"a": 1}
    assert seen[0].startswith(b"POST /iot/api/x?wait=0 HTTP/1.1\r\n")
    assert seen[0].endswith(b'{"command": "\\u00fc"}')
    assert b"uthorization" not in seen[0]


def test_a_token_is_shown_in_a_header() -> None:
    with answering(response(200, b"[]")) as (url, seen):
        assert call(url, "GET", "/api/x", token="secret-token") == []
    assert b"authorization: Bearer secret-token\r\n" in seen[0]
    assert b"secret-token" not in seen[0].split(b"\r\n")[0]


def test_an_answer_may_be_empty() -> None:
    """204: it was done, and there is nothing to say."""
    with answering(response(204, b"")) as (url, _):
        assert call(url, "DELETE", "/api/x") is None


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (response(404, b'{"detail": "no device \'x\' is known"}'), "no device 'x' is known"),
        (response(404, b"<html>"), "answered 404; is this a gateway's address"),
        (response(404, b'{"detail": "Not Found"}'), "with the prefix that it is included with (--url"),
        (response(401, b'{"detail": "log in"}'), "it asks who you are; --token or PORTCAST_TOKEN tells it"),
        (response(401, b"<html>"), "it asks who you are; --token"),
        (response(403, b'{"detail": "origin not allowed"}'), "origin not allowed"),
        (response(422, b'{"detail": [1]}'), "answered 422"),
        (response(422, b'{"detail": [{"loc": ["query", "search"], "msg": "too long"}]}'), "search: too long"),
        (response(429, b'{"detail": "100 commands wait; cancel some"}'), "cancel some"),
        (response(200, b"<html>"), "answered 200"),
        (b"\x01\x02 no http\r\n\r\n", "it does not speak HTTP"),
    ],
    ids=[
        "detail",
        "page",
        "an application's",
        "unknown",
        "a proxy's",
        "forbidden",
        "list",
        "parameter",
        "full",
        "no json",
        "no http",
    ],
)
def test_a_refusal_is_one_sentence(answer: bytes, problem: str) -> None:
    """The gateway's own, if it has one."""
    with answering(answer) as (url, _), pytest.raises(PortcastError) as caught:
        call(url, "GET", "/api/devices")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (response(401, b'{"detail": "no"}'), "it does not take the key or token that it was shown; --token or PORT"),
        (response(403, b'{"detail": "needs an operator"}'), "needs an operator; --token or PORTCAST_TOKEN may show"),
    ],
    ids=["not valid", "of too little right"],
)
def test_a_token_that_does_not_do(answer: bytes, problem: str) -> None:
    """And is not in the message."""
    with answering(answer) as (url, _), pytest.raises(PortcastError) as caught:
        call(url, "GET", "/api/devices", token="secret-token")
    assert problem in str(caught.value)
    assert "secret-token" not in str(caught.value)


def test_hints_stand_behind_the_gateways_reason() -> None:
    """Not behind the answer of something that is no gateway."""
    hints = {404: "look there"}
    with answering(response(404, b'{"detail": "no such"}')) as (url, _), pytest.raises(PortcastError) as caught:
        call(url, "GET", "/api/x", hints=hints)
    assert str(caught.value) == f"{url}: no such; look there"
    with answering(response(404, b'{"detail": "Not Found"}')) as (url, _), pytest.raises(PortcastError) as caught:
        call(url, "GET", "/api/x", hints=hints)
    assert "look there" not in str(caught.value)


def test_nobody_is_there() -> None:
    """The port of a server that has just gone."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(PortcastError, match="nothing listens there"):
        call(f"127.0.0.1:{port}", "GET", "/")
    with pytest.raises(PortcastError, match=r"http://host\.invalid.*does --url say"):
        call("http://host.invalid", "GET", "/")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a deadline."""
    monkeypatch.setattr(api_client, "ANSWER_S", 0.05)
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        pytest.raises(PortcastError, match=r"has not answered within 0\.05 s"),
    ):
        call(f"http://127.0.0.1:{server.getsockname()[1]}", "GET", "/")


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:y", "http://x/?a=1"])
def test_what_is_no_url(url: str) -> None:
    """Named as it was written."""
    with pytest.raises(ConfigurationError, match="--url"):
        call(url, "GET", "/")
