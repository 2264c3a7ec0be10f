"""Tests of `portcast.web.recorder`: the flight recorder over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time

import httpx
import pytest

from asgi_fakes import until
from gateway_serving import app_with, http
from portcast import Connection, Gateway, LineFraming, RecorderOptions, RecorderSettings
from portcast.testing import TestDevice

pytestmark = pytest.mark.anyio

OTHER = {"origin": "https://evil.example"}
URL = "tcp://127.0.0.1:9001"


@asynccontextmanager
async def api(*on: str) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    """A gateway in memory whose devices log in with `#<id>`, and a client of its API."""
    gateway = Gateway(recorder=RecorderSettings(RecorderOptions(on=on)))

    @gateway.listen(
        URL,
        framing=LineFraming(),
        identify=lambda line: line[1:] if line.startswith("#") else None,
        identity="connection",
        ack=lambda line, result: b"ok",
    )
    async def on_line(line: str, connection: Connection) -> None: ...

    app = app_with(gateway)
    async with TestDevice(app) as idle, http(app) as client:
        assert idle.connection.is_open
        yield gateway, client


@asynccontextmanager
async def device(gateway: Gateway, *lines: str) -> AsyncIterator[TestDevice]:
    async with TestDevice(gateway) as one:
        for line in lines:
            await one.send(line.encode() + b"\n")
            await one.expect(b"ok\n")
        yield one


async def test_recording_is_turned_on_and_off() -> None:
    """By a rule, for an hour unless the client says otherwise; a rule that is said again has its new end."""
    async with api() as (gateway, client):
        nothing = (await client.get("/api/recorder")).json()
        assert (nothing["rules"], nothing["connections"], nothing["frames"]) == ([], 0, 0)
        made = await client.put("/api/recorder/rules/device:a")
        assert made.status_code == 200
        assert made.json()["rule"] == "device:a"
        assert abs(made.json()["until"] - time() - 3600) < 5
        short = (await client.put("/api/recorder/rules/device:a?for=60")).json()
        assert abs(short["until"] - time() - 60) < 5
        assert [str(rule) for rule, _ in gateway.recorder.rules()] == ["device:a"]
        assert (await client.delete("/api/recorder/rules/device:a")).status_code == 204
        assert (await client.delete("/api/recorder/rules/device:a")).status_code == 404
        assert gateway.recorder.rules() == []


@pytest.mark.parametrize("name", [URL, "unix:///run/a b", "50 %*"])
async def test_a_rule_may_name_any_listener(name: str) -> None:
    """Percent-encoded or with its slashes."""
    async with api() as (gateway, client):
        encoded = name.replace("%", "%25").replace(" ", "%20")
        for path in (encoded, encoded.replace("/", "%2F")):
            assert (await client.put(f"/api/recorder/rules/listener:{path}")).json()["rule"] == f"listener:{name}"
            assert len(gateway.recorder.rules()) == 1
            assert (await client.delete(f"/api/recorder/rules/listener:{path}")).status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("PUT", "rules/boiler-1", 400, "'boiler-1' is no rule: write device:ID"),
        ("DELETE", "rules/boiler-1", 400, "is no rule"),
        ("DELETE", "rules/device:b", 404, "no rule 'device:b' holds"),
        ("PUT", "rules/device:a?for=0", 422, ""),
        ("PUT", "rules/device:a?for=nan", 422, ""),
        ("PUT", "rules/device:a?fo=1", 400, "did you mean 'for'?"),
        ("GET", "frames?after=-1", 422, ""),
        ("GET", "frames?limit=1001", 422, ""),
        ("GET", "frames?limti=1", 400, "did you mean 'limit'?"),
    ],
)
async def test_what_cannot_be(method: str, path: str, status: int, detail: str) -> None:
    """It is refused with words, and changes nothing."""
    async with api() as (gateway, client):
        answer = await client.request(method, f"/api/recorder/{path}")
        assert answer.status_code == status
        assert detail in str(answer.json()["detail"])
        assert gateway.recorder.rules() == []


async def test_frames_of_a_device() -> None:
    """Oldest first, in hex and as text, in pages; and what comes after the last number."""
    async with api("device:a") as (gateway, client), device(gateway, "hello", "#a") as one:
        body = (await client.get("/api/devices/a/frames")).json()
        assert [frame["kind"] for frame in body["frames"]] == ["opened", "in", "out", "in", "out"]
        assert (body["is_recording"], body["next"]) == (True, None)
        frame = body["frames"][1]
        assert (frame["hex"], frame["text"], frame["size"], frame["device"]) == ("68656c6c6f", "hello", 5, "a")
        assert (frame["connection"], frame["listener"]) == (one.connection.id, URL)
        assert abs(frame["at"] - time()) < 5
        page = (await client.get("/api/devices/a/frames?limit=2")).json()
        assert [frame["kind"] for frame in page["frames"]] == ["opened", "in"]
        rest = (await client.get(f"/api/devices/a/frames?after={page['next']}")).json()
        assert [frame["kind"] for frame in rest["frames"]] == ["out", "in", "out"]
        last = rest["frames"][-1]["number"]
        assert (await client.get("/api/recorder")).json()["last_number"] == last
        await one.send(b"more\n")
        await one.expect(b"ok\n")
        new = (await client.get(f"/api/devices/a/frames?after={last}")).json()["frames"]
        assert [frame["text"] for frame in new] == ["more", "ok"]


async def test_frames_of_a_connection_and_of_all() -> None:
    """A connection is known as long as something of it is; recordings are listed in pages."""
    async with api("listener:*") as (gateway, client):
        async with device(gateway, "x") as one, device(gateway, "#a"):
            connection = one.connection.id
            body = (await client.get(f"/api/connections/{connection}/frames")).json()
            assert [frame["kind"] for frame in body["frames"]] == ["opened", "in", "out"]
            assert body["is_recording"]
            whole = (await client.get("/api/recorder/frames")).json()
            assert whole["is_recording"]
            assert {frame["device"] for frame in whole["frames"]} == {None, "a"}
        await until(lambda: gateway.recorder.recorded_connections == 1, "their ends")
        body = (await client.get(f"/api/connections/{connection}/frames")).json()
        assert (body["is_recording"], body["frames"][-1]["detail"]) == (False, "peer_closed")
        first = (await client.get("/api/recorder?limit=1")).json()
        second = (await client.get(f"/api/recorder?limit=5&after={first['next']}")).json()
        found = first["recordings"] + second["recordings"]
        assert second["next"] is None
        assert {one["connection"] for one in found} >= {connection, None}
        (of_device,) = [one for one in found if one["device"] == "a"]
        assert (of_device["frames"], of_device["skipped"], of_device["evicted"]) == (4, 0, 0)
        assert abs(of_device["last_at"] - time()) < 5
        assert first["bytes"] == sum(one["bytes"] for one in found)


async def test_what_was_recorded_can_be_forgotten() -> None:
    """Of one or of all, at once."""
    async with api("listener:*") as (gateway, client), device(gateway, "x") as one, device(gateway, "#a"):
        for path in ("devices/a", f"connections/{one.connection.id}"):
            assert (await client.delete(f"/api/{path}/frames")).status_code == 204
            assert (await client.get(f"/api/{path}/frames")).json()["frames"] == []
        assert (await client.get("/api/recorder")).json()["frames"] == 1
        assert (await client.delete("/api/recorder/frames")).status_code == 204
        assert (await client.get("/api/recorder")).json()["frames"] == 0


async def test_a_device_that_is_yet_to_come_is_known_by_its_rule() -> None:
    """Whoever follows it gets nothing for now; one of whom nobody has heard is 404."""
    async with api("device:a") as (_, client):
        assert (await client.get("/api/devices/a/frames")).json() == {
            "is_recording": False,
            "frames": [],
            "next": None,
        }
        for method in ("GET", "DELETE"):
            for path in ("devices/b", "connections/b"):
                answer = await client.request(method, f"/api/{path}/frames")
                assert answer.status_code == 404
                assert "'b' is known, and nothing of it is recorded" in answer.json()["detail"]


async def test_pages_of_other_sites_change_nothing() -> None:
    """As for everything that changes something: they can neither turn it on nor forget."""
    async with api("device:a") as (gateway, client), device(gateway, "#a"):
        before = gateway.recorder.rules()
        for method, path in [
            ("PUT", "recorder/rules/device:b"),
            ("DELETE", "recorder/rules/device:a"),
            ("DELETE", "recorder/frames"),
            ("DELETE", "devices/a/frames"),
            ("DELETE", "connections/c/frames"),
        ]:
            assert (await client.request(method, f"/api/{path}", headers=OTHER)).status_code == 403
        assert gateway.recorder.rules() == before
        assert len(gateway.recorder.frames()) > 0


async def test_before_the_start_it_is_unavailable() -> None:
    """503, as everything."""
    async with http(app_with(Gateway())) as client:
        for path in ("recorder", "recorder/frames", "devices/a/frames", "connections/a/frames"):
            assert (await client.get(f"/api/{path}")).status_code == 503
