"""``python -m benchmarks [part …] [--quick] [--json FILE]``, ``python -m benchmarks --install-peers``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.children import ChildError, Pool
from benchmarks.fan_out.install import install_peers
from benchmarks.fan_out.run import run as fan_out
from benchmarks.machine import describe_machine
from benchmarks.parts import PARTS, QUICK, Sizes
from benchmarks.results import Row, failures, notes, table

FAN_OUT = "fan-out"
"""The part that has servers of others in it, and a table of its own; see `benchmarks.fan_out`."""
EVERY_PART = (*PARTS, FAN_OUT)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Portcast beside the tutorial's code: processor time of the server per line, and memory.",
        epilog="Everything runs on loopback, in processes of its own that end with this one. docs/benchmarks.md says "
        "how to read the table.",
    )
    # Not `choices`: with nargs="*" argparse would hold the empty list against them.
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"what to measure, all if none: {', '.join(EVERY_PART)}"
    )
    parser.add_argument("--quick", action="store_true", help="one short run of everything, a minute or two; rough")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every sample there, too")
    parser.add_argument("--install-peers", action="store_true", help="install the servers to compare with, and end")
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in EVERY_PART:
            parser.error(f"no part is called {part!r}: {', '.join(EVERY_PART)}")
    return arguments


def main() -> int:
    arguments = _arguments()
    if arguments.install_peers:
        install_peers()
        return 0
    parts = arguments.parts or EVERY_PART
    sizes = QUICK if arguments.quick else Sizes()
    machine = describe_machine()
    load = psutil.getloadavg()[0]
    started = time.monotonic()
    rows: list[Row] = []
    with Pool() as pool:
        for part in parts:
            if part == FAN_OUT:
                continue
            print(f"{part} …", file=sys.stderr, flush=True)
            try:
                rows += PARTS[part](sizes, pool)
            except ChildError as error:
                print(f"benchmarks: {part}: {error}", file=sys.stderr)
                return 1
    seconds = time.monotonic() - started
    said = notes(rows)
    if load > (psutil.cpu_count() or 1) / 2:
        said.append(f"at the start the machine had a load of {load:.1f} already")
    if rows:
        _print(machine, rows, said, seconds, is_quick=arguments.quick)
    wrong = failures(rows)
    fanned: dict[str, Any] | None = None
    if FAN_OUT in parts:
        print(f"{FAN_OUT} …", file=sys.stderr, flush=True)
        fanned, lost = fan_out(machine, is_quick=arguments.quick)
        wrong += lost
    if arguments.json:
        result = {
            "machine": machine,
            "load_at_start": load,
            "seconds": round(seconds),
            "is_quick": arguments.quick,
            "rows": [row.as_json(rows) for row in rows],
            "notes": said,
            "fan_out": fanned,
        }
        arguments.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    for text in wrong:
        print(f"benchmarks: {text}", file=sys.stderr)
    return 1 if wrong else 0


def _print(machine: dict[str, Any], rows: list[Row], said: list[str], seconds: float, *, is_quick: bool) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    commit = (machine["commit"] or "no commit")[:12] + (" with changes" if machine["has_changes"] else "")
    print(f"\n{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['python']}")
    print(f"{versions}; {commit}")
    print(f"{'quick: one run, rough; ' if is_quick else ''}{seconds:.0f} s\n")
    print(table(rows))
    print()
    for text in said:
        print(f"- {text}")


if __name__ == "__main__":
    sys.exit(main())
