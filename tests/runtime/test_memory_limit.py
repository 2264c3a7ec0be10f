from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from mmap import PAGESIZE
from pathlib import Path

import pytest

from portcast.runtime.memory_limit import (
    LEAST_FIT,
    MemoryLimit,
    MemoryUse,
    hard_limit,
    memory_limit,
    memory_trimmer,
    memory_use,
)

MIB = 1 << 20
NO_LIMIT_V1 = "9223372036854771712\n"


def machine(root: Path, cgroup: str = "", files: Mapping[str, str] | None = None) -> Path:
    """A root folder of a machine with 1 GiB; ``files`` are below ``sys/fs/cgroup``."""
    made = {"proc/meminfo": "MemTotal: 1048576 kB\nMemFree: 1 kB\n", "proc/self/cgroup": cgroup}
    made |= {f"sys/fs/cgroup/{name}": text for name, text in (files or {}).items()}
    for name, text in made.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "files", "allowed", "source"),
    [
        pytest.param("", {}, 1024 * MIB, "machine", id="no control groups"),
        pytest.param("0::/a\n", {"a/memory.max": "max\n"}, 1024 * MIB, "machine", id="v2 without a limit"),
        pytest.param("0::/a\n", {"a/memory.max": f"{64 * MIB}\n"}, 64 * MIB, "cgroup", id="v2"),
        pytest.param(
            "0::/a/b\n",
            {"a/memory.max": f"{64 * MIB}\n", "a/b/memory.max": f"{128 * MIB}\n"},
            64 * MIB,
            "cgroup",
            id="v2, the one above is smaller",
        ),
        pytest.param("0::/\n", {"memory.max": f"{64 * MIB}\n"}, 64 * MIB, "cgroup", id="v2 in a container"),
        pytest.param("0::/../x\n", {"memory.max": f"{64 * MIB}\n"}, 64 * MIB, "cgroup", id="v2 outside of ours"),
        pytest.param(
            "3:cpu:/z\n4:memory:/a\n0::/\n",
            {"memory/a/memory.limit_in_bytes": f"{64 * MIB}\n", "memory/z/memory.limit_in_bytes": "4096\n"},
            64 * MIB,
            "cgroup",
            id="v1",
        ),
        pytest.param(
            "4:memory:/docker/abc\n",
            {"memory/memory.limit_in_bytes": f"{64 * MIB}\n"},
            64 * MIB,
            "cgroup",
            id="v1, the path is the host's",
        ),
        pytest.param(
            "4:memory:/a\n", {"memory/a/memory.limit_in_bytes": NO_LIMIT_V1}, 1024 * MIB, "machine", id="v1 without"
        ),
    ],
)
def test_the_least_limit_counts(tmp_path: Path, cgroup: str, files: dict[str, str], allowed: int, source: str) -> None:
    """Of the process's control group, all above it, and the machine."""
    root = machine(tmp_path, cgroup, files)
    assert hard_limit(root) == (allowed, source)
    assert memory_limit(0, root) == MemoryLimit(int(allowed * 0.8), source)  # type: ignore[arg-type]


def test_what_the_user_says_counts_alone(tmp_path: Path) -> None:
    assert memory_limit(5 * MIB, machine(tmp_path)) == MemoryLimit(5 * MIB, "option")


def test_no_limit_where_the_system_tells_nothing(tmp_path: Path) -> None:
    """As on macOS and Windows."""
    assert hard_limit(tmp_path) == (0, "none")
    assert memory_limit(0, tmp_path) == MemoryLimit()
    assert memory_use(tmp_path) == MemoryUse()
    assert MemoryLimit().fit(7, 0.5, MemoryUse()) == 7


def test_the_address_space_leaves_what_is_not_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that are mapped and not resident count against ``RLIMIT_AS``."""
    root = machine(tmp_path)
    (root / "proc/self/statm").write_text("1000 400 100 1 0 300 0\n")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1600 * PAGESIZE, 1600 * PAGESIZE))
    assert hard_limit(root) == (1000 * PAGESIZE, "address_space")
    monkeypatch.setattr(sys, "platform", "win32")
    assert hard_limit(root) == (1024 * MIB, "machine")


def test_budgets_fit_into_what_is_free() -> None:
    """Never below 1 MiB: a gateway that is short from the start still works."""
    limit = MemoryLimit(100 * MIB, "cgroup")
    assert limit.fit(256 * MIB, 0.5, MemoryUse(60 * MIB)) == 20 * MIB
    assert limit.fit(8 * MIB, 0.5, MemoryUse(60 * MIB)) == 8 * MIB
    assert limit.fit(256 * MIB, 0.5, MemoryUse(120 * MIB)) == LEAST_FIT


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux")
def test_this_process() -> None:
    """The real files can be read, and giving back what is free does no harm."""
    memory_trimmer()()
    use = memory_use()
    assert MIB < use.resident < use.address_space
    assert memory_limit().bytes > 0


def test_other_systems_have_nothing_to_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory_trimmer()() is None
