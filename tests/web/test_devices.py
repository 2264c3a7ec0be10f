from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time
from typing import Any

import httpx
import pytest

from device_kit import Fleet, fleet, line, say
from gateway_serving import app_with, http
from portcast import CommandOptions, DeviceOptions, DeviceSettings, Gateway, by_field
from portcast.runtime import DeviceProtocol
from runtime_kit import Device, eventually

pytestmark = pytest.mark.anyio

OTHER = {"origin": "https://evil.example"}


def _frame(value: Any, number: int) -> bytes:
    return json.dumps({"ask": value if not isinstance(value, bytes) else value.hex(), "n": number}).encode()


@asynccontextmanager
async def api(settings: DeviceSettings | None = None, **options: Any) -> AsyncIterator[tuple[Fleet, httpx.AsyncClient]]:
    replies = by_field("re", refused=lambda message: message.get("no", False))
    async with fleet(settings, **{"replies": replies, "write": _frame, **options}) as the, http(the.app) as client:
        yield the, client


async def answer(device: Device, **more: Any) -> dict[str, Any]:
    """Answer the next command as device `a`."""
    asked: dict[str, Any] = json.loads(await line(device))
    await say(device, {"id": "a", "re": asked["n"], **more})
    return asked


# Devices


async def test_devices_are_listed_by_id() -> None:
    """Connected or not, with all that is known; by status and in pages."""
    settings = DeviceSettings(DeviceOptions(unknown="quarantine"), known={"b": {"site": "north"}, "c": {}})
    async with api(settings) as (the, client):
        await the.connect({"id": "c"})
        await the.connect({"id": "a 1"})
        await the.status("a 1", "quarantined")
        await the.heard(1)
        found = (await client.get("/api/devices")).json()
        assert [(one["id"], one["status"], one["is_known"]) for one in found["devices"]] == [
            ("a 1", "quarantined", False),
            ("b", "offline", True),
            ("c", "online", True),
        ]
        assert found["next"] is None
        b, c = found["devices"][1:]
        assert (b["tags"], b["first_seen"], b["connections"]) == ({"site": "north"}, None, [])
        assert abs(c["first_seen"] - time()) < 5
        assert (c["frames"], c["open_commands"], len(c["connections"])) == (1, 0, 1)
        page = (await client.get("/api/devices?limit=1")).json()
        assert ([one["id"] for one in page["devices"]], page["next"]) == (["a 1"], "a 1")
        page = (await client.get("/api/devices?limit=1&after=a%201")).json()
        assert [one["id"] for one in page["devices"]] == ["b"]
        only = (await client.get("/api/devices?status=online")).json()
        assert [one["id"] for one in only["devices"]] == ["c"]
        assert only["counts"] == {"online": 1, "offline": 1, "quarantined": 1}
        assert abs(only["at"] - time()) < 5
        for search, ids in (("NORTH", ["b"]), ("127.0.0.1", ["a 1", "c"]), ("A%201", ["a 1"]), ("+", [])):
            shown = (await client.get(f"/api/devices?search={search}")).json()
            assert [one["id"] for one in shown["devices"]] == ids, search
        (connection,) = c["connections"]
        open_now = (await client.get("/api/connections")).json()["connections"]
        assert {one["id"]: one["devices"] for one in open_now}[connection] == ["c"]
        for device, ids in (("c", [connection]), ("b", []), ("unknown", [])):
            body = (await client.get(f"/api/connections?device={device}")).json()
            assert [one["id"] for one in body["connections"]] == ids, device
        assert (await client.get("/api/listeners")).json()["devices"] == 3
        assert (await client.get("/api/devices?status=dead")).status_code == 422
        assert (await client.get("/api/devices?statsu=online")).status_code == 400


async def test_one_device() -> None:
    """404 names the one that is not there."""
    async with api() as (the, client):
        await the.connect({"id": "ü"})
        await the.heard(1)
        assert (await client.get("/api/devices/ü")).json()["id"] == "ü"
        missing = await client.get("/api/devices/b")
        assert (missing.status_code, missing.json()) == (404, {"detail": "no device 'b' is known"})


async def test_approval() -> None:
    """What quarantine waits for; other sites' pages cannot give it."""
    async with api(unknown="quarantine") as (the, client):
        device = await the.connect({"id": "a"})
        await the.status("a", "quarantined")
        listed = (await client.get("/api/devices?status=quarantined")).json()["devices"]
        assert [one["id"] for one in listed] == ["a"]
        assert (await client.post("/api/devices/a/approve", headers=OTHER)).status_code == 403
        approved = (await client.post("/api/devices/a/approve")).json()
        assert (approved["status"], approved["is_known"]) == ("online", True)
        await say(device, {"id": "a"})
        await the.heard(1)
        assert (await client.post("/api/devices/b/approve")).status_code == 404


async def test_closing_a_connection() -> None:
    """By its id."""
    async with api() as (the, client):
        await the.connect({"id": "a"})
        await the.heard(1)
        (connection,) = (await client.get("/api/devices/a")).json()["connections"]
        assert (await client.delete(f"/api/connections/{connection}", headers=OTHER)).status_code == 403
        assert (await client.delete(f"/api/connections/{connection}")).status_code == 204
        assert (await the.ended(1))[0].reason == "closed"
        assert (await client.delete(f"/api/connections/{connection}")).status_code == 404


# Commands


@pytest.mark.parametrize(("said", "state"), [({"v": 1}, "answered"), ({"no": True}, "refused")])
async def test_a_command_ends_with_the_devices_own_answer(said: dict[str, Any], state: str) -> None:
    """200, whichever end it is; it can be looked up afterwards."""
    async with api() as (the, client):
        device = await the.connect({"id": "a"})
        await the.heard(1)
        posted = asyncio.ensure_future(client.post("/api/devices/a/commands", json={"command": "reboot"}))
        assert await answer(device, **said) == {"ask": "reboot", "n": 1}
        response = await posted
        body = response.json()
        assert response.status_code == 200
        assert (body["state"], body["is_end"], body["command"]) == (state, True, "reboot")
        assert body["answer"] == {"id": "a", "re": 1, **said}
        del body["at"]  # of two clocks, whose difference is taken anew each time
        again = (await client.get(f"/api/devices/a/commands/{body['id']}")).json()
        assert {**body, "at": again["at"]} == again
        assert (await client.get("/api/devices/a/commands")).json() == {"commands": [], "next": None}
        assert (await client.delete(f"/api/devices/a/commands/{body['id']}")).json()["state"] == state


async def test_without_waiting() -> None:
    """202 with a place to look; also when the time is up."""
    async with api() as (the, client):
        device = await the.connect({"id": "a"})
        await the.heard(1)
        for wait in ("0", "0.02"):
            response = await client.post(f"/api/devices/a/commands?wait={wait}", json={"command": "x"})
            assert response.status_code == 202
            where = response.headers["location"]
            assert where == f"/api/devices/a/commands/{response.json()['id']}"
            assert (await client.get(where)).json()["state"] == "written"
            assert (await client.delete(where)).status_code == 409
            await answer(device)
            await eventually(lambda: the.gateway._running().devices.commands.statistics().written == 0)
            assert (await client.get(where)).json()["state"] == "answered"


async def test_a_device_that_is_away() -> None:
    """Its commands wait, are listed and can be cancelled; 429 when they are too many."""
    settings = DeviceSettings(commands=CommandOptions(max_queued=2), known={"a": {}, "b": {}})
    async with api(settings) as (_, client):
        where = []
        for number in range(2):
            response = await client.post("/api/devices/a/commands?wait=0", json={"command": {"n": number}})
            assert (response.status_code, response.json()["state"]) == (202, "queued")
            where.append(response.headers["location"])
        full = await client.post("/api/devices/a/commands?wait=0", json={"command": "x"})
        assert full.status_code == 429
        assert (await client.get("/api/devices/a")).json()["open_commands"] == 2
        listed = (await client.get("/api/devices/a/commands")).json()["commands"]
        assert [one["command"] for one in listed] == [{"n": 0}, {"n": 1}]
        page = (await client.get("/api/devices/a/commands?limit=1")).json()
        assert ([one["command"] for one in page["commands"]], page["next"]) == ([{"n": 0}], 1)
        page = (await client.get("/api/devices/a/commands", params={"limit": 1, "after": page["next"]})).json()
        assert ([one["command"] for one in page["commands"]], page["next"]) == ([{"n": 1}], None)
        assert (await client.get("/api/devices/a/commands?limit=0")).status_code == 422
        bogus = await client.get("/api/devices/a/commands?after=bogus")
        assert (bogus.status_code, bogus.json()["detail"][0]["loc"]) == (422, ["query", "after"])
        assert (await client.delete(where[0], headers=OTHER)).status_code == 403
        assert (await client.delete(where[0])).json()["state"] == "cancelled"
        assert (await client.get(where[0].replace("/a/", "/b/"))).status_code == 404
        assert (await client.get("/api/devices/a/commands/none")).status_code == 404
        gone = await client.post("/api/devices/a/commands", json={"command": "x", "lifetime": 0})
        assert (gone.status_code, gone.json()["state"]) == (200, "expired")


async def test_a_command_ends_between_two_pages() -> None:
    """The next page goes on behind its place; it does not begin anew."""
    async with api(DeviceSettings(known={"a": {}})) as (_, client):
        path = "/api/devices/a/commands"
        where = [
            (await client.post(f"{path}?wait=0", json={"command": number})).headers["location"] for number in range(3)
        ]
        page = (await client.get(f"{path}?limit=2")).json()
        assert [one["command"] for one in page["commands"]] == [0, 1]
        for one in where[:2]:
            assert (await client.delete(one)).json()["state"] == "cancelled"
        page = (await client.get(path, params={"limit": 2, "after": page["next"]})).json()
        assert ([one["command"] for one in page["commands"]], page["next"]) == ([2], None)


async def test_options_of_a_command() -> None:
    """Bytes, no answer, a deadline, a key that takes a place."""
    async with api(DeviceSettings(known={"a": {}})) as (the, client):

        async def post(**body: Any) -> Any:
            return (await client.post("/api/devices/a/commands?wait=0", json=body)).json()

        first = await post(command="old", deduplication="k", answered=False)
        await post(base64=b64encode(b"\xff\x00").decode(), deduplication="k", answered=False)
        assert (await client.get(f"/api/devices/a/commands/{first['id']}")).json()["state"] == "displaced"
        device = await the.connect({"id": "a"})
        assert json.loads(await line(device))["ask"] == "ff00"
        late = await client.post("/api/devices/a/commands", json={"command": "x", "timeout": 0.02, "idempotent": True})
        assert late.json()["state"] == "timed_out"


async def test_an_idempotency_key_makes_it_one_command() -> None:
    """For one device; another command under it is a mistake."""
    settings = DeviceSettings(known={"a": {}, "b": {}})
    async with api(settings) as (_, client):

        async def post(device: str, command: str) -> httpx.Response:
            return await client.post(
                f"/api/devices/{device}/commands?wait=0", json={"command": command}, headers={"idempotency-key": "k"}
            )

        one, again, other = await post("a", "x"), await post("a", "x"), await post("b", "x")
        assert one.json()["id"] == again.json()["id"] != other.json()["id"]
        assert len((await client.get("/api/devices/a/commands")).json()["commands"]) == 1
        assert (await post("a", "y")).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"no json", 400, "Invalid JSON"),
        (b"{}", 400, "one of command and base64"),
        (b'{"command": "x", "base64": "eA=="}', 400, "one of command and base64"),
        (b'{"base64": "?"}', 400, "base64: it is none"),
        (b'{"command": "x", "timeout": -1}', 400, "timeout: "),
        (b'{"command": "bad"}', 400, "the command cannot be written: ValueError"),
        (b'{"command": "' + b"x" * 70_000 + b'"}', 413, "at most"),
    ],
    ids=["json", "empty", "both", "base64", "range", "write", "size"],
)
async def test_a_command_that_is_none(body: bytes, status: int, detail: str) -> None:
    """Refused with what is wrong, and nothing is submitted."""

    def write(value: Any, number: int) -> bytes:
        raise ValueError(value)

    async with api(DeviceSettings(known={"a": {}}), write=write) as (the, client):
        response = await client.post("/api/devices/a/commands", content=body)
        assert response.status_code == status
        assert detail in response.json()["detail"]
        assert the.gateway._running().devices.commands.statistics().submitted == 0


async def test_who_may_and_to_whom() -> None:
    """Other sites' pages may not; unknown devices and ways to speak are told apart."""
    async with api(DeviceSettings(known={"a": {}})) as (the, client):
        there = "/api/devices/a/commands"
        assert (await client.post(there, json={"command": "x"}, headers=OTHER)).status_code == 403
        assert (await client.post("/api/devices/b/commands", json={"command": "x"})).status_code == 404
        assert (await client.post(f"{there}?wait=61", json={"command": "x"})).status_code == 422
        the.gateway._running().devices.commands.speak(DeviceProtocol(identify=str))
        assert (await client.post(there, json={"command": "x"})).status_code == 409


async def test_a_listener_without_replies() -> None:
    """A command is delivered; to want an answer is a mistake."""
    async with api(replies=None, write=None) as (the, client):
        device = await the.connect({"id": "a"})
        await the.heard(1)
        sent = await client.post("/api/devices/a/commands", json={"command": "reboot"})
        assert sent.json()["state"] == "delivered"
        assert await line(device) == b"reboot"
        wanted = await client.post("/api/devices/a/commands", json={"command": "x", "answered": True})
        assert wanted.status_code == 400
        assert (await client.post("/api/devices/a/commands", content=b'{"command": "\\ud800"}')).status_code == 400


async def test_a_device_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """503: the command was not submitted, and may be sent again."""
    monkeypatch.setattr("portcast.web.devices.TAKE_S", 0.02)
    async with api(write_buffer_bytes=1024) as (the, client):
        await the.connect({"id": "a"})
        await the.heard(1)
        while the.gateway.device("a").connections[0].send_nowait(b"x" * 60_000):
            pass
        response = await client.post("/api/devices/a/commands", json={"command": "x"})
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert the.gateway._running().devices.commands.statistics().submitted == 0


async def test_before_start_and_while_stopping() -> None:
    """503; a command is never taken that nobody will write."""
    async with http(app_with(Gateway())) as client:
        assert (await client.get("/api/devices")).status_code == 503
        assert (await client.post("/api/devices/a/approve")).status_code == 503
    async with api(DeviceSettings(known={"a": {}})) as (the, client):
        await the.gateway.drain()
        assert (await client.post("/api/devices/a/commands", json={"command": "x"})).status_code == 503


async def test_under_a_prefix() -> None:
    """The place to look is where the gateway is."""
    gateway = Gateway(devices=DeviceSettings(known={"a": {}}))

    @gateway.listen("tcp://127.0.0.1:0", identify=str)
    async def on_line(text: str) -> None: ...

    app = app_with(gateway, prefix="/iot")
    async with app.router.lifespan_context(app), http(app) as client:
        response = await client.post("/iot/api/devices/a/commands?wait=0", json={"command": "x"})
        assert response.headers["location"].startswith("/iot/api/devices/a/commands/")
        assert (await client.get(response.headers["location"])).json()["state"] == "queued"
