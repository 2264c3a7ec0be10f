"""A body is read within its limit."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from fastapi import HTTPException, Request

from gateway_serving import app_with, serving
from portcast import Gateway
from portcast.web.body import read_body

pytestmark = pytest.mark.anyio


def _request(
    *messages: dict[str, object], version: str = "1.1", length: bytes | None = None, expect: bool = False
) -> Request:
    headers = [] if length is None else [(b"content-length", length)]
    if expect:
        headers.append((b"expect", b"100-continue"))
    left: list[dict[str, object]] = list(messages)

    async def receive() -> dict[str, object]:
        return left.pop(0)

    return Request({"type": "http", "method": "POST", "http_version": version, "headers": headers}, receive)


def _part(body: bytes, *, more: bool) -> dict[str, object]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_parts_are_joined() -> None:
    """Up to the limit, and exactly it."""
    assert await read_body(_request(_part(b"ab", more=True), _part(b"c", more=False)), 3) == b"abc"


async def test_more_than_the_limit_is_refused_at_once() -> None:
    """What follows is not even awaited."""
    with pytest.raises(HTTPException) as caught:
        await read_body(_request(_part(b"abcd", more=True)), 3)
    assert caught.value.status_code == 413


async def test_more_than_the_limit_is_refused_when_it_is_announced() -> None:
    """Nothing is read, so nobody is told to go on."""
    with pytest.raises(HTTPException) as caught:
        await read_body(_request(length=b"4"), 3)
    assert caught.value.status_code == 413
    assert await read_body(_request(_part(b"abc", more=False), length=b"3"), 3) == b"abc"


async def test_a_length_that_is_none_is_left_to_what_comes() -> None:
    """A server that takes it is not ours."""
    assert await read_body(_request(_part(b"abc", more=False), length=b"three"), 3) == b"abc"


@pytest.mark.parametrize(("version", "headers"), [("1.1", {"connection": "close"}), ("2", None)])
async def test_who_waits_for_a_word_is_told_by_the_end(version: str, headers: dict[str, str] | None) -> None:
    """Nothing is on its way that the end would be mistaken for; HTTP/2 has no such header."""
    with pytest.raises(HTTPException) as caught:
        await read_body(_request(version=version, length=b"4", expect=True), 3)
    assert caught.value.headers == headers


async def test_who_asks_before_it_sends_is_told_no() -> None:
    """On the wire: 413 in the place of 100, and the end."""
    head = b"POST /api/topics/t HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10000000\r\nexpect: 100-continue\r\n\r\n"
    async with serving(app_with(Gateway())) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head)
        with anyio.fail_after(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
        writer.close()


async def test_a_client_that_leaves_half_way() -> None:
    """It is its own doing, and no error of ours."""
    with pytest.raises(HTTPException) as caught:
        await read_body(_request(_part(b"a", more=True), {"type": "http.disconnect"}), 3)
    assert caught.value.status_code == 400
