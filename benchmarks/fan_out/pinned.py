"""Become another program on one core: ``python -m benchmarks.fan_out.pinned CORES PROGRAM [ARGUMENT …]``.

The program has the file descriptors that the system allows, and ends when the benchmark does (Linux).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterable

PR_SET_PDEATHSIG = 1


def pin(cores: Iterable[int]) -> None:
    """Run on these cores only, where the system knows of that; Go and others count them when they start."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def raise_descriptors() -> int:
    """Raise the soft limit of file descriptors to the hard one; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def end_with_parent() -> None:
    """Have the kernel end this process with its parent, and what it becomes, too (prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    pin([int(core) for core in sys.argv[1].split(",")])
    raise_descriptors()
    end_with_parent()
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
