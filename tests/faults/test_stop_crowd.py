"""The orderly stop with a crowd: thousands of devices and browsers, some stuck, and handlers that do not let go."""

from __future__ import annotations

import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from portcast.runtime import raise_descriptor_limit

HANDSHAKE = (
    b"GET /ws/%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CROWD, STUCK, DEAF = 2500, 100, 10
DRAIN_S = 3.0
GOODBYE = b"\x88\x16\x03\xf4server is restarting"
"""A close frame: 1012 and the reason."""


@contextmanager
def server(loop: str, log: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("crowd_app.py")), loop, str(DRAIN_S)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        yield process, [int(port) for port in process.stdout.readline().split()]
    finally:
        process.kill()
        process.communicate()


def connected(port: int, said: bytes = b"", *, receive_buffer: int = 0) -> socket.socket:
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", port))
    sock.sendall(said)
    return sock


def websocket(port: int, topic: bytes, *, receive_buffer: int = 0) -> socket.socket:
    sock = connected(port, HANDSHAKE % topic, receive_buffer=receive_buffer)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return sock


def read_all(sockets: list[socket.socket], limit_s: float) -> list[bytes]:
    """Return the end of what each has to say, read until its end."""
    ends = dict.fromkeys(sockets, b"")
    deadline = time.monotonic() + limit_s
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            one.setblocking(False)
            selector.register(one, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(0.1):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                try:
                    data = sock.recv(1 << 20)
                except ConnectionResetError:
                    data = b""
                ends[sock] = (ends[sock] + data)[-100:]
                if not data:
                    selector.unregister(sock)
        assert not selector.get_map(), f"{len(selector.get_map())} are still open"
    return list(ends.values())


def refused_after(port: int, since: float) -> float:
    """Return how many seconds after ``since`` a listener refused a connection for the first time."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return time.monotonic() - since
        assert time.monotonic() - since < 5, "it accepts on and on"
        time.sleep(0.002)


def waited_s(*threads: Path) -> float:
    """Return how long threads, that could have worked, waited for a core that others used; see proc(5), ``schedstat``.

    The one allowance for a busy machine: on a quiet one it is some hundred microseconds.
    """
    return sum(int(one.read_text().split()[1]) for one in threads) / 1e9


@pytest.mark.row(25)
@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="how long a process waited for a core is read in /proc")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_crowd_is_sent_home(loop: str, tmp_path: Path) -> None:
    """No device is accepted after 100 ms, every browser that reads gets its goodbye, and the end comes in time."""
    if raise_descriptor_limit() < 2 * CROWD + 500:
        pytest.skip("too few descriptors are allowed here")
    log = tmp_path / "log.txt"
    with server(loop, log) as (process, (http, relay, bulk, handler)), ExitStack() as sockets:
        keep = sockets.enter_context
        devices = [keep(connected(relay)) for _ in range(CROWD - DEAF)]
        for _ in range(DEAF):
            keep(connected(handler, b"hello\n"))
        for _ in range(STUCK):
            keep(websocket(http, b"bulk", receive_buffer=4096))
        browsers = [keep(websocket(http, b"t")) for _ in range(CROWD - STUCK)]
        keep(connected(bulk, (b"x" * 60_000 + b"\n") * 10))
        devices[0].sendall(b"hello\n")
        assert {sock.recv(100) for sock in browsers} == {b"\x81\x05hello"}
        threads = Path(f"/proc/{process.pid}/schedstat"), Path("/proc/thread-self/schedstat")
        began, waited = time.monotonic(), waited_s(*threads)
        process.send_signal(signal.SIGTERM)
        refused = refused_after(relay, began)
        assert refused - (waited_s(*threads) - waited) < 0.1
        assert [end[-len(GOODBYE) :] for end in read_all(browsers, DRAIN_S + 5)] == [GOODBYE] * len(browsers)
        assert process.wait(DRAIN_S + 10) == 0
        assert time.monotonic() - began < DRAIN_S + 1
        written = log.read_text()
        assert "Traceback" not in written
        assert re.search(r"left behind", written), written[-2000:]
        assert "never" in written, "the handler's name"
