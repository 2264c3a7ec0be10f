"""A gateway whose handler takes nothing until it is told to; prints the port of HTTP and its device ports.

``python memory_app.py ADDRESS_SPACE CGROUP DESCRIPTORS``: ``RLIMIT_AS`` in bytes, 0 for none; a folder of a
control group that it joins, ``-`` for none; ``RLIMIT_NOFILE``, 0 for that of the test.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

if sys.argv[2] != "-":
    # Before anything is imported: pages that it has already would not be counted there.
    Path(sys.argv[2], "cgroup.procs").write_text(str(os.getpid()))

from fastapi import FastAPI

from portcast import Gateway, server
from portcast.address import Address
from portcast.config import LogOptions
from portcast.observability import configure_logging

gateway = Gateway()
gateway.relay("tcp://127.0.0.1:0?topic=bulk&patience=0")
is_free = asyncio.Event()
handled = 0


@gateway.listen("tcp://127.0.0.1:0")
async def on_line(line: bytes) -> None:
    """Wait until told."""
    global handled
    await is_free.wait()
    handled += 1


app = FastAPI()
app.include_router(gateway)


@app.post("/free")
async def free() -> None:
    """Let the handler go."""
    is_free.set()


@app.get("/handled")
async def tell() -> int:
    """How many messages were handled."""
    return handled


def ready(address: Address) -> None:
    """Tell the test."""
    print(address.port, *(one.address.port for one in gateway.listeners), flush=True)


if __name__ == "__main__":
    if int(sys.argv[1]):
        resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
    if int(sys.argv[3]):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[3]),) * 2)
    configure_logging(LogOptions())
    http = Address("tcp", "127.0.0.1", 0)
    sys.exit(server.serve(app, gateway, http=http, emit=gateway.emit, drain_timeout_s=2.0, on_ready=ready))
