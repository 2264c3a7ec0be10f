from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_fakes import Transport
from gateway_serving import serving, take
from portcast import Gateway
from portcast.web.transports import KEY, OWNER_KEY, TransportProbe, transport_of


class Cycle:
    """Owns a transport and sends, as uvicorn's protocol objects do."""

    def __init__(self, transport: object) -> None:
        self.transport = transport

    async def send(self, message: Any) -> None: ...


async def _receive() -> Any: ...


async def _probed(scope: dict[str, Any], send: Any) -> dict[str, Any]:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    await TransportProbe(app)(scope, _receive, send)
    (the,) = seen
    assert isinstance(the, dict)
    return the


@pytest.mark.anyio
@pytest.mark.parametrize(
    "scope",
    [
        pytest.param({"type": "websocket"}, id="websocket"),
        pytest.param({"type": "http", "http_version": "1.1"}, id="http"),
        pytest.param({"type": "http", "http_version": "1.0", "extensions": None}, id="extensions are None"),
    ],
)
async def test_the_transport_of_the_sending_object_is_found(scope: dict[str, Any]) -> None:
    """ASGI hides the transport, and nothing but it can end a client that never reads."""
    transport = Transport()
    assert transport_of(await _probed(scope, Cycle(transport).send)) is transport  # type: ignore[comparison-overlap]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("scope", "send"),
    [
        pytest.param({"type": "websocket"}, Cycle(None).send, id="no transport yet"),
        pytest.param({"type": "websocket"}, Cycle(object()).send, id="something that cannot be aborted"),
        pytest.param({"type": "websocket"}, lambda message: None, id="a plain function"),
        pytest.param({"type": "lifespan"}, Cycle(Transport()).send, id="lifespan"),
        pytest.param({"type": "http", "http_version": "2"}, Cycle(Transport()).send, id="HTTP/2 shares it"),
    ],
)
async def test_without_a_transport_of_its_own_the_scope_stays_as_it_is(scope: dict[str, Any], send: Any) -> None:
    """Under servers that hide it, and where aborting would hit other streams, the sinks do without."""
    seen = await _probed(scope, send)
    assert transport_of(seen) is None
    assert "extensions" not in seen


@pytest.mark.anyio
async def test_extensions_of_the_server_are_not_changed() -> None:
    """A server may use one dict for all its connections."""
    shared: dict[str, Any] = {"websocket.http.response": {}}
    seen = await _probed({"type": "websocket", "extensions": shared}, Cycle(Transport()).send)
    assert seen["extensions"].keys() == {"websocket.http.response", KEY, OWNER_KEY}
    assert shared == {"websocket.http.response": {}}


@pytest.mark.anyio
async def test_the_object_that_sends_is_noted() -> None:
    """Writing beside a server's class needs to know its state."""
    cycle = Cycle(Transport())
    seen = await _probed({"type": "websocket"}, cycle.send)
    assert seen["extensions"][OWNER_KEY] is cycle


class Outer:
    """A middleware around the whole application, which hides the server's ``send``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def wrapped(message: Any) -> None:
            await send(message)

        await self.app(scope, receive, wrapped)


def _telling_app(**include: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(Gateway(), **include)

    @app.get("/transport")
    async def transport(request: Request) -> dict[str, bool]:
        return {"found": transport_of(request.scope) is not None}

    @app.websocket("/transport")
    async def websocket_transport(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"found": transport_of(websocket.scope) is not None})

    return app


@pytest.mark.anyio
@pytest.mark.parametrize("is_wrapped", [False, True], ids=["user middleware inside", "application wrapped"])
async def test_under_uvicorn(is_wrapped: bool) -> None:
    """Found for both kinds of connections, outside of the user's middleware; with a wrapper outside, done without."""
    app = _telling_app()
    app.add_middleware(Outer)
    expected = "false" if is_wrapped else "true"
    async with serving(Outer(app) if is_wrapped else app) as served:
        assert (await served.http.get("/transport")).text == f'{{"found":{expected}}}'
        async with served.websocket("/transport") as client:
            assert await take(client, 1) == [f'{{"found":{expected}}}']
