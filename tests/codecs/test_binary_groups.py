from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import BaseModel

from portcast.codecs import REST, Bcd, Repeat, Sized, Text, UInt8, UInt16
from portcast.codecs.binary_groups import ListElement, SizedElement
from portcast.codecs.binary_program import ContentElement, LayoutElement, ModelElement, Path, Program
from portcast.codecs.binary_run import FixedRun, Whole
from portcast.codecs.binary_scale import Refusal


class Point(BaseModel):
    x: int
    y: int


POINT = ModelElement(Program(Point, [FixedRun((Whole("x", UInt8()), Whole("y", UInt8())), "big")], 1))
WORD = LayoutElement(UInt16(), "big")
DIGITS = LayoutElement(Bcd(2), "big")
NAME = ContentElement(Text(UInt8()), "big")


def refused(call: Callable[[], object]) -> tuple[Path, int | None, str]:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.path, caught.value.offset, caught.value.expected


@pytest.mark.parametrize(
    ("it", "data", "value"),
    [
        (ListElement(Repeat(UInt8()), POINT, "big"), b"\2\1\2\3\4", [Point(x=1, y=2), Point(x=3, y=4)]),
        (ListElement(Repeat(UInt8()), WORD, "big"), b"\2\0\1\0\2", [1, 2]),
        (ListElement(Repeat(UInt8(), adjust=-1), WORD, "big"), b"\3\0\1\0\2", [1, 2]),
        (ListElement(Repeat(REST), WORD, "big"), b"\0\1\0\2", [1, 2]),
        (ListElement(Repeat(REST), NAME, "big"), b"\1a\2bc", ["a", "bc"]),
        (ListElement(Repeat(2), NAME, "big"), b"\1a\2bc", ["a", "bc"]),
        (ListElement(Repeat(REST), NAME, "big"), b"", []),
        (SizedElement(Sized(UInt8()), ListElement(Repeat(REST), NAME, "big"), "big"), b"\5\1a\2bc", ["a", "bc"]),
        (SizedElement(Sized(5), ListElement(Repeat(2), NAME, "big"), "big"), b"\1a\2bc", ["a", "bc"]),
    ],
    ids=["models", "numbers", "adjusted", "rest", "texts", "fixed", "none", "sized", "sized fixed"],
)
def test_both_ways(it: ListElement | SizedElement, data: bytes, value: list[object]) -> None:
    """Lists of anything, counted or to the end, in a part of known size or not."""
    got, end = it.read(data, 0, {})
    assert end == len(data)
    assert got == [dict(item) if isinstance(item, Point) else item for item in value]
    assert it.write(value) == data
    assert it.least <= len(data)


def test_a_count_from_a_field() -> None:
    """The field was read before."""
    it = ListElement(Repeat("count"), WORD, "big")
    assert it.read(b"\0\1\0\2", 0, {"count": 2}) == ([1, 2], 4)
    assert it.write([1, 2]) == b"\0\1\0\2"
    assert it.size_of([1, 2]) == 2
    assert (it.least, it.is_open, it.measure.source) == (0, False, "count")


def test_counts_that_the_frame_cannot_hold_cost_nothing() -> None:
    """65 535 items in 3 bytes are refused before the first is read."""
    for item in (POINT, WORD, NAME):
        it = ListElement(Repeat(UInt16()), item, "big")
        path, offset, expected = refused(lambda it=it: it.read(b"\xff\xffabc", 0, {}))  # type: ignore[misc]  # lambda defaults are not typed
        assert (path, offset) == ((), None)
        assert expected == f"65535 items of at least {item.least} byte{'s' * (item.least > 1)}, 3 bytes are left"


@pytest.mark.parametrize(
    ("it", "frame", "refusal"),
    [
        (ListElement(Repeat(2), NAME, "big"), b"\1a\5bc", ((1,), 2, "5 bytes, 2 bytes are left")),
        (ListElement(Repeat(2), DIGITS, "big"), b"\x12\xff", ((1,), 1, "2 decimal digits, not ff")),
        (ListElement(Repeat(REST), WORD, "big"), b"\0\1\0", ((1,), 2, "2 bytes, 1 byte is left")),
        (ListElement(Repeat(REST), POINT, "big"), b"\0\1\0", ((1, "y"), 3, "1 byte, 0 bytes are left")),
        (ListElement(Repeat(UInt16()), WORD, "big"), b"\0", ((), None, "a length of 2 bytes, 1 byte is left")),
        (SizedElement(Sized(UInt8()), WORD, "big"), b"\5abc", ((), None, "5 bytes, 3 bytes are left")),
        (SizedElement(Sized(UInt8()), WORD, "big"), b"\3abc", ((), 3, "the end of this part (1 byte more)")),
        (SizedElement(Sized(UInt8()), WORD, "big"), b"\1abc", ((), 1, "2 bytes, 1 byte is left")),
        (SizedElement(Sized(UInt8()), NAME, "big"), b"\2\5a", ((), None, "5 bytes, 1 byte is left")),
        (SizedElement(Sized(UInt8()), ListElement(Repeat(REST), NAME, "big"), "big"), b"\4\1a\5b",
         ((1,), 3, "5 bytes, 1 byte is left")),
    ],
    ids=["item", "digits", "odd", "field", "count", "size", "more", "less", "inside", "item inside"],
)  # fmt: skip
def test_what_is_wrong_and_where(
    it: ListElement | SizedElement, frame: bytes, refusal: tuple[Path, int | None, str]
) -> None:
    """The index of the item, and the byte in the whole frame."""
    assert refused(lambda: it.read(frame, 0, {})) == refusal


def test_what_cannot_be_written() -> None:
    """The index of the item, or the list itself."""
    it = ListElement(Repeat(UInt8()), WORD, "big")
    assert refused(lambda: it.write([1, -1])) == ((1,), None, "0 to 65535, not -1")
    assert refused(lambda: it.write([0] * 256)) == ((), None, "a length of 0 to 255, not 256")
    assert refused(lambda: it.write("ab")) == ((), None, "a list, not str")
    assert refused(lambda: ListElement(Repeat(3), WORD, "big").write([1])) == ((), None, "a length of 3, not 1")
    assert refused(lambda: SizedElement(Sized(3), WORD, "big").write(1)) == ((), None, "a length of 3, not 2")


def test_items_are_found_again() -> None:
    """When Pydantic refuses the third name, the error says where it begins."""
    names = ListElement(Repeat(UInt8()), NAME, "big")
    frame = b"-\3\1a\2bc\1d"
    assert names.locate(frame, 1, (2,), {}) == 7
    assert names.locate(frame, 1, (), {}) == 1
    points = SizedElement(Sized(UInt8()), ListElement(Repeat(REST), POINT, "big"), "big")
    assert points.locate(b"\4\1\2\3\4", 0, (1, "y"), {}) == 4


def test_what_a_part_of_known_size_tells() -> None:
    """It is never open, whatever is inside; its size is that of its bytes."""
    it = SizedElement(Sized("size"), ListElement(Repeat(REST), WORD, "big"), "big")
    assert (it.is_open, it.least, it.measure.source) == (False, 0, "size")
    assert it.size_of([1, 2]) == 4
    assert SizedElement(Sized(UInt8()), WORD, "big").least == 3
