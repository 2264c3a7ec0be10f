"""What is measured. Each part returns a row per server and scenario.

The servers of a scenario take turns, run by run, so that whatever else the machine does meets all of them. The first,
smaller run of each is thrown away.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.children import Child, Pool, Server, child
from benchmarks.lines import LINE, Kind
from benchmarks.machine import Others
from benchmarks.results import Row, Sample

DEVICES = 20
"""Busy devices, as in the tables of the design."""
TRACKERS = 200
"""Devices that send one line at a time."""
WARM_UP = 10
"""The first run has so many times fewer lines."""


@dataclass(frozen=True)
class Sizes:
    """How much is done. The full sizes keep each run at a second or more of processor time, which is counted in
    hundredths."""

    runs: int = 3
    ingest: int = 3_000_000
    typed: int = 200_000
    tracker_rate: int = 10_000
    tracker_s: float = 4.0
    idle_devices: int = 5_000


QUICK = Sizes(
    runs=1,
    ingest=600_000,
    typed=40_000,
    tracker_s=1.0,
    idle_devices=1_000,
)


def progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


Measure = Callable[[Server, int, Row], Sample]
"""Does one run with so many lines, a multiple of `DEVICES`; may leave a note in the row."""


@dataclass(frozen=True)
class Entry:
    """One server in a scenario; see `Row` for the rest."""

    kind: str
    name: str
    is_reference: bool = False
    target: float | None = None
    must_be_whole: bool = False
    note: str = ""


def take_turns(
    pool: Pool, part: str, scenario: str, unit: str, entries: Sequence[Entry], lines: int, runs: int, measure: Measure
) -> list[Row]:
    """Let the servers take turns, and return their rows."""
    rows = []
    servers = pool.get([entry.kind for entry in entries])
    for entry, server in zip(entries, servers, strict=True):
        row = Row(
            part,
            scenario,
            entry.name,
            unit,
            is_reference=entry.is_reference,
            target=entry.target,
            must_be_whole=entry.must_be_whole,
            facts=dict(server.facts),
        )
        measure(server, max(1, lines // WARM_UP // DEVICES) * DEVICES, row)
        row.note = entry.note
        rows.append(row)
    for run in range(runs):
        for server, row in zip(servers, rows, strict=True):
            sample = measure(server, lines, row)
            row.samples.append(sample)
            progress(f"{part}: {row.server}, run {run + 1} of {runs}: {sample.cost / sample.units:.3f} µs")
    return rows


def _timed(
    server: Server, helpers: Sequence[Child], work: Callable[[], dict[str, Any]]
) -> tuple[dict[str, Any], float, float]:
    """Do the work; return its result, the µs that it cost the server, and the cores that others used."""
    others = Others([server, *helpers])
    before = server.cpu_s()
    result = work()
    cost = (server.cpu_s() - before) * 1e6
    return result, cost, others.cores()


# Ingest


def _ingest(devices: Child, kind: Kind, counted: str) -> Measure:
    def measure(server: Server, lines: int, row: Row) -> Sample:
        before = server.handled().get(counted)
        result, cost, others = _timed(
            server,
            [devices],
            lambda: devices.ask("burst", ports=server.devices, devices=DEVICES, lines=lines, kind=kind),
        )
        # The tutorial counts nothing where it delivers; its connections ended without an error, and that must do.
        is_whole = before is None or server.handled()[counted] - before == result["lines"]
        return Sample(result["lines"], cost, result["seconds"], others, is_whole)

    return measure


def ingest(sizes: Sizes, pool: Pool) -> list[Row]:
    """Lines as fast as they are taken, and nobody listens."""
    with child("benchmarks.devices") as devices:
        return take_turns(
            pool,
            "ingest",
            f"ingest: lines of {LINE} bytes from {DEVICES} devices in bulk, no subscriber",
            "line",
            [
                Entry("portcast:relay", "portcast relay", target=400_000, must_be_whole=True),
                Entry(
                    "tutorial:",
                    "tutorial, pieces",
                    is_reference=True,
                    note="as written it delivers reads of up to 1024 bytes, not lines",
                ),
                Entry("tutorial:lines", "tutorial, by line", note="`readline` instead of `read(1024)`"),
            ],
            sizes.ingest,
            sizes.runs,
            _ingest(devices, "text", "frames"),
        )


def typed(sizes: Sizes, pool: Pool) -> list[Row]:
    """JSON lines validated by a model and given to a function."""
    with child("benchmarks.devices") as devices:
        counting = take_turns(
            pool,
            "typed",
            f"typed: JSON lines of {LINE} bytes, validated by a model of six fields and counted",
            "message",
            [
                Entry("portcast:typed", "portcast handler, one Depends", target=60_000, must_be_whole=True),
                Entry("portcast:typed-yield", "portcast handler, yield Depends", must_be_whole=True),
                Entry(
                    "tutorial:typed",
                    "tutorial, by line",
                    is_reference=True,
                    note="`readline` and `model_validate_json` in its loop; no dependency, no isolation of errors",
                ),
            ],
            sizes.typed,
            sizes.runs,
            _ingest(devices, "json", "messages"),
        )
        publishing = take_turns(
            pool,
            "typed",
            "typed and published: as above, then encoded as JSON and published; no subscriber",
            "message",
            [
                Entry("portcast:typed-publish", "portcast handler, one Depends", must_be_whole=True),
                Entry("tutorial:typed-publish", "tutorial, by line", is_reference=True),
            ],
            sizes.typed // 2,
            sizes.runs,
            _ingest(devices, "json", "messages"),
        )
        return counting + publishing


def trackers(sizes: Sizes, pool: Pool) -> list[Row]:
    """One line per packet, at a rate that no server here has trouble with."""
    with child("benchmarks.devices") as devices:

        def measure(server: Server, lines: int, row: Row) -> Sample:
            before = server.handled().get("frames")
            result, cost, others = _timed(
                server,
                [devices],
                lambda: devices.ask(
                    "steady",
                    ports=server.devices,
                    devices=TRACKERS,
                    rate=sizes.tracker_rate,
                    seconds=lines / sizes.tracker_rate,
                    kind="json",
                ),
            )
            is_whole = before is None or server.handled()["frames"] - before == result["lines"]
            return Sample(result["lines"], cost, result["seconds"], others, is_whole)

        return take_turns(
            pool,
            "trackers",
            f"small reads: one line per packet from {TRACKERS} devices, {sizes.tracker_rate} lines/s, no subscriber",
            "line",
            [
                Entry("portcast:relay", "portcast relay", must_be_whole=True),
                Entry("portcast:typed", "portcast handler, one Depends", must_be_whole=True),
                Entry("tutorial:", "tutorial, pieces", is_reference=True),
                Entry("tutorial:lines", "tutorial, by line"),
                Entry("tutorial:typed", "tutorial, by line, validated"),
            ],
            int(sizes.tracker_rate * sizes.tracker_s),
            sizes.runs,
            measure,
        )


# Memory


IDLE_S = 8.0
"""Silence after which a device counts as idle. Most trackers report every ten seconds or less often."""


def memory(sizes: Sizes, pool: Pool) -> list[Row]:
    """Resident memory of connections that do nothing. Each server is a fresh one."""
    count = sizes.idle_devices
    silent = f"memory: idle device connections, {count} of them, silent so far"
    spoke = f"memory: idle device connections, {count} of them, {IDLE_S:.0f} s after the last of their only lines"
    kinds = (
        ("portcast:relay", "portcast relay", 4096.0),
        ("portcast:typed", "portcast handler", 4096.0),
        ("tutorial:lines", "tutorial", None),
    )
    rows: list[Row] = []
    with Pool() as fresh, child("benchmarks.devices") as devices:
        opened = []
        for server, (_, name, _) in zip(fresh.get([kind for kind, _, _ in kinds]), kinds, strict=True):
            progress(f"memory: {name}, {count} connections")
            opened.append((server, *_idle_devices(server, devices, count)))
        # One after the other, as devices do that have nothing to do with each other.
        devices.ask("say_something", seconds=IDLE_S)
        time.sleep(IDLE_S)
        for (server, before, after), (_, name, target) in zip(opened, kinds, strict=True):
            for scenario, now in ((silent, after), (spoke, server.settled_rss())):
                row = Row(
                    "memory", scenario, name, "connection", is_memory=True, target=target, is_reference=not target
                )
                row.samples.append(Sample(count, now - before, 1.0, 0.0))
                rows.append(row)
    rows.sort(key=lambda row: row.scenario == spoke)
    return rows


def _idle_devices(server: Server, devices: Child, count: int) -> tuple[int, int]:
    """Open connections; return the server's resident bytes without them and with them."""
    # What the first hundred need, caches and pools, is not what one more needs.
    devices.ask("open_idle", port=server.devices[0], count=100)
    devices.ask("say_something", newest=100)
    time.sleep(0.2)
    devices.ask("close_idle", newest=100)
    time.sleep(0.5)
    before = server.settled_rss()
    base = server.process.num_fds()
    devices.ask("open_idle", port=server.devices[0], count=count)
    server.wait_descriptors(base + count)
    return before, server.settled_rss()


PARTS: dict[str, Callable[[Sizes, Pool], list[Row]]] = {
    "ingest": ingest,
    "typed": typed,
    "trackers": trackers,
    "memory": memory,
}
