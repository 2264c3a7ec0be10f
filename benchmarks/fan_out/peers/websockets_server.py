"""``websockets.broadcast``: lines in over TCP, a WebSocket message each. ``python -m … HTTP_PORT TCP_PORT``.

One process on uvloop. No pings and no compression, as nobody asks for it; the lines are split by the protocol's own
``split``, which is cheaper than a stream's ``readline``.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

clients: set[ServerConnection] = set()


class Lines(asyncio.Protocol):
    """One device."""

    def __init__(self) -> None:
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            broadcast(clients, line.decode())


async def subscriber(connection: ServerConnection) -> None:
    clients.add(connection)
    try:
        await connection.wait_closed()
    finally:
        clients.discard(connection)


async def main(http: int, devices: int) -> None:
    await asyncio.get_running_loop().create_server(Lines, "127.0.0.1", devices, backlog=1024)
    async with serve(subscriber, "127.0.0.1", http, compression=None, ping_interval=None, backlog=1024) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
