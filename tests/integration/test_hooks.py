"""An app's rules at work: a real server, a real WebSocket, real tokens, the app's own session."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from device_kit import line as device_line
from gateway_serving import Served, serving
from portcast import (
    Admission,
    Caller,
    CentrifugeOptions,
    ChannelPermissions,
    ConfigurationError,
    DisconnectClient,
    Gateway,
    Refuse,
    Store,
    by_field,
)
from portcast.events import Event, HandlerFailed
from runtime_kit import Device, eventually
from token_kit import SECRET, sign

pytestmark = pytest.mark.anyio


class CookieSession:
    """As Starlette's `SessionMiddleware`, which needs a package more: the session is a cookie."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            cookie = SimpleCookie(dict(scope["headers"]).get(b"cookie", b"").decode())
            scope["session"] = {"user": cookie["user"].value} if "user" in cookie else {}
        await self.app(scope, receive, send)


class Reboot(BaseModel):
    device: str


class Ask(BaseModel):
    device: str
    command: dict[str, Any]
    timeout: float = 4.0


@asynccontextmanager
async def served(
    gateway: Gateway, overrides: dict[Callable[..., Any], Callable[..., Any]] | None = None
) -> AsyncIterator[Served]:
    app = FastAPI(middleware=[Middleware(CookieSession)])
    app.dependency_overrides.update(overrides or {})
    app.include_router(gateway)
    async with serving(app) as server:
        yield server


async def say(client: ClientConnection, number: int, **command: object) -> dict[str, Any]:
    """Send a command, return its reply without pushes before it."""
    await client.send(json.dumps({"id": number, **command}))
    while True:
        for line in str(await client.recv()).splitlines():
            reply: dict[str, Any] = json.loads(line)
            if reply.get("id") == number:
                return reply


def user_of(http: HTTPConnection) -> str:
    """What an endpoint could use as well."""
    return str(http.session.get("user", ""))


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def gateway(events: list[Event]) -> Gateway:
    gateway = Gateway(
        centrifuge=CentrifugeOptions(token_hmac_secrets=(SECRET,), personal_channel=True),
        permissions={"news:": ChannelPermissions(subscribe="anyone", publish="user", join_leave=True)},
        on_event=events.append,
    )

    @gateway.on_connect
    async def connect(user: Annotated[str, Depends(user_of)]) -> Admission | None:
        return Admission(user, data=b'{"by":"session"}') if user else None

    @gateway.rpc("device.reboot")
    async def reboot(params: Reboot, caller: Caller, the: Gateway, store: Store) -> dict[str, object]:
        assert the is gateway
        if params.device == "mine":
            raise Refuse(403, "not yours")
        if params.device == "broken":
            raise OSError("secret")
        if params.device == "last":
            raise DisconnectClient(4500, "go away")
        return {"device": params.device, "by": caller.user}

    @gateway.on_message
    async def message(data: Reboot, store: Store) -> None:
        store.set("said", data.device)

    return gateway


SESSION = {"additional_headers": {"cookie": "user=7"}}
PATH = "/connection/websocket"


async def test_the_apps_session_says_who_it_is(gateway: Gateway) -> None:
    """No token, and no endpoint that makes one."""
    async with served(gateway) as server, server.websocket(PATH, **SESSION) as client:
        reply = await say(client, 1, connect={})
        assert reply["connect"]["data"] == {"by": "session"}
        assert list(reply["connect"]["subs"]) == ["#7"]


async def test_overrides_are_honoured(gateway: Gateway) -> None:
    """As in endpoints and handlers."""
    async with served(gateway, {user_of: lambda: "8"}) as server, server.websocket(PATH) as client:
        assert list((await say(client, 1, connect={}))["connect"]["subs"]) == ["#8"]


async def test_tokens(gateway: Gateway) -> None:
    """Of the connection and of a subscription, with their ends; refreshed with newer ones."""
    now = int(time.time())
    async with served(gateway) as server, server.websocket(PATH) as client:
        reply = await say(client, 1, connect={"token": sign({"sub": "42", "exp": now + 60})})
        assert reply["connect"]["expires"] is True
        assert 50 <= reply["connect"]["ttl"] <= 60
        assert (await say(client, 2, subscribe={"channel": "a"}))["error"]["code"] == 103
        token = sign({"sub": "42", "channel": "a", "exp": now + 60})
        assert (await say(client, 3, subscribe={"channel": "a", "token": token}))["subscribe"]["expires"] is True
        reply = await say(client, 4, sub_refresh={"token": sign({"sub": "42", "channel": "a", "exp": now + 90})})
        assert 80 <= reply["sub_refresh"]["ttl"] <= 90
        reply = await say(client, 5, refresh={"token": sign({"sub": "42", "exp": now + 90})})
        assert 80 <= reply["refresh"]["ttl"] <= 90


@pytest.mark.parametrize(
    ("connect", "code"),
    [
        ({}, 3500),
        ({"token": sign({"sub": "42"}, "wrong")}, 3500),
    ],
    ids=["nothing", "a stranger's"],
)
async def test_who_may_not_connect(gateway: Gateway, connect: dict[str, object], code: int) -> None:
    """The close tells the SDK to stay away."""
    async with served(gateway) as server, server.websocket(PATH) as client:
        with pytest.raises(ConnectionClosedError) as caught:
            await say(client, 1, connect=connect)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, "invalid token")


async def test_permissions(gateway: Gateway) -> None:
    """Namespaces, publishing and personal channels."""
    async with served(gateway) as server, server.websocket(PATH, **SESSION) as client:
        await say(client, 1, connect={})
        assert (await say(client, 2, subscribe={"channel": "news:1"}))["subscribe"]["recoverable"] is True
        assert "publish" in await say(client, 3, publish={"channel": "news:1", "data": {}})
        assert (await say(client, 4, publish={"channel": "a", "data": {}}))["error"]["code"] == 103
        assert (await say(client, 5, subscribe={"channel": "#42"}))["error"]["code"] == 103
        assert (await say(client, 6, history={"channel": "news:2"}))["error"]["code"] == 103
        assert (await say(client, 7, presence={"channel": "news:1"}))["presence"]["presence"]


async def test_calls(gateway: Gateway, events: list[Event]) -> None:
    """Results, refusals and faults."""
    async with served(gateway) as server, server.websocket(PATH, **SESSION) as client:
        await say(client, 1, connect={})

        async def reboot(number: int, **data: object) -> dict[str, Any]:
            return await say(client, number, rpc={"method": "device.reboot", "data": data})

        assert (await reboot(2, device="x"))["rpc"] == {"data": {"device": "x", "by": "7"}}
        assert (await reboot(3, device="mine"))["error"] == {"code": 403, "message": "not yours"}
        assert (await reboot(4, device="broken"))["error"]["code"] == 100
        error = (await reboot(5, device=1))["error"]
        assert (error["code"], "device" in error["message"]) == (107, True)
        assert (await say(client, 6, rpc={"method": "other"}))["error"]["code"] == 108
        with pytest.raises(ConnectionClosedError, match="4500"):
            await reboot(7, device="last")
    failed = [event for event in events if isinstance(event, HandlerFailed)]
    assert [type(event.error) for event in failed] == [OSError]
    assert failed[0].handler.startswith("rpc device.reboot: ")


async def test_messages(gateway: Gateway) -> None:
    """Nobody waits for them, and the next command is answered after them."""
    async with served(gateway) as server, server.websocket(PATH, **SESSION) as client:
        await say(client, 1, connect={})
        await client.send(json.dumps({"send": {"data": {"device": "x"}}}))
        await say(client, 2, rpc={"method": "other"})
        assert gateway.store.get("said") == "x"


async def test_a_request_is_not_there(gateway: Gateway) -> None:
    """A WebSocket has none; start says what to ask for instead."""

    @gateway.on_subscribe
    async def may(request: Request) -> None: ...

    app = FastAPI()
    app.include_router(gateway)
    with pytest.raises(ConfigurationError, match="use HTTPConnection"):
        async with app.router.lifespan_context(app):
            pass


async def test_a_call_asks_a_device() -> None:
    """The recipe of docs/devices.md: its own answer comes back, or the status that HTTP would give; nobody else may."""
    gateway = Gateway()
    replies = by_field("re", refused=lambda message: message.get("no", False))

    @gateway.listen(
        "tcp://127.0.0.1:0",
        identify=lambda message: message["id"],
        replies=replies,
        write=lambda command, number: json.dumps({**command, "re": number}).encode(),
    )
    async def on_message(message: dict[str, Any]) -> None: ...

    @gateway.rpc("device.command")
    async def command(ask: Ask, caller: Caller) -> object:
        if caller.user == "":
            raise Refuse(401, "log in first")
        return await gateway.device(ask.device).request(ask.command, timeout=ask.timeout)

    @gateway.on_connect
    async def connect(user: Annotated[str, Depends(user_of)]) -> Admission:
        return Admission(user)

    async def call(client: ClientConnection, number: int, **data: object) -> dict[str, Any]:
        return await say(client, number, rpc={"method": "device.command", "data": data})

    async with served(gateway) as server:
        device = await Device.connect(gateway.listeners[0].address)
        await device.send(b'{"id": "a"}\n')
        await eventually(lambda: "a" in gateway.node.devices.roster, "the device")
        async with server.websocket(PATH, **SESSION) as client:
            await say(client, 1, connect={})
            asking = asyncio.ensure_future(call(client, 2, device="a", command={"do": "x"}))
            asked = json.loads(await device_line(device))
            await device.send(json.dumps({"id": "a", "re": asked["re"], "ok": 1}).encode() + b"\n")
            assert (await asking)["rpc"]["data"] == {"id": "a", "re": asked["re"], "ok": 1}
            assert (await call(client, 3, device="b", command={}))["error"]["code"] == 404
            late = await call(client, 4, device="a", command={"do": "y"}, timeout=0.02)
            assert late["error"]["code"] == 504
            assert late["error"]["message"].endswith("to device 'a': timed out")
        async with server.websocket(PATH) as client:
            await say(client, 1, connect={})
            assert (await call(client, 2, device="a", command={}))["error"] == {"code": 401, "message": "log in first"}
        device.close()
