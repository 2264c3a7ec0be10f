"""A server to be measured, in a process of its own: ``python -m benchmarks.serve NAME``.

Prints one line of JSON when it accepts: its HTTP port, its device ports and what it is made of. Ends with SIGTERM, and
by itself when its standard input is closed, so that nothing is left behind when the benchmark is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from typing import NoReturn

import uvicorn

from benchmarks import portcast_apps, tutorial_app, tutorial_mended
from portcast import server
from portcast.config import Address

PORTS = 3
"""As many as the tutorial has; ours has one listener, as devices of one kind need no more."""


def end_with_parent() -> None:
    """End this process when standard input is closed."""

    def watch() -> NoReturn:
        while sys.stdin.buffer.read(1024):
            pass
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def ready(http: int, devices: list[int], websocket: str) -> None:
    loop = type(asyncio.get_running_loop())
    facts = {
        "http": http,
        "devices": devices,
        "loop": f"{loop.__module__.partition('.')[0]}.{loop.__name__}",
        "websocket": websocket,
    }
    print(json.dumps(facts), flush=True)


def serve_portcast(name: str) -> int:
    """Run one of ours under `portcast.server`, which is what ``portcast serve`` uses."""
    gateway = portcast_apps.GATEWAYS[name]()
    return server.serve(
        portcast_apps.make_app(gateway),
        gateway,
        http=Address("tcp", "127.0.0.1", 0),
        drain_timeout_s=2.0,
        on_ready=lambda http: ready(
            http.port, [listener.address.port for listener in gateway.listeners], "websockets-sansio"
        ),
    )


class TellingServer(uvicorn.Server):
    """A plain uvicorn server that tells where it listens."""

    def __init__(self, config: uvicorn.Config, http: int, devices: list[int]) -> None:
        super().__init__(config)
        self._http = http
        self._devices = devices

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        while 0 in self._devices:  # noqa: ASYNC110 - the tutorial does not wait for its servers before it serves HTTP
            await asyncio.sleep(0.01)
        kind = self.config.ws_protocol_class
        ready(self._http, self._devices, f"{kind.__module__}.{kind.__name__}" if kind else "none")


def serve_tutorial(name: str) -> int:
    """Run the tutorial, as written or mended, under uvicorn as ``uvicorn --loop uvloop --no-access-log`` does."""
    ports = [0] * PORTS
    handle = tutorial_mended.HANDLERS.get(name, tutorial_app.handle_client)
    app = tutorial_app.make_app(ports, handle)

    @app.get("/handled")
    async def handled() -> dict[str, int]:
        return {"messages": tutorial_mended.counted} if name.startswith("typed") else {}

    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, loop="uvloop", access_log=False, log_level="warning", timeout_graceful_shutdown=1, lifespan="on"
        )
        TellingServer(config, bound.getsockname()[1], ports).run(sockets=[bound])
    return 0


def main(name: str) -> int:
    end_with_parent()
    kind, _, variant = name.partition(":")
    return serve_portcast(variant) if kind == "portcast" else serve_tutorial(variant)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
