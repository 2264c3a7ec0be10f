from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.delivery import Batch, Encoding
from portcast.publication import Meta, Publication, Run
from portcast.web.encodings import (
    EventsJson,
    EventsPlain,
    WebSocketJson,
    WebSocketPlain,
    event,
)

BAD = b"\xff\x00"
"""Not UTF-8."""


def _id(one: Publication) -> str:
    return f"{one.epoch}:{one.offset}"


def _unix(at: float) -> float:
    return 1000 + at


ALL: list[Encoding] = [
    WebSocketPlain(),
    WebSocketJson(_id, _unix),
    EventsPlain(_id),
    EventsJson(_id, _unix),
]
every_encoding = pytest.mark.parametrize("encoding", ALL, ids=lambda one: type(one).__name__)


def run_of(*payloads: bytes) -> Run:
    return Run("a/b", "ep", 7, 40, 1.23456, list(payloads))


def events_in(text: str) -> list[dict[str, str]]:
    """Parse as a browser does (HTML standard, section 9.2.6)."""
    found: list[dict[str, str]] = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                found.append(fields)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
    return found


def body_of(batch: Batch) -> str:
    (item,) = batch.items
    assert isinstance(item, dict)
    assert item["type"] == "http.response.body"
    assert item["more_body"] is True
    text: str = item["body"].decode()
    return text


@every_encoding
def test_a_batch_counts_publications_and_payload_bytes(encoding: Encoding) -> None:
    """The outbox keeps its ledger and its limits by these numbers, whatever the envelope adds."""
    batch = encoding.encode(run_of(b"one", BAD, b""))
    assert (batch.messages, batch.size) == (3, 5)
    assert len(batch.items) in (1, 3)


@every_encoding
def test_a_gap_counts_as_no_publication(encoding: Encoding) -> None:
    """It is a notice; counted, delivered and published would not agree."""
    batch = encoding.gap(3, True)
    assert batch is None or (batch.messages, batch.size, len(batch.items)) == (0, 0, 1)


@every_encoding
def test_joined_batches_are_the_items_in_order(encoding: Encoding) -> None:
    """Several runs of one tick are one write; the ledger counts all of them."""
    runs = [run_of(b"one", BAD), run_of(b"two")]
    batches = [encoding.encode(run) for run in runs]
    both = encoding.join(batches)
    assert list(both.items) == [item for batch in batches for item in batch.items]
    assert (both.messages, both.size) == (3, 8)
    assert encoding.join(batches[:1]) is batches[0], "one alone is not copied"


def test_plain_websocket_messages_are_the_payloads() -> None:
    """Text if it is UTF-8, otherwise binary, byte for byte; the empty payload is an empty text message."""
    batch = WebSocketPlain().encode(run_of("grüße".encode(), BAD, b"", b"\xed\xa0\x80"))
    assert batch.items == [
        {"type": "websocket.send", "text": "grüße"},
        {"type": "websocket.send", "bytes": BAD},
        {"type": "websocket.send", "text": ""},
        {"type": "websocket.send", "bytes": b"\xed\xa0\x80"},  # a surrogate is not UTF-8 (RFC 3629 §3)
    ]


def test_a_plain_websocket_cannot_tell_of_a_gap() -> None:
    """There is no message that could not be a payload."""
    assert WebSocketPlain().gap(1, True) is None


def _envelopes(encoding: WebSocketJson | EventsJson, *payloads: bytes) -> list[dict[str, Any]]:
    return _envelopes_of(encoding, run_of(*payloads))


def _envelopes_of(encoding: WebSocketJson | EventsJson, run: Run) -> list[dict[str, Any]]:
    batch = encoding.encode(run)
    if isinstance(encoding, EventsJson):
        return [json.loads(one["data"]) for one in events_in(body_of(batch))]
    return [json.loads(item["text"]) for item in batch.items]  # type: ignore[index]


@pytest.mark.parametrize("encoding", [ALL[1], ALL[3]], ids=["websocket", "events"])
def test_envelopes(encoding: WebSocketJson | EventsJson) -> None:
    """Topic, position, resume id, Unix time, and the payload as text or else as Base64."""
    head = {"topic": "a/b", "epoch": "ep", "time": 1001.235}
    assert _envelopes(encoding, b'a "b"\n', BAD) == [
        {**head, "offset": 7, "id": "ep:7", "data": 'a "b"\n'},
        {**head, "offset": 8, "id": "ep:8", "base64": "/wA="},
    ]


def test_json_websocket_gap() -> None:
    """A gap is never silent."""
    batch = WebSocketJson(_id, _unix).gap(3, False)
    assert batch is not None
    assert batch.items == [{"type": "websocket.send", "text": '{"gap":{"missed":3,"exact":false}}'}]


def test_plain_events() -> None:
    """The payload is the data, the id is where to resume; what is not UTF-8 is an event of another name."""
    events = events_in(body_of(EventsPlain(_id).encode(run_of("grüße".encode(), BAD))))
    assert events == [
        {"id": "ep:7", "data": "grüße"},
        {"id": "ep:8", "event": "binary", "data": "/wA="},
    ]
    assert b64decode(events[1]["data"]) == BAD


def test_json_events_have_ids() -> None:
    """A browser resumes by the event's id, not by what is in its data."""
    events = events_in(body_of(EventsJson(_id, _unix).encode(run_of(b"x", b"y"))))
    assert [one["id"] for one in events] == ["ep:7", "ep:8"]


@pytest.mark.parametrize("encoding", ALL[2:], ids=lambda one: type(one).__name__)
def test_events_gap(encoding: EventsPlain | EventsJson) -> None:
    """An event of its own name and without an id, so that it does not move the place to resume from."""
    batch = encoding.gap(2, True)
    assert batch is not None
    assert events_in(body_of(batch)) == [{"event": "gap", "data": '{"missed":2,"exact":true}'}]


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        ("", ""),
        ("a\nb", "a\nb"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\n\nid: 9\nevent: gap", "a\n\nid: 9\nevent: gap"),
        (": not a comment", ": not a comment"),
        ("  spaces", "  spaces"),
        ("u\u2028v\x0bw\x85", "u\u2028v\x0bw\x85"),
    ],
)
def test_data_cannot_leave_its_event(data: str, seen: str) -> None:
    """Whatever a device sends, it cannot end the event or set its id or name; line ends become LF."""
    assert events_in(event(data, event_id="1")) == [{"id": "1", "data": seen}]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_survives_as_events(payloads: list[str]) -> None:
    """Any text arrives, with its line ends made LF, as the format prescribes."""
    if not payloads:
        return
    events = events_in(body_of(EventsPlain(_id).encode(run_of(*(one.encode() for one in payloads)))))
    assert [one["data"] for one in events] == [one.replace("\r\n", "\n").replace("\r", "\n") for one in payloads]
    assert [one["id"] for one in events] == [f"ep:{7 + i}" for i in range(len(payloads))]


@given(st.lists(st.binary(), min_size=1))
def test_any_bytes_survive_in_envelopes(payloads: list[bytes]) -> None:
    """Any bytes arrive exactly, as text or as Base64."""
    for encoding in (ALL[1], ALL[3]):
        assert isinstance(encoding, (WebSocketJson, EventsJson))
        envelopes = _envelopes(encoding, *payloads)
        got = [one["data"].encode() if "data" in one else b64decode(one["base64"]) for one in envelopes]
        assert got == payloads


@pytest.mark.parametrize(
    ("meta", "tags"), [(None, None), (Meta(user="ada"), None), (Meta({"unit": "°C"}), {"unit": "°C"})]
)
def test_an_envelope_has_tags_if_there_are_any(meta: Meta | None, tags: dict[str, str] | None) -> None:
    """Clients that know no tags see what they always saw; who published is not shown here."""
    run = Run("a/b", "ep", 7, 40, 1.0, [b"one", BAD], meta)
    envelopes = [*_envelopes_of(WebSocketJson(_id, _unix), run), *_envelopes_of(EventsJson(_id, _unix), run)]
    assert len(envelopes) == 4
    assert [one.get("tags") for one in envelopes] == [tags] * 4
    assert "ada" not in str(envelopes)
