from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from portcast.codecs import MAX_JSON_DEPTH, JsonCodec
from portcast.errors import CodecError

codec = JsonCodec()


@dataclass
class Point:
    x: float
    tags: tuple[str, ...] = ()


class Reading(BaseModel):
    at: datetime


@pytest.mark.parametrize(
    ("frame", "value"),
    [
        (b'{"a":[1,2.5,null,true,"\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b" 1 \n", 1),
        (b'{"a":1,"a":2}', {"a": 2}),
        (rb'"\ud800"', "\ud800"),
        (b"1e308", 1e308),
        (b'"NaN, Infinity, 1e999"', "NaN, Infinity, 1e999"),
    ],
    ids=["nested", "space", "twice", "surrogate", "large", "words"],
)
def test_decoding(frame: bytes, value: object) -> None:
    """Any JSON value is a message."""
    assert codec.name == "json"
    assert codec.decode(frame) == value


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (b"", "Expecting value at character 0"),
        (b"{", "Expecting property name enclosed in double quotes at character 1"),
        (b"1 2", "Extra data at character 2"),
        (b'"a\nb"', "Invalid control character at at character 2"),
        (rb'"\q"', r"Invalid \\escape at character 1"),
        (b'"\xff"', "not valid utf-8 at byte 1"),
        (b"\xef\xbb\xbf1", "Expecting value at character 0|BOM"),
        ('"é"'.encode("utf-16-le"), "."),
        (b"[NaN]", "NaN and Infinity are not JSON"),
        (b"-Infinity", "NaN and Infinity are not JSON"),
        (b"[1e999]", "NaN and Infinity are not JSON"),
        (b"9" * 5000, "an integer too long"),
        (b"[" * 60_000, "nested deeper than 64 levels"),
        (b'{"a":' * 30_000, "nested deeper than 64 levels"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64 levels"),
    ],
    ids=[
        "empty", "open", "two", "control", "escape", "latin1", "bom", "utf16", "nan", "minus-infinity", "overflow",
        "digits", "deep-open", "deep-objects", "deep",
    ],
)  # fmt: skip
def test_frames_that_are_refused(frame: bytes, problem: str) -> None:
    """What is not JSON, or would hurt later, costs the frame; the text never holds more of it than its head."""
    with pytest.raises(CodecError, match=f"json: {problem}") as caught:
        codec.decode(frame)
    assert caught.value.head == frame[:32]
    assert len(str(caught.value)) < 250


@pytest.mark.row(65)
@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["arrays", "objects"])
def test_the_depth_limit_is_inclusive(opening: bytes) -> None:
    """64 levels are allowed, 65 are not, and many shallow values are no depth."""
    closing = b"]" if opening == b"[" else b"}"
    codec.decode(opening * MAX_JSON_DEPTH + b"1" + closing * MAX_JSON_DEPTH)
    with pytest.raises(CodecError, match="deeper"):
        codec.decode(opening * (MAX_JSON_DEPTH + 1) + b"1" + closing * (MAX_JSON_DEPTH + 1))
    wide = b"[" + b",".join([opening + b"1" + closing] * 500) + b"]"
    assert codec.decode(wide) == json.loads(wide)


@pytest.mark.row(65)
def test_brackets_in_a_long_string_are_no_depth() -> None:
    """The cheap count may be wrong, and then the value itself is looked at."""
    assert codec.decode(b'"' + b"[" * 500 + b'"') == "[" * 500


@pytest.mark.parametrize(
    ("kind", "frame", "problem"),
    [
        (dict, b"[1]", "expected an object, got an array"),
        (dict, b"1", "expected an object, got a number"),
        (dict, b"null", "expected an object, got null"),
        (list, b"{}", "expected an array, got an object"),
        (list, b'"x"', "expected an array, got a string"),
        (list, b"true", "expected an array, got a boolean"),
    ],
)
def test_a_handler_that_wants_an_object_gets_one(kind: type[object], frame: bytes, problem: str) -> None:
    """``dict`` in an annotation is a promise to the handler."""
    with pytest.raises(CodecError, match=problem):
        JsonCodec(kind).decode(frame)
    assert JsonCodec(dict).decode(b"{}") == {}
    assert JsonCodec(list).decode(b"[]") == []


@pytest.mark.parametrize(
    ("value", "frame"),
    [
        ({"a": [1, 2.5, None, True, "é"]}, '{"a":[1,2.5,null,true,"é"]}'),
        ((1, 2), "[1,2]"),
        (Point(1.5, ("a",)), '{"x":1.5,"tags":["a"]}'),
        ({"p": [Point(1)]}, '{"p":[{"x":1,"tags":[]}]}'),
        ([Reading(at=datetime(2026, 1, 2))], '[{"at":"2026-01-02T00:00:00"}]'),
        ({1: 2}, '{"1":2}'),
    ],
    ids=["nested", "tuple", "dataclass", "dataclass-inside", "model-inside", "int-key"],
)
def test_encoding(value: object, frame: str) -> None:
    """Compact, in UTF-8, dataclasses and models included."""
    assert codec.encode(value) == frame.encode()


def _ring() -> list[object]:
    ring: list[object] = []
    ring.append(ring)
    return ring


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = (value,)
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": {1, 2}}, "cannot encode set"),
        (Point, "cannot encode type"),
        ([object()], "cannot encode object"),
        (datetime(2026, 1, 2), "cannot encode datetime"),
        ({(1, 2): 3}, "cannot encode dict: keys must be str"),
        ([math.nan], "cannot encode list: NaN and Infinity are not JSON"),
        (math.inf, "cannot encode float: NaN and Infinity are not JSON"),
        (_ring(), "cannot encode list: a value contains itself"),
        ("\ud800", "cannot encode a lone surrogate"),
        (_nested(65), "nested deeper than 64 levels"),
        (_nested(50_000), "nested deeper than 64 levels"),
    ],
    ids=["set", "class", "object", "datetime", "key", "nan", "infinity", "circle", "surrogate", "deep", "very-deep"],
)
def test_values_without_a_json_form(value: object, problem: str) -> None:
    """The error names the type and never the value."""
    with pytest.raises(CodecError, match=re.escape(problem)):
        codec.encode(value)


@given(st.binary() | st.text(alphabet='[]{}":,0123456789.eE-+ntf\\u/aN ').map(str.encode))
def test_any_bytes_are_a_value_or_a_codec_error(frame: bytes) -> None:
    """Whatever a peer sends, nothing but `CodecError` comes out, and what is taken can be sent on."""
    try:
        value = codec.decode(frame)
    except CodecError:
        return
    assert codec.decode(codec.encode(value)) == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(json_values)
def test_round_trip(value: object) -> None:
    """What is encoded is decoded to the same."""
    try:
        frame = codec.encode(value)
    except CodecError as error:
        assert "surrogate" in str(error)  # noqa: PT017 - the only reason that is allowed
        return
    assert codec.decode(frame) == value
