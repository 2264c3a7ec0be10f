"""What the flight recorder costs: those who are recorded, and those who are not. ``python -m benchmarks.recorder``.

All in one process and without sockets: reads are handed to a connection as the loop would, so that nothing but our own
work is measured. The states take turns, many times, and the median of each is compared with that of *off*.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

import uvloop

from portcast import Connection, Gateway, LineFraming, RecorderOptions, RecorderSettings
from portcast.testing import TestDevice, in_memory

ROUNDS, READS, LINES = 30, 40, 25
LINE = b"x" * 99 + b"\n"

Feed = Callable[[Connection], Awaitable[None]]


def gateway(max_rate: int) -> Gateway:
    """A relay and a typed handler, whose devices name themselves in each line."""
    made = Gateway(recorder=RecorderSettings(RecorderOptions(max_rate=max_rate)))
    made.relay("tcp://127.0.0.1:9001", name="relay", framing=LineFraming(), topic="relay")

    @made.listen("tcp://127.0.0.1:9002", name="handler", framing=LineFraming(), identify=lambda line: "d")
    async def on_line(line: str) -> None:
        seen.append(len(line))
        if len(seen) == READS * LINES:
            all_handled.set()

    return made


seen: list[int] = []
all_handled = asyncio.Event()


async def relay(connection: Connection) -> None:
    """Hand over reads of many lines; a relay publishes them at once."""
    data = LINE * LINES
    for _ in range(READS):
        connection.data_received(data)
    await asyncio.sleep(0)


async def handler(connection: Connection) -> None:
    """Hand over reads of many lines, and wait until all are handled."""
    seen.clear()
    all_handled.clear()
    data = LINE * LINES
    for _ in range(READS):
        connection.data_received(data)
    await all_handled.wait()


async def measure(listener: str, feed: Feed) -> dict[str, float]:
    """Return microseconds per line, by state."""
    times: dict[str, list[float]] = {}
    capped, whole = gateway(200), gateway(10**9)
    async with (
        in_memory(capped),
        in_memory(whole),
        TestDevice(capped, listener=listener) as one,
        TestDevice(whole, listener=listener) as other,
    ):
        states = {
            "off": (capped, one, ""),
            "others are recorded": (capped, one, "device:other"),
            "recorded, 200 per second": (capped, one, f"listener:{listener}"),
            "recorded, all": (whole, other, f"listener:{listener}"),
        }
        for _ in range(ROUNDS):
            for name, (the, device, rule) in states.items():
                if rule:
                    the.recorder.record(rule)
                await feed(device.connection)
                begin = perf_counter()
                await feed(device.connection)
                times.setdefault(name, []).append(perf_counter() - begin)
                if rule:
                    the.recorder.stop(rule)
    return {name: median(found) / (READS * LINES) * 1e6 for name, found in times.items()}


async def main() -> None:
    """Print a table."""
    logging.getLogger("portcast").setLevel(logging.ERROR)
    for listener, feed in (("relay", relay), ("handler", handler)):
        found = await measure(listener, feed)
        for name, each in found.items():
            print(f"{listener:8} {name:26} {each:6.2f} us per line   {each / found['off']:5.2f}")


if __name__ == "__main__":
    uvloop.run(main())
