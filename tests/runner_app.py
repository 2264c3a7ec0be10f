"""Our own runner with an application that notes when clients stopped reading and when they were gone.

``python runner_app.py LOOP [CERTIFICATE KEY]`` prints the ports of HTTP and of the device listener when it is ready.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

from portcast import Gateway, OutboxLimits, server
from portcast.address import Address
from portcast.config import HttpOptions, TlsOptions
from portcast.delivery import Batch
from portcast.events import Event, SubscriberClosed
from portcast.http_entrance import HttpEntrance
from portcast.http_tls import HttpTls
from portcast.runtime import Subscriber
from portcast.web.websocket_protocol import WebSocketProtocol

DEADLINE_S = 2.0
"""For a client that takes nothing."""

stalled_since: dict[str, float] = {}
"""By subscriber: when its sink first took no more."""
gone: dict[str, dict[str, Any]] = {}
"""By subscriber: how it ended, and how many seconds after it stopped taking its socket was closed."""


class Watched(WebSocketProtocol):
    """Notes both moments."""

    __slots__ = ("subscriber",)

    def bind(self, owner: Any) -> None:
        """See `WebSocketProtocol`."""
        self.subscriber: Subscriber = owner
        super().bind(owner)

    def write(self, batch: Batch) -> bool:
        """See `WebSocketProtocol`."""
        is_free = super().write(batch)
        if not is_free:
            stalled_since.setdefault(self.subscriber.id, asyncio.get_running_loop().time())
        return is_free

    def resume_writing(self) -> None:
        """See `WebSocketProtocol`."""
        stalled_since.pop(self.subscriber.id, None)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `WebSocketProtocol`."""
        super().connection_lost(exc)
        if hasattr(self, "subscriber") and self.subscriber.id in stalled_since:
            one = gone[self.subscriber.id]
            one["after_s"] = asyncio.get_running_loop().time() - stalled_since[self.subscriber.id]


def note(event: Event) -> None:
    """Keep how subscribers ended."""
    if isinstance(event, SubscriberClosed):
        gone[event.subscriber_id] = {
            "reason": event.reason,
            "delivered": event.delivered,
            "dropped": event.dropped,
            "published": gateway._running().broker.position("t").offset,
        }


gateway = Gateway(outbox=OutboxLimits(hard_age_s=DEADLINE_S), on_event=note)
gateway.relay("tcp://127.0.0.1:0?topic=t&patience=0")
app = FastAPI()
app.include_router(gateway)


@app.get("/gone")
async def show() -> dict[str, dict[str, Any]]:
    """Those that are gone."""
    return gone


def main(loop: str, certificate: str = "", key: str = "") -> None:
    """Serve as ``portcast serve`` does, on a given loop and with TLS if there is a certificate."""
    config_of = server.server_config

    def changed(app: server.AsgiApp, options: HttpOptions, entrance: HttpEntrance | None = None) -> uvicorn.Config:
        config = config_of(app, options, entrance)
        config.loop, config.ws = loop, Watched
        return config

    server.server_config = changed
    server.serve(
        app,
        gateway,
        http=Address("tcp", "127.0.0.1", 0),
        tls=HttpTls(TlsOptions(cert=(certificate,), cert_key=(key,)), gateway.emit) if certificate else None,
        emit=gateway.emit,
        on_ready=lambda address: print(address.port, gateway.listeners[0].address.port, flush=True),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
