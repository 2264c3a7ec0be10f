"""The Python SDK's own test suite, all of it, against ``portcast serve``.

`scripts/test.py conformance` fetches the suite and says where it is; the server must be on port 8000, because that is
what the suite's tests say.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "conformance.md"
PORT = 8000
SUITE_S = 180
EXCEPTIONS: dict[str, str] = {}
"""Tests of the suite that may fail, each with the reason."""

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(SUITE_S + 30),
    pytest.mark.skipif("CONFORMANCE_SDK" not in os.environ, reason="run by `make conformance`"),
]


def _wait_for(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server did not start: {log.read_text('utf-8')}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server did not listen in time")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    log = tmp_path_factory.mktemp("server") / "log"
    program = Path(sys.executable).with_name("portcast")
    command: list[str | Path] = [program, "serve", str(HERE / "gateway.toml"), "--http", f"127.0.0.1:{PORT}"]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            _wait_for(process, log)
            yield log
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def results(server: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    target = tmp_path_factory.mktemp("suite") / "results.json"
    folder, python = os.environ["CONFORMANCE_SDK"], os.environ["CONFORMANCE_PYTHON"]
    environment = {**os.environ, "PYTHONPATH": folder}
    command = [python, str(HERE / "run_unittest.py"), str(target)]
    subprocess.run(
        command, cwd=folder, env=environment, timeout=SUITE_S, check=True, capture_output=True, stdin=subprocess.DEVNULL
    )
    found: dict[str, dict[str, Any]] = json.loads(target.read_text("utf-8"))
    _print_table(found)
    return found


def _by_module(found: dict[str, dict[str, Any]]) -> dict[str, Counter[str]]:
    by_module: dict[str, Counter[str]] = {}
    for name, one in found.items():
        by_module.setdefault(".".join(name.split(".")[:2]), Counter())[one["outcome"]] += 1
    return by_module


def _print_table(found: dict[str, dict[str, Any]]) -> None:
    by_module = _by_module(found)
    print(f"\n{'centrifuge-python 0.7.0':34}{'passed':>8}{'failed':>8}{'skipped':>8}")
    for module, counts in sorted(by_module.items()):
        print(f"{module:34}{counts['passed']:8}{counts['failed']:8}{counts['skipped']:8}")
    total = sum(by_module.values(), Counter[str]())
    print(f"{'all':34}{total['passed']:8}{total['failed']:8}{total['skipped']:8}")


def test_the_whole_suite_passes(results: dict[str, dict[str, Any]]) -> None:
    """Every network test, JSON and Protobuf; what may fail is listed above."""
    wrong = {name: one["detail"] for name, one in results.items() if one["outcome"] == "failed"}
    unexpected = {name: detail for name, detail in wrong.items() if name not in EXCEPTIONS}
    assert not unexpected, "\n\n".join(f"{name}\n{detail}" for name, detail in unexpected.items())
    assert set(EXCEPTIONS) <= set(wrong), "an exception is none any more"


def test_the_suite_was_whole(results: dict[str, dict[str, Any]]) -> None:
    """A suite that was not found passes, too."""
    assert len(results) >= 180
    assert sum(one["outcome"] == "passed" for one in results.values()) >= 180


def test_the_table_in_the_docs(results: dict[str, dict[str, Any]]) -> None:
    """``docs/conformance.md`` says what this run has counted."""
    page = PAGE.read_text("utf-8")
    for module, counts in _by_module(results).items():
        row = [module.removeprefix("tests."), *(str(counts[word]) for word in ("passed", "failed", "skipped"))]
        assert f"| {' | '.join(row)} |\n" in page
    for name in EXCEPTIONS:
        assert f"`{name}`" in page, "with its reason"


def test_nothing_went_wrong_in_the_server(results: dict[str, dict[str, Any]], server: Path) -> None:
    """No traceback, whatever the suite sends."""
    log = server.read_text("utf-8")
    assert "Traceback" not in log
    assert " error " not in log.lower().replace("level=error", " error ")
