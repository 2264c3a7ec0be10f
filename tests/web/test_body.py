"""A body is read within its limit."""

from __future__ import annotations

import pytest
from fastapi import HTTPException, Request

from portcast.web.body import read_body

pytestmark = pytest.mark.anyio


def _request(*messages: dict[str, object]) -> Request:
    left: list[dict[str, object]] = list(messages)

    async def receive() -> dict[str, object]:
        return left.pop(0)

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


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


async def test_a_client_that_leaves_half_way() -> None:
    """It is its own doing, and no error of ours."""
    with pytest.raises(HTTPException) as caught:
        await read_body(_request(_part(b"a", more=True), {"type": "http.disconnect"}), 3)
    assert caught.value.status_code == 400
