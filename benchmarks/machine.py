"""Where and with what a benchmark ran."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.children import ROOT, Child

PACKAGES = ("portcast", "fastapi", "starlette", "uvicorn", "uvloop", "websockets", "pydantic", "psutil")


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on, and nothing that names this machine."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "has_changes": bool(_git("status", "--porcelain", "--", "src", "benchmarks")),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class Others:
    """Measures how many cores everybody else uses between two moments."""

    def __init__(self, ours: Iterable[Child]) -> None:
        self._ours = list(ours)
        self._started = time.monotonic()
        self._before = _busy() - self._own()

    def _own(self) -> float:
        me = psutil.Process().cpu_times()
        return me.user + me.system + sum(child.cpu_s() for child in self._ours)

    def cores(self) -> float:
        passed = time.monotonic() - self._started
        return max(0.0, (_busy() - self._own() - self._before) / passed)


def _busy() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guests are counted in user and nice already; stolen time was not ours to use, so it counts as somebody else's.
    return float(sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0))
