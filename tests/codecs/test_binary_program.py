from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from portcast.codecs import REST, Bcd, Bytes, Text, UInt8, UInt16
from portcast.codecs.binary_lengths import Length
from portcast.codecs.binary_program import ContentElement, LayoutElement, ModelElement, Named, Program, Step
from portcast.codecs.binary_run import FixedRun, Whole
from portcast.codecs.binary_scale import Refusal


class Note(BaseModel):
    kind: int
    size: Annotated[int, Field(le=100)]
    body: bytes
    tail: int | None = None


class Outer(BaseModel):
    x: int
    note: Note


def run(*names: str) -> FixedRun:
    return FixedRun(tuple(Whole(name, UInt8()) for name in names), "big")


def content(length: Length, adjust: int = 0) -> ContentElement:
    return ContentElement(Bytes(length, adjust), "big")


PROGRAM = Program(Note, [run("kind", "size"), Named("body", content("size")), run("tail")], 2)
OUTER = Program(Outer, [run("x"), Named("note", ModelElement(PROGRAM))], 2)


def refused(program: Program, frame: bytes) -> tuple[tuple[str | int, ...], int | None, str]:
    with pytest.raises(Refusal) as caught:
        program.validate(program.read_whole(frame), frame, 0)
    return caught.value.path, caught.value.offset, caught.value.expected


def test_fields_are_read_in_order() -> None:
    """Fixed ones together, the others one by one, a length before what it measures."""
    assert PROGRAM.read(b"\1\2abrest") == ({"kind": 1, "size": 2, "body": b"ab", "tail": ord("r")}, 5)
    assert PROGRAM.read_whole(b"\1\2ab\5") == {"kind": 1, "size": 2, "body": b"ab", "tail": 5}
    assert OUTER.read_whole(b"\7\1\2ab") == {"x": 7, "note": {"kind": 1, "size": 2, "body": b"ab"}}
    assert (PROGRAM.least, PROGRAM.is_open, OUTER.least, OUTER.is_open) == (2, True, 3, True)


@pytest.mark.parametrize(
    ("program", "frame", "refusal"),
    [
        (PROGRAM, b"", (("kind",), 0, "1 byte, 0 bytes are left")),
        (PROGRAM, b"\1\3ab", (("body",), 2, "3 bytes, 2 bytes are left")),
        (PROGRAM, b"\1\0\0\0", ((), 3, "the end of the frame (1 byte more)")),
        (PROGRAM, b"\1\xc8" + bytes(200), (("size",), 1, "less than or equal to 100")),
        (OUTER, b"\7\1\3ab", (("note", "body"), 3, "3 bytes, 2 bytes are left")),
        (OUTER, b"\7\1\xc8" + bytes(200), (("note", "size"), 2, "less than or equal to 100")),
    ],
    ids=["empty", "cut", "long", "constraint", "nested", "nested constraint"],
)
def test_what_is_wrong_and_where(program: Program, frame: bytes, refusal: tuple[object, ...]) -> None:
    """The path, the byte and what was expected, whoever notices: a layout, a length or Pydantic."""
    assert refused(program, frame) == refusal


def test_what_pydantic_says_about_the_whole() -> None:
    """A field that the program does not know is placed where the model begins."""
    assert OUTER.locate(b"\7\1\2ab", 0, ()) == 0
    assert OUTER.locate(b"\7\1\2ab", 0, ("other",)) == 0
    assert OUTER.locate(b"\7\1\2ab", 0, ("note", "other")) == 1
    assert OUTER.locate(b"\7\1\2ab", 0, ("note", "body", 3)) == 3
    assert PROGRAM.locate(b"\1\0", 0, ("other",)) == 0


@pytest.mark.parametrize("tail", [None, 9])
def test_writing(tail: int | None) -> None:
    """Lengths are written from what they measure; what is None at the end is left out."""
    note = Note(kind=1, size=77, body=b"abc", tail=tail)
    assert PROGRAM.write(note) == b"\1\3abc" + (b"" if tail is None else b"\x09")
    frame = OUTER.write(Outer(x=7, note=note))
    assert frame == b"\7\1\3abc" + (b"" if tail is None else b"\x09")
    assert OUTER.validate(OUTER.read_whole(frame), frame, 0) == Outer(x=7, note=note.model_copy(update={"size": 3}))


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        (Note(kind=300, size=0, body=b""), ("kind",), "0 to 255, not 300"),
        (Note(kind=0, size=0, body=bytes(256)), ("size",), "0 to 255, not 256"),
        (Note.model_construct(kind=0, size=0, body=5), ("body",), "bytes, not int"),
        (5, (), "Note, not int"),
    ],
    ids=["number", "length", "type", "model"],
)
def test_what_cannot_be_written(value: object, path: tuple[str, ...], expected: str) -> None:
    """The field is named."""
    with pytest.raises(Refusal) as caught:
        PROGRAM.write(value)
    assert (caught.value.path, caught.value.offset, caught.value.expected) == (path, None, expected)


def test_refusals_of_elements_are_named() -> None:
    """A part of variable width knows what is wrong, its step whose it is."""
    program = Program(Note, [run("kind"), Named("body", content(UInt8()))], 2)
    with pytest.raises(Refusal, match="a length of 0 to 255, not 256") as caught:
        program.write(Note(kind=0, size=0, body=bytes(256)))
    assert caught.value.path == ("body",)


class Pair(BaseModel):
    size: int
    one: bytes | None
    two: bytes


def test_one_length_of_two_parts() -> None:
    """They must agree, less what each adds; None has no length, as the compiler gives optional parts none."""
    steps: list[Step] = [run("size"), Named("one", content("size")), Named("two", content("size", -1))]
    program = Program(Pair, steps, 3)
    assert program.write(Pair(size=0, one=b"ab", two=b"c")) == b"\2abc"
    with pytest.raises(Refusal, match=r"one, two to be of one length, not \[2, 3\]") as caught:
        program.write(Pair(size=0, one=b"ab", two=b"cd"))
    assert caught.value.path == ("one",)
    with pytest.raises(Refusal, match="bytes, not NoneType"):
        program.write(Pair(size=0, one=None, two=b""))


class Trailer(BaseModel):
    body: bytes
    check: int


def test_fixed_fields_behind_the_rest() -> None:
    """A part that goes on to the end leaves room for them."""
    program = Program(Trailer, [Named("body", content(REST), tail=1), run("check")], 2)
    assert program.read_whole(b"abc\7") == {"body": b"abc", "check": 7}
    assert program.read_whole(b"\7") == {"body": b"", "check": 7}
    assert refused(program, b"") == (("check",), 0, "1 byte, 0 bytes are left")
    assert program.locate(b"abc\7", 0, ("body",)) == 0
    assert program.locate(b"abc\7", 0, ("check",)) == 3


def test_content() -> None:
    """Bytes or text with a number in front."""
    it = ContentElement(Text(UInt16()), "little")
    assert (it.least, it.is_open, it.measure.prefix_size) == (2, False, 2)
    assert it.read(b"\2\0ab", 0, {}) == ("ab", 4)
    assert it.write("é") == b"\2\0\xc3\xa9"
    assert it.size_of("é") == 2
    assert it.locate(b"", 5, (), {}) == 5
    assert (content(REST).is_open, content(3).least) == (True, 3)


def test_one_value_of_fixed_width() -> None:
    """An item of a list has no name of its own."""
    it = LayoutElement(UInt16(), "big")
    assert (it.least, it.is_open, it.measure) == (2, False, None)
    assert it.read(b"\0\1\0\2", 2, {}) == (2, 4)
    assert it.write(2) == b"\0\2"
    assert it.read_many(b"-\0\1\0\2", 1, 2) == [1, 2]
    assert it.locate(b"", 5, (), {}) == 5
    with pytest.raises(Refusal, match="2 bytes, 1 byte is left") as caught:
        it.read(b"\0", 0, {})
    assert (caught.value.path, caught.value.offset) == ((), 0)
    with pytest.raises(Refusal, match="0 to 65535, not -1") as caught:
        it.write(-1)
    assert caught.value.path == ()


def test_many_values_that_are_converted() -> None:
    """The one that is refused is named by its index."""
    it = LayoutElement(Bcd(2), "big")
    assert it.read_many(b"\1\2", 0, 2) == ["01", "02"]
    with pytest.raises(Refusal, match="2 decimal digits, not 0a") as caught:
        it.read_many(b"-\1\x0a", 1, 2)
    assert (caught.value.path, caught.value.offset) == ((1,), 2)


@pytest.mark.parametrize("it", [LayoutElement(UInt8(), "big"), ModelElement(PROGRAM)], ids=["layout", "model"])
def test_what_has_no_measure_has_no_size(it: LayoutElement | ModelElement) -> None:
    """Nobody asks, and an answer would be made up."""
    with pytest.raises(NotImplementedError):
        it.size_of(0)
