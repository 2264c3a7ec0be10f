"""What is shown: a table as text and as Markdown, both made from the same JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from benchmarks.fan_out.messages import SIZE
from benchmarks.fan_out.outcome import Row, asked
from benchmarks.results import BUSY_CORES, number

HEAD = ("", "µs per delivery", "per CPU s", "x nats", "x tutorial", "core", "delivered", "p50 ms", "p99 ms")
Json = dict[str, Any]


def as_json(machine: Json, rows: Sequence[Row], seconds: float, *, is_quick: bool) -> Json:
    """Return everything that was found, for the file and for the tables."""
    return {
        "machine": machine,
        "seconds": round(seconds),
        "is_quick": is_quick,
        "rows": [row.as_json(rows) for row in rows],
        "targets": [
            {"scenario": scenario, "server": row.title, "target": text, "is_met": is_met}
            for row in rows
            for scenario, text, is_met in asked([row])
        ],
    }


def scenario_title(key: str) -> str:
    """Return a scenario in words."""
    kind, _, size = key.partition("-")
    rate, _, count = size.partition("x")
    return {
        "burst": f"Burst: messages of {SIZE} bytes from 20 publishers as fast as they are taken, {rate} subscribers",
        "steady": f"Steady: {rate} messages/s to {count} subscribers",
        "minute": f"A minute: {rate} messages/s to {count} subscribers",
        "stuck": f"Stuck: {rate} messages/s to {count} subscribers, 1 % of whom do not read",
        "idle": "Idle: resident memory per subscriber",
    }[kind]


def _grouped(result: Json) -> Iterable[tuple[str, list[Json]]]:
    for scenario, rows in groupby(result["rows"], key=lambda row: row["scenario"]):
        yield scenario, list(rows)


def _cells(row: Json) -> tuple[str, ...]:
    """Return a row's cells; what could not be measured says why instead."""
    facts = row.get("facts", {})
    if "kib" in facts:
        return row["title"], f"{facts['kib']:.1f} KiB", *[""] * 7
    if "us_per_delivery" not in row:
        return row["title"], "-", f"({row.get('missing', 'not measured')})", *[""] * 6
    cost = row["us_per_delivery"]
    delivered = f"{row['delivered'] * 100:.4g} %"
    if row["removed"]:
        delivered += f", {row['removed']:.0f} removed"
    is_behind = facts.get("fell_behind")
    return (
        row["title"] + (" *" if any(sample["others"] > BUSY_CORES for sample in row["samples"]) else ""),
        f"{cost:.3f}" if cost < 10 else f"{cost:.1f}",
        number(row["deliveries_per_cpu_second"]),
        _times(row["times_nats"]),
        _times(row["times_tutorial"]),
        f"{row['core']:.0%}",
        delivered + (", behind" if is_behind else ""),
        _age(row["p50_ms"]),
        _age(row["p99_ms"]),
    )


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3g}"


def _age(age: float | None) -> str:
    return "" if age is None else f"{age:.1f}" if age < 100 else f"{age:.0f}"


def notes(result: Json) -> list[str]:
    """Return what must be known to read the table, each thing once."""
    found: dict[str, None] = {}
    for row in result["rows"]:
        if row.get("note"):
            where = f" ({scenario_title(row['scenario'])})" if row["scenario"].startswith("stuck") else ""
            found[f"{row['title']}{where}: {row['note']}"] = None
        if row.get("missing") and row.get("samples"):
            found[f"{row['title']} ({scenario_title(row['scenario'])}): {row['missing']}"] = None
        growth = row.get("facts", {}).get("rss_growth_mib")
        if growth is not None and row["scenario"].startswith("minute"):
            found[f"{row['title']}: resident memory {growth:+.1f} MiB in that minute"] = None
    busy = [sample["others"] for row in result["rows"] for sample in row.get("samples", ())]
    if busy and max(busy) > BUSY_CORES:
        found[
            f"* the machine was busy: other processes used up to {max(busy):.1f} cores. Ages mean little then, and "
            "caches are shared: repeat on a quiet machine before quoting"
        ] = None
    loaded = [sample["load_share"] for row in result["rows"] for sample in row.get("samples", ())]
    if loaded:
        found[f"the readers of the load generator used at most {max(loaded):.0%} of the other core"] = None
    return list(found)


def text(result: Json) -> str:
    """Return the table, the targets and the notes, aligned."""
    lines: list[tuple[str, ...] | str] = [HEAD]
    for scenario, rows in _grouped(result):
        lines.append(f"\n{scenario_title(scenario)}")
        lines += [("  " + cells[0], *cells[1:]) for cells in map(_cells, rows)]
    tables = [line for line in lines if not isinstance(line, str)]
    # What says why something is missing may be as long as it likes.
    widths = [max(len(line[i]) for line in tables if not line[2].startswith("(")) for i in range(len(HEAD))]
    widths[0] = max(len(line[0]) for line in tables)
    shown = [line if isinstance(line, str) else _aligned(line, widths) for line in lines]
    shown += ["", "targets (issue 3):"]
    shown += [
        f"  {'met   ' if one['is_met'] else 'MISSED'}  {scenario_title(one['scenario'])}: {one['target']} "
        f"[{one['server']}]"
        for one in result["targets"]
    ]
    shown += ["", *(f"- {note}" for note in notes(result))]
    return "\n".join(shown)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = cells
    if rest[1].startswith("("):
        return f"{first.ljust(widths[0])}  {rest[1]}"
    padded = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *padded]).rstrip()


def markdown(result: Json) -> str:
    """Return the tables for the documentation."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['python']}; {versions}; "
        f"{machine['when'][:10]}, commit {(machine['commit'] or 'unknown')[:12]}"
        f"{' with changes' if machine['has_changes'] else ''}; {result['seconds']} s.",
    ]
    for scenario, rows in _grouped(result):
        shown = [_cells(row) for row in rows]
        used = [i for i in range(len(HEAD)) if any(cells[i] for cells in shown)]
        titles = ("memory" if scenario == "idle" and i == 1 else HEAD[i] for i in used)
        lines += ["", f"**{scenario_title(scenario)}**", "", f"| {' | '.join(titles)} |"]
        lines.append("|---|" + "--:|" * (len(used) - 1))
        lines += [f"| {' | '.join(cells[i] for i in used)} |" for cells in shown]
    lines += ["", "What the project wants of itself, and whether this run had it:", ""]
    lines += [
        f"* {'met' if one['is_met'] else '**missed**'}: {scenario_title(one['scenario'])}: {one['target']} "
        f"({one['server']})"
        for one in result["targets"]
    ]
    lines += [
        "",
        "Notes:",
        "",
        *(f"* {note.replace('* ', '`*` ', 1) if note[0] == '*' else note}" for note in notes(result)),
    ]
    return "\n".join(lines)
