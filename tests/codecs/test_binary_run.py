from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.codecs import Bits, ByteOrder, Constant, Int16, Padding, PaddingBits, Text, UInt8, UInt16, UInt24, UInt32
from portcast.codecs.binary_content import FixedContent
from portcast.codecs.binary_layout import Layout
from portcast.codecs.binary_run import BitGroup, FixedRun, Item, Near, Whole
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError


def group(*fields: tuple[str, Bits | PaddingBits]) -> BitGroup:
    return BitGroup(fields)


def run(*items: Item, order: ByteOrder = "big") -> FixedRun:
    return FixedRun(items, order)


def read(it: FixedRun, data: str, at: int = 0) -> dict[str, object]:
    values: dict[str, object] = {}
    assert it.read(bytes.fromhex(data), at, values) == at + it.size
    return values


MIXED = run(
    Near("a", Constant(b"xx")),
    Whole("a", UInt16()),
    Near("a", Padding(1, 0xFF)),
    group(("b", Bits(4)), ("c", Bits(4, signed=True))),
    Whole("d", UInt24(byte_order="little")),
    Whole("e", FixedContent(Text(2), 2)),
)
FRAME = "78780102ff3f010000613100"


def test_all_kinds_of_items_in_one_run() -> None:
    """Constants and padding give no value; each field has its place."""
    assert (MIXED.names, MIXED.size) == (("a", "b", "c", "d", "e"), 11)
    assert MIXED.offsets == {"a": 2, "b": 5, "c": 5, "d": 6, "e": 9}
    values = read(MIXED, FRAME)
    assert values == {"a": 258, "b": 3, "c": -1, "d": 1, "e": "a1"}
    assert MIXED.write(values).hex() == FRAME[:22]


def test_a_run_may_begin_anywhere() -> None:
    """Offsets are relative to it, those in errors to the frame."""
    assert read(MIXED, "0000" + FRAME, 2)["a"] == 258
    with pytest.raises(Refusal) as caught:
        MIXED.read(b"\0\0xy" + bytes(9), 2, {})
    assert (caught.value.path, caught.value.offset) == (("a",), 2)
    assert caught.value.expected == "the constant 78 78, not 78 79"


@pytest.mark.parametrize(
    ("size", "name", "offset", "expected"),
    [
        (0, "a", 0, "2 bytes, 0 bytes are left"),
        (1, "a", 0, "2 bytes, 1 byte is left"),
        (2, "a", 2, "2 bytes, 0 bytes are left"),
        (4, "a", 4, "1 byte, 0 bytes are left"),
        (5, "b", 5, "1 byte, 0 bytes are left"),
        (8, "d", 6, "3 bytes, 2 bytes are left"),
        (10, "e", 9, "2 bytes, 1 byte is left"),
    ],
)
def test_a_frame_that_ends_early(size: int, name: str, offset: int, expected: str) -> None:
    """The first field that is not whole is named."""
    with pytest.raises(Refusal) as caught:
        MIXED.read(bytes.fromhex(FRAME)[:size], 0, {})
    assert (caught.value.path, caught.value.offset, caught.value.expected) == ((name,), offset, expected)


def test_what_a_layout_refuses_is_located() -> None:
    """The layout knows what is wrong, the run where."""
    with pytest.raises(Refusal) as caught:
        MIXED.read(bytes.fromhex("78780102ff3f010000ffff"), 0, {})
    assert (caught.value.path, caught.value.offset, caught.value.expected) == (("e",), 9, "valid utf-8")
    with pytest.raises(Refusal) as caught:
        MIXED.write({"a": 70_000})
    assert (caught.value.path, caught.value.offset) == (("a",), None)
    with pytest.raises(Refusal, match="-8 to 7, not 8") as caught:
        MIXED.write({"a": 0, "b": 0, "c": 8})
    assert caught.value.path == ("c",)


@pytest.mark.parametrize(
    ("it", "data", "values"),
    [
        (run(group(("a", Bits(1)), ("", PaddingBits(2)), ("b", Bits(13)))), "8001", {"a": 1, "b": 1}),
        (run(group(("a", Bits(12)), ("b", Bits(12)))), "123456", {"a": 0x123, "b": 0x456}),
        (run(group(("a", Bits(4, byte_order="little")), ("b", Bits(12)))), "3412", {"a": 1, "b": 0x234}),
        (
            run(group(("a", Bits(4, byte_order="little")), ("b", Bits(12))), order="little"),
            "3412",
            {"a": 1, "b": 0x234},
        ),
        (run(group(("a", Bits(4)), ("b", Bits(12))), order="little"), "1234", {"a": 1, "b": 0x234}),
        (run(group(("a", Bits(64)))), "ffffffffffffffff", {"a": 2**64 - 1}),
        (run(group(("a", Bits(40)), ("b", Bits(40)))), "00000000010000000002", {"a": 1, "b": 2}),
        (run(group(("a", Bits(8, scale=0.5)))), "03", {"a": 1.5}),
    ],
    ids=["padding", "three bytes", "little word", "both little", "little model", "64", "80", "scale"],
)
def test_bit_fields(it: FixedRun, data: str, values: dict[str, object]) -> None:
    """Most significant bit first, over bytes in the order that the first of them says."""
    assert read(it, data) == values
    assert it.write(values).hex() == data


def test_bit_fields_begin_in_their_byte() -> None:
    """An error points at the byte that holds the first bit."""
    it = run(Whole("x", UInt8()), group(("a", Bits(6)), ("b", Bits(6)), ("c", Bits(12))))
    assert it.offsets == {"x": 0, "a": 1, "b": 1, "c": 2}


def test_bit_fields_fill_bytes() -> None:
    """Seven bits and a byte behind them are a mistake of the declaration."""
    with pytest.raises(ConfigurationError, match="a, b: these bit fields have 7 bits together; fill whole bytes"):
        run(group(("a", Bits(4)), ("b", Bits(3))))


def test_layouts_are_found_by_name() -> None:
    """A union asks where its tag is."""
    assert MIXED.layout_at("a") == UInt16()
    assert MIXED.layout_at("b") is None
    assert MIXED.layout_at("nothing") is None


LAYOUTS: list[Layout] = [UInt8(), UInt16(), UInt16(byte_order="little"), Int16(), UInt24(), UInt32(scale=0.1)]


@given(st.lists(st.sampled_from([*LAYOUTS, Bits(4)]), min_size=1), st.sampled_from(["big", "little"]), st.data())
def test_runs_of_any_items(layouts: list[Layout | Bits], order: ByteOrder, data: st.DataObject) -> None:
    """Whatever stands beside what, the bytes of a frame come back."""
    items: list[Item] = []
    for index, layout in enumerate(layouts):
        if isinstance(layout, Bits):
            items.append(group((f"x{index}", layout), (f"y{index}", Bits(12))))
        else:
            items.append(Whole(f"x{index}", layout))
    it = FixedRun(tuple(items), order)
    frame = data.draw(st.binary(min_size=it.size, max_size=it.size))
    values: dict[str, object] = {}
    assert it.read(frame, 0, values) == it.size
    assert set(values) == set(it.names) == set(it.offsets)
    assert it.write(values) == frame
