r"""Golden frames are text that people read: names, comments, hex, quoted text, and the frames that come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from portcast.errors import ConfigurationError
from portcast.framing import ChecksumFraming, DelimiterFraming, LengthFieldFraming, LineFraming
from portcast.testing import GoldenFrame, check_golden, golden, parse_golden

TEXT = r"""
# From the bench.
login:
78 78 0d 01              # start, length, type
0123456789012345
# between lines
00 01 8cdd "\r\n"

"*HQ,1,\"ü\\\x23\t\0#"   # a comment after text
=> "*HQ,1"
=> ""

the h02 position, south: AA
=> aa bb
"""


def test_the_format(tmp_path: Path) -> None:
    """All of it in one file."""
    path = tmp_path / "frames.txt"
    path.write_text(TEXT, "utf-8")
    first, second, third = golden(path)
    assert first == GoldenFrame("login", bytes.fromhex("78780d01012345678901234500018cdd0d0a"))
    assert second == GoldenFrame("line 9", b'*HQ,1,"' + "ü".encode() + b"\\#\t\0#", (b"*HQ,1", b""))
    assert third == GoldenFrame("the h02 position, south", b"\xaa", (b"\xaa\xbb",))
    assert str(third) == "the h02 position, south"
    assert golden(str(path)) == [first, second, third]
    assert parse_golden("# nothing\n\n  \n") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n12 3", r"golden frames:2: '3' has half a byte"),
        ("hello", r"golden frames:1: cannot read 'hello'"),
        ('"open', r"golden frames:1: cannot read '\"open'"),
        (r'"\q"', r"golden frames:1: unknown escape '\\q'"),
        (r'"\x1"', r"golden frames:1: unknown escape '\\x'"),
        ("name: 12 xx", r"golden frames:1: cannot read 'xx'"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(text: str, problem: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigurationError, match=problem):
        parse_golden(text)


def test_a_framing_is_checked_in_both_directions() -> None:
    """Decoding with every split, and encoding."""
    check_golden(LineFraming(), parse_golden(r'"one\n"' + "\n\n" + r'"a\nb\n" => "a" => "b"'))
    check_golden(LineFraming(), parse_golden(r'"a\r\n" => "a"'), encodes=False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (r'x: "a\nb\n"', "x: expected one frame, got b'a', b'b'"),
        (r'x: "a"', "x: it was refused: truncated frame"),
        (r'x: "a\nb\n" => "a"', "x: expected b'a', got b'a', b'b'"),
        (r'x: "1\n2\n3\n4\n5\n" => "1"', r"got b'1', b'2', b'3', b'4', … \(5\)"),
        (r'x: "a\r\n"', r"x: encoded it is b'a\\n', not b'a\\r\\n'"),
    ],
)
def test_what_is_wrong_is_named(text: str, problem: str) -> None:
    """By the entry's name."""
    with pytest.raises(AssertionError, match=problem):
        check_golden(LineFraming(), parse_golden(text))


def test_a_framing_that_depends_on_packets_is_found() -> None:
    """Golden frames are fed in every split."""

    class Packets(LineFraming):
        def decoder(self):  # type: ignore[no-untyped-def]
            decoder = super().decoder()
            feed = decoder.feed

            class Wrong:
                error = None
                skipped_bytes = buffered = 0

                def feed(self, data: bytes) -> list[bytes]:
                    return [] if len(data) < 3 else feed(data)

                def end(self) -> list[bytes]:
                    return []

            return Wrong()

    with pytest.raises(AssertionError, match="it gives other frames in 4 pieces"):
        check_golden(Packets(), parse_golden(r'"a\n"' + "\n" + r'"b\n" => "a" => "b"'))


@pytest.mark.parametrize(
    ("framing", "text"),
    [
        (DelimiterFraming(b"#", start=b"*"), '"*HQ,1#"'),
        (LengthFieldFraming(), "00 02 41 42"),
        (ChecksumFraming(LineFraming(), "nmea"), r'"$A*41\n" => "$A"'),
    ],
    ids=["delimiter", "length_field", "nmea"],
)
def test_framings_of_ours(framing: LineFraming, text: str) -> None:
    """Three that keep, strip and check bytes."""
    check_golden(framing, parse_golden(text))
