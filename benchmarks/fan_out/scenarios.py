"""What is done: bursts, steady rates, subscribers that do not read, and subscribers that wait.

Every run has a fresh server, and the servers of a scenario take turns run by run, so that whatever else the machine
does meets all of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.children import Child, ChildError
from benchmarks.fan_out.outcome import STUCK_P99_TIMES, Row, Sample
from benchmarks.fan_out.servers import PEERS, Peer, Running, helper
from benchmarks.machine import Others

DEVICES = 20
WITNESSES = 10
"""Subscribers that are read whole, spread evenly among the others: who comes first in a server's list and who comes
last is not the same age."""
PONG_S = 6.0
"""Less than Portcast's 8 s for an answer to its ping; the others send none."""


BURST_SERVERS = tuple(key for key in PEERS if key != "impatient")
OTHER_SERVERS = tuple(key for key in BURST_SERVERS if key != "portcast")
"""Where nothing is in a hurry, `portcast` and its defaults do the same."""


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    runs: int = 3
    burst_s: float = 1.2  # of the server's processor time, roughly
    bursts: tuple[int, ...] = (100, 1000)
    steady_s: float = 5.0
    steady: tuple[tuple[int, int], ...] = ((100, 10), (100, 500), (1000, 500), (1000, 1000))
    minute_s: float = 60.0
    stuck_s: float = 24.0
    idle: int = 5000
    burst_servers: tuple[str, ...] = BURST_SERVERS
    other_servers: tuple[str, ...] = OTHER_SERVERS


QUICK = Sizes(
    runs=1,
    burst_s=0.15,
    bursts=(100,),
    steady_s=1.5,
    steady=((100, 10), (1000, 500)),
    minute_s=0.0,
    stuck_s=0.0,
    idle=500,
    other_servers=("defaults", "sdk", "nats", "tutorial"),
)


def progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


@dataclass
class Load:
    """The load generator: devices, subscribers that count, subscribers that are read whole."""

    feeder: Child
    many: Child
    few: Child

    def subscribe(self, running: Running, count: int, few: int = 1) -> None:
        """Open ``count`` subscribers, ``few`` of them to be read whole."""
        each = count // few
        for number in range(few):
            ahead = (each - 1) // 2
            behind = each - 1 - ahead + (count % few if number == few - 1 else 0)
            for child, size in ((self.many, ahead), (self.few, 1), (self.many, behind)):
                if size:
                    child.ask("subscribe", port=running.http, wire=running.peer.wire, count=size)

    def leave(self) -> None:
        self.many.ask("leave")
        self.few.ask("leave")


@contextmanager
def load() -> Iterator[Load]:
    children: list[Child] = []
    try:
        for name in ("feeder", "subscribers", "subscribers"):
            children.append(helper(name))  # noqa: PERF401 - those that have started must be stopped if one does not
        children[1].ask("be_nice", by=5)
        yield Load(*children)
    finally:
        for child in children:
            child.stop()


def _rows(scenario: str, keys: Iterable[str]) -> list[Row]:
    return [Row(scenario, key, PEERS[key].title, missing=PEERS[key].missing(), note=PEERS[key].note) for key in keys]


def _reason(error: Exception) -> str:
    """Return what went wrong in a line, without the command and its paths: what was said last, or what is known."""
    first, *said = str(error).strip().splitlines()
    known = first.partition(": ")[2] or first
    return f"{known}: {said[-1].strip()}" if said else known


def _each(
    rows: list[Row], runs: int, run: Callable[[Peer, Row], Sample], again: Collection[str] = tuple(PEERS)
) -> list[Row]:
    """Let the servers take turns; what fails is noted in its row, and the others go on.

    Only those in ``again`` have more than one run.
    """
    for number in range(runs):
        for row in rows:
            if row.missing or (number and row.server not in again):
                continue
            try:
                sample = run(PEERS[row.server], row)
            except (ChildError, OSError) as error:
                row.missing = f"run {number + 1} failed: {_reason(error)}"
                progress(f"{row.scenario}: {row.title}: {error}")
                continue
            row.samples.append(sample)
            ages = ", ".join(f"{name} {age:.1f}" for name, age in sample.ages.items())
            progress(
                f"{row.scenario}: {row.title}, run {number + 1} of {runs}: {sample.cost:.3f} µs, "
                f"{sample.deliveries / sample.expected:.1%}, {sample.seconds:.2f} s {ages}"
            )
    return rows


# Bursts


def burst(sizes: Sizes, count: int, load: Load) -> list[Row]:
    """As fast as possible to ``count`` subscribers."""

    def run(peer: Peer, row: Row) -> Sample:
        messages = max(5 * DEVICES, int(peer.speed * sizes.burst_s / count) // DEVICES * DEVICES)
        row.facts["messages"] = messages
        with Running(peer) as running:
            try:
                load.subscribe(running, count)
                # By default a burst may remove somebody; the warm-up must not.
                _burst(running, load, 5 * DEVICES if peer.key == "defaults" else max(5 * DEVICES, messages // 200 * 20))
                return _burst(running, load, messages)
            finally:
                load.leave()

    return _each(_rows(f"burst-{count}", sizes.burst_servers), sizes.runs, run)


def _burst(running: Running, load: Load, messages: int) -> Sample:
    wire = running.peer.wire
    load.feeder.ask("prepare", wire=wire, devices=DEVICES, messages=messages)

    def feed() -> dict[str, Any]:
        return load.feeder.ask("burst", ports=running.devices, wire=wire, most_s=60.0)

    return _measure(running, load, messages, feed, quiet_s=1.5, most_s=60.0)


def _measure(
    running: Running,
    load: Load,
    messages: int,
    feed: Callable[[], dict[str, Any]],
    *,
    quiet_s: float,
    most_s: float,
    pong_s: float = 0.0,
) -> Sample:
    """Feed while the subscribers read; return what arrived and what it cost."""
    others = Others([running.child, load.feeder, load.many, load.few])
    for child, command in ((load.many, "count"), (load.few, "sample")):
        child.tell(command, messages=messages, quiet_s=quiet_s, most_s=most_s, pong_s=pong_s, **(
            {"wire": running.peer.wire} if command == "count" else {}
        ))  # fmt: skip
    before, load_before, started = running.cpu_s(), load.many.cpu_s(), time.monotonic()
    try:
        fed = feed()
    except ChildError:
        # Their answers must not be taken for those of the next run.
        load.many.answer(), load.few.answer()
        raise
    many, few = load.many.answer(), load.few.answer()
    seconds = max(many["seconds"], few["seconds"])
    cpu, load_cpu = running.cpu_s() - before, load.many.cpu_s() - load_before
    passed = time.monotonic() - started
    delivered = many["delivered"] + few["delivered"]
    ages: dict[str, float] = (
        {name: few[name] for name in ("p50_ms", "p99_ms", "max_ms") if name in few} if "late_ms" in fed else {}
    )
    sample = Sample(
        deliveries=sum(delivered),
        expected=messages * len(delivered),
        cpu_us=cpu * 1e6,
        seconds=seconds if sum(delivered) == messages * len(delivered) else passed,
        removed=many["closed"] + few["closed"],
        is_exact=few["is_exact"],
        others=round(others.cores(), 2),
        load_share=round(load_cpu / passed, 2),
        ages=ages,
    )
    if ages:
        sample.ages["late_ms"] = fed["late_ms"]
        for number, quarter in enumerate(few["quarters"]):
            if "p99_ms" in quarter:
                sample.ages[f"quarter{number + 1}_p99_ms"] = quarter["p99_ms"]
    return sample


# Steady rates

GRACE_S = 2.0
"""After the last message was due."""
STEADY_AGAIN = ("defaults", "nats")
"""Whose steady runs are repeated: what a target is for, and what it is looked at beside."""
BEHIND_S = 0.5
"""Who needs so much longer than the messages took to come has fallen behind: the longer, the more."""


def steady(sizes: Sizes, rate: int, count: int, load: Load) -> list[Row]:
    """So many messages a second to so many subscribers."""

    def run(peer: Peer, row: Row) -> Sample:
        with Running(peer) as running:
            try:
                load.subscribe(running, count, min(WITNESSES, count // 10))
                _steady(running, load, rate, min(1.0, sizes.steady_s))
                sample = _steady(running, load, rate, sizes.steady_s)
            finally:
                load.leave()
        if sample.deliveries < sample.expected or sample.seconds > sizes.steady_s + BEHIND_S:
            row.facts["fell_behind"] = True
        return sample

    rows = _rows(f"steady-{rate}x{count}", sizes.other_servers)
    return _each(rows, sizes.runs, run, again=STEADY_AGAIN)


def _steady(running: Running, load: Load, rate: int, seconds: float, **more: Any) -> Sample:
    messages = int(rate * seconds) // DEVICES * DEVICES

    def feed() -> dict[str, Any]:
        return load.feeder.ask(
            "steady", ports=running.devices, wire=running.peer.wire, devices=DEVICES, rate=rate, seconds=seconds
        )

    return _measure(running, load, messages, feed, quiet_s=GRACE_S, most_s=seconds + GRACE_S, pong_s=PONG_S)


def minute(sizes: Sizes, load: Load) -> list[Row]:
    """1000 messages a second to 500 subscribers for long: does anything grow?"""
    rate, count = 1000, 500
    rows = _rows(f"minute-{rate}x{count}", ["defaults"])

    def run(peer: Peer, row: Row) -> Sample:
        with Running(peer) as running:
            try:
                load.subscribe(running, count, WITNESSES)
                _steady(running, load, rate, 5.0)
                before = running.rss()
                sample = _steady(running, load, rate, sizes.minute_s)
                row.facts["rss_growth_mib"] = round((running.rss() - before) / 2**20, 2)
                row.facts["rss_mib"] = round(running.rss() / 2**20, 1)
            finally:
                load.leave()
        return sample

    return _each(rows, 1, run)


# Subscribers that do not read

STUCK_DEADLINE_S = 10.0
"""`OutboxLimits.hard_age_s`: whoever takes nothing for so long is removed."""


def stuck(sizes: Sizes, load: Load) -> list[Row]:
    """One in a hundred of 500 subscribers stops reading."""
    rate, count, silent = 1000, 500, 5

    def run(peer: Peer, row: Row) -> Sample:
        with Running(peer) as running, _watcher() as watcher:
            try:
                load.subscribe(running, count - silent, WITNESSES)
                _steady(running, load, rate, 1.0)
                without = _steady(running, load, rate, sizes.stuck_s / 3)
                before = running.rss()
                watcher.ask("subscribe_stuck", port=running.http, wire=peer.wire, count=silent)
                watcher.tell("watch_stuck", server_port=running.http, most_s=sizes.stuck_s)
                sample = _steady(running, load, rate, sizes.stuck_s)
                row.facts["rss_growth_mib"] = round((running.rss() - before) / 2**20, 2)
                watched = watcher.answer()
            finally:
                load.leave()
        row.facts |= {"gone_after_s": watched["gone"], "never_gone": watched["left"], "silent": silent}
        row.facts["p99_without_ms"] = without.ages.get("p99_ms", 0.0)
        # Patience is spent in the first quarter; from then on nobody waits for them.
        later = [age for name, age in sample.ages.items() if name[:8] in ("quarter2", "quarter3", "quarter4")]
        row.facts["p99_later_ms"] = median(later) if later else None
        _judge_stuck(row, sample)
        return sample

    return _each(_rows(f"stuck-{rate}x{count}", ["defaults", "impatient"]), 1, run)


def _judge_stuck(row: Row, sample: Sample) -> None:
    facts, gone = row.facts, row.facts["gone_after_s"]
    most = STUCK_P99_TIMES * facts["p99_without_ms"]
    row.targets |= {
        "the others got everything": sample.is_whole,
        f"their p99 <= {STUCK_P99_TIMES:g} x that without": sample.ages.get("p99_ms", float("inf")) <= most,
        "the same after the first quarter": (facts["p99_later_ms"] or float("inf")) <= most,
        "memory flat (<= 4 MiB)": facts["rss_growth_mib"] <= 4.0,
        f"gone within {STUCK_DEADLINE_S + 1:.0f} s": len(gone) == facts["silent"] and max(gone) <= STUCK_DEADLINE_S + 1,
    }
    row.note = (
        f"p99 of the others {facts['p99_without_ms']:.1f} ms without them, {sample.ages.get('p99_ms', 0):.1f} ms with "
        f"them, {facts['p99_later_ms'] or 0:.1f} ms after the first quarter; gone "
        f"{'never' if not gone else f'{min(gone):.1f} to {max(gone):.1f} s'} after their sockets took the last byte; "
        f"memory {facts['rss_growth_mib']:+.1f} MiB"
    )


@contextmanager
def _watcher() -> Iterator[Child]:
    child = helper("subscribers")
    try:
        yield child
    finally:
        child.stop()


# Subscribers that wait


def idle(sizes: Sizes, load: Load) -> list[Row]:
    """Resident memory of subscribers to whom nothing is said."""
    rows = _rows("idle", sizes.other_servers)
    for row in rows:
        if row.missing:
            continue
        try:
            with Running(PEERS[row.server]) as running:
                # What the first hundred need, caches and pools, is not what one more needs.
                load.many.ask("subscribe", port=running.http, wire=running.peer.wire, count=100)
                before = running.settled_rss()
                load.many.ask("subscribe", port=running.http, wire=running.peer.wire, count=sizes.idle)
                row.facts["kib"] = round((running.settled_rss() - before) / 1024 / sizes.idle, 2)
                row.facts["subscribers"] = sizes.idle
                progress(f"idle: {row.title}: {row.facts['kib']} KiB")
        except (ChildError, OSError) as error:
            row.missing = f"failed: {_reason(error)}"
            progress(f"idle: {row.title}: {error}")
        finally:
            load.many.ask("leave")
    return rows


def measure_all(sizes: Sizes) -> list[Row]:
    """Run every scenario."""
    rows: list[Row] = []
    with load() as generator:
        for count in sizes.bursts:
            rows += burst(sizes, count, generator)
        for rate, count in sizes.steady:
            rows += steady(sizes, rate, count, generator)
        if sizes.minute_s:
            rows += minute(sizes, generator)
        if sizes.stuck_s:
            rows += stuck(sizes, generator)
        rows += idle(sizes, generator)
    return rows
