"""The JavaScript SDK (npm ``centrifuge``) under Node, driven by our own tests in ``js/``, against a real server.

`scripts/test.py conformance` installs the SDK and says where Node is. What each file tests is said on its top.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
JS = HERE / "js"
PAGE = HERE.parents[1] / "docs" / "conformance.md"
FILES = sorted(path.name for path in JS.glob("*.test.mjs"))
FILE_S = 60
START_S = 10

APP = [sys.executable, str(HERE / "app.py")]
SERVE = [sys.executable, "-m", "portcast", "serve", str(HERE / "gateway.toml")]
NEED_APP = {"rpc.test.mjs", "filters.test.mjs"}
"""They call functions that only an app can have."""

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(FILE_S + 30),
    pytest.mark.skipif("CONFORMANCE_NODE" not in os.environ, reason="run by `make conformance`"),
]


class Server(NamedTuple):
    """One that runs.

    Attributes:
        command: how it was started, but for its address.
        address: HOST:PORT.
        log: what it wrote.
    """

    command: list[str]
    address: str
    log: Path


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _wait_for(process: subprocess.Popen[bytes], server: Server) -> None:
    host, port = server.address.split(":")
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server did not start:\n{server.log.read_text('utf-8')}"
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server did not listen in time")


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[Server]:
    server = Server(command, _free_address(), log)
    with log.open("wb") as out, subprocess.Popen([*command, "--http", server.address], stdout=out, stderr=out) as one:
        try:
            _wait_for(one, server)
            yield server
        finally:
            one.terminate()
            one.wait(20)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with _running(APP, tmp_path_factory.mktemp("app") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with _running(SERVE, tmp_path_factory.mktemp("gateway") / "log") as server:
        yield server


def _node(file: str, server: Server) -> str:
    """Run one file; return what Node said.

    Raises:
        AssertionError: a test failed, or it took too long; it holds what Node said.
    """
    has_functions = "1" if server.command is APP else "0"
    environment = {
        **os.environ,
        "PATH": os.environ["CONFORMANCE_NODE"] + os.pathsep + os.environ.get("PATH", ""),
        "GATEWAY_ADDRESS": server.address,
        "GATEWAY_COMMAND": json.dumps(server.command),
        "RPC": has_functions,
        "TAGS": has_functions,
    }
    command = [str(Path(os.environ["CONFORMANCE_NODE"]) / "node"), "--test", "--test-reporter=spec", file]
    process = subprocess.Popen(
        command,
        cwd=JS,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # a file runs in a process of its own, and may have started servers
    )
    try:
        output, _ = process.communicate(timeout=FILE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"{file} did not end within {FILE_S} s:\n{output}", pytrace=False)
    if process.returncode:
        pytest.fail(f"{file} failed:\n{output}", pytrace=False)
    return output


def _count(word: str, output: str) -> int:
    found = re.search(rf"^\S+ {word} (\d+)$", output, re.MULTILINE)
    return int(found.group(1)) if found else 0


@pytest.mark.parametrize("file", FILES)
def test_file(file: str, gateway: Server, app: Server) -> None:
    """All tests of a file pass; a file without tests passes, too, so there must be some."""
    began = time.monotonic()
    output = _node(file, app if file in NEED_APP else gateway)
    passed, skipped = _count("pass", output), _count("skipped", output)
    seconds = time.monotonic() - began
    print(f"\ncentrifuge-js, {file:24}{passed:4} passed{skipped:4} skipped{seconds:7.1f} s", end=" ")
    assert passed
    assert f"| {file.removesuffix('.test.mjs')} | {passed} |" in PAGE.read_text("utf-8"), "docs/conformance.md is old"


def test_nothing_went_wrong_in_the_server(gateway: Server, app: Server) -> None:
    """No traceback, whatever the tests send. Comes last, when they are through."""
    for server in (gateway, app):
        log = server.log.read_text("utf-8")
        assert "Traceback" not in log
        assert "level=error" not in log.lower()
