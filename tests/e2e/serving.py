"""`portcast serve` in a process of its own, and waiting for conditions."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from portcast import ApiKey

PORTCAST = Path(sys.executable).parent / "portcast"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Loopback must not go through a proxy that the environment names."""


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = 10.0) -> None:
    """Return as soon as ``condition()`` is true; fail and say what was waited for after ``limit_s``."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s for {what}"
        time.sleep(0.02)


def free_ports(number: int) -> list[int]:
    """Ports that were free a moment ago, all different: held together before they are let go."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


class Serve:
    """One `portcast serve` that can be stopped and started again on the same ports."""

    def __init__(self, log: Path) -> None:
        self.http, *self.ports = free_ports(4)
        self.url = f"http://127.0.0.1:{self.http}/"
        """Where the page is, with its trailing slash."""
        self.gateway = self.url
        """Where the gateway is."""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when HTTP is answered."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env={name: value for name, value in os.environ.items() if not name.startswith("PORTCAST_")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._is_ready, f"portcast serve; it wrote:\n{self._log.read_text('utf-8', 'replace')}")

    def _command(self) -> list[str | Path]:
        listen = [argument for port in self.ports for argument in ("--listen", str(port))]
        return [PORTCAST, "serve", "--http", f"127.0.0.1:{self.http}", *listen]

    def stop(self) -> None:
        """Stop in order, and by force if that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text("utf-8", "replace")
        try:
            with DIRECT.open(f"{self.gateway}health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def send(self, data: bytes | Iterable[bytes], listener: int = 0) -> None:
        """Send pieces over one TCP connection, each as soon as it is there, and close it."""
        pieces = [data] if isinstance(data, bytes) else data
        with socket.create_connection(("127.0.0.1", self.ports[listener]), timeout=5) as device:
            device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                device.sendall(piece)

    def topic(self, listener: int = 0) -> str:
        """The topic of a listener."""
        return f"tcp/{self.ports[listener]}"

    def listeners(self) -> list[dict[str, Any]]:
        """What the API says of the listeners."""
        with DIRECT.open(f"{self.gateway}api/listeners", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["listeners"]
            return found


APP = """\
from fastapi import FastAPI
from portcast import Gateway

gateway = Gateway()
gateway.relay("tcp://127.0.0.1:{port}", topic="logs")
app = FastAPI()
app.include_router(gateway, prefix="/live/portcast")
"""


S = TypeVar("S", bound=Serve)


@contextmanager
def running(serve: S) -> Iterator[S]:
    """Start one, and stop it at the end of the block."""
    try:
        serve.start()
        yield serve
    finally:
        serve.stop()


class Embedded(Serve):
    """A gateway inside somebody's FastAPI app, under a prefix, run by plain uvicorn."""

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.url += "live/portcast/"
        self.gateway = self.url
        self._folder = log.parent
        (self._folder / "embedding_app.py").write_text(APP.format(port=self.ports[0]), "utf-8")

    def _command(self) -> list[str | Path]:
        uvicorn = [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(self.http)]
        return [*uvicorn, "--app-dir", self._folder, "embedding_app:app"]


DEVICES_APP = """\
import json
from typing import Any, TypeVar

from fastapi import FastAPI
from portcast import (
    ApiKey,
    Device,
    DeviceOptions,
    DeviceSettings,
    Gateway,
    RecorderOptions,
    RecorderSettings,
    by_field,
)

gateway = Gateway(
    devices=DeviceSettings(DeviceOptions(unknown="quarantine"), known=json.loads({known!r})),
    recorder=RecorderSettings(
        RecorderOptions(max_rate=10_000), redact=lambda frame, kind, listener: None if b"patient" in frame else frame
    ),
    keys={keys!r},
)


@gateway.listen(
    "tcp://127.0.0.1:{port}",
    identify=lambda message: message["id"],
    replies=by_field("re", refused=lambda message: message.get("no", False)),
    write=lambda command, number: json.dumps({{"ask": command, "n": number}}).encode(),
)
async def on_message(message: dict[str, Any], device: Device) -> None:
    await gateway.publish(f"readings/{{device.id}}", message)


app = FastAPI()
app.include_router(gateway, prefix="/live/portcast")
"""


class Fleet(Embedded):
    """An app whose devices speak lines of JSON, are known or quarantined, and answer commands."""

    def __init__(
        self, log: Path, known: Mapping[str, Mapping[str, str]], keys: Mapping[str, ApiKey] | None = None
    ) -> None:
        super().__init__(log)
        text = DEVICES_APP.format(port=self.ports[0], known=json.dumps(known), keys=dict(keys or {}))
        (log.parent / "embedding_app.py").write_text(text, "utf-8")

    def connect(self, device_id: str, **message: object) -> FleetDevice:
        """Connect a device, which says who it is."""
        return FleetDevice(self.ports[0], device_id, message)


class FleetDevice:
    """One device on its socket."""

    def __init__(self, port: int, device_id: str, message: Mapping[str, object]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._lines = self._socket.makefile("rb")
        self._id = device_id
        self.say(**message)

    def say(self, **message: object) -> None:
        """Send a message."""
        self._socket.sendall(json.dumps({"id": self._id, **message}).encode() + b"\n")

    def asked(self) -> dict[str, Any]:
        """The next command."""
        command: dict[str, Any] = json.loads(self._lines.readline())
        return command

    def is_closed(self) -> bool:
        """Return True if the gateway hangs up, within ten seconds."""
        return self._lines.read() == b""

    def close(self) -> None:
        """Leave."""
        self._lines.close()
        self._socket.close()


class Guarded(Serve):
    """A gateway whose configuration file says more than its ports."""

    def __init__(self, log: Path, settings: str, *arguments: str) -> None:
        super().__init__(log)
        self._file = log.parent / "gateway.toml"
        self._file.write_text(settings, "utf-8")
        self._arguments = arguments

    def _command(self) -> list[str | Path]:
        return [*super()._command(), *self._arguments, self._file]


EXAMPLE = """\
import sys
from dataclasses import replace
from importlib import import_module

import uvicorn

module = import_module(f"examples.{sys.argv[1]}")
declared = module.gateway.devices.declarations
declared[:] = [
    replace(one, config=replace(one.config, address=one.config.address.with_port(int(sys.argv[2])))) for one in declared
]
uvicorn.run(module.app, host="127.0.0.1", port=int(sys.argv[3]), ws="websockets-sansio")
"""


class Example(Serve):
    """An example as it is, on ports that are free: a page of its own, and the gateway under a prefix."""

    def __init__(self, log: Path, name: str) -> None:
        super().__init__(log)
        self.gateway = f"{self.url}portcast/"
        self._name = name

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-c", EXAMPLE, self._name, str(self.ports[0]), str(self.http)]
