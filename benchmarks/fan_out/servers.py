"""The servers that are compared: how each is started, on the same core, and how it is spoken to."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.children import START_S, Child, ChildError
from benchmarks.fan_out import install
from benchmarks.fan_out.wires import WIRES, Wire

HERE = Path(__file__).parent
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CORE = _CORES[:1]
"""The server under test runs here and nowhere else, whatever it is written in."""
LOAD_CORES = _CORES[1:] or _CORES
"""Devices, browsers and this program."""


def pinned(cores: list[int], *command: str) -> Child:
    """Start a program on these cores."""
    return Child("benchmarks.fan_out.pinned", ",".join(map(str, cores)), *command)


def helper(name: str) -> Child:
    """Start a part of the load generator."""
    return pinned(LOAD_CORES, sys.executable, "-m", f"benchmarks.fan_out.{name}")


@dataclass(frozen=True)
class Peer:
    """A server that can be measured.

    Attributes:
        key: its short name.
        title: in tables.
        wire: key of `WIRES`.
        speed: deliveries per second of processor time, roughly: says how much work is a second's worth.
        command: the program and its arguments, from a directory for files and the two ports; None if it is in
            `BUILT_IN`.
        find: what must exist for it to run; None if it comes with the project.
        note: what must be known to compare it.
        is_ours: Portcast.
    """

    key: str
    title: str
    wire: str
    speed: float
    command: Callable[[Path, int, int], list[str]] | None = None
    find: Callable[[], object] | None = None
    note: str = ""
    is_ours: bool = False

    @property
    def speech(self) -> Wire:
        return WIRES[self.wire]

    def missing(self) -> str:
        """Return why it cannot run; empty if it can."""
        return "" if self.find is None or self.find() else install.reason_of(self.key)


def _nats(directory: Path, http: int, devices: int) -> list[str]:
    config = directory / "nats.conf"
    config.write_text(
        f"host: 127.0.0.1\nport: {devices}\n"
        f"websocket {{ host: 127.0.0.1, port: {http}, no_tls: true, compression: false }}\n"
        # Nothing may be lost: more may wait for a client, and longer, than by default (64 MiB, 10 s).
        'max_pending: 512MB\nwrite_deadline: "60s"\nping_interval: "10m"\n'
    )
    return [str(install.NATS_SERVER), "-c", str(config)]


def _mosquitto(directory: Path, http: int, devices: int) -> list[str]:
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {devices} 127.0.0.1\nlistener {http} 127.0.0.1\nprotocol websockets\n"
        "allow_anonymous true\npersistence false\nlog_type error\nset_tcp_nodelay true\n"
        # Nothing may be lost: by default a client's queue holds 1000.
        "max_queued_messages 0\nmax_inflight_messages 0\n" + ("user root\n" if os.geteuid() == 0 else "")
        # It would become another user, which ends the tie to this process (prctl(2), PR_SET_PDEATHSIG).
    )
    return [install.mosquitto() or "mosquitto", "-c", str(config)]


PEERS = {
    peer.key: peer
    for peer in (
        Peer("portcast", "portcast, patience=30, disconnect", "lines", 20e6, is_ours=True),
        Peer("defaults", "portcast, defaults", "lines", 20e6, is_ours=True),
        Peer("impatient", "portcast, patience=0", "lines", 20e6, is_ours=True),
        Peer("sdk", "portcast, Centrifuge JSON", "sdk", 10e6, is_ours=True,
             note="patience=30, disconnect; JSON around each message, as official SDKs take it"),
        Peer("nats", "nats-server (Go)", "nats", 3.5e6, _nats, install.NATS_SERVER.exists,
             "20 publishers over NATS TCP; subscribers get several messages per WebSocket frame"),
        Peer("uwebsockets", "uWebSockets (C++, socketify)", "frames", 1e6,
             lambda directory, http, devices: [
                 str(install.PEERS_PYTHON), str(HERE / "peers" / "socketify_server.py"), str(http)
             ],
             lambda: any(install.PEERS.glob("lib/python*/site-packages/socketify/__init__.py")),
             "20 publishers over its own WebSockets, not TCP lines; one Python call per message, none per delivery"),
        Peer("mosquitto", "Mosquitto (C), MQTT", "mqtt", 130e3, _mosquitto, install.mosquitto,
             "20 publishers over MQTT TCP; QoS 0"),
        Peer("websockets", "websockets.broadcast", "lines", 110e3,
             lambda directory, http, devices: [
                 sys.executable, "-m", "benchmarks.fan_out.peers.websockets_server", str(http), str(devices)
             ],
             note="on uvloop"),
        Peer("node", "Node ws", "lines", 100e3,
             lambda directory, http, devices: [
                 "node", str(HERE / "peers" / "node_server.cjs"), str(install.NODE_MODULES), str(http), str(devices)
             ],
             (install.NODE_MODULES / "ws").exists),
        Peer("tutorial", "the tutorial's loop, uvicorn", "lines", 65e3,
             note="on uvloop, with `readline` in place of `read(1024)`, so that it delivers lines as everybody else"),
    )
}  # fmt: skip
OURS = "benchmarks.fan_out.portcast_server"
BUILT_IN = {
    "portcast": (OURS, "patience=30", "slow_consumer=disconnect"),
    "defaults": (OURS,),
    "impatient": (OURS, "patience=0"),
    "sdk": (OURS, "patience=30", "slow_consumer=disconnect"),
    "tutorial": ("benchmarks.serve", "tutorial:lines"),
}
"""Modules and arguments of those that come with the project; they say themselves where they listen."""


class Running:
    """One server under test; a context manager that ends it."""

    def __init__(self, peer: Peer) -> None:
        """Start it and wait until it accepts.

        Raises:
            ChildError: it does not.
        """
        self.peer = peer
        self._files = tempfile.TemporaryDirectory(prefix="portcast-bench-")
        if peer.command is None:
            self.child = pinned(SERVER_CORE, sys.executable, "-m", *BUILT_IN[peer.key])
        else:
            self.http, port = _free_ports()
            self.devices = [port if peer.wire != "frames" else self.http]
            self.child = pinned(SERVER_CORE, *peer.command(Path(self._files.name), self.http, port))
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        if self.peer.command is None:
            facts = self.child.answer(START_S)
            self.http, self.devices = facts["http"], facts["devices"]
            return
        until = time.monotonic() + START_S
        for port in (self.http, *self.devices):
            while not _accepts(port):
                if not self.child.process.is_running() or self.child.process.status() == "zombie":
                    self.child.answer(1.0)  # raises with what it said
                if time.monotonic() > until:
                    raise ChildError(f"{self.peer.title}: nothing accepts on port {port}")
                time.sleep(0.05)

    def cpu_s(self) -> float:
        return self.child.cpu_s()

    def rss(self) -> int:
        return int(self.child.process.memory_info().rss)

    def settled_rss(self, most_s: float = 5.0) -> int:
        """Return the resident bytes once they have not changed for half a second."""
        until = time.monotonic() + most_s
        before = self.rss()
        while time.monotonic() < until:
            time.sleep(0.5)
            now = self.rss()
            if now == before:
                break
            before = now
        return before

    def stop(self) -> None:
        # Without a goodbye: it has nothing to save, and an orderly stop takes a second.
        with suppress(psutil.NoSuchProcess):
            self.child.process.kill()
        self.child.stop()
        self._files.cleanup()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
