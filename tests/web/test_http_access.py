"""Who may do what over HTTP: one gateway, all its routes, each kind of client."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from fastapi import Depends, HTTPException, Request
from websockets.exceptions import ConnectionClosed

from access_kit import key
from gateway_serving import Served, app_with, http, running, serving, take
from portcast import CentrifugeOptions, ChannelPermissions, Gateway, Grant, HttpOptions, Identity, Refuse
from portcast.centrifuge.messages import SubscribeRequest
from portcast.events import CredentialsRefused, Event
from token_kit import SECRET, sign

pytestmark = pytest.mark.anyio

READER, OPERATOR, FLEET = "reader-key-0123456789", "operator-key-0123456789", "fleet-key-0123456789"
KEYS = {"page": key(READER), "boss": key(OPERATOR, "operator"), "van": key(FLEET, "operator", "fleet/#")}

SEES = ("/api/listeners", "/api/connections", "/api/slow-consumers", "/api/devices", "/api/devices/x/commands")
READS = ("/api/topics", "/api/history", "/api/topics/a/history")
CHANGES = (
    ("POST", "/api/devices/x/approve"),
    ("DELETE", "/api/connections/x"),
    ("POST", "/api/devices/x/commands"),
    ("DELETE", "/api/devices/x/commands/y"),
)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def guarded(**options: Any) -> Gateway:
    return Gateway(keys=KEYS, **options)


async def statuses(client: httpx.AsyncClient, headers: dict[str, str]) -> list[set[int]]:
    """Of reading, seeing, publishing and changing."""
    reads = {(await client.get(path, headers=headers)).status_code for path in READS}
    sees = {(await client.get(path, headers=headers)).status_code for path in SEES}
    publishes = {(await client.post("/api/topics/a", content=b"x", headers=headers)).status_code}
    changes = {
        (await client.request(method, path, json={"command": 1}, headers=headers)).status_code
        for method, path in CHANGES
    }
    return [reads, sees, publishes, changes]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, [{401}, {401}, {401}, {401}], id="nobody"),
        pytest.param({"x-api-key": "wrong"}, [{401}, {401}, {401}, {401}], id="a wrong key"),
        pytest.param(bearer("wrong"), [{401}, {401}, {401}, {401}], id="a wrong token"),
        pytest.param({"cookie": "portcast_session=x"}, [{401}, {401}, {403}, {403}], id="a wrong cookie, no origin"),
        pytest.param({"x-api-key": READER}, [{200}, {200, 404}, {403}, {403}], id="reader"),
        pytest.param(bearer(OPERATOR), [{200}, {200, 404}, {200}, {404}], id="operator"),
        pytest.param(bearer(FLEET), [{403}, {403}, {403}, {403}], id="operator of other topics"),
    ],
)
@pytest.mark.row(55)
async def test_roles_over_http(headers: dict[str, str], expected: list[set[int]]) -> None:
    """401 for who has shown nothing valid, 403 for who has and may not; 404 only for who may know."""
    async with running(guarded()) as app, http(app) as client:
        assert await statuses(client, headers) == expected


RECORDER = (
    ("GET", "/api/recorder"),
    ("GET", "/api/recorder/frames"),
    ("GET", "/api/devices/x/frames"),
    ("GET", "/api/connections/x/frames"),
    ("PUT", "/api/recorder/rules/device:x"),
    ("DELETE", "/api/recorder/rules/device:y"),
    ("DELETE", "/api/recorder/frames"),
    ("DELETE", "/api/devices/x/frames"),
    ("DELETE", "/api/connections/x/frames"),
)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, {401}, id="nobody"),
        pytest.param(bearer(READER), {403}, id="reader"),
        pytest.param(bearer(FLEET), {403}, id="operator of other topics"),
        pytest.param(bearer(OPERATOR), {200, 204, 404}, id="operator"),
    ],
)
async def test_the_recorder_is_for_operators(headers: dict[str, str], expected: set[int]) -> None:
    """To read it, too: frames are what devices sent before anything looked at it, their credentials perhaps."""
    async with running(guarded()) as app, http(app) as client:
        found = {(await client.request(method, path, headers=headers)).status_code for method, path in RECORDER}
        assert found == expected
        assert {one for one in app.openapi()["paths"] if "recorder" in one or "frames" in one} == {
            "/api/recorder",
            "/api/recorder/frames",
            "/api/recorder/rules/{rule}",
            "/api/devices/{device}/frames",
            "/api/connections/{connection}/frames",
        }


async def test_a_login_reads_what_is_recorded() -> None:
    """A browser sends no Origin with a GET of its own page; one of another page gets nothing."""
    async with running(guarded()) as app, http(app) as client:
        own = {"origin": str(client.base_url)}
        assert (await client.post("/session", json={"key": OPERATOR}, headers=own)).status_code == 204
        for method, path in RECORDER:
            alone = (await client.request(method, path)).status_code
            assert alone in ({200, 404} if method == "GET" else {403}), (method, path)
            foreign = await client.request(method, path, headers={"origin": "https://evil.example"})
            assert foreign.status_code == 403, (method, path)


@pytest.mark.parametrize("topic", ["$recorder/#", "$recorder/devices/x", "$recorder/+/x"])
@pytest.mark.parametrize(("shown", "status"), [(READER, 403), (FLEET, 403), (OPERATOR, 200)])
async def test_what_it_publishes_is_for_operators(topic: str, shown: str, status: int) -> None:
    """Otherwise a reader would see live what it may not read."""
    async with running(guarded()) as app, http(app) as client:
        answer = await client.get("/api/history", params={"filter": topic}, headers=bearer(shown))
        assert answer.status_code == status
        assert (await client.get("/api/history?filter=%23", headers=bearer(READER))).status_code == 200


@pytest.mark.row(55)
async def test_every_route_asks() -> None:
    """A route that is added and forgets to ask is found here: all that OpenAPI shows, but for the open ones."""
    async with running(guarded()) as app, http(app) as client:
        found = set()
        for path, operations in app.openapi()["paths"].items():
            if path.startswith("/health/") or path == "/session":
                continue
            for method in operations:
                answer = await client.request(method, path.replace("{", "").replace("}", ""), json={"command": 1})
                assert answer.status_code == 401, (method, path, answer.text)
                found.add(path)
        assert {"/api/topics", "/api/recorder", "/events", "/api/devices/{device}/commands"} <= found


@pytest.mark.row(62)
@pytest.mark.parametrize("host", ["h/?", "h/health/live?", "localhost:8000/static/?x=", "h/#"])
async def test_a_host_that_looks_like_another_path(host: str) -> None:
    """What is asked for is judged by the path of the request line, never by an address with the Host in it."""
    async with running(guarded()) as app, http(app) as client:
        for path in (*READS, *SEES):
            assert (await client.get(path, headers={"host": host})).status_code == 401, path
        assert (await client.post("/api/topics/a", content=b"x", headers={"host": host})).status_code in (401, 403)


async def test_a_role_for_some_topics() -> None:
    async with running(guarded()) as app, http(app) as client:
        client.headers.update(bearer(FLEET))
        assert (await client.post("/api/topics/fleet/7", content=b"x")).status_code == 200
        assert (await client.get("/api/topics/fleet/7/history")).json()["publications"]
        assert (await client.get("/api/topics", params={"filter": "fleet/#"})).status_code == 200
        assert (await client.get("/api/history?filter=fleet/%23&filter=b")).status_code == 403


async def test_nothing_is_asked_while_nothing_is_configured() -> None:
    """On this machine: as in the tutorial."""
    async with running(Gateway()) as app, http(app) as client:
        assert await statuses(client, {}) == [{200}, {200, 404}, {200}, {404}]


@pytest.mark.parametrize(("options", "status"), [(CentrifugeOptions(), 403), (CentrifugeOptions(insecure=True), 200)])
@pytest.mark.row(55)
async def test_by_an_address_of_the_network_nobody_may_anything_unless_told(
    options: CentrifugeOptions, status: int
) -> None:
    """Nothing can be written anonymously from elsewhere, wherever the gateway is embedded."""
    async with running(Gateway(centrifuge=options)) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://192.0.2.1:8000") as client:
            for method, path in (("POST", "/api/topics/a"), ("GET", "/api/listeners"), ("GET", "/api/history")):
                answer = await client.request(method, path, content=b"x" if method == "POST" else None)
                assert answer.status_code == status, path


async def test_permissions_are_those_of_sdk_clients() -> None:
    """One set of rules: what is open to anyone over the protocol is open over HTTP, and nothing else."""
    permissions = {
        "news/#": ChannelPermissions(subscribe="anyone"),
        "wall": ChannelPermissions(subscribe="anyone", publish="anyone", history="nobody"),
    }
    async with running(Gateway(permissions=permissions)) as app, http(app) as client:
        assert (await client.get("/api/topics/news/1/history")).status_code == 200
        assert (await client.get("/api/history?filter=news/%23")).status_code == 200
        assert (await client.post("/api/topics/wall", content=b"x")).status_code == 200
        assert (await client.post("/api/topics/news/1", content=b"x")).status_code == 401
        assert (await client.get("/api/topics/wall/history")).status_code == 401
        assert (await client.get("/api/topics/other/history")).status_code == 401
        assert (await client.get("/api/listeners")).status_code == 401


async def test_tokens_are_those_of_sdk_clients() -> None:
    """A user's token is enough for what the permissions give the user; a role may be in it, too."""
    gateway = Gateway(
        centrifuge=CentrifugeOptions(token_hmac_secrets=(SECRET,)),
        permissions={"a": ChannelPermissions(subscribe="user", publish="user")},
    )
    async with running(gateway) as app, http(app) as client:
        user = bearer(sign({"sub": "42"}))
        assert (await client.post("/api/topics/a", content=b"x", headers=user)).status_code == 200
        assert (await client.get("/api/topics/b/history", headers=user)).status_code == 403
        assert (await client.get("/api/listeners", headers=user)).status_code == 403
        boss = bearer(sign({"sub": "1", "portcast": {"role": "operator"}}))
        assert await statuses(client, boss) == [{200}, {200, 404}, {200}, {404}]
        wrong: list[dict[str, object]] = [{"sub": "1", "exp": 1}, {"sub": "1", "portcast": {"role": "root"}}]
        for claims in wrong:
            assert (await client.get("/api/topics/a/history", headers=bearer(sign(claims)))).status_code == 401
        times = {"token expired": {"exp": 1}, "token is not valid yet": {"nbf": 1 << 40}}
        for detail, claim in times.items():
            answer = await client.get("/api/topics/a/history", headers=bearer(sign({"sub": "1", **claim})))
            assert (answer.status_code, answer.json()["detail"]) == (401, detail)


async def test_functions_are_those_of_sdk_clients() -> None:
    gateway = Gateway()

    @gateway.on_subscribe
    async def on_subscribe(request: SubscribeRequest) -> Grant | None:
        if request.channel != "a":
            raise Refuse(404, "no such topic")
        return None

    async with running(gateway) as app, http(app) as client:
        assert (await client.get("/api/topics/a/history")).status_code == 200
        answer = await client.get("/api/topics/b/history")
        assert (answer.status_code, answer.json()["detail"]) == (404, "no such topic")


def _login(request: Request) -> None:
    name = request.headers.get("x-user", "")
    if not name:
        raise HTTPException(401, "log in")
    if name != "boss":
        request.state.portcast_identity = Identity(name, "reader", ("a",))


async def test_a_dependency_of_the_application_decides() -> None:
    """Who passes may do everything, or what it says; whatever keys the gateway has."""
    async with running(guarded(dependencies=[Depends(_login)])) as app, http(app) as client:
        assert await statuses(client, {}) == [{401}, {401}, {401}, {401}]
        assert await statuses(client, {"x-user": "boss"}) == [{200}, {200, 404}, {200}, {404}]
        assert (await client.get("/api/topics/a/history", headers={"x-user": "ann"})).status_code == 200
        assert (await client.get("/api/topics/b/history", headers={"x-user": "ann"})).status_code == 403
        assert (await client.get("/api/listeners", headers={"x-user": "ann"})).status_code == 403


async def test_wrong_keys_are_told_of() -> None:
    events: list[Event] = []
    async with running(guarded(on_event=events.append)) as app, http(app) as client:
        await client.get("/api/topics", headers=bearer("wrong"))
        await client.get("/api/topics")
        await client.post("/session", json={"key": "wrong"})
    refused = [one for one in events if isinstance(one, CredentialsRefused)]
    assert [one.reason for one in refused] == ["request", "login"]


async def test_too_many_wrong_keys_are_told_to_wait() -> None:
    """429 and when to come back; a right one passes."""
    async with running(guarded(http=HttpOptions(max_failed_logins=1))) as app, http(app) as client:
        answers = [await client.get("/api/topics", headers=bearer(one)) for one in ("wrong", "wrong", READER)]
    assert [one.status_code for one in answers] == [401, 429, 200]
    assert 55 < int(answers[1].headers["retry-after"]) <= 60


@pytest.fixture
async def served() -> Any:
    async with serving(app_with(guarded())) as one:
        yield one


class TestStreams:
    async def code(self, served: Served, path: str, **options: Any) -> int:
        async with served.websocket(path, **options) as client:
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    async def test_websockets(self, served: Served) -> None:
        assert await self.code(served, "/ws") == 4401
        assert await self.code(served, "/ws", additional_headers=bearer("wrong")) == 4401
        assert await self.code(served, "/ws", additional_headers=bearer(FLEET)) == 4403
        headers = bearer(OPERATOR)
        await served.http.post("/api/topics/a", content=b"x", headers=headers)
        async with served.websocket("/ws/a?history=1", additional_headers=headers) as client:
            assert await take(client, 1) == ["x"]

    async def test_a_browsers_websocket_shows_its_token_as_a_subprotocol(self, served: Served) -> None:
        async with served.websocket("/ws", subprotocols=["portcast", f"portcast.bearer.{READER}"]) as client:
            assert client.subprotocol == "portcast"
            await served.http.post("/api/topics/a", content=b"x", headers=bearer(OPERATOR))
            assert await take(client, 1) == ["x"]

    async def test_event_streams(self, served: Served) -> None:
        for headers, status in (({}, 401), (bearer(FLEET), 403), (bearer(READER), 200)):
            async with served.http.stream("GET", "/events", headers=headers) as answer:
                assert answer.status_code == status


async def test_streams_end_with_their_token() -> None:
    gateway = Gateway(
        centrifuge=CentrifugeOptions(token_hmac_secrets=(SECRET,)),
        permissions={"#": ChannelPermissions(subscribe="user")},
    )
    async with serving(app_with(gateway)) as served:
        token = sign({"sub": "42", "exp": int(time.time()) + 2})
        async with served.websocket(additional_headers=bearer(token)) as client:
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(client.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


async def test_before_the_start_it_says_so() -> None:
    async with http(app_with(guarded())) as client:
        assert (await client.get("/session")).status_code == 503
