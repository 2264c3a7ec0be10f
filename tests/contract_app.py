"""The application of the sink contract: a gateway, and what a test must see and do inside of the server's process."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from fastapi import FastAPI, Request, WebSocket

from portcast import Gateway, HistoryLimits, TopicOptions
from portcast.delivery import Batch
from portcast.events import Event, SubscriberClosed
from portcast.runtime import Subscriber
from portcast.web.asgi_sink import AsgiSink
from portcast.web.transport_sink import TransportSink, stock_protocol_of
from portcast.web.websocket_asgi import EXTENSION
from portcast.web.websocket_frames import frames
from portcast.web.websocket_protocol import WebSocketProtocol

notes: dict[str, list[str]] = defaultdict(list)
"""By subscriber: what `write` returned (``taken`` or ``full``), and ``drained``."""
closed: dict[str, SubscriberClosed] = {}


def _note_sinks() -> None:
    for sink in (WebSocketProtocol, TransportSink, AsgiSink):
        _note_writes(sink)
    on_drained = Subscriber.on_drained

    def noted(self: Subscriber) -> None:
        notes[self.id].append("drained")
        on_drained(self)

    Subscriber.on_drained = noted  # type: ignore[method-assign]


def _note_writes(sink: Any) -> None:
    write = sink.write

    def noted(self: Any, batch: Batch) -> bool:
        is_free: bool = write(self, batch)
        if self._owner is not None:
            notes[self._owner.id].append("taken" if is_free else "full")
        return is_free

    sink.write = noted


def _note_closed(event: Event) -> None:
    if isinstance(event, SubscriberClosed):
        closed[event.subscriber_id] = event


_note_sinks()
gateway = Gateway(
    on_event=_note_closed,
    history=HistoryLimits(publications=100_000, topic_bytes=100_000_000, total_bytes=1_000_000_000),
    topics={"stall/#": TopicOptions(patience_s=0, slow_consumer="catch_up")},
)
app = FastAPI()
app.include_router(gateway)


def _find(peer: str) -> Subscriber:
    (found,) = [one for one in gateway._running().hub.subscribers if one.peer == peer]
    return found


@app.get("/control/subscriber")
async def subscriber(peer: str) -> dict[str, Any]:
    """What is known of the subscriber at a client's address, or nothing if there is none (yet)."""
    if not any(one.peer == peer for one in gateway._running().hub.subscribers):
        return {}
    it = _find(peer)
    return {
        "id": it.id,
        "sink": type(it.sink).__name__,
        "standing": it.outbox.standing.value,
        "behind": it.outbox.behind,
        "waiting": it.outbox.waiting_messages,
        "delivered": it.outbox.delivered,
        "buffered": it.sink.buffered,
        "notes": notes[it.id],
    }


@app.get("/control/closed")
async def closed_one(id: str) -> dict[str, Any]:  # noqa: A002 - as elsewhere
    """How a subscriber ended, or nothing if it has not."""
    event = closed.get(id)
    if event is None:
        return {}
    return {
        "reason": event.reason,
        "code": event.code,
        "delivered": event.delivered,
        "dropped": event.dropped,
        "notes": notes[id],
    }


@app.post("/control/publish")
async def publish(request: Request, topic: str) -> None:
    """Publish a JSON list of texts in one tick; characters up to U+00FF of a text that begins with NUL are bytes."""
    texts = json.loads(await request.body())
    payloads = [one[1:].encode("latin-1") if one[:1] == "\0" else one.encode() for one in texts]
    gateway._running().publish_nowait(topic, payloads)


@app.post("/control/publish_each")
async def publish_each(request: Request, topic: str) -> None:
    """Publish a JSON list of texts, each by a call of its own, in one tick."""
    for text in json.loads(await request.body()):
        gateway._running().publish_nowait(topic, [text.encode()])


@app.post("/control/close")
async def close(peer: str, code: int, reason: str) -> None:
    """Close a subscriber."""
    _find(peer).close(code, reason)


@app.post("/control/abort")
async def abort(peer: str) -> None:
    """Abort a subscriber."""
    _find(peer).abort("test")


def _answer(sink: object, text: str) -> list[object]:
    """A text as what a sink writes."""
    if type(sink) is AsgiSink:
        return [{"type": "websocket.send", "text": text}]
    return [frames([text.encode()])]


@app.post("/control/mix")
async def mix(peer: str, topic: str, number: int) -> None:
    """Publish, flush and answer by turns, in one tick."""
    it, node = _find(peer), gateway._running()
    for index in range(number):
        node.publish_nowait(topic, [f"publication {index}".encode()])
        node.hub.flush()
        it.sink.write_now(_answer(it.sink, f"answer {index}"))
    node.publish_nowait(topic, [b"last"])


@app.post("/control/answer")
async def answer(peer: str, size: int, most: int) -> dict[str, int]:
    """Answer until the sink wants no more; return how often that was."""
    it = _find(peer)
    for number in range(most):
        if not it.sink.write_now(_answer(it.sink, f"{number} " + "x" * size)):
            notes[it.id].append("answered")
            return {"written": number + 1, "is_full": 1}
    return {"written": most, "is_full": 0}


@app.websocket("/interleaved")
async def interleaved(websocket: WebSocket) -> None:
    """Send by ASGI and directly by turns."""
    await websocket.accept()
    sink: Any = (websocket.scope.get("extensions") or {}).get(EXTENSION)
    if sink is None:
        stock = stock_protocol_of(websocket.scope)
        assert stock is not None
        sink = TransportSink(websocket.send, stock, farewell=lambda code, reason: {})
    for number in range(100):
        await websocket.send_text(f"asgi {number} " + "x" * 100)
        direct = [f"direct {number}.{part}".encode() for part in range(2)]
        assert sink.write(Batch([frames(direct[:1]), frames(direct[1:])], 2, 20))
    await websocket.send_text("end")
    await websocket.close(4000, "done")
