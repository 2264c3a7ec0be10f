from __future__ import annotations

from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from gateway_serving import app_with, running, serving
from portcast import Gateway, HttpOptions
from portcast.events import ConnectionRefused, Event
from portcast.web.networks import network_guards

pytestmark = [pytest.mark.anyio, pytest.mark.row(23)]


def _nothing(event: Event) -> None:
    raise AssertionError(event)


def test_without_networks_nobody_is_asked() -> None:
    """The default costs a request nothing."""
    assert network_guards(HttpOptions(), _nothing) == []


async def test_in_an_application_that_another_server_serves() -> None:
    """Requests and WebSockets are refused, by stock uvicorn's word for who is there; the app's own routes are not."""
    events: list[Event] = []
    app = app_with(Gateway(http=HttpOptions(deny=("127.0.0.0/8",)), on_event=events.append))

    @app.get("/own")
    def own() -> str:
        return "ours"

    async with serving(app) as served:
        assert (await served.http.get("/api/topics")).status_code == 403
        assert (await served.http.get("/own")).status_code == 200
        with pytest.raises(InvalidStatus) as refused:
            await served.websocket()
        assert refused.value.response.status_code == 403
    found = [one for one in events if isinstance(one, ConnectionRefused)]
    assert [(one.listener, one.reason) for one in found] == [("http", "denied")] * 2
    assert all(one.peer.startswith("127.0.0.1:") for one in found)


@pytest.mark.parametrize(
    ("client", "status"),
    [
        pytest.param(("10.1.2.3", 5), 200, id="allowed"),
        pytest.param(("::ffff:10.1.2.3", 5), 200, id="IPv4 dressed as IPv6"),
        pytest.param(("192.0.2.1", 5), 403, id="not allowed"),
        pytest.param(("/run/proxy.sock", 0), 200, id="a Unix socket"),
        pytest.param(None, 200, id="no address"),
    ],
)
async def test_who_is_let_in(client: Any, status: int) -> None:
    """By the rules of device listeners."""
    async with running(Gateway(http=HttpOptions(allow=("10.0.0.0/8",)))) as app:
        transport = httpx.ASGITransport(app=app, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
            assert (await http.get("/health/live")).status_code == status
