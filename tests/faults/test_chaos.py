"""Devices and subscribers on a bad network, all at once; the ledger judges.

``PORTCAST_FAULT_SEED=…`` replays one seed; a failure prints it.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import anyio
import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from faults.ledger import Ledger, Seen, Sent
from faults.plans import Plan, Schedule
from faults.proxy import fault_proxy
from gateway_serving import Served, app_with, port_of, serving
from portcast import Gateway
from portcast.history import HistoryLimits

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

SEEDS = [int(os.environ["PORTCAST_FAULT_SEED"])] if "PORTCAST_FAULT_SEED" in os.environ else [1, 2, 3]
DEVICES, CONNECTIONS, LINES, SUBSCRIBERS = 8, 5, 150, 4
LAST = "end:0"


async def device(target: int, ledger: Ledger, name: str, plans: list[Plan]) -> None:
    """Connect again and again, each time with a plan and lines of its own."""
    async with fault_proxy(target, iter(plans).__next__) as proxy:
        for number, plan in enumerate(plans):
            sent = ledger.connection(f"{name}c{number}", is_whole=plan.up.fault in ("none", "freeze"))
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            with suppress(ConnectionError):
                await _send_lines(sent, writer)
                await reader.read()  # the server ends it when it has everything
            writer.close()


async def _send_lines(sent: Sent, writer: asyncio.StreamWriter) -> None:
    for number in range(LINES):
        writer.write(f"{sent.name}:{number}\n".encode())
        sent.number += 1
        if number % 10 == 0:
            await writer.drain()
            await asyncio.sleep(0)
    writer.write_eof()


async def follow(target: int, seen: Seen, schedule: Schedule) -> None:
    """Be a browser's EventSource: come back with the last id until the last message is here."""
    last_id = ""
    async with (
        fault_proxy(target, schedule.next) as proxy,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}", trust_env=False, timeout=10) as client,
    ):
        while seen.messages[-1:] != [LAST]:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            with suppress(httpx.TransportError):
                async with client.stream("GET", "/events/t", headers=headers) as answer:
                    assert answer.status_code == 200
                    last_id = await _read_events(answer, seen, last_id)


async def _read_events(answer: httpx.Response, seen: Seen, last_id: str) -> str:
    """Read until the last message or the end, and return where to go on."""
    fields: dict[str, str] = {}
    try:
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
                continue
            last_id = fields.get("id", last_id)
            _note(seen, fields)
            fields = {}
            if seen.messages[-1:] == [LAST]:
                break
    except httpx.TransportError:
        pass
    return last_id


def _note(seen: Seen, fields: dict[str, str]) -> None:
    if fields.get("event") == "gap":
        assert '"exact":true' in fields["data"]
        seen.missed += int(fields["data"].partition('"missed":')[2].partition(",")[0])
    elif "data" in fields:
        seen.messages.append(fields["data"])


async def reference(served: Served, seen: Seen, is_there: asyncio.Event) -> None:
    """Follow on a healthy connection."""
    async with served.websocket("/ws/t") as client:
        is_there.set()
        with suppress(ConnectionClosed):
            while seen.messages[-1:] != [LAST]:
                seen.messages.append(str(await client.recv()))


@pytest.mark.row(48)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kept", [100_000, 150], ids=["all is kept", "little is kept"])
async def test_promises_hold_on_a_bad_network(seed: int, kept: int) -> None:
    """Order per connection, nothing twice, every hole announced with its size."""
    gateway = Gateway(history=HistoryLimits(publications=kept, topic_bytes=1 << 26))
    gateway.relay("tcp://127.0.0.1:0", topic="t")
    ledger = Ledger()
    whole = ledger.subscriber("reference")
    up = Schedule(seed, harms="up")
    async with serving(app_with(gateway)) as served, asyncio.TaskGroup() as browsers:
        target, is_there = port_of(gateway), asyncio.Event()
        browsers.create_task(reference(served, whole, is_there))
        await is_there.wait()
        for number in range(SUBSCRIBERS):
            down = Schedule(100 * seed + number, harms="down", most_bytes=60_000)
            browsers.create_task(follow(served.port, ledger.subscriber(f"browser {number}"), down))
        async with asyncio.TaskGroup() as devices:
            for number in range(DEVICES):
                plans = [up.next() for _ in range(CONNECTIONS)]
                devices.create_task(device(target, ledger, f"d{number}", plans))
        ledger.connection("end", is_whole=True).number = 1
        async with await anyio.connect_tcp("127.0.0.1", target) as one:
            await one.send(f"{LAST}\n".encode())
    problems = ledger.problems()
    assert not problems, "\n".join([f"seed {seed}", *problems])
    missed = sum(one.missed for one in ledger.seen)
    assert missed == 0 or kept < 1000
