"""What `soak.py` wears out: a gateway under our own runner, with short deadlines and a page that tells what it holds.

``python soak_app.py LOOP`` prints the port of HTTP and those of its three listeners.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import psutil
import uvicorn
from fastapi import FastAPI

from portcast import Connection, Gateway, OutboxLimits, server
from portcast.address import Address
from portcast.config import HttpOptions, LogOptions
from portcast.history import HistoryLimits
from portcast.observability import configure_logging

DEADLINE_S = 2.0
"""Of a first frame, a request, and a client that takes nothing."""

_HTTP = HttpOptions(request_timeout_s=DEADLINE_S, write_timeout_s=DEADLINE_S)
gateway = Gateway(
    outbox=OutboxLimits(hard_age_s=DEADLINE_S), history=HistoryLimits(publications=200, topic_bytes=1 << 20), http=_HTTP
)
gateway.relay("tcp://127.0.0.1:0?topic=t&patience=0")
gateway.relay(f"tcp://127.0.0.1:0?topic=bad&patience=0&max_frame=4096&first_frame_timeout={DEADLINE_S}")


@gateway.listen(f"tcp://127.0.0.1:0?max_frame=4096&first_frame_timeout={DEADLINE_S}")
async def answer(line: str, connection: Connection) -> None:
    """Give every line back."""
    await connection.send(line.encode())


app = FastAPI()
app.include_router(gateway)


@app.get("/soak")
async def held() -> dict[str, int]:
    """Count what this process holds, once what is garbage is gone."""
    gc.collect()
    process = psutil.Process()
    return {
        "descriptors": process.num_fds(),
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
        "memory": process.memory_info().rss,
    }


def main(loop: str) -> None:
    """Serve as ``portcast serve`` does, on a given loop."""
    configure_logging(LogOptions())
    config_of = server.server_config

    def on_loop(*arguments: Any) -> uvicorn.Config:
        config = config_of(*arguments)
        config.loop = loop
        return config

    server.server_config = on_loop  # type: ignore[assignment]  # whatever its arguments are
    server.serve(
        app,
        gateway,
        http=Address("tcp", "127.0.0.1", 0),
        options=_HTTP,
        on_ready=lambda address: print(address.port, *(one.address.port for one in gateway.listeners), flush=True),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
