"""Balanced JSON values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, check_linear, decode, garbage, quick, splits
from portcast.errors import CodecError, ConfigurationError, FramingError, OversizeFrameError, TruncatedFrameError
from portcast.framing.json_values import JsonFraming


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        (b'{"a":1}{"b":[2]}', [b'{"a":1}', b'{"b":[2]}']),
        (b"[]\r\n\t []", [b"[]", b"[]"]),
        (b'\x1e{"a":1}\n\x1e[2]\n', [b'{"a":1}', b"[2]"]),
        (rb'{"}":"]\"}\\"}[]', [rb'{"}":"]\"}\\"}', b"[]"]),
        ('["\u00e9\u20ac\U0001f600{"]'.encode(), ['["\u00e9\u20ac\U0001f600{"]'.encode()]),
        (rb'["\u0022"]["\\\\"]', [rb'["\u0022"]', rb'["\\\\"]']),
        (b'{"a\nb":{}}', [b'{"a\nb":{}}']),
    ],
    ids=["together", "whitespace", "RFC 7464", "brackets in strings", "utf-8", "escapes", "control character"],
)
def test_values(stream: bytes, frames: list[bytes]) -> None:
    """Brackets decide, except in strings, for every split."""
    result = decode(JsonFraming(), stream, end=True)
    assert (result.frames, result.error, result.skipped) == (frames, None, 0)


@pytest.mark.parametrize("scalar", [b"1", b'"a"', b"true", b"null", b"-1", b"}", b","])
def test_top_level_scalar_is_malformed(scalar: bytes) -> None:
    """Nothing says where a number ends, so only objects and arrays are frames; this is documented."""
    result = decode(JsonFraming(), b"[] " + scalar)
    assert (result.frames, result.error) == ([b"[]"], FramingError)
    assert "expected a JSON object or array" in result.message


@pytest.mark.parametrize("stream", [b"{]", b"[}", b"[[[[", b'{"a":[}'], ids=["{]", "[}", "too deep", "inner"])
def test_brackets_that_do_not_match_are_malformed(stream: bytes) -> None:
    """As are too many of them."""
    assert decode(JsonFraming(max_depth=3), stream).error is FramingError


def test_depth_limit() -> None:
    """64 by default, exactly."""
    assert decode(JsonFraming(), b"[" * 64 + b"]" * 64).frames == [b"[" * 64 + b"]" * 64]
    assert decode(JsonFraming(), b"[" * 65).error is FramingError


@pytest.mark.parametrize(
    "stream", [b'["abcdef"]', b"[111111111", b'["aaaaaaaaaa', b"[[[[[[[[[[]]]]]]]]]]", b"[11111111]"]
)
def test_bound(stream: bytes) -> None:
    """The bound comes before all other faults behind it, however the value goes on."""
    assert decode(JsonFraming(max_frame=9), b"[1,2,3,4]" + stream).frames == [b"[1,2,3,4]"]
    assert decode(JsonFraming(max_frame=9), b"[1,2,3,4]" + stream).error is OversizeFrameError


@pytest.mark.parametrize("stream", [b"[", b'["', b'["a\\', b'{"a":1'])
def test_truncated(stream: bytes) -> None:
    """A value that is not closed is not delivered."""
    assert decode(JsonFraming(), stream, end=True).error is TruncatedFrameError


@pytest.mark.parametrize(
    ("beginning", "filler"), [(b'["', b"x"), (b"[", b"1"), (b'["', b"\\"), (b"[", b'"a",'), (b'["', b"[")]
)
def test_linear(beginning: bytes, filler: bytes) -> None:
    """One byte at a time costs no more per byte for a long value; a long string is not searched again."""
    check_linear(JsonFraming(), beginning, filler)


@given(garbage(b"{", b"}", b"[", b"]", b'"', b"\\", b'\\"', b" ", b"1", b'"a"', b"[]", b'{"":0}'), splits())
@quick
def test_any_split(stream: bytes, places: list[int]) -> None:
    """Frames, error and memory do not depend on where reads end."""
    check_any_split(JsonFraming(max_frame=9, max_depth=3), stream, places, 0)


JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=5), st.sampled_from(['"', "\\", "}", "[{"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


@given(st.lists(st.lists(JSON, max_size=3), max_size=4), st.booleans(), splits())
@quick
def test_round_trip(values: list[list[object]], ascii_only: bool, places: list[int]) -> None:
    """Every array that a JSON encoder writes is cut exactly."""
    framing = JsonFraming()
    frames = [json.dumps(value, ensure_ascii=ascii_only).encode() for value in values]
    assert check_any_split(framing, b"".join(map(framing.encode, frames)), places, 0).frames == frames
    assert check_any_split(framing, b"".join(frames), places, 0).frames == frames


@pytest.mark.parametrize("frame", [b"", b"1", b"[", b"[]]", b"[][]", b" []", b"[] "])
def test_encode_refuses(frame: bytes) -> None:
    """Only one object or array, without anything around it."""
    with pytest.raises(CodecError):
        JsonFraming().encode(frame)


@pytest.mark.parametrize("options", [{"max_frame": 1}, {"max_depth": 0}])
def test_configuration(options: dict[str, int]) -> None:
    """The smallest value is two brackets, one deep."""
    with pytest.raises(ConfigurationError):
        JsonFraming(**options)
