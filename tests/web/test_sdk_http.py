"""HTTP streaming, server-sent events and what the client says beside them, over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from asgi_fakes import until
from gateway_serving import Served, app_with, serving
from portcast import Gateway, HttpOptions
from portcast.centrifuge.varint import varint
from portcast.web.sdk_http import PROTOBUF, read_emulation

pytestmark = pytest.mark.anyio

CONNECT = b'{"id":1,"connect":{}}'


def _field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


class TestEmulationBodies:
    def test_json(self) -> None:
        """Three texts; what else is there is passed over."""
        body = json.dumps({"session": "s", "node": "n", "data": '{"id":2}', "more": 1}).encode()
        assert read_emulation(body, is_protobuf=False) == ("s", "n", '{"id":2}')

    def test_protobuf(self) -> None:
        """In any order; unknown fields are passed over."""
        body = _field(3, b"\x01\x02") + _field(9, b"x") + _field(2, b"s" * 200) + _field(1, b"n")
        assert read_emulation(body, is_protobuf=True) == ("s" * 200, "n", b"\x01\x02")

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'{"session":"s","node":"n"}', b'{"session":1,"node":2,"data":3}']
    )
    def test_what_is_no_json_request(self, body: bytes) -> None:
        """An error of the client, whatever it is."""
        with pytest.raises(ValueError, match=r"session|EmulationRequest|Expecting|utf-8"):
            read_emulation(body, is_protobuf=False)

    @pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x05ab", b"\x08\x01", b"\xff" * 6, b"\x12\x01\xff"])
    def test_what_is_no_protobuf_request(self, body: bytes) -> None:
        """Cut, of another type, without end, or not UTF-8."""
        with pytest.raises(ValueError, match=r"session|EmulationRequest|Expecting|utf-8"):
            read_emulation(body, is_protobuf=True)


@asynccontextmanager
async def _served(**options: Any) -> AsyncIterator[tuple[Gateway, Served]]:
    gateway = Gateway(**options)
    async with serving(app_with(gateway)) as served:
        yield gateway, served


@asynccontextmanager
async def _stream(served: Served, path: str = "/connection/http_stream", **request: Any) -> AsyncIterator[Lines]:
    method = "POST" if "content" in request else "GET"
    async with served.http.stream(method, path, **request) as response:
        yield Lines(response)


class Lines:
    """The replies of a stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> Any:
        """Return the next reply that is no ping, without the prefix of an event."""
        async for line in self._lines:
            text = line.removeprefix("data: ")
            if text and text != "{}":
                return json.loads(text)
        raise AssertionError("the stream has ended")


async def _say(served: Served, connected: Any, *commands: dict[str, Any]) -> httpx.Response:
    data = "\n".join(map(json.dumps, commands))
    return await served.http.post(
        "/emulation", json={"session": connected["session"], "node": connected["node"], "data": data}
    )


@pytest.mark.parametrize("kind", ["http_stream", "sse"])
async def test_a_session_over_two_requests(kind: str) -> None:
    """Replies come on the stream, commands go beside it."""
    async with _served() as (gateway, served):
        request: dict[str, Any] = {"content": CONNECT} if kind == "http_stream" else {}
        path = "/connection/http_stream" if request else f"/connection/sse?cf_connect={quote(CONNECT)}"
        async with _stream(served, path, **request) as lines:
            assert lines.response.headers["cache-control"] == "no-store"
            connected = (await lines.next())["connect"]
            answer = await _say(served, connected, {"id": 2, "subscribe": {"channel": "a/b"}})
            assert (answer.status_code, answer.content) == (204, b"")
            assert (await lines.next())["id"] == 2
            gateway.publish_nowait("a/b", {"n": 1})
            assert await lines.next() == {"push": {"channel": "a/b", "pub": {"data": {"n": 1}, "offset": 1}}}


async def test_protobuf() -> None:
    """Swift, Kotlin and Dart speak nothing else."""
    async with _served() as (_, served):
        command = varint(1 << 3) + varint(1) + _field(4, b"")
        body = varint(len(command)) + command
        headers = {"content-type": PROTOBUF}
        async with served.http.stream("POST", "/connection/http_stream", content=body, headers=headers) as response:
            assert response.headers["content-type"] == PROTOBUF
            first = await response.aiter_bytes().__anext__()
            assert b"portcast" in first


async def test_what_ends_it_is_told_by_a_push() -> None:
    """There is no close frame."""
    async with _served() as (_, served), _stream(served, content=b'{"id":1,"subscribe":{"channel":"a"}}') as lines:
        push = (await lines.next())["push"]["disconnect"]
        assert (push["code"], push["reason"]) == (3501, "bad request")
        assert "reconnect" not in push


async def test_a_stop_tells_the_client_to_come_back() -> None:
    """3001, and reconnect."""
    async with _served() as (gateway, served), _stream(served, content=CONNECT) as lines:
        await lines.next()
        hub = gateway._running().hub
        hub.close("server is stopping")
        push = (await lines.next())["push"]["disconnect"]
        assert (push["code"], push["reconnect"]) == (3001, True)


@pytest.mark.parametrize("node", [None, "another"])
async def test_an_unknown_session_is_not_found(node: str | None) -> None:
    """Nor one of another node."""
    async with _served() as (_, served), _stream(served, content=CONNECT) as lines:
        connected = (await lines.next())["connect"]
        wrong = {**connected, "node": node} if node else {**connected, "session": "guess"}
        assert (await _say(served, wrong, {})).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        pytest.param("POST", "/connection/http_stream", {"content": b"x" * 70_000}, 413, id="too large"),
        pytest.param("GET", "/connection/sse", {}, 400, id="no command"),
        pytest.param("POST", "/emulation", {"content": b"{"}, 400, id="broken"),
        pytest.param("POST", "/emulation", {"json": {}, "headers": {"origin": "http://evil.test"}}, 403, id="origin"),
        pytest.param("OPTIONS", "/emulation", {"headers": {"origin": "http://evil.test"}}, 403, id="preflight"),
    ],
)
async def test_what_is_refused(method: str, path: str, options: dict[str, Any], status: int) -> None:
    """With the status that says why."""
    async with _served() as (_, served):
        assert (await served.http.request(method, path, **options)).status_code == status


async def test_a_page_of_an_allowed_origin_may_read_the_answer() -> None:
    """As the browser asks beforehand."""

    async with _served(http=HttpOptions(allowed_origins=("https://a.test",))) as (_, served):
        answer = await served.http.options("/emulation", headers={"origin": "https://a.test"})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://a.test"
        assert "POST" in answer.headers["access-control-allow-methods"]


async def test_before_it_is_ready() -> None:
    """503, with the advice to come back."""
    async with _served() as (gateway, served):
        gateway._running().state = "draining"
        answer = await served.http.post("/connection/http_stream", content=CONNECT)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        gateway._running().state = "ready"


@pytest.mark.row(23)
async def test_there_is_no_stream_for_one_too_many() -> None:
    """Told before the stream begins; what a client of a stream says is taken all the same."""
    async with _served(http=HttpOptions(max_subscribers=1)) as (gateway, served):
        async with _stream(served, content=CONNECT) as lines:
            connect = (await lines.next())["connect"]
            assert (await served.http.post("/connection/http_stream", content=CONNECT)).status_code == 503
            refused = await served.http.get(f"/connection/sse?cf_connect={quote(CONNECT)}")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            said = {"session": connect["session"], "node": connect["node"], "data": '{"id":2,"rpc":{"method":"none"}}'}
            assert (await served.http.post("/emulation", json=said)).status_code == 204
        await until(lambda: not gateway.node.hub.subscribers, "the stream to end")
        async with served.websocket("/connection/websocket") as client:
            await client.send(CONNECT)
            await client.recv()


@pytest.mark.row(23)
async def test_an_sdk_websocket_too_many_is_told_to_try_again() -> None:
    """With a code after which SDKs come back."""
    async with _served(http=HttpOptions(max_subscribers=1)) as (_, served), served.websocket("/ws"):
        async with served.websocket("/connection/websocket") as late:
            await late.wait_closed()
        assert (late.close_code, late.close_reason) == (1013, "too many subscribers")
