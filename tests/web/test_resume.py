from __future__ import annotations

import json

import pytest

from portcast.brokers import MemoryBroker
from portcast.publication import Run
from portcast.web.resume import Encodings

RUN = Run("a", "topic-epoch", 3, 17, 5.0, [b"x"])
SETS = [
    pytest.param(("a",), "topic-epoch:3", id="one exact topic"),
    pytest.param(("a/#",), "node-epoch:*17", id="wildcard"),
    pytest.param(("#",), "node-epoch:*17", id="all"),
    pytest.param(("a", "b"), "node-epoch:*17", id="two topics"),
    pytest.param(("a", "a"), "node-epoch:*17", id="twice the same"),
    pytest.param(("#42",), "topic-epoch:3", id="a topic that looks like a wildcard"),
]


def _encodings() -> Encodings:
    return Encodings(lambda: "node-epoch", lambda at: at + 100)


@pytest.mark.parametrize(("filters", "expected"), SETS)
def test_the_id_says_what_the_filters_can_resume_from(filters: tuple[str, ...], expected: str) -> None:
    """One topic resumes by its offset, which counts gaps exactly; several by the one order that they share."""
    encodings = _encodings()
    (message,) = encodings.websocket_json(filters).encode(RUN).items
    assert isinstance(message, dict)
    envelope = json.loads(message["text"])
    assert (envelope["id"], envelope["time"]) == (expected, 105.0)
    for encoding in (encodings.events_plain(filters), encodings.events_json(filters)):
        (body,) = encoding.encode(RUN).items
        assert isinstance(body, dict)
        assert body["body"].startswith(f"id: {expected}\n".encode())


def test_clients_of_one_kind_share_an_encoding() -> None:
    """The hub encodes once per encoding object: a thousand browsers must not cost a thousand encodings."""
    encodings = _encodings()
    for give in (encodings.websocket_json, encodings.events_plain, encodings.events_json):
        assert give(("a",)) is give(("b",))
        assert give(("#",)) is give(("a/+", "b"))
        assert give(("a",)) is not give(("#",))


@pytest.mark.parametrize("filters", [("a",), ("#",)], ids=["exact", "wildcard"])
def test_a_broker_takes_the_ids(filters: tuple[str, ...]) -> None:
    """What a client was sent as id brings exactly what followed."""
    broker = MemoryBroker()
    runs: list[Run] = []
    broker.bind(runs.append)
    encodings = Encodings(broker.node_epoch, lambda at: at)
    for number in range(5):
        broker.publish_nowait("a", [b"%d" % number], 1.0)
    (message,) = encodings.websocket_json(filters).encode(runs[2]).items
    assert isinstance(message, dict)
    recovery = broker.recover(filters, json.loads(message["text"])["id"], 100, 2.0)
    assert ([one.data for one in recovery.publications], recovery.missed) == ([b"3", b"4"], 0)
