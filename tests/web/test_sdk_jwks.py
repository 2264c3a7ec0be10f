"""Keys from a real HTTP server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from portcast.centrifuge.token_keys import KeySet
from portcast.errors import ConfigurationError
from portcast.web import sdk_jwks
from portcast.web.sdk_jwks import MAX_AGE_S, MAX_BYTES, MIN_INTERVAL_S, JwksKeys
from token_kit import jwk

pytestmark = pytest.mark.anyio


class Issuer:
    """A server that answers every request in one way, and counts them."""

    def __init__(self) -> None:
        self.body = json.dumps({"keys": [jwk("P-256", kid="one")]}).encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests = 0
        self.drip_s = 0.0
        self.may_answer = threading.Event()
        self.may_answer.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests += 1
                issuer.may_answer.wait(10)
                self.send_response(issuer.status)
                for name, value in {"content-length": str(len(issuer.body)), **issuer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if not issuer.drip_s:
                    self.wfile.write(issuer.body)
                    return
                with contextlib.suppress(OSError):
                    for byte in issuer.body:
                        self.wfile.write(bytes([byte]))
                        time.sleep(issuer.drip_s)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json?token=hunter2"

    def has(self, *kids: str) -> None:
        self.body = json.dumps({"keys": [jwk("P-256", kid=kid) for kid in kids]}).encode()


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    issuer = Issuer()
    thread = threading.Thread(target=issuer.server.serve_forever, args=(0.01,))
    thread.start()
    yield issuer
    issuer.may_answer.set()
    issuer.server.shutdown()
    issuer.server.server_close()
    thread.join()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def kids(keys: KeySet | None) -> list[str | None] | None:
    return None if keys is None else [key.key_id for key in keys.keys]


async def until_read(keys: JwksKeys) -> None:
    await keys.close()


async def test_the_first_who_asks_waits(issuer: Issuer) -> None:
    """Nothing is read before it is needed, and then it is there for the others."""
    keys = JwksKeys(issuer.url)
    assert keys.keys_nowait() is None
    assert issuer.requests == 0
    assert kids(await keys.wait_read(None)) == ["one"]
    assert kids(keys.keys_nowait()) == ["one"]
    assert issuer.requests == 1


async def test_all_who_ask_at_once_share_one_read(issuer: Issuer) -> None:
    """A thousand clients that come back together are one request; one that leaves takes nothing from the rest."""
    issuer.may_answer.clear()
    keys = JwksKeys(issuer.url)
    tasks = [asyncio.ensure_future(keys.wait_read(None)) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    issuer.may_answer.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [kids(one) for one in found[1:] if not isinstance(one, BaseException)] == [["one"]] * 9
    assert issuer.requests == 1


async def test_an_unknown_key_is_looked_for_now_and_then(issuer: Issuer) -> None:
    """Names of keys that nobody has are cheap to invent, so reads have a distance."""
    clock = Clock()
    keys = JwksKeys(issuer.url, clock=clock)
    old = await keys.wait_read(None)
    issuer.has("one", "two")
    assert await keys.wait_read(old) is None
    assert issuer.requests == 1
    clock.now += MIN_INTERVAL_S
    assert kids(await keys.wait_read(old)) == ["one", "two"]
    assert kids(await keys.wait_read(old)) == ["one", "two"], "somebody else has read them"
    assert issuer.requests == 2


async def test_keys_that_did_not_change_are_the_same_object(issuer: Issuer) -> None:
    """So that nobody makes a verifier anew for nothing."""
    clock = Clock()
    keys = JwksKeys(issuer.url, clock=clock)
    old = await keys.wait_read(None)
    clock.now += MIN_INTERVAL_S
    assert await keys.wait_read(old) is old
    assert issuer.requests == 2


async def test_old_keys_are_read_again_beside(issuer: Issuer) -> None:
    """Nobody waits for that; a key that was withdrawn stops to count a little later."""
    clock = Clock()
    keys = JwksKeys(issuer.url, clock=clock)
    await keys.wait_read(None)
    issuer.has("two")
    clock.now += MAX_AGE_S
    assert kids(keys.keys_nowait()) == ["one"]
    await until_read(keys)
    assert issuer.requests == 1
    clock.now += 1
    assert kids(keys.keys_nowait()) == ["one"]
    assert kids(keys.keys_nowait()) == ["one"]
    await until_read(keys)
    assert kids(keys.keys_nowait()) == ["two"]
    assert issuer.requests == 2


def _too_large(issuer: Issuer) -> None:
    issuer.body = b" " * (MAX_BYTES + 1)


def _no_json(issuer: Issuer) -> None:
    issuer.body = b"<html>"


def _deep(issuer: Issuer) -> None:
    issuer.body = b"[" * 100_000


def _no_keys(issuer: Issuer) -> None:
    issuer.body = b"{}"


def _error(issuer: Issuer) -> None:
    issuer.status = 500


def _redirect(issuer: Issuer) -> None:
    issuer.status, issuer.headers = 302, {"location": "/elsewhere"}


@pytest.mark.parametrize("spoil", [_too_large, _no_json, _deep, _no_keys, _error, _redirect])
async def test_a_source_that_fails(issuer: Issuer, spoil: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Old keys stay, the log says that it failed, without what may be secret in the URL."""
    clock = Clock()
    keys = JwksKeys(issuer.url, clock=clock)
    old = await keys.wait_read(None)
    spoil(issuer)
    clock.now += MIN_INTERVAL_S
    with caplog.at_level(logging.WARNING, "portcast"):
        assert await keys.wait_read(old) is None
    assert keys.keys_nowait() is old
    assert issuer.requests == 2
    assert "token keys not read" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_source_that_is_not_there(issuer: Issuer) -> None:
    """It is tried again, at a distance, when somebody needs it."""
    clock = Clock()
    issuer.status = 500
    keys = JwksKeys(issuer.url, clock=clock)
    assert await keys.wait_read(None) is None
    issuer.status = 200
    assert await keys.wait_read(None) is None
    clock.now += MIN_INTERVAL_S
    assert kids(await keys.wait_read(None)) == ["one"]


async def test_a_slow_source(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never answers holds nobody for ever."""
    monkeypatch.setattr(sdk_jwks, "TIMEOUT_S", 0.05)
    issuer.may_answer.clear()
    assert await JwksKeys(issuer.url).wait_read(None) is None


async def test_a_source_that_drips(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole body has a deadline, not only each piece of it."""
    monkeypatch.setattr(sdk_jwks, "TIMEOUT_S", 0.3)
    issuer.drip_s = 0.05
    assert await JwksKeys(issuer.url).wait_read(None) is None


@pytest.mark.parametrize(
    ("url", "insecure", "is_good"),
    [
        ("https://id.example/jwks", False, True),
        ("http://localhost:8080/jwks", False, True),
        ("http://[::1]/jwks", False, True),
        ("http://id.example/jwks", False, False),
        ("http://id.example/jwks", True, True),
        ("ftp://id.example/jwks", True, False),
        ("https://", True, False),
        ("https://[x", True, False),
        ("https://id.example:x/", True, False),
    ],
)
def test_which_urls_are_taken(url: str, insecure: bool, is_good: bool) -> None:
    """Whoever can change the document on its way makes tokens for everybody."""
    if is_good:
        JwksKeys(url, insecure=insecure)
        return
    with pytest.raises(ConfigurationError, match="token_jwks"):
        JwksKeys(url, insecure=insecure)


async def test_a_file(tmp_path: Path) -> None:
    """It is read at start, and again like a URL."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk("P-256", kid="one")]}))
    clock = Clock()
    keys = JwksKeys(str(file), clock=clock)
    keys.load_file()
    old = keys.keys_nowait()
    assert kids(old) == ["one"]
    file.write_text(json.dumps({"keys": [jwk("P-256", kid="two")]}))
    clock.now += MIN_INTERVAL_S
    assert kids(await keys.wait_read(old)) == ["two"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        ("{", "not a JSON Web Key Set"),
        ("[]", "not a JSON Web Key Set"),
        (" " * (MAX_BYTES + 1), "not a"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: str | None, problem: str) -> None:
    """Start says so."""
    file = tmp_path / "jwks.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=problem):
        JwksKeys(str(file)).load_file()


async def test_a_url_is_not_read_at_start(issuer: Issuer) -> None:
    """A gateway starts although its issuer does not answer yet."""
    JwksKeys(issuer.url).load_file()
    assert issuer.requests == 0


async def test_closing_waits_for_the_read(issuer: Issuer) -> None:
    """No task is left behind."""
    keys = JwksKeys(issuer.url)
    task = asyncio.ensure_future(keys.wait_read(None))
    await asyncio.sleep(0)
    await keys.close()
    assert kids(await task) == ["one"]
    await keys.close()


def test_sources_in_logs() -> None:
    """A file as it is; a URL without password and query."""
    assert sdk_jwks._shown("/etc/jwks.json") == "/etc/jwks.json"
    assert sdk_jwks._shown("https://a:b@id.example/x?y=z#w") == "https://id.example/x"
