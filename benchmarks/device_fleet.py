"""Typed devices: CPU per message, and what ten thousand connected ones cost. ``python -m benchmarks.device_fleet``.

The server is a process of its own, so that its CPU time and memory are its own; this one plays the devices. A message
has a length field, a declarative binary codec, an identity, one dependency and one publication.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
import time
from typing import Annotated, Any

import psutil
import uvloop
from fastapi import Depends, FastAPI

from portcast import Device, Gateway, GatewayOptions, LengthFieldFraming, by_field
from portcast.codecs import BinaryModel, UInt8, UInt16, UInt32

MESSAGES, CONNECTIONS = 400_000, 20
DEVICES, EVERY_S, SECONDS = 10_000, 10.0, 30.0
COMMANDS_PER_S = 50


class Position(BinaryModel):
    device: Annotated[int, UInt32()]
    re: Annotated[int, UInt16()]
    latitude: Annotated[float, UInt32(scale=1e-6)]
    longitude: Annotated[float, UInt32(scale=1e-6)]
    speed: Annotated[int, UInt8()]


def frame(device: int, re: int = 0) -> bytes:
    body = struct.pack(">IHIIB", device, re, 52_520_000, 13_405_000, 50)
    return struct.pack(">H", len(body)) + body


# The server


def settings() -> str:
    return "benchmark"


gateway = Gateway(options=GatewayOptions(max_connections=20_000))
seen = 0


@gateway.listen(
    "tcp://127.0.0.1:0",
    framing=LengthFieldFraming(length_field_length=2, bytes_to_strip=2),
    identify=lambda position: str(position.device),
    replies=by_field("re", refused=None),
    write=lambda command, number: struct.pack(">H", number),
    backlog=4096,
)
async def on_position(position: Position, device: Device, _: Annotated[str, Depends(settings)]) -> None:
    global seen
    seen += 1
    gateway.publish_nowait("positions", position)


async def serve() -> None:
    app = FastAPI()
    app.include_router(gateway)
    loop = asyncio.get_running_loop()
    async with app.router.lifespan_context(app):
        say(port=gateway.listeners[0].address.port)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.startswith("ask"):
                say(latencies=await ask(float(line.split()[1])))
            else:
                say(seen=seen)


async def ask(seconds: float) -> list[float]:
    """Ask random devices at a steady rate; return how long each took, in milliseconds."""
    taken: list[float] = []

    async def one(device: str) -> None:
        begun = time.perf_counter()
        await gateway.device(device).request("x", timeout=5)
        taken.append((time.perf_counter() - begun) * 1000)

    tasks = []
    for _ in range(int(seconds * COMMANDS_PER_S)):
        tasks.append(asyncio.ensure_future(one(str(random.randrange(DEVICES)))))
        await asyncio.sleep(1 / COMMANDS_PER_S)
    await asyncio.gather(*tasks)
    return taken


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


# The devices


class FakeDevice(asyncio.Protocol):
    def __init__(self, number: int) -> None:
        self.number = number

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), 4):
            self.transport.write(frame(self.number, struct.unpack_from(">H", data, start + 2)[0]))


class Server:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.usage = psutil.Process(process.pid)

    async def hear(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())

    async def tell(self, text: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        return await self.hear()

    @property
    def cpu_s(self) -> float:
        times = self.usage.cpu_times()
        return float(times.user + times.system)


async def throughput(server: Server, port: int) -> None:
    each = MESSAGES // CONNECTIONS
    before = server.cpu_s
    writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(CONNECTIONS)]
    for number, writer in enumerate(writers):
        writer.write(frame(number) * each)
    while (await server.tell("seen"))["seen"] < MESSAGES:  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.1)
    took = server.cpu_s - before
    for writer in writers:
        writer.close()
    print(f"{MESSAGES / took:,.0f} messages per second of CPU, {took / MESSAGES * 1e6:.1f} us each")


async def fleet(server: Server, port: int) -> None:
    loop = asyncio.get_running_loop()
    rss = server.usage.memory_info().rss
    transports = []
    for number in range(DEVICES):
        transport, _ = await loop.create_connection(lambda number=number: FakeDevice(number), "127.0.0.1", port)
        transport.write(frame(number))
        transports.append(transport)
    await asyncio.sleep(3)
    print(f"{(server.usage.memory_info().rss - rss) / DEVICES / 1024:.1f} KiB per device, presence included")
    await steady(server, transports, SECONDS, is_asking=False)
    await steady(server, transports, SECONDS, is_asking=True)
    print(f"{(server.usage.memory_info().rss - rss) / DEVICES / 1024:.1f} KiB per device at the end")


async def steady(server: Server, transports: list[Any], seconds: float, *, is_asking: bool) -> None:
    before, begun = server.cpu_s, time.monotonic()
    asked = asyncio.ensure_future(server.tell(f"ask {seconds - 1}")) if is_asking else None
    sent = 0
    while (passed := time.monotonic() - begun) < seconds:
        while sent < passed * DEVICES / EVERY_S:
            transports[sent % DEVICES].write(frame(sent % DEVICES))
            sent += 1
        await asyncio.sleep(0.002)
    print(f"{(server.cpu_s - before) / (time.monotonic() - begun):.1%} of a core, {sent / seconds:,.0f} messages/s")
    if asked is not None:
        taken = sorted((await asked)["latencies"])
        p50, p99 = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
        print(f"{len(taken)} commands: p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst {taken[-1]:.2f} ms")


async def main() -> None:
    command = (sys.executable, "-m", "benchmarks.device_fleet", "serve")
    for part in (throughput, fleet):
        process = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1, limit=1 << 24)
        server = Server(process)
        await part(server, (await server.hear())["port"])
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    from portcast.runtime import raise_descriptor_limit

    raise_descriptor_limit()
    uvloop.run(serve() if sys.argv[1:] == ["serve"] else main())
