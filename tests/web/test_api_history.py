from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from access_kit import open_access
from gateway_serving import http, running
from portcast import Gateway, HistoryLimits
from portcast.runtime import Node
from portcast.web.api_history import add_history

pytestmark = pytest.mark.anyio


async def ask(gateway: Gateway, query: str) -> dict[str, Any]:
    """Ask a gateway on whose topics five publications were made, ``a/x`` and ``b`` in turn."""
    async with running(gateway) as app, http(app) as client:
        for number in range(5):
            gateway.publish_nowait("b" if number % 2 else "a/x", f"{number}")
        first = (await client.get("/api/history")).json()["publications"][0]["id"]
        exact = (await client.get("/api/history?filter=a/x")).json()["publications"][0]["id"]
        answer = await client.get("/api/history" + query.format(first=first, exact=exact))
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.mark.parametrize(
    ("query", "data", "more"),
    [
        ("", "01234", 0),
        ("?limit=2", "34", 0),
        ("?limit=0", "", 0),
        ("?filter=a/+", "024", 0),
        ("?filter=a/x&filter=b", "01234", 0),
        ("?filter=nothing", "", 0),
        ("?since={first}", "1234", 0),
        ("?since={first}&limit=3", "123", 1),
        ("?since={first}&filter=b", "13", 0),
        ("?since={exact}&filter=a/x", "24", 0),
    ],
)
async def test_topics_are_merged_in_one_order(query: str, data: str, more: int) -> None:
    """The newest, oldest first; or what follows an id, from its beginning."""
    answer = await ask(Gateway(), query)
    assert [one["data"] for one in answer.pop("publications")] == list(data)
    assert answer == {"missed": 0, "exact": True, "more": more}


async def test_a_publication_is_an_envelope() -> None:
    """The same as over ``/ws?format=json``; no null beside what there is."""
    gateway = Gateway()
    async with running(gateway) as app, http(app) as client:
        at = gateway.publish_nowait("a", b"\xff", tags={"k": "v"})
        gateway.publish_nowait("a", "x")
        first, second = (await client.get("/api/history?filter=a")).json()["publications"]
    assert first.pop("time") > 1.7e9
    assert first == {
        **{"topic": "a", "epoch": at.epoch, "offset": 1, "id": f"{at.epoch}:1", "base64": "/w=="},
        "tags": {"k": "v"},
    }
    assert second.keys() == {"topic", "epoch", "offset", "id", "time", "data"}


@pytest.mark.parametrize(("given", "missed", "exact"), [("{first}", 2, True), ("other:3", 3, False)])
async def test_what_is_gone_is_told(given: str, missed: int, exact: bool) -> None:
    """With its number where it can be known."""
    gateway = Gateway(history=HistoryLimits(publications=2))
    async with running(gateway) as app, http(app) as client:
        gateway.publish_nowait("a", "0")
        first = (await client.get("/api/history")).json()["publications"][0]["id"]
        for number in range(1, 5):
            gateway.publish_nowait("a", f"{number}")
        answer = (await client.get(f"/api/history?since={given.format(first=first)}")).json()
    assert [one["data"] for one in answer["publications"]] == ["3", "4"]
    assert (answer["missed"], answer["exact"]) == (missed, exact)


async def test_a_page_is_bounded_in_bytes() -> None:
    """What does not fit is counted, and follows."""
    gateway = Gateway()
    async with running(gateway) as app, http(app) as client:
        for _ in range(5):
            gateway.publish_nowait("a", b"x" * 100_000)
        first = (await client.get("/api/history?limit=10")).json()
        assert len(first["publications"]) == 2  # the newest
        at = first["publications"][0]["id"].rpartition(":")[0]
        rest = (await client.get(f"/api/history?since={at}:*0")).json()
    assert (len(rest["publications"]), rest["more"]) == (2, 3)


@pytest.mark.parametrize(
    ("query", "status", "problem"),
    [
        ("?filter=a/%23/b", 400, "last level"),
        ("?filter=a" * 2 + "&filter=a" * 128, 400, "more than 128"),
        ("?limit=301", 422, "limit"),
        ("?fliter=a", 400, "did you mean"),
    ],
)
async def test_wrong_questions_are_refused_in_words(query: str, status: int, problem: str) -> None:
    async with running(Gateway()) as app, http(app) as client:
        answer = await client.get("/api/history" + query)
    assert answer.status_code == status
    assert problem in answer.text


async def test_before_the_start_it_says_so() -> None:
    def node() -> Node:
        raise RuntimeError("the gateway is not running")

    router = APIRouter()
    add_history(router, node, open_access())
    app = FastAPI()
    app.include_router(router)
    async with http(app) as client:
        answer = await client.get("/api/history")
    assert (answer.status_code, answer.json()["detail"]) == (503, "the gateway is not running")
