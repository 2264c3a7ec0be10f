"""The fan-out part of ``python -m benchmarks``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.children import ROOT
from benchmarks.fan_out import pages, report
from benchmarks.fan_out.outcome import judge
from benchmarks.fan_out.pinned import pin
from benchmarks.fan_out.scenarios import QUICK, Sizes, measure_all
from benchmarks.fan_out.servers import LOAD_CORES, SERVER_CORE


def run(machine: dict[str, Any], *, is_quick: bool) -> tuple[dict[str, Any], list[str]]:
    """Measure, print the table; after a full run keep the result for the documentation.

    Returns:
        The result for JSON, and what makes the whole run a failure: something was lost where nothing may be.
    """
    started = time.monotonic()
    pin(LOAD_CORES)
    try:
        rows = measure_all(QUICK if is_quick else Sizes())
    finally:
        pin({*SERVER_CORE, *LOAD_CORES})
    judge(rows)
    result = report.as_json(machine, rows, time.monotonic() - started, is_quick=is_quick)
    result["load_at_end"] = psutil.getloadavg()[0]
    print(f"\nfan-out{', quick and rough' if is_quick else ''}: {result['seconds']} s\n\n{report.text(result)}")
    if not is_quick:
        kept: Path = pages.save(result)
        print(f"\nkept in {kept.relative_to(ROOT)}; `python -m benchmarks.fan_out.pages` shows it in the documentation")
    lost = [row for row in rows if row.server == "portcast" and row.samples and not row.is_whole]
    return result, [f"{row.title} ({report.scenario_title(row.scenario)}): something was lost" for row in lost]
