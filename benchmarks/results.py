"""What a benchmark found: samples, rows, and the table that is printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from statistics import median
from typing import Any

BUSY_CORES = 0.3
"""Cores used by others, from which on a figure gets a mark."""


@dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        units: frames, messages, deliveries or connections that it had.
        cost: µs of the server's processor time for all of them together, or bytes of its memory.
        seconds: on the clock.
        others: cores that other processes used meanwhile, neither the server nor the load generators.
        is_whole: everything arrived.
    """

    units: int
    cost: float
    seconds: float
    others: float
    is_whole: bool = True


@dataclass
class Row:
    """One server in one scenario.

    Attributes:
        part: which part of the benchmark.
        scenario: what was done, in words.
        server: to whom.
        unit: what is counted: frame, message, delivery, connection.
        is_memory: bytes and not µs.
        is_reference: others of this scenario are compared with it.
        target: what the project wants: units per second of processor time at least, or bytes per unit at most.
        must_be_whole: what did not arrive is a failure and not a finding.
        note: said under the table.
        samples: one for each run.
        facts: more figures, for the JSON file and the note.
    """

    part: str
    scenario: str
    server: str
    unit: str
    is_memory: bool = False
    is_reference: bool = False
    target: float | None = None
    must_be_whole: bool = False
    note: str = ""
    samples: list[Sample] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def each(self) -> float:
        """The median cost of one unit."""
        return median(sample.cost / sample.units for sample in self.samples)

    @property
    def spread(self) -> float:
        """Half of the distance between the lowest and the highest run, as a part of the median."""
        costs = [sample.cost / sample.units for sample in self.samples]
        return (max(costs) - min(costs)) / 2 / self.each if self.each else 0.0

    @property
    def core(self) -> float:
        """The share of one core that the server used."""
        return median(sample.cost / 1e6 / sample.seconds for sample in self.samples)

    @property
    def others(self) -> float:
        return median(sample.others for sample in self.samples)

    @property
    def is_whole(self) -> bool:
        return all(sample.is_whole for sample in self.samples)

    @property
    def verdict(self) -> str:
        """Whether the target was met, in words; empty without a target."""
        if self.target is None:
            return ""
        if self.is_memory:
            return f"<= {kib(self.target)}: {'met' if self.each <= self.target else 'MISSED'}"
        return f">= {number(self.target)}/s: {'met' if 1e6 / self.each >= self.target else 'MISSED'}"

    def as_json(self, rows: Sequence[Row]) -> dict[str, Any]:
        unit = "bytes" if self.is_memory else "us_of_cpu"
        return {
            **{name: value for name, value in asdict(self).items() if value not in ("", None)},
            f"{unit}_each": round(self.each, 4),
            "per_cpu_second": None if self.is_memory else round(1e6 / self.each),
            "times_reference": reference_ratio(self, rows),
            "verdict": self.verdict,
        }


def reference_ratio(row: Row, rows: Iterable[Row]) -> float | None:
    """Return how many times cheaper ``row`` is than the reference of its scenario; None if there is none."""
    for other in rows:
        if other.is_reference and (other.part, other.scenario) == (row.part, row.scenario):
            return None if other is row else round(other.each / row.each, 2)
    return None


def number(value: float) -> str:
    """Return a number in three digits or so: ``1.41 M``, ``86 k``, ``512``."""
    for size, sign in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{sign}" if value < 1000 * size else f"{value / size:.0f}{sign}"
    return f"{value:.3g}"


def kib(value: float) -> str:
    return f"{value / 1024:.1f} KiB"


HEAD = ("", "cost of one", "per CPU s", "x tutorial", "core", "spread", "target")


def table(rows: Sequence[Row]) -> str:
    """Return all rows as aligned text, a block per scenario."""
    lines: list[tuple[str, ...] | str] = [HEAD]
    for (_, scenario), group in groupby(rows, key=lambda row: (row.part, row.scenario)):
        members = list(group)
        lines.append(f"{scenario}, per {members[0].unit}")
        lines.extend(_cells(row, rows) for row in members)
    widths = [max(len(line[i]) for line in lines if not isinstance(line, str)) for i in range(len(HEAD))]
    shown = []
    for line in lines:
        if isinstance(line, str):
            shown.append(f"\n{line}")
        else:
            shown.append(
                "  ".join(
                    _aligned(cell, width, i) for i, (cell, width) in enumerate(zip(line, widths, strict=True))
                ).rstrip()
            )
    return "\n".join(shown)


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column in (0, len(HEAD) - 1) else cell.rjust(width)


def _cells(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    ratio = reference_ratio(row, rows)
    marks = ("" if row.is_whole else " LOST") + (" *" if row.others > BUSY_CORES else "")
    name = f"  {row.server}{marks}"
    times = "1" if row.is_reference else "" if ratio is None else f"{ratio:.3g}"
    if row.is_memory:
        return name, kib(row.each), "", times, "", "", row.verdict
    spread = f"±{row.spread * 100:.0f} %" if len(row.samples) > 1 else ""
    cost = f"{row.each:.3f} µs" if row.each < 10 else f"{row.each:.1f} µs"
    return name, cost, number(1e6 / row.each), times, f"{row.core * 100:.0f} %", spread, row.verdict


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what must be known to read the table."""
    found = [f"{row.server} ({row.scenario}): {row.note}" for row in rows if row.note]
    busy = [row for row in rows if row.others > BUSY_CORES]
    if busy:
        worst = max(row.others for row in busy)
        found.append(
            f"* the machine was busy: other processes used up to {worst:.1f} cores. Processor time suffers less from "
            "that than the clock does, but caches are shared: repeat on a quiet machine before quoting"
        )
    if any(not row.is_whole for row in rows):
        found.append("LOST: not everything arrived, see the note of the row")
    return found


def failures(rows: Sequence[Row]) -> list[str]:
    """Return what makes the whole run a failure: rows in which nothing may be lost, and something was."""
    return [
        f"{row.server} ({row.scenario}): something was lost" for row in rows if row.must_be_whole and not row.is_whole
    ]
