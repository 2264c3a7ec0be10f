from __future__ import annotations

import json
from typing import get_args

import pytest

from portcast.brokers import MemoryBroker
from portcast.delivery import Encoding
from portcast.publication import Run
from portcast.web.resume import Encodings, EnvelopesOf, Form

FORMS = get_args(Form)

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
    (message,) = encodings.websocket(filters, "messages", is_json=True).encode(RUN).items
    assert isinstance(message, dict)
    envelope = json.loads(message["text"])
    assert (envelope["id"], envelope["time"]) == (expected, 105.0)
    (frame,) = encodings.websocket(filters, "frames", is_json=True).encode(RUN).items
    assert isinstance(frame, bytes)
    assert json.loads(frame[2:]) == envelope
    for is_json in (False, True):
        (body,) = encodings.events(filters, is_json=is_json).encode(RUN).items
        assert isinstance(body, dict)
        assert body["body"].startswith(f"id: {expected}\n".encode())


def test_clients_of_one_kind_share_an_encoding() -> None:
    """The hub encodes once per encoding object: a thousand browsers must not cost a thousand encodings."""
    encodings = _encodings()

    def kinds(filters: tuple[str, ...]) -> list[Encoding]:
        return [
            *(encodings.websocket(filters, form, is_json=True) for form in FORMS),
            *(encodings.events(filters, is_json=is_json) for is_json in (False, True)),
        ]

    exact, several = kinds(("a",)), kinds(("#",))
    assert list(map(id, exact)) == list(map(id, kinds(("b",))))
    assert list(map(id, several)) == list(map(id, kinds(("a/+", "b"))))
    assert len({*map(id, exact), *map(id, several)}) == 10, "what differs in ids or form differs in its encoding"


@pytest.mark.parametrize("form", FORMS)
def test_plain_clients_share_whatever_their_filters(form: Form) -> None:
    """There is no id in a bare payload."""
    encodings = _encodings()
    plain = [encodings.websocket(filters, form, is_json=False) for filters in (("a",), ("#",), ("a", "b"))]
    assert plain[0] is plain[1] is plain[2]


@pytest.mark.parametrize(("form", "first"), [("frames", 0x81), ("deflated", 0xC1)])
def test_the_form_is_what_the_sink_takes(form: Form, first: int) -> None:
    """RSV1 (0x40) goes to those alone who negotiated permessage-deflate."""
    run = Run("a", "e", 1, 1, 0.0, [b"x" * 100])
    encodings = _encodings()
    (item,) = encodings.websocket(("a",), form, is_json=False).encode(run).items
    assert isinstance(item, bytes)
    assert item[0] == first
    assert encodings.websocket(("a",), "messages", is_json=False).encode(run).items == [
        {"type": "websocket.send", "text": "x" * 100}
    ]


@pytest.mark.parametrize("filters", [("a",), ("#",)], ids=["exact", "wildcard"])
def test_a_broker_takes_the_ids(filters: tuple[str, ...]) -> None:
    """What a client was sent as id brings exactly what followed."""
    broker = MemoryBroker()
    runs: list[Run] = []
    broker.bind(runs.append)
    encodings = Encodings(broker.node_epoch, lambda at: at)
    for number in range(5):
        broker.publish_nowait("a", [b"%d" % number], 1.0)
    (message,) = encodings.websocket(filters, "messages", is_json=True).encode(runs[2]).items
    assert isinstance(message, dict)
    recovery = broker.recover(filters, json.loads(message["text"])["id"], 100, 2.0)
    assert ([one.data for one in recovery.publications], recovery.missed) == ([b"3", b"4"], 0)


@pytest.mark.parametrize(("filters", "expected"), SETS)
def test_envelopes_alone_have_the_same_ids(filters: tuple[str, ...], expected: str) -> None:
    """For SDK clients and history over HTTP."""
    (text,) = EnvelopesOf(lambda: "node-epoch", lambda at: at + 100).of(filters).of(RUN)
    assert json.loads(text) == {
        **{"topic": "a", "epoch": "topic-epoch", "offset": 3},
        **{"id": expected, "time": 105.0, "data": "x"},
    }
