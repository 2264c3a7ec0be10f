"""Our servers, each the shortest app that does the job, as a user would write it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from fastapi import Depends, FastAPI

from benchmarks.reading import Reading
from portcast.gateway import Gateway
from portcast.runtime import Connection

DEVICES = "tcp://127.0.0.1:0"


class Counter:
    """What the handlers' dependency is: something that the whole app shares."""

    def __init__(self) -> None:
        self.messages = 0


counter = Counter()


def get_counter() -> Counter:
    return counter


async def open_counter() -> AsyncIterator[Counter]:
    """Stand for a database session: opened before each message and closed after it."""
    yield counter


def relay() -> Gateway:
    """Lines go to one topic; a slow subscriber is treated as by default."""
    gateway = Gateway()
    gateway.relay(DEVICES, topic="lines")
    return gateway


def typed() -> Gateway:
    """Lines are readings; a handler with one dependency counts them."""
    gateway = Gateway()

    @gateway.listen(DEVICES)
    async def on_reading(reading: Reading, connection: Connection, total: Counter = Depends(get_counter)) -> None:
        total.messages += 1

    return gateway


def typed_yield() -> Gateway:
    """As `typed`, with a dependency that is opened and closed around each message."""
    gateway = Gateway()

    @gateway.listen(DEVICES)
    async def on_reading(reading: Reading, connection: Connection, total: Counter = Depends(open_counter)) -> None:
        total.messages += 1

    return gateway


def typed_publish() -> Gateway:
    """As `typed`, and the handler publishes each reading to a topic of its sensor."""
    gateway = Gateway()

    @gateway.listen(DEVICES)
    async def on_reading(reading: Reading, connection: Connection, total: Counter = Depends(get_counter)) -> None:
        await gateway.publish(f"sensors/{reading.sensor}", reading)
        total.messages += 1

    return gateway


GATEWAYS: dict[str, Callable[[], Gateway]] = {
    "relay": relay,
    "typed": typed,
    "typed-yield": typed_yield,
    "typed-publish": typed_publish,
}


def make_app(gateway: Gateway) -> FastAPI:
    """Return an app with the gateway, and a route that tells how much it has handled."""
    app = FastAPI()
    app.include_router(gateway)

    @app.get("/handled")
    async def handled() -> dict[str, int]:
        frames = sum(listener.statistics().frames for listener in gateway.listeners)
        return {"frames": frames, "messages": counter.messages}

    return app
