"""Prepared pushes are what the codecs would have written, for every payload that a device may send."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import centrifuge_messages as random
from portcast.centrifuge import json_codec, protobuf_codec
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import ClientInfo, Publication, Push, Reply
from portcast.centrifuge.pushes import (
    MAX_FRAME_BYTES,
    MAX_FRAME_PUSHES,
    NOTHING,
    as_json,
    concrete,
    frames,
    json_deltas,
    json_pushes,
    protobuf_deltas,
    protobuf_pushes,
)

COMMON = Publication(info=ClientInfo("42", "c1"), tags={"k": "é"}, time=1_764_000_000_000)
COMMONS = st.builds(
    Publication,
    info=st.none() | random.of(ClientInfo),
    tags=st.dictionaries(random.TEXT, random.TEXT, max_size=3),
    time=st.integers(0, 2**63 - 1),
    channel=random.TEXT,
)
CHANNELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
OFFSETS = st.integers(0, 2**64 - 10)

AS_IT_IS = [
    pytest.param(b'{"a": [1, 2]}', id="an object"),
    pytest.param(b"[]", id="an array"),
    pytest.param(b'"text"', id="a string"),
    pytest.param(b"12", id="a number"),
    pytest.param(b"1e400", id="a float that would be infinite"),
    pytest.param(b"1.10", id="a final zero"),
    pytest.param(b"9" * 4300, id="a big integer"),
    pytest.param(b"null", id="null"),
    pytest.param(b"true", id="true"),
    pytest.param(b" \t1 ", id="spaces"),
    pytest.param('"é\u2028😀"'.encode(), id="not ascii"),
    pytest.param(b'"\\n\\u0000"', id="escapes"),
    pytest.param(b'"\\ud83d"', id="half a surrogate pair"),
    pytest.param(b'["\\udc00"' + b",[]" * 150 + b"]", id="half a pair among arrays"),
    pytest.param(b"[" * 200 + b"]" * 200, id="as deep as may be"),
]


@pytest.mark.parametrize("payload", AS_IT_IS)
def test_json_is_embedded_as_it_is(payload: bytes) -> None:
    """No digit of it changes."""
    assert as_json(payload) == payload


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (b'{\r\n\t"a": 1,\n"b": "\\n"}\n', b'{\t"a": 1,"b": "\\n"}'),
        (b'\r\n"\\ud800"\n', b'"\\ud800"'),
        (b"1\r", b"1"),
    ],
)
def test_line_ends_are_taken_out_of_json(payload: bytes, data: bytes) -> None:
    """They are white space there, and the end of the push on the wire."""
    assert as_json(payload) == data


AS_TEXT = [
    pytest.param("", id="nothing"),
    pytest.param("$GPGGA,123519,4807.038,N", id="a line of NMEA"),
    pytest.param("12:30 all is well", id="text with digits in front"),
    pytest.param("1 2", id="two values"),
    pytest.param('{"a":1}\n{"a":2}', id="two lines of JSON"),
    pytest.param('{"a":1,}', id="nearly JSON"),
    pytest.param("NaN", id="NaN"),
    pytest.param("[Infinity]", id="infinity"),
    pytest.param('"\\ud800" NaN', id="half a pair before more"),
    pytest.param('["\\ud800",NaN]', id="half a pair beside what is not JSON"),
    pytest.param("C:\\users\\u", id="a path"),
    pytest.param('a\r\n\t\0\x1f\x7f\\"é😀\u2028', id="anything that needs an escape"),
    pytest.param("\ufeff1", id="a byte order mark"),
    pytest.param("9" * 4301, id="more digits than Python reads"),
    pytest.param("[" * 250 + "]" * 250, id="deeper than parsers go"),
    pytest.param('["\\ud800",' + "[" * 5000 + "]" * 5000 + "]", id="deeper, with half a pair"),
]


@pytest.mark.parametrize("text", AS_TEXT)
def test_other_text_becomes_a_string(text: str) -> None:
    """The client reads the text; the frame stays one line."""
    data = as_json(text.encode())
    assert json.loads(data) == text
    assert b"\n" not in data
    assert b"\r" not in data


@pytest.mark.parametrize("payload", [b"\xff", b'{"a":"\xff"}', b"\xed\xa0\x80", bytes(range(256))])
def test_what_is_not_text_becomes_base64(payload: bytes) -> None:
    """JSON has no bytes."""
    value = json.loads(as_json(payload))
    assert list(value) == ["base64"]
    assert b64decode(value["base64"], validate=True) == payload


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")) | random.DATA)
def test_any_payload_becomes_one_line_of_json(payload: bytes) -> None:
    """And gives the payload back."""
    data = as_json(payload)
    assert not {b"\n", b"\r"} & {data[i : i + 1] for i in range(len(data))}
    value = json.loads(data)
    if isinstance(value, str) and data != payload:
        assert value.encode() == payload or json.loads(payload) == value
    elif data == payload.replace(b"\n", b"").replace(b"\r", b""):
        assert json.loads(payload) == value or value != value
    else:
        assert b64decode(value["base64"]) == payload


PAYLOADS = st.lists(st.binary(max_size=200) | random.DATA.filter(bool), max_size=4)


@given(CHANNELS, PAYLOADS, OFFSETS, COMMONS)
def test_json_pushes_are_the_codec_s(
    channel: str, payloads: list[bytes], first_offset: int, common: Publication
) -> None:
    """Equal to replies made one by one, as values: the order of fields is free."""
    made = json_pushes(channel, payloads, first_offset, common)
    expected = [json_codec.encode([one]) for one in _replies(channel, map(as_json, payloads), first_offset, common)]
    assert [json.loads(one) for one in made] == [json.loads(one) for one in expected]
    assert all(b"\n" not in one for one in made)


@given(CHANNELS, PAYLOADS, OFFSETS, COMMONS)
def test_protobuf_pushes_are_the_codec_s(
    channel: str, payloads: list[bytes], first_offset: int, common: Publication
) -> None:
    """As above."""
    made = protobuf_pushes(channel, payloads, first_offset, common)
    expected = protobuf_codec.encode(_replies(channel, payloads, first_offset, common))
    assert random.replies_in(b"".join(made)) == random.replies_in(expected)
    assert all(len(random.replies_in(one)) == 1 for one in made)


def _replies(channel: str, datas: Any, first_offset: int, common: Publication) -> list[Reply]:
    return [
        Reply(
            0,
            Push(
                Publication(
                    data=data,
                    info=common.info,
                    offset=first_offset and offset,
                    tags=common.tags,
                    time=common.time,
                    channel=common.channel,
                ),
                channel,
            ),
        )
        for offset, data in enumerate(datas, first_offset)
    ]


def test_a_push_in_json() -> None:
    """The bytes that an SDK reads."""
    assert json_pushes('d/"1"', [b'{"a":1}', b"x"], 7) == [
        b'{"push":{"channel":"d/\\"1\\"","pub":{"data":{"a":1},"offset":7}}}',
        b'{"push":{"channel":"d/\\"1\\"","pub":{"data":"x","offset":8}}}',
    ]
    assert json_pushes("d", [b"1"]) == [b'{"push":{"channel":"d","pub":{"data":1}}}']


def test_a_push_in_protobuf() -> None:
    """Byte by byte: lengths in front, fields by number; an empty payload too."""
    assert protobuf_pushes("c", [b"1", b""], 300) == [
        b"\x0d\x22\x0b\x12\x01c\x22\x06\x22\x011\x30\xac\x02",
        b"\x0c\x22\x0a\x12\x01c\x22\x05\x22\x00\x30\xad\x02",
    ]


def test_long_payloads_have_long_lengths() -> None:
    """Where a length takes two bytes or three, those around it count them."""
    for size in (120, 127, 128, 16_370, 16_384, 70_000):
        (reply,) = random.replies_in(protobuf_pushes("c", [b"x" * size], 1)[0])
        assert reply.push.pub.data == b"x" * size


def test_what_is_common_is_in_every_push() -> None:
    """Tags, time and who published."""
    fields = ',"info":{"user":"42","client":"c1"},"tags":{"k":"é"},"time":1764000000000}}}'
    assert json_pushes("c", [b"1", b"2"], 1, COMMON) == [
        ('{"push":{"channel":"c","pub":{"data":1,"offset":1' + fields).encode(),
        ('{"push":{"channel":"c","pub":{"data":2,"offset":2' + fields).encode(),
    ]


@pytest.mark.parametrize("common", [Publication(b"1"), Publication(offset=1), Publication(delta=True)])
def test_what_differs_cannot_be_common(common: Publication) -> None:
    """Or it would be there twice."""
    with pytest.raises(AssertionError, match="push to push"):
        json_pushes("c", [b"1"], 1, common)
    with pytest.raises(AssertionError, match="push to push"):
        protobuf_pushes("c", [b"1"], 1, common)


def test_a_wildcard_names_the_topic() -> None:
    """Once where the protocol has it and once where SDKs show it; other tags stay."""
    assert concrete("a/b") == Publication(channel="a/b", tags={"topic": "a/b"})
    common = concrete("a/b", COMMON)
    assert common.tags == {"k": "é", "topic": "a/b"}
    assert (common.info, common.time) == (COMMON.info, COMMON.time)
    assert json_pushes("a/+", [b"1"], 0, concrete("a/b")) == [
        b'{"push":{"channel":"a/+","pub":{"data":1,"tags":{"topic":"a/b"},"channel":"a/b"}}}'
    ]


def test_deltas_in_json_are_strings() -> None:
    """Full text or delta, the client parses the string; ``delta`` says which it is."""
    changes = [(b'{"a": "\xc3\xa9"}', False), (b"5\n3:abc1;", True)]
    assert [json.loads(push) for push in json_deltas("c", changes, 4, COMMON)] == [
        {
            "push": {
                "channel": "c",
                "pub": {
                    "data": text,
                    "offset": offset,
                    **delta,
                    "info": {"user": "42", "client": "c1"},
                    "tags": {"k": "é"},
                    "time": 1_764_000_000_000,
                },
            }
        }
        for text, offset, delta in [('{"a": "é"}', 4, {}), ("5\n3:abc1;", 5, {"delta": True})]
    ]
    assert json_deltas("c", [(b"1", False)]) == [b'{"push":{"channel":"c","pub":{"data":"1"}}}']


def test_a_delta_that_is_not_text_is_refused_in_json() -> None:
    """Nothing could carry it."""
    with pytest.raises(UnicodeDecodeError):
        json_deltas("c", [(b"1\n1:\xc3", True)])


def test_deltas_in_protobuf_are_bytes() -> None:
    """And carry the flag."""
    changes = [(b"\xff", False), (b"5\n3:abc1;", True)]
    made = random.replies_in(b"".join(protobuf_deltas("c", changes, 4, COMMON)))
    assert [(one.push.pub.data, one.push.pub.offset, one.push.pub.delta) for one in made] == [
        (b"\xff", 4, False),
        (b"5\n3:abc1;", 5, True),
    ]
    assert made[0].push.pub.tags == {"k": "é"}


@pytest.mark.parametrize(
    ("pushes", "limits", "expected"),
    [
        pytest.param([], {}, [], id="none"),
        pytest.param([b"aa", b"b"], {}, [b"aa\nb"], id="all in one"),
        pytest.param([b"a", b"b", b"c"], {"max_pushes": 2}, [b"a\nb", b"c"], id="by number"),
        pytest.param([b"a", b"b", b"c"], {"max_pushes": 1}, [b"a", b"b", b"c"], id="one by one"),
        pytest.param([b"aa", b"bb", b"cc"], {"max_bytes": 5}, [b"aa\nbb", b"cc"], id="by size"),
        pytest.param([b"aa", b"bb", b"cc"], {"max_bytes": 4}, [b"aa", b"bb", b"cc"], id="the newline counts"),
        pytest.param([b"a", b"bbbb", b"c"], {"max_bytes": 3}, [b"a", b"bbbb", b"c"], id="one that is too large"),
        pytest.param([b"aaaa"], {"max_bytes": 3}, [b"aaaa"], id="alone and too large"),
    ],
)
def test_pushes_are_put_into_frames(pushes: list[bytes], limits: dict[str, int], expected: list[bytes]) -> None:
    """As few as the limits allow, none larger."""
    assert frames(pushes, Format.JSON, **limits) == expected


@given(st.lists(st.binary(min_size=1, max_size=9)), st.integers(1, 5), st.integers(1, 30), st.sampled_from(Format))
def test_frames_hold_everything_within_the_limits(
    pushes: list[bytes], max_pushes: int, max_bytes: int, kind: Format
) -> None:
    """Nothing is lost, moved or cut, and the next push would not have fitted."""
    pushes = [push.replace(b"\n", b" ") for push in pushes]
    made = frames(pushes, kind, max_pushes=max_pushes, max_bytes=max_bytes)
    assert kind.separator.join(made) == kind.separator.join(pushes)
    left = list(pushes)
    for frame in made:
        taken = [left.pop(0)]
        while kind.separator.join(taken) != frame:
            taken.append(left.pop(0))
        assert len(taken) <= max_pushes
        assert len(frame) <= max_bytes or len(taken) == 1
        if left:
            assert len(taken) == max_pushes or len(kind.separator.join([*taken, left[0]])) > max_bytes


def test_the_limits_of_a_frame() -> None:
    """A burst becomes several frames by itself."""
    assert len(frames([b"x"] * (MAX_FRAME_PUSHES + 1), Format.JSON)) == 2
    assert len(frames([b"x" * (MAX_FRAME_BYTES // 2)] * 3, Format.PROTOBUF)) == 2


def test_nothing_in_common_needs_no_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path is ours alone."""
    monkeypatch.setattr(protobuf_codec, "publication", None)
    assert protobuf_pushes("c", [b"1"], 1, NOTHING)
