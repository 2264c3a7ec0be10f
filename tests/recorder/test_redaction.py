from __future__ import annotations

import pytest

from portcast.recorder import ByteRange, FrameKind, Redaction, parse_range

FRAME = b"0123456789"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4:6", ByteRange(4, 6)),
        ("in:4:6", ByteRange(4, 6, "in")),
        ("out::-2", ByteRange(None, -2, "out")),
        ("-2:", ByteRange(-2, None)),
        (":", ByteRange(None, None)),
    ],
)
def test_ranges_are_read(text: str, expected: ByteRange) -> None:
    """As slices, with a direction in front if only one is meant."""
    assert parse_range(text) == expected


@pytest.mark.parametrize("text", ["", "4", "4-6", "a:b", "both:1:2", "1:2:3", "in:1", "1.5:2", "9999999999:", " 1:2"])
def test_what_is_no_range(text: str) -> None:
    """It is refused before anything is recorded, with what to write."""
    with pytest.raises(ValueError, match=r"is no range of bytes: write START:STOP"):
        parse_range(text)


@pytest.mark.parametrize(
    ("ranges", "kind", "left"),
    [
        (["2:4"], "in", b"01**456789"),
        (["2:4"], "out", b"01**456789"),
        (["in:2:4"], "in", b"01**456789"),
        (["in:2:4"], "out", FRAME),
        (["-3:"], "in", b"0123456***"),
        ([":2", "8:"], "in", b"**234567**"),
        ([":"], "in", b"*" * 10),
        (["8:99"], "in", b"01234567**"),
        (["20:30"], "in", FRAME),
        (["6:4"], "in", FRAME),
        (["-99:2"], "in", b"**23456789"),
    ],
)
def test_bytes_are_covered(ranges: list[str], kind: FrameKind, left: bytes) -> None:
    """Offsets stay what they are; a frame that is too short for a range is covered as far as it goes."""
    assert Redaction("l", [parse_range(one) for one in ranges]).apply(FRAME, kind) == left


def test_refused_bytes_are_taken_out_as_a_whole() -> None:
    """Nobody knows where in them the ranges would lie, even a range of the other direction only."""
    assert Redaction("l", [parse_range("out:0:1")]).apply(FRAME, "refused") == b""


def test_a_function_sees_the_rest() -> None:
    """With kind and listener; None takes out everything, refused bytes included."""
    seen: list[tuple[bytes, str, str]] = []

    def function(data: bytes, kind: str, listener: str) -> bytes | None:
        seen.append((data, kind, listener))
        return None if kind == "refused" else data[5:]

    one = Redaction("scales", [], function)
    assert (one.apply(FRAME, "in"), one.apply(FRAME, "refused")) == (b"56789", b"")
    both = Redaction("scales", [parse_range("8:")], function)
    assert (both.apply(FRAME, "out"), both.apply(FRAME, "refused")) == (b"567**", b"")
    assert seen == [(FRAME, "in", "scales"), (FRAME, "refused", "scales"), (b"01234567**", "out", "scales")]


def test_nothing_is_taken_out_unless_asked() -> None:
    """Then the frame is the same object, and the redaction is false."""
    nothing = Redaction("l")
    assert not nothing
    assert nothing.apply(FRAME, "in") is FRAME
    assert Redaction("l", [parse_range(":1")])
    assert Redaction("l", [], lambda data, kind, listener: data)
