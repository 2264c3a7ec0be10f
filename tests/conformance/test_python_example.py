"""``examples/python_client.py`` with the SDK and against the example that it names, in processes of their own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cli.processes import Lines
from e2e.serving import Example

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(60),
    pytest.mark.skipif("CONFORMANCE_SDK" not in os.environ, reason="run by `make conformance`"),
]


def test_the_python_client_prints_and_recovers(tmp_path: Path) -> None:
    """Live, and over a restart of the server, after which it says that something may be gone."""
    serve = Example(tmp_path / "log", "browser_sdk")
    serve.start()
    address = f"{serve.gateway.replace('http', 'ws', 1)}connection/websocket"
    program = str(ROOT / "examples" / "python_client.py")
    command = [os.environ["CONFORMANCE_PYTHON"], program, address, "sensors/boiler-1"]
    environment = {**os.environ, "PYTHONPATH": os.environ["CONFORMANCE_SDK"], "PYTHONDONTWRITEBYTECODE": "1"}
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path)
    assert client.stdout is not None
    assert client.stderr is not None
    out, err = Lines(client.stdout), Lines(client.stderr)
    try:
        err.wait("^subscribed")
        serve.send(b'{"sensor": "boiler-1", "celsius": 81.5}\n')
        out.wait(r'^1 \{"sensor": "boiler-1", "celsius": 81.5\}$')
        serve.stop()
        serve.start()
        err.wait("^something was missed")
        err.wait("^subscribed")
        serve.send(b'{"sensor": "boiler-1", "celsius": 82}\n')
        out.wait(r"^1 .*82")
    finally:
        client.kill()
        client.wait(10)
        client.stdout.close()
        client.stderr.close()
        serve.stop()
