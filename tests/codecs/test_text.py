from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.codecs import TextCodec
from portcast.errors import CodecError, ConfigurationError


@pytest.mark.parametrize(
    ("encoding", "frame"),
    [
        ("utf-8", b"\xc3\xa9"),
        ("LATIN1", b"\xe9"),
        ("cp1252", b"\xe9"),
        ("gb18030", b"\xa8\xa6"),
        ("utf-16-le", b"\xe9\0"),
    ],
)
def test_text_in_any_encoding(encoding: str, frame: bytes) -> None:
    """Encodings go by Python's names, in any case."""
    codec = TextCodec(encoding)
    assert codec.decode(frame) == "é"
    assert codec.encode("é") == frame


def test_the_encoding_has_one_name() -> None:
    """Errors and counters show one spelling."""
    assert TextCodec().name == "text"
    assert TextCodec().encoding == "utf-8"
    assert TextCodec("Latin-1").encoding == "iso8859-1"


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "zlib", "base64", "", "utf-8\0", "undefined"])
def test_what_is_not_a_text_encoding_is_found_at_once(encoding: str) -> None:
    """A wrong name must not wait for the first frame; and a transform such as zlib would let a frame explode."""
    with pytest.raises(ConfigurationError, match=r"encoding: .* is not a text encoding; try utf-8"):
        TextCodec(encoding)


@pytest.mark.parametrize("errors", ["nonsense", "xmlcharrefreplace", "namereplace"])
def test_error_handlers_that_cannot_decode_are_found_at_once(errors: str) -> None:
    """Some of Python's handlers work for encoding only and would raise `TypeError` at the first bad frame."""
    with pytest.raises(ConfigurationError, match=r"errors: .* cannot decode"):
        TextCodec(errors=errors)


@pytest.mark.parametrize(
    ("errors", "text"),
    [("replace", "a\ufffdb"), ("ignore", "ab"), ("backslashreplace", r"a\xffb"), ("surrogateescape", "a\udcffb")],
)
def test_lenient_decoding(errors: str, text: str) -> None:
    """Whoever prefers damaged text to no text can have it."""
    assert TextCodec(errors=errors).decode(b"a\xffb") == text


def test_bad_bytes_cost_the_frame() -> None:
    """The error says where, and keeps the head of the frame."""
    with pytest.raises(CodecError, match="text: not valid utf-8 at byte 1") as caught:
        TextCodec().decode(b"a\xffb")
    assert caught.value.head == b"a\xffb"
    with pytest.raises(CodecError, match="not valid idna"):
        TextCodec("idna").decode(b"xn--\xff")


def test_characters_that_the_encoding_lacks() -> None:
    """The error names the character's code and not the text."""
    with pytest.raises(CodecError, match=r"iso8859-1 cannot express U\+20AC"):
        TextCodec("latin-1").encode("price: 5 €")
    with pytest.raises(CodecError, match="idna cannot express"):
        TextCodec("idna").encode("x" * 100)
    with pytest.raises(CodecError, match="expected str, got bytes"):
        TextCodec().encode(b"x")  # type: ignore[arg-type]  # the mistake under test


@given(
    st.binary(),
    st.sampled_from(["utf-8", "ascii", "utf-16", "utf-32", "utf-7", "cp1252", "shift_jis", "gb18030", "big5"]),
)
def test_any_bytes_are_text_or_a_codec_error(frame: bytes, encoding: str) -> None:
    """Whatever a peer sends, nothing but `CodecError` comes out."""
    codec = TextCodec(encoding)
    try:
        text = codec.decode(frame)
    except CodecError:
        return
    assert isinstance(text, str)


@given(st.text())
def test_utf8_round_trip(text: str) -> None:
    """All text that UTF-8 can express comes back as it was."""
    codec = TextCodec()
    try:
        frame = codec.encode(text)
    except CodecError:
        assert any("\ud800" <= character <= "\udfff" for character in text)
        return
    assert codec.decode(frame) == text
