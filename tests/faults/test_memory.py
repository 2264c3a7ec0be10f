"""A process that may use little memory, and peers that make it need more."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway_serving import wait_until
from raw_clients import WebSocket, connected

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux")]

MIB = 1 << 20
STUCK = 500
DEVICES, FRAMES, FRAME = 100, 70, 60_000
"""64 frames of each fit into its inbox: 366 MiB, more than either limit leaves."""
GROUP_LIMIT, ADDRESS_LIMIT = 256 * MIB, 400 * MIB


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """A control group within ours, which kills at so many bytes."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    ours = [line.split(":", 2)[2] for line in lines if line.split(":", 2)[1] == "memory"]
    if not ours:
        pytest.skip("no memory controller of cgroup v1 here")
    folder = Path(f"/sys/fs/cgroup/memory{ours[0].rstrip('/')}/portcast-test-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    try:
        (folder / "memory.limit_in_bytes").write_text(str(limit))
        yield folder
    finally:
        # The kernel takes a moment to count its last process out.
        for _ in range(100):
            with suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.05)


class Server:
    """The process, its ports, and what it says."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        assert process.stdout is not None
        self.process = process
        self.log = log
        self.http, self.bulk, self.handler = map(int, process.stdout.readline().split())

    def ask(self, path: str, method: str = "GET") -> Any:
        """Return the status and the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=20)
        connection.request(method, path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, body

    def ready(self) -> tuple[int, str]:
        """Return the status and the word of the health check."""
        status, body = self.ask("/health/ready")
        return status, body["status"]


@contextmanager
def server(address_space: int, group: str, log: Path, *, descriptors: int = 0) -> Iterator[Server]:
    app = Path(__file__).with_name("memory_app.py")
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(app), str(address_space), group, str(descriptors)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield Server(process, log)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(params=["cgroup", "address space"])
def limited(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that is killed above a limit, or gets no more memory."""
    with ExitStack() as stack:
        group = str(stack.enter_context(memory_group(GROUP_LIMIT))) if request.param == "cgroup" else "-"
        space = 0 if request.param == "cgroup" else ADDRESS_LIMIT
        yield stack.enter_context(server(space, group, tmp_path / "log.txt"))


def send(devices: list[socket.socket], data: bytes, times: int) -> None:
    """Send from many devices at once, each in a thread."""

    def send_all(device: socket.socket) -> None:
        device.settimeout(60)
        with suppress(OSError):
            for _ in range(times):
                device.sendall(data)

    for one in devices:
        threading.Thread(target=send_all, args=(one,), daemon=True).start()


@pytest.mark.row(31)
def test_is_not_killed_and_recovers(limited: Server) -> None:
    """Devices wait, newcomers are refused, and afterwards everything that was sent is there."""
    line = b"x" * FRAME + b"\n"
    with ExitStack() as stack:
        for _ in range(STUCK):
            stack.enter_context(WebSocket(limited.http, "/ws/bulk", receive_buffer=4096))
        ports = [limited.bulk] * 2 + [limited.handler] * DEVICES
        devices = [stack.enter_context(connected(port)) for port in ports]
        wait_until(
            lambda: sum(one["connections"] for one in limited.ask("/api/listeners")[1]["listeners"]) == len(devices),
            "all to be accepted",
        )
        send(devices[:2], line, 3000)
        send(devices[2:], line, FRAMES)
        wait_until(lambda: limited.ready() == (503, "memory"), "memory to be short", limit_s=30)
        with pytest.raises(ConnectionResetError), connected(limited.handler) as newcomer:
            newcomer.recv(1)
        with WebSocket(limited.http, "/ws/bulk") as browser:
            assert (browser.read(), browser.code) == (None, 1013)
        seen = limited.ask("/api/memory")[1]
        assert seen["is_short"]
        assert seen["buffered"]["frames"] > 50 * MIB
        assert limited.process.poll() is None
        assert limited.ask("/free", "POST")[0] == 200
        wait_until(lambda: limited.ask("/handled")[1] == DEVICES * FRAMES, "all to be handled", limit_s=40)
        wait_until(lambda: limited.ready()[0] == 200, "memory to be enough", limit_s=30)
        with connected(limited.handler) as newcomer:
            newcomer.sendall(line)
            wait_until(lambda: limited.ask("/handled")[1] == DEVICES * FRAMES + 1, "the newcomer's message")
    written = limited.log.read_text()
    assert "Traceback" not in written
    assert written.count(" memory short ") == written.count(" memory recovered ") >= 1
