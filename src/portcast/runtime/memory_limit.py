"""How much memory this process may use, and how much it uses: read from Linux, without a dependency.

Whoever uses more than its control group may is killed by the kernel, without a word. So the limit here is a *soft* one,
below that: what `portcast.runtime.memory` acts on, with room left for what happens until then, and for what the kernel
counts beside the process's own pages: socket buffers, page tables, other processes in the group.

The kernel's names: ``memory.max`` of a cgroup v2 (``max`` = no limit), ``memory.limit_in_bytes`` of v1 (a number near
2**63 = no limit), each for the group and all above it; ``/proc/self/statm`` in pages: address space, resident, ….
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from mmap import PAGESIZE
from pathlib import Path
from typing import Literal

SHARE = 0.8
"""Soft limit, as a share of what the kernel allows."""
LEAST_FIT = 1_048_576
"""No budget is cut below this: 1 MiB."""

_FILES = ("memory.max", "memory.limit_in_bytes")
_HIERARCHIES = ("sys/fs/cgroup", "sys/fs/cgroup/unified", "sys/fs/cgroup/memory")

Source = Literal["option", "cgroup", "machine", "address_space", "none"]


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What the process uses now, in bytes.

    Attributes:
        resident: pages in memory; what a control group counts. 0 where the system does not tell.
        address_space: all that is mapped; what ``RLIMIT_AS`` counts.
    """

    resident: int = 0
    address_space: int = 0


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A soft limit of resident memory.

    Attributes:
        bytes: the limit; 0 for none.
        source: where it comes from.
    """

    bytes: int = 0
    source: Source = "none"

    def fit(self, budget_bytes: int, share: float, use: MemoryUse) -> int:
        """Return a budget, cut to a share of what is free now if that is less; at least 1 MiB."""
        if not self.bytes:
            return budget_bytes
        return min(budget_bytes, max(LEAST_FIT, int((self.bytes - use.resident) * share)))


def memory_use(root: Path = Path("/")) -> MemoryUse:
    """Return what the process uses now; nothing where the system does not tell (no Linux). Takes about 20 µs."""
    try:
        pages = (root / "proc/self/statm").read_text().split()
        return MemoryUse(int(pages[1]) * PAGESIZE, int(pages[0]) * PAGESIZE)
    except (OSError, ValueError, IndexError):
        return MemoryUse()


def memory_limit(wanted_bytes: int = 0, root: Path = Path("/")) -> MemoryLimit:
    """Return the soft limit of the process.

    Args:
        wanted_bytes: what the user asked for; 0: 80 % of what the control groups, the machine or ``RLIMIT_AS`` leave,
            whichever is least.
        root: where ``proc`` and ``sys`` are.
    """
    if wanted_bytes:
        return MemoryLimit(wanted_bytes, "option")
    allowed, source = hard_limit(root)
    return MemoryLimit(int(allowed * SHARE), source)


def hard_limit(root: Path = Path("/")) -> tuple[int, Source]:
    """Return how many resident bytes the process may have at most, and who says so; 0 where that is not known.

    A control group without a limit of its own says a number that no machine has, so the least one counts.
    """
    found: list[tuple[int, Source]] = [(one, "cgroup") for one in _group_limits(root)]
    found += [(one, "machine") for one in _machine_bytes(root)]
    found += [(one, "address_space") for one in _address_space(memory_use(root))]
    return min(found, default=(0, "none"))


def _machine_bytes(root: Path) -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                yield int(line.split()[1]) * 1024


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the process's control group and of all above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        # Hierarchy, controllers, path (cgroups(7)); v2 has number 0 and no controllers.
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        for hierarchy in _HIERARCHIES:
            base = root / hierarchy
            # In a container the path may be that of the host, which is not there: then the base is the container's own.
            group = base / path.lstrip("/") if ".." not in path else base
            for folder in (group, *group.parents):
                yield from _limits_in(folder)
                if folder == base:
                    break


def _limits_in(folder: Path) -> Iterator[int]:
    for name in _FILES:
        try:
            text = (folder / name).read_text().strip()
        except OSError:
            continue
        if text.isascii() and text.isdigit() and int(text) > 0:
            yield int(text)


def _address_space(use: MemoryUse) -> Iterator[int]:
    """Yield how much may be resident under ``RLIMIT_AS``, if it is set.

    That is an estimate: libraries and stacks that are mapped and not resident stay as they are at start. Address space
    itself says nothing later: what was freed stays mapped, and is used again.
    """
    if sys.platform == "win32" or not use.resident:
        return
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY:
        yield max(1, allowed - (use.address_space - use.resident))


def memory_trimmer() -> Callable[[], object]:
    """Return what gives free memory back to the system: `malloc_trim` of glibc; elsewhere it does nothing.

    Without it what was freed stays resident, and the process looks as full as at its worst.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: None) if trim is None else lambda: trim(0)
