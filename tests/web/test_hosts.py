from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from websockets.exceptions import InvalidStatus

from gateway_serving import app_with, serving
from portcast import Gateway, HttpOptions
from portcast.web.hosts import HostCheck, HostRule

LOCAL = HostRule((), is_loopback=True)


def _headers(*hosts: str) -> Headers:
    return Headers(raw=[(b"host", host.encode()) for host in hosts])


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LOCALHOST:1", "localhost.", "app.localhost:8000"),
        *("127.0.0.1", "127.0.0.1:8000", "127.9.8.7:1", "[::1]", "[::1]:8000", "[::ffff:127.0.0.1]:80"),
    ],
)
def test_loopback_names_pass(host: str) -> None:
    """No foreign page can have one of these: they are addresses, or names that are never looked up."""
    assert LOCAL.refusal(_headers(host)) == ""


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost"),
        *("10.0.0.1", "[2001:db8::1]:8000", "0.0.0.0", "", "[::1", "user@localhost"),
    ],
)
def test_other_names_are_refused_on_loopback(host: str) -> None:
    """The name of a page that its owner lets point here, in full, never in part."""
    refusal = LOCAL.refusal(_headers(host))
    assert "add the name to http.allowed_hosts" in refusal
    assert "\n" not in refusal


def test_what_is_allowed_passes_beside_loopback() -> None:
    """As written, without case and port; a star in front is every name below, never the name itself."""
    rule = HostRule(("gate.example", "*.plant.example", "[2001:db8::1]", "10.0.0.1"), is_loopback=False)
    for host in (
        "GATE.example:80",
        "a.plant.example",
        "b.a.plant.example",
        "[2001:db8::1]:8000",
        "10.0.0.1:1",
        "[::1]",
    ):
        assert rule.refusal(_headers(host)) == "", host
    for host in ("plant.example", "xplant.example", "gate.example.evil.example", "10.0.0.2"):
        assert rule.refusal(_headers(host)), host


def test_every_host_line_counts() -> None:
    """Servers differ in which of two they believe."""
    assert LOCAL.refusal(_headers("localhost", "evil.example"))
    assert LOCAL.refusal(_headers()) == ""


@pytest.mark.parametrize(
    ("allowed", "is_loopback", "is_active"),
    [((), False, False), ((), True, True), (("a",), False, True), (("*",), True, False), (("*", "a"), False, False)],
)
def test_when_it_is_checked(allowed: tuple[str, ...], is_loopback: bool, is_active: bool) -> None:
    """Bound to other addresses only when told to, because nobody can know a server's names; a star is off."""
    rule = HostRule(allowed, is_loopback)
    assert rule.is_active == is_active
    assert bool(rule.refusal(_headers("evil.example"))) == is_active


async def _check_all(app: Any, is_plain: bool) -> None:
    async with serving(app) as served:
        good = {"host": f"127.0.0.1:{served.port}"}
        for method, path in (("GET", "/"), ("GET", "/api/topics"), ("POST", "/api/topics/a"), ("GET", "/events")):
            answer = await served.http.request(method, path, headers={"host": "evil.example"})
            assert answer.status_code == 421
            line = answer.text if is_plain else answer.json()["detail"]
            assert "http.allowed_hosts" in line
        with pytest.raises(InvalidStatus):
            async with served.websocket(additional_headers={"Host": "evil.example"}):
                pass
        assert (await served.http.get("/api/topics", headers=good)).status_code == 200
        async with served.websocket():
            pass


@pytest.mark.anyio
async def test_in_front_of_an_application() -> None:
    """GET, POST, event stream and WebSocket; the lifespan passes."""
    await _check_all(HostCheck(app_with(Gateway()), LOCAL), is_plain=True)


@pytest.mark.anyio
async def test_inside_an_application() -> None:
    """With ``allowed_hosts`` only; the application's own routes are its own."""
    app = app_with(Gateway(http=HttpOptions(allowed_hosts=("gate.example",))))

    @app.get("/own")
    async def own() -> str:
        return "own"

    await _check_all(app, is_plain=False)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
        assert (await client.get("/own")).status_code == 200
