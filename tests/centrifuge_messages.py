"""Random commands and replies, made from the tables of `portcast.centrifuge.schema`, and what they should look like."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import strategies as st

from portcast.centrifuge import client_pb2 as pb
from portcast.centrifuge import messages as m
from portcast.centrifuge.schema import BODIES, EVENTS, FIELDS, REQUESTS, Field, Kind

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DATA = st.sampled_from(
    [b"", b"null", b"0", b"1e400", b'{"a":[1.10,"\xc3\xa9"]}', b'"\\ud800"', b"123456789012345678901"]
)


def _values(field: Field) -> st.SearchStrategy[Any]:
    match field.kind:
        case Kind.STRING:
            return TEXT
        case Kind.BOOL:
            return st.booleans()
        case Kind.INT:
            return st.just(0) | st.integers(field.width.low, field.width.high)
        case Kind.BYTES:
            return DATA
        case Kind.STRINGS:
            return st.lists(TEXT, max_size=3).map(tuple)
        case Kind.STRING_MAP:
            return st.dictionaries(TEXT, TEXT, max_size=3)
    assert field.message is not None
    inner = of(field.message)
    if field.kind is Kind.MESSAGES:
        return st.lists(inner, max_size=2).map(tuple)
    if field.kind is Kind.MESSAGE_MAP:
        return st.dictionaries(TEXT, inner, max_size=2)
    return inner if field.name == "info" else st.none() | inner


_MADE: dict[type, st.SearchStrategy[Any]] = {}


def of(kind: type) -> st.SearchStrategy[Any]:
    """Return messages of one class."""
    if kind not in _MADE:
        _MADE[kind] = st.deferred(lambda: st.builds(kind, **{one.name: _values(one) for one in FIELDS[kind]}))
    return _MADE[kind]


COMMANDS = st.builds(
    m.Command, st.integers(0, 2**32 - 1), st.none() | st.one_of([of(kind) for kind in REQUESTS.values()])
)
_PUSHES = st.builds(m.Push, st.one_of([of(kind) for kind in EVENTS]), TEXT)
REPLIES = st.builds(
    m.Reply,
    st.integers(0, 2**32 - 1),
    st.none() | _PUSHES | st.one_of([of(kind) for kind in BODIES if kind is not m.Push]),
)


def plain(message: object) -> Any:
    """Return a message as JSON's values with raw bytes in it, without what has its default."""
    if isinstance(message, m.Command):
        fields = {name: message.request for name, kind in REQUESTS.items() if type(message.request) is kind}
        return _without_defaults({"id": message.id}) | {name: plain(one) for name, one in fields.items()}
    if isinstance(message, m.Reply):
        body = {} if message.body is None else {BODIES[type(message.body)]: plain(message.body)}
        return _without_defaults({"id": message.id}) | body
    if isinstance(message, m.Push):
        return _without_defaults({"channel": message.channel}) | {EVENTS[type(message.event)]: plain(message.event)}
    if type(message) in FIELDS:
        return {
            field.name: plain(value)
            for field in FIELDS[type(message)]
            if (value := getattr(message, field.name)) not in (None, "", 0, b"", (), {})
        }
    if isinstance(message, Mapping):
        return {key: plain(value) for key, value in message.items()}
    return [plain(one) for one in message] if isinstance(message, tuple) else message


def _without_defaults(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def embedded(value: Any) -> Any:
    """Return `plain` values as JSON clients see them: bytes are the JSON that they hold."""
    if isinstance(value, bytes):
        return json.loads(value)
    if isinstance(value, dict):
        return {key: embedded(one) for key, one in value.items()}
    return [embedded(one) for one in value] if isinstance(value, list) else value


def as_json(value: Any) -> str:
    """Return `plain` values as JSON, by hand: bytes are embedded as they are."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{as_json(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    return json.dumps(value)


def as_protobuf(command: m.Command) -> pb.Command:
    """Return a command as a message, made by Protobuf's own reader of JSON."""
    return json_format.ParseDict(_base64(plain(command)), pb.Command())


def _base64(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, dict):
        return {key: _base64(one) for key, one in value.items()}
    return [_base64(one) for one in value] if isinstance(value, list) else value


def from_protobuf(message: Message) -> Any:
    """Return a message as `plain` does."""
    return {descriptor.name: _from_field(value) for descriptor, value in message.ListFields()}


def _from_field(value: Any) -> Any:
    if isinstance(value, Message):
        return from_protobuf(value)
    if isinstance(value, str | bytes | int):
        return value
    if hasattr(value, "keys"):
        return {key: _from_field(value[key]) for key in value}
    return [_from_field(one) for one in value]


def delimited(*messages: Message) -> bytes:
    """Return messages as a frame, by Protobuf's own encoder of lengths."""
    from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]  # not in the stubs

    return b"".join(_VarintBytes(one.ByteSize()) + one.SerializeToString() for one in messages)


def replies_in(frame: bytes) -> list[pb.Reply]:
    """Return the messages of a frame, read by Protobuf's own decoder of lengths."""
    from google.protobuf.internal.decoder import _DecodeVarint32  # type: ignore[attr-defined]  # not in the stubs

    replies, index = [], 0
    while index < len(frame):
        length, index = _DecodeVarint32(frame, index)
        replies.append(pb.Reply.FromString(frame[index : index + length]))
        index += length
    return replies
