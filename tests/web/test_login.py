from __future__ import annotations

import time

import httpx
import pytest

from access_kit import key
from gateway_serving import http, running
from portcast import Gateway

pytestmark = pytest.mark.anyio

KEY = "operator-key-0123456789"
SAME = {"origin": "http://testserver"}


def gateway() -> Gateway:
    return Gateway(keys={"boss": key(KEY, "operator")})


async def _log_in(client: httpx.AsyncClient, shown: str = KEY, **headers: str) -> httpx.Response:
    return await client.post("/session", json={"key": shown}, headers={**SAME, **headers})


async def test_a_login_is_a_cookie_that_counts_everywhere() -> None:
    async with running(gateway()) as app, http(app) as client:
        assert (await client.get("/session")).status_code == 401
        answer = await _log_in(client)
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie, "over plain HTTP a browser would drop it"
        assert KEY not in cookie
        assert (await client.get("/session")).json() == {
            "user": "boss",
            "role": "operator",
            "topics": [],
            "expires_at": pytest.approx(time.time() + 12 * 3600, abs=10),
        }
        assert (await client.get("/api/listeners")).status_code == 200
        assert (await client.post("/api/topics/a", content=b"x", headers=SAME)).status_code == 200


async def test_over_https_the_cookie_goes_no_other_way() -> None:
    async with running(gateway()) as app, http(app) as client:
        answer = await client.post("https://testserver/session", json={"key": KEY})
    assert "Secure" in answer.headers["set-cookie"]


async def test_logging_out_ends_the_session_and_not_only_the_cookie() -> None:
    async with running(gateway()) as app, http(app) as client:
        await _log_in(client)
        cookie = client.cookies["portcast_session"]
        assert (await client.delete("/session", headers=SAME)).status_code == 204
        client.cookies.clear()
        again = await client.get("/session", headers={"cookie": f"portcast_session={cookie}"})
        assert again.status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"key": "wrong"}', 401),
        (b'{"key": ""}', 400),
        (b'{"key": 1}', 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b"{" * 20_000, 413),
    ],
)
async def test_what_is_no_login(body: bytes, status: int) -> None:
    async with running(gateway()) as app, http(app) as client:
        answer = await client.post("/session", content=body)
        assert answer.status_code == status
        assert "set-cookie" not in answer.headers


async def test_a_foreign_page_can_neither_log_in_nor_use_a_login() -> None:
    """A login by a foreign page would make the user work under the attacker's name (login CSRF)."""
    foreign = {"origin": "http://evil.example"}
    async with running(gateway()) as app, http(app) as client:
        assert (await _log_in(client, **foreign)).status_code == 403
        await _log_in(client)
        for headers in (foreign, {}, {"origin": "null"}):
            answer = await client.post("/api/topics/a", content=b"x", headers=headers)
            assert answer.status_code == 403, headers
            assert (await client.delete("/session", headers=headers)).status_code == 403 or not headers
        await _log_in(client)
        answer = await client.get("/api/listeners", headers={"sec-fetch-site": "same-site"})
        assert answer.status_code == 401, "another port of this host gets the cookie sent, and no data"


async def test_while_nothing_is_configured_there_is_nothing_to_log_in_to() -> None:
    async with running(Gateway()) as app, http(app) as client:
        assert (await client.get("/session")).json()["role"] == "operator"
        assert (await _log_in(client)).status_code == 401
