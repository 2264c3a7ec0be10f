"""The tutorial's application, as a reader of the tutorial would type it in.

Its faults are kept on purpose: reads are taken for messages, browsers are served one after the other, nothing is
bounded. Only two things differ from the article: the ports can be chosen by the system, so that a benchmark does not
collide with what runs on this machine, and only loopback is bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket

HOST = "127.0.0.1"


class WebSocketManager:
    """The list of browsers."""

    def __init__(self) -> None:
        self.connections: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.connections.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        if websocket in self.connections:
            self.connections.remove(websocket)

    async def broadcast(self, data: str) -> None:
        broken = []
        for connection in self.connections:
            try:
                await connection.send_text(data)
            except Exception:
                broken.append(connection)
        for connection in broken:
            self.disconnect(connection)


manager = WebSocketManager()


async def handle_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one device."""
    try:
        while True:
            data = await reader.read(1024)
            if not data:
                break
            await manager.broadcast(data.decode("utf-8"))
    except Exception as error:
        print(f"device: {error}", flush=True)
    finally:
        writer.close()


HandleClient = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def run_server(ports: list[int], index: int, handle: HandleClient) -> None:
    """Serve the devices of one port until cancelled; the port that the system chose replaces 0 in ``ports``."""
    server = await asyncio.start_server(handle, HOST, ports[index])
    ports[index] = server.sockets[0].getsockname()[1]
    async with server:
        await server.serve_forever()


def make_app(ports: list[int], handle: HandleClient = handle_client) -> FastAPI:
    """Return the application with one TCP server per port."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(run_server(ports, index, handle)) for index in range(len(ports))]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/ws")
    async def websocket_endpoint(websocket: WebSocket) -> None:
        await manager.connect(websocket)
        try:
            while True:
                await websocket.receive_text()
        except Exception:
            manager.disconnect(websocket)

    return app
