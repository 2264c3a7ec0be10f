"""What the tests of devices share: a gateway whose devices speak lines of JSON, and what it published of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from gateway_serving import running
from portcast import Connection, DeviceOptions, DeviceSettings, Gateway
from portcast.events import ConnectionClosed, Event, FrameRejected, HandlerFailed
from portcast.runtime import Surroundings, surroundings
from runtime_kit import Device as Socket
from runtime_kit import eventually

LOCAL = "tcp://127.0.0.1:0"


def id_of(message: dict[str, Any]) -> str | None:
    """The field ``id``."""
    found: str | None = message.get("id")
    return found


def history(gateway: Gateway, topic: str) -> list[Any]:
    """What was published on a topic, as JSON."""
    node = gateway._running()
    found = node.broker.history(topic, since=None, limit=100, is_reverse=False, now=node.now())
    return [json.loads(one.data) for one in found]


@dataclass
class Fleet:
    """A running gateway, and sockets of devices that come and go."""

    gateway: Gateway
    app: FastAPI
    events: list[Event]
    seen: list[tuple[str | None, dict[str, Any]]]
    sockets: list[Socket] = field(default_factory=list)

    async def connect(self, *messages: dict[str, Any], listener: int = 0) -> Socket:
        """Connect a device, which says this."""
        device = await Socket.connect(self.gateway.listeners[listener].address)
        self.sockets.append(device)
        await say(device, *messages)
        return device

    async def heard(self, number: int) -> None:
        """Wait until so many messages were handled, altogether."""
        await eventually(lambda: len(self.seen) >= number, f"{number} messages; there are {self.seen}")

    async def ended(self, number: int) -> list[ConnectionClosed]:
        """Wait until so many connections have ended, and return how."""
        await eventually(lambda: len(self.of(ConnectionClosed)) >= number, "ends of connections")
        return self.of(ConnectionClosed)

    def of(self, kind: type[Any]) -> list[Any]:
        """Events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def statuses(self, device_id: str) -> list[str]:
        """The status that is retained."""
        return [one["status"] for one in history(self.gateway, f"$devices/{device_id}/status")]

    async def status(self, device_id: str, expected: str) -> None:
        """Wait until a device has this status."""
        await eventually(
            lambda: self.statuses(device_id) == [expected], f"{expected}; it is {self.statuses(device_id)}"
        )

    @property
    def failed(self) -> list[str]:
        """What handlers raised, and codecs refused."""
        refused = [one.detail for one in self.of(FrameRejected)]
        return refused + [str(one.error) for one in self.of(HandlerFailed)]


async def say(device: Socket, *messages: dict[str, Any]) -> None:
    """Send messages, each on a line."""
    for message in messages:
        await device.send(json.dumps(message).encode() + b"\n")


async def line(device: Socket) -> bytes:
    """Return the next line that the gateway sends, without its end."""
    data = b""
    while not data.endswith(b"\n"):
        data += await device.receive(1)
    return data[:-1]


@asynccontextmanager
async def fleet(settings: DeviceSettings | None = None, **options: Any) -> AsyncIterator[Fleet]:
    """Run a gateway whose handler keeps what it gets.

    Args:
        settings: of all devices.
        **options: of `listen`, and of `DeviceOptions`; ``work`` is awaited by the handler and gives its result, and the
            first command of each device has the number ``first_number``, 1.
    """
    own = {name: options.pop(name) for name in ("takeover", "unknown") if name in options}
    settings = settings or DeviceSettings(DeviceOptions(**own))
    events: list[Event] = []
    seen: list[tuple[str | None, dict[str, Any]]] = []
    gateway = Gateway(devices=settings, on_event=events.append)
    work, first_number = options.pop("work", None), options.pop("first_number", 1)
    options = {"identify": id_of, **options}

    @gateway.listen(LOCAL, **options)
    async def on_message(message: dict[str, Any], connection: Connection) -> object:
        seen.append((connection.device.id if connection.device is not None else None, message))
        return await work(message, connection) if work is not None else None

    token = surroundings.set(Surroundings(first_number=lambda: first_number))
    try:
        start = running(gateway)
        app = await start.__aenter__()
    finally:
        surroundings.reset(token)
    try:
        it = Fleet(gateway, app, events, seen)
        try:
            yield it
        finally:
            for device in it.sockets:
                device.close()
    finally:
        await start.__aexit__(None, None, None)
