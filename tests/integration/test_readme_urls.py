"""Every URL in the README's table of paths does what the table says, written exactly as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest

from asgi_fakes import until
from gateway_serving import Served, app_with, feed, serving, take
from portcast import Gateway

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (`(?:GET|POST|WS) /.*?) \|", re.MULTILINE)


def _urls(page: Path) -> list[tuple[str, str]]:
    """Method and path of each code span in the table; a path alone has the method of the one before it."""
    found = []
    for row in ROW.findall(page.read_text("utf-8")):
        method = ""
        for span in re.findall(r"`([^`]+)`", row):
            *given, path = span.split(" ")
            method = given[0] if given else method
            found.append((method, path.replace("{topic}", "sensors/boiler-1")))
    return found


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
async def test_each_url_of_the_table(name: str) -> None:
    """A stranger pastes them; a ``+`` that becomes a space, or a path that is gone, is silence."""
    gateway = Gateway()
    gateway.relay("tcp://127.0.0.1:0", topic="sensors/boiler-1")
    urls = _urls(ROOT / name)
    assert ("WS", "/ws?filter=sensors/+") in urls
    assert len(urls) > 10
    async with serving(app_with(gateway)) as served:
        for method, path in urls:
            if method == "WS":
                async with served.websocket(path) as client:
                    await until(lambda: gateway._running().hub.subscribers, "the subscription")
                    await feed(gateway, b"x\n")
                    assert await take(client, 1) == ["x"], path
                await until(lambda: not gateway._running().hub.subscribers, "its end")
            elif path.startswith("/events"):
                await _stream(gateway, served, path)
            else:
                answer = await served.http.request(method, path)
                expected = 404 if "{id}" in path else 200  # there is no such device, but the route is there
                assert (answer.status_code, "no device" in answer.text) == (expected, expected == 404), (
                    path,
                    answer.text,
                )


async def _stream(gateway: Gateway, served: Served, path: str) -> None:
    with anyio.fail_after(10):
        async with served.http.stream("GET", path) as answer:
            await until(lambda: gateway._running().hub.subscribers, "the subscription")
            await feed(gateway, b"x\n")
            async for line in answer.aiter_lines():
                if line == "data: x":
                    return
    raise AssertionError(f"{path} ended without the publication")


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/health/live", "/health/ready"])
async def test_head_answers_as_get_does(path: str) -> None:
    """Health checks and link checkers ask so (RFC 9110 §9.3.2)."""
    async with serving(app_with(Gateway())) as served:
        asked, got = await served.http.head(path), await served.http.get(path)
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-type"] == got.headers["content-type"]
        lengths = [int(one.headers["content-length"]) for one in (asked, got)]
        # The loop's lag in /health/ready has up to three digits more or less.
        assert abs(lengths[0] - lengths[1]) <= (8 if path == "/health/ready" else 0)
