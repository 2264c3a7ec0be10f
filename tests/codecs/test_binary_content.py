from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.codecs import REST, Bcd, Bytes, Text
from portcast.codecs.binary_content import FixedContent
from portcast.codecs.binary_layout import Layout
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError


def read(layout: Layout, data: bytes) -> object:
    """As a run does."""
    code, convert = layout.reader("big")
    (raw,) = struct.unpack(f">{code}", data)
    return raw if convert is None else convert(raw)


def fixed(content: Bytes | Text) -> FixedContent:
    assert isinstance(content.length, int)
    return FixedContent(content, content.length)


def test_bytes_are_the_value() -> None:
    """Of any kind that holds bytes, and of the declared width."""
    layout = fixed(Bytes(3))
    assert read(layout, b"abc") == b"abc"
    assert layout.write(bytearray(b"abc"), "big") == layout.write(memoryview(b"abc"), "big") == b"abc"
    assert Bytes(REST).encode(b"abcd", None) == b"abcd"
    assert Bytes(REST).decode(b"abcd", is_fixed=False) == b"abcd"
    with pytest.raises(Refusal, match="3 bytes, not 2"):
        layout.write(b"ab", "big")
    with pytest.raises(Refusal, match="bytes, not str"):
        layout.write("abc", "big")


@pytest.mark.parametrize(
    ("content", "data", "text"),
    [
        (Text(4), b"ab\0\0", "ab"),
        (Text(4, pad=" "), b"ab  ", "ab"),
        (Text(2, pad=""), b"a\0", "a\0"),
        (Text(4), b"\0\0\0\0", ""),
        (Text(4), "éa".encode() + b"\0", "éa"),
        (Text(6, encoding="utf-16-be"), b"\0a\0b\0\0", "ab"),
        (Text(2, encoding="latin-1"), b"\xe9\0", "é"),
    ],
    ids=["nul", "space", "exact", "empty", "utf-8", "wide", "latin-1"],
)
def test_text_of_a_fixed_width(content: Text, data: bytes, text: str) -> None:
    """Padding fills it up and is taken away again."""
    layout = fixed(content)
    assert layout.width == len(data)
    assert read(layout, data) == text
    assert layout.write(text, "big") == data


@pytest.mark.parametrize(
    ("content", "text", "problem"),
    [
        (Text(3), "abcd", "text of 3 bytes, not 4"),
        (Text(3, pad=""), "ab", "text of 3 bytes, not 2"),
        (Text(3, encoding="utf-16-be"), "a", "text of 3 bytes, not 2"),
        (Text(3), "a\0", r"text that does not end with its padding '\\x00'"),
        (Text(3, encoding="ascii"), "é", r"text that ascii can express, not U\+00E9"),
        (Text(3), 5, "text, not int"),
    ],
    ids=["long", "short", "half", "padding", "encoding", "type"],
)
def test_text_that_does_not_fit(content: Text, text: object, problem: str) -> None:
    """It is never cut, and never changed so that it would be read as another."""
    with pytest.raises(Refusal, match=problem):
        fixed(content).write(text, "big")


def test_text_of_variable_length_is_not_padded() -> None:
    """What a length says belongs to the text."""
    content = Text(REST)
    assert content.encode("a\0", None) == b"a\0"
    assert content.decode(b"a\0", is_fixed=False) == "a\0"


def test_text_that_is_none() -> None:
    """The error names the encoding, not the bytes."""
    with pytest.raises(Refusal, match=r"^valid utf-8$"):
        read(fixed(Text(2)), b"\xff\xff")


@pytest.mark.parametrize(
    ("digits", "data", "value"),
    [(15, "0123456789012345", "123456789012345"), (4, "0042", "0042"), (1, "07", "7")],
    ids=["imei", "zeros", "one"],
)
def test_digits(digits: int, data: str, value: str) -> None:
    """Two in a byte; text, so that leading zeros stay."""
    layout = Bcd(digits)
    assert layout.width == len(data) // 2
    assert read(layout, bytes.fromhex(data)) == value
    assert layout.write(value, "big").hex() == data
    assert layout.write(int(value), "big").hex() == data


@pytest.mark.parametrize(("digits", "data"), [(2, "1a"), (3, "1234")], ids=["letter", "filled"])
def test_digits_that_are_none(digits: int, data: str) -> None:
    """Hexadecimal letters, or something in the half that is not used."""
    with pytest.raises(Refusal, match=f"{digits} decimal digits, not {data}"):
        read(Bcd(digits), bytes.fromhex(data))


@pytest.mark.parametrize("value", ["1", "12345", "12a4", "١٢٣٤", 12345, -1], ids=str)
def test_digits_that_do_not_fit(value: object) -> None:
    """As many as declared, and those of ASCII."""
    with pytest.raises(Refusal, match=r"^4 decimal digits$"):
        Bcd(4).write(value, "big")


def test_digits_of_another_type() -> None:
    """Floats have digits of another kind."""
    with pytest.raises(Refusal, match="4 decimal digits, not float"):
        Bcd(4).write(1.5, "big")


@given(st.binary(min_size=3, max_size=3))
def test_any_bytes_are_digits_or_refused(data: bytes) -> None:
    """What can be read is written back the same."""
    for layout in (Bcd(5), Bcd(6)):
        try:
            value = read(layout, data)
        except Refusal:
            continue
        assert layout.write(value, "big") == data


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Text(3, encoding="klingon"), "Text.encoding: 'klingon' is not a text encoding"),
        (lambda: Text(3, encoding="rot13"), "Text.encoding: 'rot13' is not a text encoding"),
        (lambda: Text(3, encoding="ascii", pad="é"), "Text.pad: ascii has no 'é'"),
        (lambda: Text(3, pad="ab"), "Text.pad: 'ab' is longer than one character"),
        (lambda: Text(-3), "Text: a length of -3"),
        (lambda: Bcd(0), "Bcd: 0 digits"),
    ],
    ids=["unknown", "transform", "padding", "two", "negative", "digits"],
)
def test_content_that_cannot_work(make: type[object], problem: str) -> None:
    """It is found where it is written."""
    with pytest.raises(ConfigurationError, match=problem):
        make()
