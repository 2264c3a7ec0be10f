from __future__ import annotations

import pytest

from portcast.errors import (
    HEAD_BYTES,
    BrokerUnavailable,
    CentrifugeError,
    ChecksumError,
    CodecError,
    CommandFailed,
    CommandQueueFull,
    ConfigurationError,
    ConnectionClosedError,
    DeltaError,
    DeviceIdError,
    DeviceUnknown,
    FieldError,
    FramingError,
    ListenError,
    MissingDependencyError,
    OversizeFrameError,
    PortcastError,
    ProtocolUnknown,
    SnapshotError,
    TagError,
    TagFilterError,
    TokenExpired,
    TokenInvalid,
    TopicError,
    TruncatedFrameError,
)
from portcast.refusals import DisconnectClient, Refuse

CASES = [
    pytest.param(ConfigurationError("port", "is odd"), ValueError, "port: is odd", id="configuration"),
    pytest.param(
        ConfigurationError("port", "is odd", "take another"), ValueError, "port: is odd; take another", id="with a hint"
    ),
    pytest.param(TopicError("a//b", "a level is empty"), ValueError, "topic 'a//b': a level is empty", id="topic"),
    pytest.param(TagError("there are 33"), ValueError, "tags: there are 33", id="tags"),
    pytest.param(
        FramingError("a line", 3, b"abc"),
        ValueError,
        "malformed frame: expected a line; saw 3 bytes beginning b'abc'",
        id="framing",
    ),
    pytest.param(
        OversizeFrameError("a line", 3, bytearray(b"abc")),
        FramingError,
        "oversize frame: expected a line; saw 3 bytes beginning b'abc'",
        id="oversize",
    ),
    pytest.param(
        TruncatedFrameError("a line", 1, memoryview(b"a")),
        FramingError,
        "truncated frame: expected a line; saw 1 bytes beginning b'a'",
        id="truncated",
    ),
    pytest.param(
        ChecksumError("crc 1", 1, b"a"),
        FramingError,
        "checksum frame: expected crc 1; saw 1 bytes beginning b'a'",
        id="checksum",
    ),
    pytest.param(CodecError("json", "not JSON"), ValueError, "json: not JSON", id="codec, encoding"),
    pytest.param(
        CodecError("json", "not JSON", b"{"), ValueError, "json: not JSON in a frame beginning b'{'", id="codec"
    ),
    pytest.param(CentrifugeError("an empty frame"), ValueError, "centrifuge: an empty frame", id="centrifuge"),
    pytest.param(
        FieldError("binary", "a.2.speed", 7, "1 byte, 0 bytes are left", b"x"),
        CodecError,
        "binary: a.2.speed at byte 7: expected 1 byte, 0 bytes are left in a frame beginning b'x'",
        id="field",
    ),
    pytest.param(
        FieldError("binary", "", 9, "the end of the frame", b"x"),
        CodecError,
        "binary: the frame at byte 9: expected the end of the frame in a frame beginning b'x'",
        id="field, the whole frame",
    ),
    pytest.param(
        FieldError("binary", "speed", None, "0 to 255, not 300"),
        CodecError,
        "binary: speed: expected 0 to 255, not 300",
        id="field, encoding",
    ),
    pytest.param(
        FieldError("binary", "", None, "Login, not int"),
        CodecError,
        "binary: expected Login, not int",
        id="field, encoding, the whole",
    ),
    pytest.param(
        ConnectionClosedError("0a", "reset"), ConnectionError, "connection 0a has ended: reset", id="connection closed"
    ),
    pytest.param(SnapshotError("it is none"), ValueError, "snapshot of history: it is none", id="snapshot"),
    pytest.param(
        DeviceIdError("a/b", "it contains '/'", "replace it"),
        ValueError,
        "device id 'a/b': it contains '/'; replace it",
        id="device id",
    ),
    pytest.param(
        CommandQueueFull("a", 100),
        PortcastError,
        "100 commands wait for device 'a' already; cancel some or wait for it",
        id="command queue",
    ),
    pytest.param(
        ListenError("tcp://h:1", "in use", "stop it"), OSError, "tcp://h:1: in use; stop it", id="listen, with a hint"
    ),
    pytest.param(ListenError("tcp://h:1", "in use"), OSError, "tcp://h:1: in use", id="listen"),
    pytest.param(BrokerUnavailable("no NATS"), ConnectionError, "no NATS", id="broker"),
    pytest.param(
        MissingDependencyError("uvloop", "speed"), ImportError, "speed needs uvloop: pip install uvloop", id="missing"
    ),
    pytest.param(DeltaError("it ends too early", 7), ValueError, "delta, byte 7: it ends too early", id="delta"),
    pytest.param(TagFilterError("", "no op"), ValueError, "tag filter: no op", id="tag filter"),
    pytest.param(TagFilterError("nodes[0]", "no op"), ValueError, "tag filter, nodes[0]: no op", id="tag filter, deep"),
    pytest.param(TokenInvalid("it is too long"), ValueError, "token: it is too long", id="token"),
    pytest.param(
        TokenExpired("exp", 99.5, 101.2), ValueError, "token: its exp is 100 and the time is 101", id="token expired"
    ),
]


@pytest.mark.parametrize(("error", "builtin", "sentence"), CASES)
def test_each_error_is_ours_and_a_builtin_and_says_what_happened(
    error: PortcastError, builtin: type[Exception], sentence: str
) -> None:
    """One root to catch, the builtin that fits, and a sentence made of the facts."""
    assert isinstance(error, PortcastError)
    assert isinstance(error, builtin)
    assert str(error) == sentence


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        pytest.param(ConfigurationError("k", "p", "h"), {"key": "k", "problem": "p", "hint": "h"}, id="configuration"),
        pytest.param(TopicError("t", "p"), {"topic": "t", "problem": "p"}, id="topic"),
        pytest.param(
            FramingError("x", 9, b"h"), {"expected": "x", "size": 9, "head": b"h", "reason": "malformed"}, id="framing"
        ),
        pytest.param(CodecError("c", "p", b"h"), {"codec": "c", "problem": "p", "head": b"h"}, id="codec"),
        pytest.param(CentrifugeError("p"), {"problem": "p"}, id="centrifuge"),
        pytest.param(ConnectionClosedError("i", "r"), {"connection_id": "i", "reason": "r"}, id="closed"),
        pytest.param(ListenError("a", "p", "h"), {"address": "a", "problem": "p", "hint": "h"}, id="listen"),
        pytest.param(MissingDependencyError("p", "f"), {"package": "p", "feature": "f"}, id="missing"),
        pytest.param(DeviceUnknown("d" * 90), {"device_id": "d" * 80}, id="device"),
        pytest.param(ProtocolUnknown("d"), {"device_id": "d"}, id="protocol"),
        pytest.param(
            CommandFailed("d", "c", "refused", "busy"),
            {"command_id": "c", "state": "refused", "answer": "busy"},
            id="command",
        ),
        pytest.param(DeltaError("p", 7), {"problem": "p", "position": 7}, id="delta"),
        pytest.param(TagFilterError("nodes[0]", "p"), {"path": "nodes[0]", "problem": "p"}, id="tag filter"),
        pytest.param(TokenInvalid("p"), {"problem": "p", "is_key_unknown": False}, id="token"),
        pytest.param(Refuse(400, "m", temporary=True), {"code": 400, "message": "m", "temporary": True}, id="refuse"),
        pytest.param(DisconnectClient(4000, "r"), {"code": 4000, "reason": "r"}, id="disconnect"),
        pytest.param(TokenExpired("nbf", 2.0, 1.0), {"claim": "nbf", "at": 2.0, "now": 1.0}, id="token expired"),
    ],
)
def test_errors_keep_their_facts(error: PortcastError, facts: dict[str, object]) -> None:
    """Programs read attributes, not sentences."""
    assert {name: getattr(error, name) for name in facts} == facts


def test_no_error_holds_a_whole_payload() -> None:
    """The head is enough to recognise a protocol; the rest may be secret, or megabytes."""
    payload = bytes(range(256)) * 10
    assert FramingError("x", len(payload), payload).head == payload[:HEAD_BYTES]
    assert CodecError("c", "p", payload).head == payload[:HEAD_BYTES]
    assert TopicError("x" * 1000, "too long").topic == "x" * 80
