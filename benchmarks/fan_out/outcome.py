"""What the fan-out benchmark found: samples, rows, ratios between servers and what the project wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

NATS = "nats"
TUTORIAL = "tutorial"


@dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        deliveries: messages that arrived, all subscribers together.
        expected: messages published times subscribers.
        cpu_us: of the server.
        seconds: from the first message until everything had arrived, or the time was up.
        removed: subscribers that the server closed.
        is_exact: those subscribers that were read whole got every message once and in order.
        others: cores that neither the server nor the load generator used.
        ages: percentiles of how old messages were: ``p50_ms``, ``p99_ms``, ``max_ms``.
        load_share: of one core, used by the part of the load generator that reads.
    """

    deliveries: int
    expected: int
    cpu_us: float
    seconds: float
    removed: int
    is_exact: bool
    others: float
    load_share: float
    ages: dict[str, float] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return self.deliveries == self.expected and self.is_exact

    @property
    def cost(self) -> float:
        return self.cpu_us / max(1, self.deliveries)


@dataclass
class Row:
    """One server in one scenario.

    Attributes:
        scenario: its key.
        server: the server's key.
        title: the server, in words.
        samples: one per run; none for memory.
        missing: why there are none.
        note: what must be known to read the row.
        facts: figures of this scenario only.
        targets: what the project wants, in words, and whether it was met.
    """

    scenario: str
    server: str
    title: str
    samples: list[Sample] = field(default_factory=list)
    missing: str = ""
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, bool] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """The median µs of processor time of one delivery."""
        return median(sample.cost for sample in self.samples)

    @property
    def core(self) -> float:
        """The share of one core that the server used."""
        return median(sample.cpu_us / 1e6 / sample.seconds for sample in self.samples)

    @property
    def delivered(self) -> float:
        """The share of deliveries that were made."""
        return median(sample.deliveries / sample.expected for sample in self.samples)

    @property
    def removed(self) -> float:
        return median(sample.removed for sample in self.samples)

    @property
    def is_whole(self) -> bool:
        return all(sample.is_whole for sample in self.samples)

    @property
    def others(self) -> float:
        return max(sample.others for sample in self.samples)

    def age(self, name: str) -> float | None:
        """Return the median of a percentile of age in ms; None where it was not measured."""
        ages = [sample.ages[name] for sample in self.samples if name in sample.ages]
        return median(ages) if ages else None

    def as_json(self, rows: Sequence[Row]) -> dict[str, Any]:
        result = {name: value for name, value in asdict(self).items() if value not in ("", [], {})}
        if self.samples:
            result |= {
                "us_per_delivery": round(self.cost, 4),
                "deliveries_per_cpu_second": round(1e6 / self.cost),
                "core": round(self.core, 3),
                "delivered": round(self.delivered, 4),
                "removed": self.removed,
                "times_nats": times(self, rows, NATS),
                "times_tutorial": times(self, rows, TUTORIAL),
                "p50_ms": self.age("p50_ms"),
                "p99_ms": self.age("p99_ms"),
            }
        return result


def find(rows: Sequence[Row], scenario: str, server: str) -> Row | None:
    for row in rows:
        if (row.scenario, row.server) == (scenario, server):
            return row
    return None


def times(row: Row, rows: Sequence[Row], server: str) -> float | None:
    """Return how many times cheaper a delivery is than ``server``'s in the same scenario; None if that is unknown."""
    other = find(rows, row.scenario, server)
    if other is None or not other.samples or not row.samples or not any(one.deliveries for one in row.samples):
        return None
    return round(other.cost / row.cost, 3)


BURST_TARGETS = ((NATS, 4.0), (TUTORIAL, 200.0))
STEADY_TARGETS: dict[str, tuple[float, float | None]] = {
    "steady-100x10": (3.0, None),
    "steady-1000x500": (20.0, 0.6),
    "steady-1000x1000": (40.0, 0.6),
    "minute-1000x500": (20.0, 0.6),
}
"""Most ms of the 99th percentile, and most of a core."""
SDK_TARGETS: dict[str, tuple[float | None, float | None, float | None]] = {
    "burst-100": (None, None, 3.0),
    "steady-1000x500": (30.0, 0.7, None),
}
"""The same for SDK clients, and how many times cheaper than nats-server."""
STUCK_P99_TIMES = 1.5
IDLE_KIB = 8.0
GROWTH_MIB = 16.0
"""Resident memory that may come and go in a minute: the allocator's, not a leak's."""


def judge(rows: Sequence[Row]) -> None:
    """Fill in what the project wants (issue 3, Reach) and whether it was met."""
    for row in rows:
        if row.server == "portcast" and row.scenario.startswith("burst") and row.samples:
            row.targets["nothing lost"] = row.is_whole
            for server, wanted in BURST_TARGETS:
                ratio = times(row, rows, server)
                if ratio is not None:
                    row.targets[f">= {wanted:g} x {server}"] = ratio >= wanted
        elif row.server == "defaults" and row.scenario in STEADY_TARGETS and row.samples:
            most_ms, most_core = STEADY_TARGETS[row.scenario]
            row.targets["everything arrived"] = row.is_whole
            row.targets[f"p99 <= {most_ms:g} ms"] = (row.age("p99_ms") or float("inf")) <= most_ms
            if most_core is not None:
                row.targets[f"<= {most_core:.0%} of a core"] = row.core <= most_core
            if "rss_growth_mib" in row.facts:
                row.targets[f"memory grew <= {GROWTH_MIB:g} MiB"] = row.facts["rss_growth_mib"] <= GROWTH_MIB
        elif row.server == "sdk" and row.samples and row.scenario in SDK_TARGETS:
            _judge_sdk(row, rows)
        elif row.scenario == "idle" and row.server == "defaults" and "kib" in row.facts:
            row.targets[f"<= {IDLE_KIB:g} KiB"] = row.facts["kib"] <= IDLE_KIB


def _judge_sdk(row: Row, rows: Sequence[Row]) -> None:
    """Fill in what the project wants of clients with an SDK (issue 4, Reach)."""
    row.targets["everything arrived"] = row.is_whole
    most_ms, most_core, least_times = SDK_TARGETS[row.scenario]
    if most_ms is not None:
        row.targets[f"p99 <= {most_ms:g} ms"] = (row.age("p99_ms") or float("inf")) <= most_ms
    if most_core is not None:
        row.targets[f"<= {most_core:.0%} of a core"] = row.core <= most_core
    ratio = times(row, rows, NATS)
    if least_times is not None and ratio is not None:
        row.targets[f">= {least_times:g} x {NATS}"] = ratio >= least_times


def asked(rows: Sequence[Row]) -> list[tuple[str, str, bool]]:
    """Return every target: scenario, text, whether it was met."""
    return [(row.scenario, text, is_met) for row in rows for text, is_met in row.targets.items()]
