"""Attacks on a server in a process of its own, on both loops; `soak_app` has deadlines of two seconds."""

from __future__ import annotations

import re
import selectors
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from cli.processes import Lines, environment
from faults.soak import Ports, _server
from faults.soak_app import DEADLINE_S
from gateway_serving import wait_until
from portcast.runtime import raise_descriptor_limit
from raw_clients import connected

pytestmark = pytest.mark.timeout(60)

SLOW = 500
SLACK_S = 2.0
"""For the ticker of deadlines, and for a busy machine with 500 clients on the same cores."""
PROBES = {
    "nothing": b"",
    "line ends": b"\r\n\r\n",
    "help": b"HELP\r\n",
    "HTTP": b"GET / HTTP/1.0\r\n\r\n",
    "RTSP": b"OPTIONS / RTSP/1.0\r\n\r\n",
    "DNS": b"\0\x1e\0\6\1\0\0\1\0\0\0\0\0\0\7version\4bind\0\0\x10\0\3",
    "RPC": b"\x80\0\0\x28r\xfe\x1d\x13\0\0\0\0\0\0\0\2\0\1\x86\xa0\0\1\x97|" + bytes(20),
    "SMB": b"\0\0\0\xa4\xffSMBr\0\0\0\0\x08\x01@" + bytes(24) + b"\0\x81\0\2PC NETWORK PROGRAM 1.0\0",
    "RDP": b"\3\0\0\x0b\6\xe0\0\0\0\0\0",
    "SSH": b"SSH-2.0-probe\r\n",
    "terminal": b"\x1b]0;title\x07\x1b[2J\r\n",
    "zeros": bytes(6000),
    "high bytes": b"\xff" * 6000,
}
"""What port scanners say, and worse."""


class Server:
    """A running `soak_app`, and what its process holds."""

    def __init__(self, ports: Ports, log: Path) -> None:
        self.ports = ports
        self._log = log
        (self.process,) = (
            one
            for one in psutil.Process().children(recursive=True)
            if any(connection.laddr.port == ports.http for connection in one.net_connections("tcp"))
        )

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    @property
    def memory(self) -> int:
        return int(self.process.memory_info().rss)

    def echo_s(self) -> float:
        """Return how long a new device waits for its answer: the best of three, for the machine has other work."""
        times = []
        for _ in range(3):
            began = time.monotonic()
            with connected(self.ports.handler) as device:
                device.sendall(b"hello\n")
                assert device.recv(100) == b"hello\n"
            times.append(time.monotonic() - began)
        return min(times)

    def held(self) -> tuple[int, int]:
        """Return descriptors and tasks."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.http}/soak") as answer:
            numbers = dict(re.findall(rb'"(\w+)":(\d+)', answer.read()))
        return int(numbers[b"descriptors"]), int(numbers[b"tasks"])


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("attacks") / "log.txt"
    with _server(request.param, log) as ports:
        yield Server(ports, log)
    assert "Traceback" not in log.read_text("utf-8", "replace")


def drip(sockets: list[socket.socket], limit_s: float) -> float:
    """Send a byte on each now and then until the server has closed all of them; return how long that took."""
    began = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() - began < limit_s:
            for key, _ in selector.select(0.2):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                try:
                    is_over = not sock.recv(10_000)
                except ConnectionResetError:
                    is_over = True
                if is_over:
                    selector.unregister(sock)
            for key in list(selector.get_map().values()):
                with suppress(ConnectionError):
                    key.fileobj.send(b"x")  # type: ignore[union-attr]
        assert not selector.get_map(), f"{len(selector.get_map())} are still open"
    return time.monotonic() - began


@pytest.mark.row(4, 5)
@pytest.mark.parametrize("what", ["devices", "requests", "upgrades"])
def test_slow_ones_are_gone_by_their_deadline(server: Server, what: str) -> None:
    """However steadily they drip; and meanwhile a new device is served at once."""
    if raise_descriptor_limit() < SLOW + 200:
        pytest.skip("too few descriptors are allowed here")
    port = server.ports.relay if what == "devices" else server.ports.http
    said = {
        "devices": b"x",
        "requests": b"POST /api/topics/t HTTP/1.1\r\nHost: localhost\r\nX-a: ",
        "upgrades": b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-a: ",
    }[what]
    with ExitStack() as stack:
        began = time.monotonic()
        sockets = [stack.enter_context(connected(port)) for _ in range(SLOW)]
        for one in sockets:
            one.sendall(said)
        assert server.echo_s() < 0.1
        drip(sockets, DEADLINE_S + SLACK_S)
        assert time.monotonic() - began >= DEADLINE_S * 0.9, "it was not their deadline"
    assert server.echo_s() < 0.1


@pytest.mark.row(6)
def test_a_line_without_an_end_costs_no_memory(server: Server) -> None:
    """A gibibyte is offered; the connection ends at the first byte too many."""
    chunk = b"a" * (1 << 20)

    def offer() -> int:
        sent = 0
        with connected(server.ports.relay) as device, suppress(ConnectionError):
            while sent < 1 << 30:
                sent += device.send(chunk)
        return sent

    offer()
    before = server.memory
    assert max(offer() for _ in range(10)) < 1 << 26, "what the kernel's buffers take"
    assert server.memory - before < 1 << 20


@pytest.mark.row(9)
@pytest.mark.parametrize("probe", PROBES)
def test_a_scanner_is_shown_nothing(server: Server, probe: str) -> None:
    """Whatever it says: no traceback, no escape sequence in the log, and the next device is served."""
    for port in (server.ports.relay, server.ports.handler):
        with connected(port) as device, suppress(ConnectionError):
            device.sendall(PROBES[probe])
            device.shutdown(socket.SHUT_WR)
            answer = b""
            while data := device.recv(10_000):
                answer += data
            # The handler gives lines back; nobody is told more than what he said himself.
            assert set(answer) <= set(PROBES[probe] + b"\n")
    server.echo_s()
    assert "Traceback" not in server.log
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", server.log)


@pytest.mark.row(9)
def test_a_tls_client_on_a_plain_port_is_closed(server: Server) -> None:
    """Its hello has line feeds in it, but no line of noise is published."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for port in (server.ports.relay, server.ports.handler):
        with connected(port) as device, pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(device)
    server.echo_s()
    assert "tls_hello" in server.log
    assert "Traceback" not in server.log


@pytest.mark.row(10)
def test_a_storm_of_resets_leaves_nothing(server: Server) -> None:
    """Ten thousand resets and five thousand ends in order on each loop, with and without a word.

    No traceback, no descriptor, no task and no memory more than before, and accepting goes on. A connection that stayed
    would cost several KiB; what is allowed are 400 bytes for each of ten thousand, as the allocator still settles.
    """
    storm(server, 5000)
    server.echo_s()
    time.sleep(0.1)
    before, memory = server.held(), server.memory
    storm(server, 10_000)
    wait_until(lambda: server.held() <= before, "everything to be let go")
    assert server.memory - memory < 4 << 20
    assert server.echo_s() < 0.1
    assert "Traceback" not in server.log


def storm(server: Server, number: int) -> None:
    """Connect and leave at once: of three two with a reset, and of two one before it has said anything."""
    linger = struct.pack("ii", 1, 0)
    for one in range(number):
        with socket.socket() as sock:
            if one % 3:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sock.connect(("127.0.0.1", server.ports.relay if one % 4 < 2 else server.ports.handler))
            if one % 2:
                sock.send(b"a line\nand a half")


@pytest.mark.row(30)
def test_with_128_descriptors_it_serves_sheds_and_recovers() -> None:
    """Its budget is served, HTTP answers, the log says so once, and when they are gone it takes new ones."""
    command = [
        sys.executable,
        "-m",
        "portcast",
        "serve",
        "--http",
        "127.0.0.1:0",
        "--listen",
        "tcp://127.0.0.1:0?topic=t",
    ]
    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -n 128 && exec "$@"', "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = Lines(process.stdout), Lines(process.stderr)
    try:
        http = out.wait(r"live page +(http://\S+)/")[1]
        port = int(out.wait(r"tcp://127\.0\.0\.1:(\d+)")[1])

        def received() -> int:
            with urllib.request.urlopen(f"{http}/api/listeners", timeout=5) as answer:
                return int(re.findall(rb'"frames":(\d+)', answer.read())[0])

        with ExitStack() as stack:
            devices = [stack.enter_context(connected(port)) for _ in range(200)]
            for one in devices:
                one.sendall(b"hello\n")
            wait_until(lambda: received() >= 16, "its budget to be served")
            assert received() < 128, "it has no more descriptors than that"
        served = received()
        with connected(port) as device:
            device.sendall(b"again\n")
            wait_until(lambda: received() > served, "a new device to be served")
        process.terminate()
        assert process.wait(10) == 0
        log = err.rest()
        assert not [line for line in log if "Traceback" in line]
        assert len([line for line in log if "paused" in line]) <= 2, log
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
