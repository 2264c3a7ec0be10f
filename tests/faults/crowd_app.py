"""What ``portcast serve`` runs, with a handler that cannot be cancelled; prints the port of HTTP and its device ports.

``python crowd_app.py LOOP DRAIN_S``
"""

from __future__ import annotations

import asyncio
import sys
import threading

from fastapi import FastAPI

from portcast import Gateway, GatewayOptions, server
from portcast.address import Address
from portcast.config import LogOptions
from portcast.observability import configure_logging
from portcast.process_end import exit_process

LOOP, DRAIN_S = sys.argv[1], float(sys.argv[2])

gateway = Gateway(options=GatewayOptions(drain_timeout_s=DRAIN_S))
gateway.relay("tcp://127.0.0.1:0?topic=t")
gateway.relay("tcp://127.0.0.1:0?topic=bulk&patience=0")


@gateway.listen("tcp://127.0.0.1:0")
async def never(line: str) -> None:
    """Swallow every cancellation."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


app = FastAPI()
app.include_router(gateway)


def ready(address: Address) -> None:
    """Tell the test."""
    print(address.port, *(one.address.port for one in gateway.listeners), flush=True)


if __name__ == "__main__":
    configure_logging(LogOptions())
    config_of = server.server_config

    def on_loop(*arguments: object) -> object:
        config = config_of(*arguments)  # type: ignore[arg-type]
        config.loop = LOOP
        return config

    server.server_config = on_loop  # type: ignore[assignment]
    status = server.serve(
        app, gateway, http=Address("tcp", "127.0.0.1", 0), drain_timeout_s=DRAIN_S, on_ready=ready, ends_process=True
    )
    assert threading.current_thread() is threading.main_thread()
    exit_process(status)
