"""`make soak`: connections of every bad kind come and go for half an hour, and nothing of them stays.

One device publishes numbered lines all the time, and a healthy subscriber must see each of them, in order. What the
server's process holds is counted twice while only these two are connected: after a warm-up, and at the end.

``python soak.py MINUTES [LOOP]`` prints how it goes and ends with status 1 if anything grew or was lost.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CYCLES_PER_S = 60
"""100 000 and some in half an hour."""
WARM_UP_S = 20.0
"""At most; a sixth of a shorter soak, and never under five seconds."""
SETTLE_S = 15.0
"""For the last of them to go: their deadlines are two seconds, and a goodbye has its own."""
STUCK_S = 6.0
"""Kernel buffers are full after less than a second, and two seconds later the server lets go of a client."""
GROWTH = 0.05
LINES_PER_S, LINE_BYTES = 200, 2000
SAY_EVERY_S = 15.0
LIMIT_S = 30.0
"""For anything that a cycle waits for; the server's own deadlines end it long before."""

_UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_CONNECT = b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"t","recoverable":true}}'
_GOODBYE = b"\x88\x82\0\0\0\0\x03\xe8"

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Ports:
    """Where the server listens."""

    http: int
    publisher: int
    relay: int
    handler: int


@dataclass
class Soak:
    """What has happened so far.

    Attributes:
        cycles: connections that came and went, by kind.
        sent: numbered lines of the device.
        seen: those that the subscriber got.
        problems: everything that broke a promise, in words.
    """

    cycles: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    seen: int = 0
    problems: list[str] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)


# --- what comes and goes ----------------------------------------------------------------------------------------------


async def _open(port: int, data: bytes = b"", *, receive_buffer: int = 0) -> Pair:
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        # With the least limit a reader that nobody reads from stops at once.
        pair = await asyncio.open_connection(sock=sock, limit=1 if receive_buffer else 1 << 16)
    except BaseException:
        sock.close()
        raise
    pair[1].write(data)
    return pair


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _until_closed(pair: Pair) -> None:
    with suppress(ConnectionError):
        await pair[0].read()
    pair[1].transport.abort()


async def _trickled(pair: Pair, data: bytes) -> None:
    """A byte now and then, until the server has enough of it."""
    end = asyncio.ensure_future(pair[0].read())
    for byte in data * 1000:
        with suppress(ConnectionError):
            pair[1].write(bytes((byte,)))
        done, _ = await asyncio.wait([end], timeout=0.3)
        if done:
            break
    with suppress(ConnectionError):
        await end
    pair[1].transport.abort()


async def _honest(ports: Ports) -> None:
    pair = await _open(ports.handler, b"hello\n")
    assert await pair[0].readline() == b"hello\n"
    pair[1].close()


async def _half_close(ports: Ports) -> None:
    pair = await _open(ports.handler, b"one\ntwo\nhalf")
    pair[1].write_eof()
    await _until_closed(pair)


async def _garbage(ports: Ports) -> None:
    await _until_closed(await _open(ports.relay, random.randbytes(2000).replace(b"\n", b"") * 4))


async def _reset_at_once(ports: Ports) -> None:
    _reset((await _open(ports.relay))[1])


async def _reset_inside(ports: Ports) -> None:
    pair = await _open(ports.handler, b"a line\nand a half")
    await asyncio.sleep(0.01)
    _reset(pair[1])


async def _slow_device(ports: Ports) -> None:
    await _trickled(await _open(ports.relay), b"x")


async def _slow_request(ports: Ports) -> None:
    await _trickled(await _open(ports.http, b"GET / HTTP/1.1\r\n"), b"X-a: b\r\n")


async def _request(ports: Ports) -> None:
    await _until_closed(
        await _open(ports.http, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    )


async def _websocket(port: int, path: bytes, said: bytes = b"", *, receive_buffer: int = 0) -> Pair:
    pair = await _open(port, _UPGRADE % path, receive_buffer=receive_buffer)
    if receive_buffer:
        await asyncio.sleep(0.05)
    else:
        assert (await pair[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    pair[1].write(said)
    return pair


async def _client(ports: Ports) -> None:
    pair = await _websocket(ports.http, b"/ws/t")
    await pair[0].read(100)
    pair[1].write(_GOODBYE)
    await _until_closed(pair)


async def _sdk_client(ports: Ports) -> None:
    frame = bytes((0x81, 0x80 | len(_CONNECT))) + b"\0\0\0\0" + _CONNECT
    pair = await _websocket(ports.http, b"/connection/websocket", frame)
    await pair[0].read(1000)
    _reset(pair[1])


async def _bad_client(ports: Ports) -> None:
    # Bits that nobody has agreed on end it at once; half a frame would end it with a ping that stays unanswered.
    await _until_closed(await _websocket(ports.http, b"/ws/t", b"\xff" + random.randbytes(40)))


async def _event_stream(ports: Ports) -> None:
    pair = await _open(ports.http, b"GET /events/t HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await pair[0].read(1000)
    _reset(pair[1])


async def _stuck_client(ports: Ports) -> None:
    """It reads nothing; it would not learn that the server has let go of it, so it stays as long as that takes."""
    pair = await _websocket(ports.http, b"/ws/t", receive_buffer=4096)
    await asyncio.sleep(STUCK_S)
    _reset(pair[1])


KINDS: dict[str, tuple[Callable[[Ports], Awaitable[None]], int]] = {
    "honest": (_honest, 20),
    "half close": (_half_close, 10),
    "garbage": (_garbage, 10),
    "reset at once": (_reset_at_once, 15),
    "reset inside": (_reset_inside, 10),
    "slow device": (_slow_device, 3),
    "slow request": (_slow_request, 3),
    "request": (_request, 5),
    "client": (_client, 8),
    "SDK client": (_sdk_client, 5),
    "bad client": (_bad_client, 5),
    "event stream": (_event_stream, 5),
    "stuck client": (_stuck_client, 1),
}
"""What a cycle may be, and how often out of a hundred."""


async def _churn(ports: Ports, soak: Soak, seconds: float, rate: float) -> None:
    """Begin cycles at a steady rate for so long, then wait for the last of them."""
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    names, weights = list(KINDS), [weight for _, weight in KINDS.values()]
    chance = random.Random(0)

    async def cycle(name: str) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                await KINDS[name][0](ports)
            soak.cycles[name] += 1
        except TimeoutError:
            soak.problems.append(f"a {name} was still connected after {LIMIT_S:.0f} s")
        except (AssertionError, OSError, asyncio.IncompleteReadError) as error:
            soak.problems.append(f"a {name} failed: {error!r}")

    async with asyncio.TaskGroup() as cycles:
        while (passed := loop.time() - began) < seconds:
            while number < passed * rate:
                number += 1
                cycles.create_task(cycle(*chance.choices(names, weights)))
            await asyncio.sleep(0.02)


# --- what stays -------------------------------------------------------------------------------------------------------


async def _publish(ports: Ports, soak: Soak) -> None:
    _, writer = await _open(ports.publisher)
    with closing(writer):
        while True:
            writer.write(b"%d %s\n" % (soak.sent, b"x" * LINE_BYTES))
            soak.sent += 1
            await writer.drain()
            await asyncio.sleep(1 / LINES_PER_S)


async def _follow(ports: Ports, soak: Soak, is_there: asyncio.Event) -> None:
    reader, writer = await _websocket(ports.http, b"/ws/t")
    is_there.set()
    with closing(writer):
        while True:
            opcode, data = await _frame(reader)
            if opcode == 0x89:
                writer.write(bytes((0x8A, 0x80 | len(data))) + b"\0\0\0\0" + data)
            elif opcode == 0x81:
                number = int(data.partition(b" ")[0])
                if number != soak.seen:
                    soak.problems.append(f"the healthy subscriber got {number} after {soak.seen - 1}")
                    return
                soak.seen += 1


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    opcode, size = await reader.readexactly(2)
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    return opcode, await reader.readexactly(size)


async def _get(ports: Ports, path: bytes) -> Any:
    request = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path
    reader, writer = await _open(ports.http, request)
    answer = await reader.read()
    writer.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def _held(ports: Ports) -> dict[str, int]:
    held: dict[str, int] = await _get(ports, b"/soak")
    return held


async def _settled(ports: Ports, wanted: dict[str, int]) -> dict[str, int]:
    """Return what is held once it is no more than before, or after so long that it never will be."""
    deadline = time.monotonic() + SETTLE_S
    lowest: dict[str, int] = {}
    # The first counts of all are of a server that has just let go of everybody.
    for one in range(1000):
        held = await _held(ports)
        lowest = {name: min(number, lowest.get(name, number)) for name, number in held.items()}
        is_calm = one >= 2 and not list(_grown(wanted, lowest))
        if time.monotonic() > deadline or (is_calm and wanted) or (one >= 6 and not wanted):
            break
        await asyncio.sleep(0.5)
    return lowest


def _grown(before: dict[str, int], after: dict[str, int]) -> Iterator[str]:
    for name, number in before.items():
        if after[name] > number * (1 + GROWTH):
            yield f"{name}: {after[name]} at the end, {number} after the warm-up"


async def _tell(ports: Ports, soak: Soak, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(SAY_EVERY_S)
        held = await _held(ports)
        say(
            f"soak: {time.monotonic() - began:.0f} s, {soak.cycles.total()} cycles, {soak.seen} of {soak.sent} lines, "
            f"{held['descriptors']} descriptors, {held['tasks']} tasks, {held['memory'] / 1e6:.1f} MB"
        )


async def _soak(ports: Ports, soak: Soak, seconds: float, rate: float, say: Callable[[str], None]) -> None:
    is_there = asyncio.Event()
    follower = asyncio.ensure_future(_follow(ports, soak, is_there))
    await is_there.wait()
    others = [asyncio.ensure_future(_publish(ports, soak)), asyncio.ensure_future(_tell(ports, soak, say))]
    try:
        await _churn(ports, soak, max(5.0, min(WARM_UP_S, seconds / 6)), rate)
        soak.before = await _settled(ports, {})
        say(f"soak: warm: {soak.before}")
        await _churn(ports, soak, seconds, rate)
        soak.after = await _settled(ports, soak.before)
        removed = (await _get(ports, b"/api/slow-consumers"))["removed"]
        if removed != soak.cycles["stuck client"]:
            soak.problems.append(f"the server let go of {removed} of {soak.cycles['stuck client']} stuck clients")
        say(f"soak: end: {soak.after}")
        others[0].cancel()
        deadline = time.monotonic() + 5
        while soak.seen < soak.sent and time.monotonic() < deadline:  # noqa: ASYNC110 - one number, twice in a soak
            await asyncio.sleep(0.05)
    finally:
        for one in (*others, follower):
            one.cancel()
        ended = await asyncio.gather(*others, follower, return_exceptions=True)
    soak.problems += [f"{one!r}" for one in ended if isinstance(one, Exception)]
    if soak.seen != soak.sent:
        soak.problems.append(f"the healthy subscriber got {soak.seen} of {soak.sent} lines")
    soak.problems += _grown(soak.before, soak.after)


@contextmanager
def _server(loop: str, log: Path) -> Iterator[Ports]:
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("soak_app.py")), loop],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        yield Ports(*map(int, process.stdout.readline().split()))
    finally:
        process.kill()
        process.communicate()


def run(seconds: float, loop: str, say: Callable[[str], None], *, rate: float = CYCLES_PER_S) -> Soak:
    """Soak a server of our own for so long, after its warm-up; see the module."""
    soak = Soak()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        with _server(loop, log) as ports:
            asyncio.run(_soak(ports, soak, seconds, rate, say))
        written = log.read_text("utf-8", "replace")
    if "Traceback" in written:
        soak.problems.append("a traceback: " + written[written.index("Traceback") :][:2000])
    return soak


def main(minutes: str = "30", loop: str = "uvloop") -> int:
    """Run and tell; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends with us
    soak = run(60 * float(minutes), loop, lambda line: print(line, flush=True))
    print(f"soak: {soak.cycles.total()} cycles on {loop}: {dict(soak.cycles)}")
    for one in soak.problems[:20]:
        print(f"soak: {one}")
    print("soak: FAILED" if soak.problems else "soak: nothing grew, nothing was lost")
    return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
