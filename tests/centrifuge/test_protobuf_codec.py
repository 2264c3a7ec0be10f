"""Protobuf frames are read as JSON ones are, refused whole, and what is written is what Protobuf reads."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import centrifuge_messages as random
from portcast.centrifuge import client_pb2 as pb
from portcast.centrifuge import json_codec, protobuf_codec
from portcast.centrifuge import messages as m
from portcast.centrifuge.protobuf_codec import decode, encode, publication, require
from portcast.centrifuge.schema import MAX_COMMANDS, MAX_NESTED_MESSAGES
from portcast.centrifuge.varint import varint
from portcast.errors import CentrifugeError, MissingDependencyError


@given(st.lists(random.COMMANDS, min_size=1, max_size=4))
def test_both_formats_give_the_same_commands(commands: list[m.Command]) -> None:
    """A handler cannot tell which one its client speaks."""
    text = "\n".join(random.as_json(random.plain(command)) for command in commands)
    frame = random.delimited(*map(random.as_protobuf, commands))
    assert json_codec.decode(text) == commands
    assert decode(frame) == commands


@given(st.lists(random.REPLIES, max_size=4))
def test_both_formats_say_the_same(replies: list[m.Reply]) -> None:
    """What JSON's and Protobuf's own readers find is what was meant; defaults are left out."""
    plain = [random.plain(reply) for reply in replies]
    lines = json_codec.encode(replies).split(b"\n") if replies else []
    assert [json.loads(line) for line in lines] == random.embedded(plain)
    assert [random.from_protobuf(reply) for reply in random.replies_in(encode(replies))] == plain


COMMANDS = [
    pytest.param(b"\x00", [m.Command()], id="pong"),
    pytest.param(b"\x00\x00", [m.Command(), m.Command()], id="pongs"),
    pytest.param(b"\x80\x00", [m.Command()], id="a length with a byte too many"),
    pytest.param(b"\x02\x08\x07", [m.Command(7)], id="an id"),
    pytest.param(b"\x02\x22\x00", [m.Command(0, m.ConnectRequest())], id="an empty request"),
    pytest.param(b"\x04\x6a\x00\x22\x00", [m.Command(0, m.ConnectRequest())], id="the first of several requests"),
    pytest.param(b"\x07\x08\x01\xa2\x06\x02hi", [m.Command(1)], id="an unknown field"),
    pytest.param(b"\x05\x22\x03\x88\x7d\x01", [m.Command(0, m.ConnectRequest())], id="an unknown field below"),
    pytest.param(b"\x00" * MAX_COMMANDS, [m.Command()] * MAX_COMMANDS, id="as many as may be"),
]


@pytest.mark.parametrize(("frame", "commands"), COMMANDS)
def test_what_is_not_wrong_is_read(frame: bytes, commands: list[m.Command]) -> None:
    """Newer SDKs among others."""
    assert decode(frame) == commands


def _filter(levels: int) -> pb.FilterNode:
    node = pb.FilterNode()
    for _ in range(levels - 1):
        node = pb.FilterNode(nodes=[node])
    return node


def _subscribe(levels: int) -> bytes:
    return random.delimited(pb.Command(subscribe=pb.SubscribeRequest(tf=_filter(levels))))


def _connect(levels: int) -> bytes:
    return random.delimited(pb.Command(connect=pb.ConnectRequest(subs={"c": pb.SubscribeRequest(tf=_filter(levels))})))


def _raw_subscribe(levels: int) -> bytes:
    """As `_subscribe`, without Protobuf, which would not make it."""
    node = b""
    for tag in b"\x32" * (levels - 1) + b"\x6a\x2a":  # nodes, tf, subscribe
        node = bytes((tag,)) + varint(len(node)) + node
    return varint(len(node)) + node


def test_filters_nest_as_deep_as_the_limit() -> None:
    """As deep as in JSON: a map is no message, though Protobuf makes one of it."""
    assert _raw_subscribe(5) == _subscribe(5)
    assert isinstance(decode(_subscribe(MAX_NESTED_MESSAGES - 2))[0].request, m.SubscribeRequest)
    assert isinstance(decode(_connect(MAX_NESTED_MESSAGES - 3))[0].request, m.ConnectRequest)


REFUSED = [
    pytest.param(b"", "without a command", id="empty"),
    pytest.param("{}", "a text frame", id="text"),
    pytest.param(b"\x00" * (MAX_COMMANDS + 1), f"more than {MAX_COMMANDS} commands", id="too many"),
    pytest.param(b"\x80", "length that is cut off", id="half a length"),
    pytest.param(b"\x80" * 5 + b"\x00", "too large", id="a length without end"),
    pytest.param(b"\xff\xff\xff\xff\x7f", "34359738367 bytes in a frame that has 0 left", id="a huge length"),
    pytest.param(b"\x03\x08\x07", "3 bytes in a frame that has 2 left", id="a message cut off"),
    pytest.param(b"\x00\x01\x08", "malformed Protobuf in the message at byte 2", id="a field cut off"),
    pytest.param(b"\x02\x22\x05", "malformed Protobuf", id="a length inside that is too large"),
    pytest.param(b"\x01\x00", "malformed Protobuf", id="field number zero"),
    pytest.param(b"\x01\x0c", "malformed Protobuf", id="the end of a group that did not begin"),
    pytest.param(b"\x05\x72\x03\x0a\x01\xff", "malformed Protobuf", id="text that is not utf-8"),
    pytest.param(b"\x07" + b'{"id":1}', "malformed Protobuf", id="json"),
    pytest.param(_subscribe(MAX_NESTED_MESSAGES - 1), "deeper than 32 levels", id="a deep filter"),
    pytest.param(_connect(MAX_NESTED_MESSAGES - 2), "deeper than 32 levels", id="a deep filter in a map"),
    pytest.param(_subscribe(90), "deeper than 32 levels", id="a filter near Protobuf's limit"),
    pytest.param(_raw_subscribe(400), "malformed Protobuf", id="a filter beyond Protobuf's limit"),
]


@pytest.mark.parametrize(("frame", "problem"), REFUSED)
def test_what_is_wrong_is_refused(frame: str | bytes, problem: str) -> None:
    """With what and where, and without what the client wrote."""
    with pytest.raises(CentrifugeError) as caught:
        decode(frame)
    assert problem in caught.value.problem


WHOLE = random.delimited(
    pb.Command(id=1, connect=pb.ConnectRequest(token="t", headers={"a": "b"})),
    pb.Command(id=2, subscribe=pb.SubscribeRequest(channel="c", tf=_filter(3))),
)


@pytest.mark.parametrize("size", range(1, len(WHOLE)))
def test_every_truncation_is_refused_or_whole(size: int) -> None:
    """Only a cut between the two commands leaves something to read."""
    if size == WHOLE[0] + 1:
        assert len(decode(WHOLE[:size])) == 1
    else:
        with pytest.raises(CentrifugeError):
            decode(WHOLE[:size])


@given(st.binary(max_size=64) | st.lists(st.sampled_from(range(0x80)), max_size=40).map(bytes))
def test_any_frame_gives_commands_or_the_error(frame: bytes) -> None:
    """No other exception and no warning, whatever comes: alone and as one message."""
    for whole in (frame, bytes((len(frame),)) + frame):
        with contextlib.suppress(CentrifugeError):
            assert all(isinstance(command, m.Command) for command in decode(whole))


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\x00" * 65_536, id="empty messages"),
        pytest.param(b"\x80" * 65_536, id="a length without end"),
        pytest.param(b"\xfc\xff\x03" + b"\x22\x00" * 32_766, id="equal fields"),
        pytest.param(random.delimited(pb.Command(connect=pb.ConnectRequest(
            subs={str(i): pb.SubscribeRequest() for i in range(6_000)}))), id="subs"),
    ],
)  # fmt: skip
def test_the_worst_frames_cost_little(frame: bytes) -> None:
    """64 KiB cost milliseconds, whatever they hold. The bound is for a machine under load."""
    begin = time.perf_counter()
    with contextlib.suppress(CentrifugeError):
        decode(frame)
    assert time.perf_counter() - begin < 1


def test_a_ping_is_one_byte() -> None:
    """A message without fields."""
    assert encode([m.PING, m.PING]) == b"\x00\x00"
    assert encode([]) == b""


@given(random.of(m.Publication))
def test_a_publication_alone_is_its_fields(value: m.Publication) -> None:
    """For a push that is put together elsewhere."""
    assert random.from_protobuf(pb.Publication.FromString(publication(value))) == random.plain(value)


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    """Protobuf cannot carry it, and a user name in a token may have it; JSON keeps it as an escape."""
    (reply,) = random.replies_in(encode([m.Reply(1, m.PresenceResult({"\ud800é": m.ClientInfo("a\udc00")}))]))
    assert random.from_protobuf(reply)["presence"] == {"presence": {"?é": {"user": "a?"}}}


def test_lists_of_text_are_written() -> None:
    """No reply has one; the walk must not depend on that."""
    node = pb.FilterNode()
    protobuf_codec._fill(node, m.FilterNode(vals=("a", "b"), nodes=(m.FilterNode(key="k"),)))
    assert random.from_protobuf(node) == {"vals": ["a", "b"], "nodes": [{"key": "k"}]}


@pytest.fixture
def without_protobuf(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    protobuf_codec._protobuf.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf.message", None)
    yield
    protobuf_codec._protobuf.cache_clear()


@pytest.mark.usefixtures("without_protobuf")
def test_a_missing_package_is_named() -> None:
    """With what to install; nothing else of Portcast needs it."""
    for call in (require, lambda: decode(b"\x00"), lambda: encode([m.PING])):
        with pytest.raises(MissingDependencyError, match=r"pip install portcast\[protobuf\]"):
            call()


def test_a_package_that_is_there_is_enough() -> None:
    """Asked before the first client."""
    require()
