"""Tests of `portcast.cli.tail_history`."""

from __future__ import annotations

import asyncio

import pytest

from portcast.cli.tail_history import History, NoHistory, Page
from portcast.cli.tail_view import Gap

pytestmark = pytest.mark.anyio

ONE = '{"topic":"a","epoch":"e","offset":1,"id":"e:1","time":1.5,"data":"x"}'


async def _ask(status: str, body: str, since: str = "") -> tuple[Page | NoHistory, bytes]:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        history = History(f"http://127.0.0.1:{port}/live", "a/+/#", is_loopback=True)
        return await history.ask(since, 7), heads[0].split(b" ")[1]


async def test_a_page_with_a_gap() -> None:
    """What is not understood in it is of a newer gateway."""
    page, path = await _ask("200 OK", f'{{"publications":[{ONE},{{}}],"missed":3,"exact":true,"more":2}}', "n:*4")
    assert isinstance(page, Page)
    assert ([one.offset for one in page.publications], page.gap, page.more) == ([1], Gap(3, True), 2)
    assert path == b"/live/api/history?filter=a/%2B/%23&limit=7&since=n%3A%2A4"


async def test_a_page_without_one() -> None:
    page, path = await _ask("200 OK", '{"publications":[],"missed":0,"exact":true,"more":0}')
    assert page == Page([], None, 0)
    assert path.endswith(b"&limit=7")


async def test_a_token_does_not_follow_a_redirect() -> None:
    """Whoever it may lead to is not to have it."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 307 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await History(url, "a", is_loopback=True, token="secret-token").ask("")
    assert b"Bearer secret-token" in heads[0]
    assert all(b"secret-token" not in head for head in heads[1:])
    assert len(heads) > 1


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        ("403 Forbidden", "no", "it answered 403"),
        ("200 OK", "no", "its answer is not that of a gateway"),
        ("200 OK", "{}", "its answer is not that of a gateway"),
        ("200 OK", "[]", "its answer is not that of a gateway"),
    ],
)
async def test_what_is_no_history(status: str, body: str, reason: str) -> None:
    """Asking again would change nothing."""
    assert (await _ask(status, body))[0] == NoHistory(reason)


async def test_a_gateway_that_is_not_ready_is_asked_again_later() -> None:
    with pytest.raises(OSError, match="it answered 503"):
        await _ask("503 Service Unavailable", "{}")
