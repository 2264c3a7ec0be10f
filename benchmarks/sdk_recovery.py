"""A thousand SDK clients come back within a second, each with 300 publications to recover; ``python -m
benchmarks.sdk_recovery [json|protobuf]``.

The server is `portcast serve` in a process of its own, and so is the probe: a device that sends a line every 10 ms to
another listener, and a plain subscriber that sees when it arrives. How late a line is, is how long reading stood still.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from typing import Any

import psutil
import uvloop

from benchmarks.fan_out.wires import masked

CLIENTS, WITHIN_S, PUBLICATIONS, SIZE = 1000, 1.0, 300, 100
EVERY_S, LIMIT_S = 0.01, 30.0
UPGRADE = (
    "GET {} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PATHS = {"json": "/connection/websocket", "protobuf": "/connection/websocket?format=protobuf"}
DATA = b"x"
"""Of which each payload is made: there is nothing like a run of it around the payloads."""


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


# The probe


async def probe(http: int, device: int) -> None:
    """Send lines until stdin says something; print the lateness of each, in milliseconds."""
    loop = asyncio.get_running_loop()
    late: list[float] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", http)
    writer.write(UPGRADE.format("/ws/probe").encode())
    await reader.readuntil(b"\r\n\r\n")

    async def read() -> None:
        while True:
            _, size = await reader.readexactly(2)
            sent = float(await reader.readexactly(size))
            late.append((time.monotonic() - sent) * 1000)

    reading = asyncio.ensure_future(read())
    _, to_device = await asyncio.open_connection("127.0.0.1", device)
    told = loop.run_in_executor(None, sys.stdin.readline)
    print("ready", flush=True)
    while not told.done():
        to_device.write(b"%.6f\n" % time.monotonic())
        await asyncio.sleep(EVERY_S)
    await asyncio.sleep(0.5)
    reading.cancel()
    print(json.dumps(late), flush=True)


# The clients


class Client(asyncio.Protocol):
    """Connects and recovers in one frame, as centrifuge-js does; knows its publications by their bytes."""

    def __init__(self, path: str, commands: bytes, done: asyncio.Future[float]) -> None:
        self._hello = UPGRADE.format(path).encode()
        self._commands = commands
        self._left = PUBLICATIONS * SIZE
        self._is_open = False
        self._done = done

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        if not self._is_open:
            self._is_open = b" 101 " in data
            self.transport.write(self._commands)
            return
        self._left -= data.count(DATA)
        if self._left <= 0 and not self._done.done():
            self._done.set_result(time.monotonic())

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("closed by the server"))


def commands(kind: str) -> bytes:
    """``connect``, and a ``subscribe`` that recovers from the beginning, whatever the epoch."""
    if kind == "json":
        return masked(b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"t","recover":true}}')
    # Field numbers of Command and SubscribeRequest: see src/portcast/centrifuge/client.proto.
    from portcast.centrifuge import client_pb2 as pb

    both = (
        pb.Command(id=1, connect=pb.ConnectRequest()),
        pb.Command(id=2, subscribe=pb.SubscribeRequest(channel="t", recover=True)),
    )
    return masked(b"".join(bytes([one.ByteSize()]) + one.SerializeToString() for one in both), 2)


async def come_back(kind: str, http: int) -> tuple[list[float], float]:
    """Return when each client had everything, and when the last of them began."""
    loop = asyncio.get_running_loop()
    said, begun = commands(kind), time.monotonic()
    futures: list[asyncio.Future[float]] = []
    opening = []
    for number in range(CLIENTS):
        await asyncio.sleep(max(0.0, begun + number * WITHIN_S / CLIENTS - time.monotonic()))
        futures.append(loop.create_future())
        make = Client(PATHS[kind], said, futures[-1])
        opening.append(asyncio.ensure_future(loop.create_connection(lambda make=make: make, "127.0.0.1", http)))
    last = time.monotonic()
    await asyncio.gather(*opening)
    async with asyncio.timeout(LIMIT_S):
        ends = await asyncio.gather(*futures)
    return [end - begun for end in ends], last - begun


async def main(kind: str) -> None:
    http, device, other = free_ports(3)
    command = [sys.executable, "-m", "portcast", "serve", "--http", f"127.0.0.1:{http}"]
    for port, options in ((device, f"topic=t&history={PUBLICATIONS}"), (other, "topic=probe")):
        command += ["--listen", f"tcp://127.0.0.1:{port}?framing=lines&{options}"]
    server = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", device)
                break
            except OSError:
                await asyncio.sleep(0.05)
        writer.write((DATA * SIZE + b"\n") * PUBLICATIONS)
        await writer.drain()
        await asyncio.sleep(1)
        watching = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.sdk_recovery", "probe", str(http), str(other), stdin=-1, stdout=-1,
            limit=1 << 24,
        )  # fmt: skip
        assert watching.stdin is not None
        assert watching.stdout is not None
        await watching.stdout.readline()
        await asyncio.sleep(1)
        usage = psutil.Process(server.pid)
        before = sum(usage.cpu_times()[:2])
        ends, last = await come_back(kind, http)
        took = sum(usage.cpu_times()[:2]) - before
        watching.stdin.write(b"enough\n")
        late = sorted(json.loads(await watching.stdout.readline()))
        print(f"{kind}: {len(ends)} of {CLIENTS} recovered {PUBLICATIONS} publications of {SIZE} bytes")
        print(f"the last came at {last:.2f} s and all had everything at {max(ends):.2f} s; {took:.2f} s of CPU")
        print(f"lines of a device meanwhile: p50 {late[len(late) // 2]:.1f} ms, worst {late[-1]:.1f} ms late")
    finally:
        server.terminate()
        await server.wait()


if __name__ == "__main__":
    from portcast.runtime import raise_descriptor_limit

    raise_descriptor_limit()
    if sys.argv[1:2] == ["probe"]:
        uvloop.run(probe(int(sys.argv[2]), int(sys.argv[3])))
    else:
        uvloop.run(main(sys.argv[1] if len(sys.argv) > 1 else "json"))
