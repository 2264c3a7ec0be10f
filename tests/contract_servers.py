"""Servers of every kind with the contract's application, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trustme

from gateway_serving import wait_until
from raw_clients import WebSocket

TESTS = Path(__file__).parent
OURS = "portcast.web.websocket_protocol:WebSocketProtocol"
UVICORN = ("-m", "uvicorn", "contract_app:app", "--log-level", "warning", "--port")
TLS = ("--ssl-certfile", "{cert}", "--ssl-keyfile", "{key}")
COMMANDS: dict[str, tuple[str, ...]] = {
    "ours-asyncio": (*UVICORN, "{port}", "--loop", "asyncio", "--ws", OURS),
    "ours-uvloop": (*UVICORN, "{port}", "--loop", "uvloop", "--ws", OURS),
    "sansio-asyncio": (*UVICORN, "{port}", "--loop", "asyncio", "--ws", "websockets-sansio"),
    "sansio-uvloop": (*UVICORN, "{port}", "--loop", "uvloop", "--ws", "websockets-sansio"),
    "wsproto-asyncio": (*UVICORN, "{port}", "--loop", "asyncio", "--ws", "wsproto"),
    "wsproto-uvloop": (*UVICORN, "{port}", "--loop", "uvloop", "--ws", "wsproto"),
    "ours-asyncio-tls": (*UVICORN, "{port}", "--loop", "asyncio", "--ws", OURS, *TLS),
    "ours-uvloop-tls": (*UVICORN, "{port}", "--loop", "uvloop", "--ws", OURS, *TLS),
    "sansio-asyncio-tls": (*UVICORN, "{port}", "--loop", "asyncio", "--ws", "websockets-sansio", *TLS),
    "wsproto-uvloop-tls": (*UVICORN, "{port}", "--loop", "uvloop", "--ws", "wsproto", *TLS),
    "legacy": (*UVICORN, "{port}", "--loop", "asyncio", "--ws", "websockets"),
    "hypercorn": ("-m", "hypercorn", "--bind", "127.0.0.1:{port}", "contract_app:app"),
    "granian": ("-m", "granian", "--interface", "asgi", "--port", "{port}", "contract_app:app"),
}
SINKS = {"ours": "WebSocketProtocol", "sansio": "TransportSink", "wsproto": "TransportSink"}
ABORTS = tuple(kind for kind in COMMANDS if kind not in ("hypercorn", "granian"))
"""Where a client that never reads can be aborted. Hypercorn 0.18 and Granian 2.8 show no transport: the subscriber is
gone there, and holds nothing of ours, but its socket stays until the kernel gives it up."""


def skip_unless_it_ends(kind: str) -> None:
    """Skip a test that stops a server in order while a WebSocket is open, if the server itself cannot do that.

    Any app of one idle WebSocket shows it with Hypercorn 0.18: since Python 3.12 `Server.wait_closed` waits for
    connections, which it does before it cancels the calls that hold them.
    """
    if kind == "hypercorn" and sys.version_info >= (3, 12):
        pytest.skip("Hypercorn itself does not end on a signal while a WebSocket is open")


class Server:
    """A server with the contract's application."""

    def __init__(
        self, kind: str, process: subprocess.Popen[bytes], port: int, log: Path, context: ssl.SSLContext | None
    ) -> None:
        self.kind = kind
        self.process = process
        self.port = port
        self.context = context
        self.http = httpx.Client(
            base_url=f"{'https' if context else 'http'}://localhost:{port}",
            verify=context or True,
            trust_env=False,
            timeout=15,
        )
        self._log = log

    @property
    def sink(self) -> str:
        """The class of sink that this server should get."""
        return SINKS.get(self.kind.partition("-")[0], "AsgiSink")

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log.read_text("utf-8", "replace")

    def is_ready(self) -> bool:
        """True once it answers."""
        assert self.process.poll() is None, self.log
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def publish(self, topic: str, *texts: str, path: str = "publish") -> None:
        """Publish in one tick of the server's loop."""
        answer = self.http.post(f"/control/{path}", params={"topic": topic}, content=json.dumps(texts))
        assert answer.status_code == 200, answer.text

    def of(self, client: WebSocket) -> dict[str, Any]:
        """What the server knows of a client; empty if it is not, or no longer, subscribed."""
        found: dict[str, Any] = self.http.get("/control/subscriber", params={"peer": client.address}).json()
        return found

    def closed(self, subscriber: dict[str, Any]) -> dict[str, Any]:
        """Wait for a subscriber's end and return how it was."""
        path = "/control/closed"
        query = {"id": subscriber["id"]}
        wait_until(lambda: self.http.get(path, params=query).json(), "the end of the subscription")
        found: dict[str, Any] = self.http.get(path, params=query).json()
        return found

    def act(self, what: str, client: WebSocket, **query: Any) -> None:
        """Close or abort a client's subscription."""
        answer = self.http.post(f"/control/{what}", params={"peer": client.address, **query})
        assert answer.status_code == 200, answer.text

    def holds(self, client: WebSocket) -> bool:
        """True while the server's process has a socket to this client."""
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        port = client.sock.getsockname()[1]
        return any(tuple(one.raddr)[1:] == (port,) for p in processes for one in p.net_connections("tcp"))

    @contextmanager
    def client(self, topic: str, query: str = "", **options: Any) -> Iterator[WebSocket]:
        """A subscribed client."""
        with WebSocket(self.port, f"/ws/{topic}{query}", context=self.context, **options) as client:
            wait_until(lambda: self.of(client), "the subscription")
            yield client


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


def _certified(folder: Path) -> ssl.SSLContext:
    """Write a certificate and its key; return what a client trusts."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@contextmanager
def running(kind: str, folder: Path) -> Iterator[Server]:
    """Run a server of a kind; its log and keys are in ``folder``."""
    port = _free_port()
    path = folder / "log.txt"
    context = _certified(folder) if kind.endswith("-tls") else None
    facts = {"port": port, "cert": folder / "cert.pem", "key": folder / "key.pem"}
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *(part.format(**facts) for part in COMMANDS[kind])],
            cwd=TESTS,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(TESTS)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    it = Server(kind, process, port, path, context)
    try:
        with closing(it.http):
            wait_until(it.is_ready, f"{kind} to start")
            yield it
        # Hypercorn logs its own when it stops.
        assert "/src/portcast/" not in it.log, it.log
    finally:
        with suppress(ProcessLookupError):  # the last test has stopped it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
