from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, create_model

from portcast.codecs import (
    REST,
    BinaryModel,
    BinaryUnion,
    Bits,
    ByteOrder,
    Bytes,
    Constant,
    Padding,
    PaddingBits,
    Repeat,
    Sized,
    Text,
    UInt8,
    UInt16,
)
from portcast.codecs.binary_compile import compile_model, compile_union
from portcast.codecs.binary_program import Program
from portcast.codecs.binary_run import FixedRun
from portcast.errors import ConfigurationError


class Point(BinaryModel):
    x: Annotated[int, UInt8()]
    y: Annotated[int, UInt8()]


class Open(BinaryModel):
    kind: Annotated[Literal[1], UInt8()] = 1
    rest: Annotated[bytes, Bytes(REST)]


class Closed(BinaryModel):
    kind: Annotated[Literal[2], UInt8()] = 2


class Nothing(BinaryModel):
    pass


class Plain(BaseModel):
    x: int


def compiled(order: ByteOrder = "big", **fields: Any) -> Program:
    """Compile a model of these fields; a field is an annotation, or one and its default."""
    definitions: Any = {name: f if isinstance(f, tuple) else (f, ...) for name, f in fields.items()}
    model: type[BaseModel] = create_model("Frame", **definitions)
    return compile_model(model, order)


Byte = Annotated[int, UInt8()]


@pytest.mark.parametrize(
    ("fields", "data", "values"),
    [
        ({"a": Byte, "b": Annotated[int, UInt16()]}, "01 0002", {"a": 1, "b": 2}),
        ({"a": Annotated[int, Constant(b"$"), UInt8(), Padding(1)]}, "24 01 00", {"a": 1}),
        ({"a": Annotated[Byte, Field(ge=0)]}, "01", {"a": 1}),
        ({"a": Annotated[int, PaddingBits(4), Bits(4)], "b": Byte}, "0f 02", {"a": 15, "b": 2}),
        ({"a": Annotated[int, Bits(4)], "b": Annotated[int, Bits(4)]}, "12", {"a": 1, "b": 2}),
        ({"a": Annotated[int, Bits(8)], "p": Point}, "01 02 03", {"a": 1, "p": {"x": 2, "y": 3}}),
        ({"n": Byte, "t": Annotated[str, Text("n")], "b": Byte}, "02 6162 07", {"n": 2, "t": "ab", "b": 7}),
        ({"n": Annotated[int, Bits(8)], "t": Annotated[bytes, Bytes("n")]}, "01 61", {"n": 1, "t": b"a"}),
        ({"l": Annotated[list[Byte], Repeat(2)]}, "01 02", {"l": [1, 2]}),
        ({"l": Annotated[list[Annotated[str, Text(2)]], Repeat(REST)]}, "6162 6300", {"l": ["ab", "c"]}),
        ({"l": Annotated[list[Point], Sized(UInt8()), Repeat(REST)], "b": Byte}, "02 0102 07",
         {"l": [{"x": 1, "y": 2}], "b": 7}),
        ({"l": Annotated[list[Annotated[list[Byte], Repeat(UInt8())]], Repeat(UInt8())]}, "02 0107 00",
         {"l": [[7], []]}),
        ({"o": Annotated[Open, Sized(UInt8())], "b": Byte}, "02 0161 07", {"o": {"kind": 1, "rest": b"a"}, "b": 7}),
        ({"s": Annotated[int, Sized(UInt8()), UInt16()]}, "02 0001", {"s": 1}),
        ({"u": Annotated[Open | Closed, BinaryUnion("kind")]}, "02", {"u": Closed()}),
        ({"u": Annotated[Closed, BinaryUnion("kind")]}, "02", {"u": Closed()}),
        ({"a": (Byte | None, None)}, "", {}),
        ({"a": (Annotated[int | None, UInt8()], None), "p": (Point | None, None)}, "01 0203",
         {"a": 1, "p": {"x": 2, "y": 3}}),
        ({"a": Byte, "r": (Annotated[bytes | None, Bytes(REST)], None)}, "01", {"a": 1}),
        ({"a": Byte, "r": Annotated[bytes, Bytes(REST), Constant(b"\r\n")]}, "01 0203 0d0a", {"a": 1, "r": b"\2\3"}),
        ({"o": Open, "c": Annotated[int, UInt16()]}, "01 61 0007", {"o": {"kind": 1, "rest": b"a"}, "c": 7}),
    ],
    ids=[
        "two", "marks", "constraint", "padding bits", "bits", "bits, model", "length", "length in bits", "list",
        "texts", "sized list", "lists in a list", "sized model", "sized number", "union", "union of one",
        "optional, missing", "optional, there", "optional rest", "rest with a tail", "open model with a tail",
    ],
)  # fmt: skip
def test_forms(fields: dict[str, Any], data: str, values: dict[str, object]) -> None:
    """Each form of a declaration and what it reads; written, it is the same."""
    program = compiled(**fields)
    frame = bytes.fromhex(data)
    got = program.read_whole(frame)
    assert got == values
    assert program.write(program.validate(got, frame, 0)) == frame


def test_neighbours_of_fixed_width_are_one_run() -> None:
    """One struct for all of them: that is where the speed comes from."""
    program = compiled(
        a=Byte, b=Annotated[int, Bits(8)], c=Annotated[bytes, Bytes(3)], d=Annotated[bytes, Bytes("a")], e=Byte
    )
    assert [step.names if isinstance(step, FixedRun) else step.name for step in program.steps] == [
        ("a", "b", "c"), "d", ("e",)
    ]  # fmt: skip


def test_the_order_of_the_model_is_everyones() -> None:
    """Numbers in front of parts included."""
    program = compiled("little", a=Annotated[int, UInt16()], t=Annotated[str, Text(UInt16())])
    assert program.read_whole(b"\1\0\2\0ab") == {"a": 1, "t": "ab"}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"a": int}, "a: has no layout; annotate it"),
        ({"a": Plain}, "a: has no layout"),
        ({"a": Annotated[int, UInt8]}, r"a: UInt8 is a class; write UInt8\(…\)"),
        ({"a": Annotated[int, UInt8(), UInt16()]}, "a: has two layouts; keep one"),
        ({"a": Annotated[int, Bits(8), UInt16()]}, "a: has two layouts"),
        ({"a": Annotated[int, Bits(7)]}, "a: these bit fields have 7 bits together"),
        ({"a": Annotated[int, Bits(7)], "b": Byte}, "a: these bit fields have 7 bits together"),
        ({"a": Annotated[int, PaddingBits(8), UInt8()]}, "PaddingBits without Bits; use Padding"),
        ({"a": (Annotated[int | None, Bits(8)], None)}, "a: is a bit field and cannot be missing"),
        ({"a": Byte | None}, "a: may be None; give it the default None"),
        ({"a": (Byte | None, None), "b": Byte}, "b: follows optional fields"),
        ({"t": Annotated[str, Text("n")], "n": Byte}, "t: takes its length from 'n', which is no whole number"),
        ({"n": Annotated[str, Text(1)], "t": Annotated[str, Text("n")]}, "t: takes its length from 'n'"),
        ({"n": Byte, "t": (Annotated[str | None, Text("n")], None)}, "t: may be missing, but another field says"),
        ({"r": Annotated[bytes, Bytes(REST)], "t": Annotated[str, Text(UInt8())]}, "t: follows 'r', which goes on"),
        ({"r": Annotated[bytes, Bytes(REST)], "t": (Byte | None, None)}, "t: follows 'r', which goes on to the end"),
        ({"l": Annotated[list[Open], Repeat(2)]}, "l: has items that go on to the end"),
        ({"l": Annotated[list[Nothing], Repeat(2)]}, "l: has items that may take no bytes"),
        ({"l": Annotated[list[Annotated[bytes, Bytes(0)]], Repeat(2)]}, "l: has items that may take no bytes"),
        ({"l": Annotated[list[int], Repeat(2)]}, "l: has no layout"),
        ({"l": Annotated[int, Repeat(2)]}, "l: is repeated, but no list"),
        ({"l": Annotated[list, Repeat(2)]}, "l: is repeated, but no list"),
        ({"l": Annotated[list[Annotated[int, UInt8(), Padding(1)]], Repeat(2)]}, "l: has items with constants"),
        ({"n": Byte, "l": Annotated[list[Annotated[str, Text("n")]], Repeat(2)]}, "l: has items that take their"),
        ({"l": Annotated[list[Annotated[int, Bits(8)]], Repeat(2)]}, "l: bit fields stand alone"),
        ({"l": Annotated[list[Byte], Repeat(2), UInt8()]}, "l: has two layouts; .* inside list"),
        ({"s": Annotated[bytes, Sized(REST), Bytes(REST)]}, r"s: Sized\(REST\) cuts nothing off"),
        ({"s": Annotated[int, Sized(3)]}, "s: has a size, but no layout"),
        ({"u": Annotated[Open | Plain, BinaryUnion("kind")]}, "u: Plain is no BinaryModel"),
        ({"u": Annotated[Open | list[int], BinaryUnion("kind")]}, r"u: list\[int\] is no BinaryModel"),
    ],
    ids=range(30),
)  # fmt: skip
def test_declarations_that_cannot_work(fields: dict[str, Any], problem: str) -> None:
    """They are found when the class is made; the error names class and field."""
    with pytest.raises(ConfigurationError, match=rf"Frame(\.)?(: )?{problem}"):
        compiled(**fields)


@pytest.mark.parametrize("annotation", [Open | Closed, int, Annotated[int, "x"]], ids=str)
def test_what_is_no_union(annotation: object) -> None:
    """Only the mark makes it one."""
    assert compile_union(annotation) is None


def test_a_union_on_its_own() -> None:
    """As a handler's message."""
    union = compile_union(Annotated[Annotated[Open, "x"] | Closed, BinaryUnion("kind")])
    assert union is not None
    assert union.read(b"\2", 0, {}) == (Closed(), 1)
    with pytest.raises(ConfigurationError, match=r"BinaryUnion\('kind'\): Plain is no BinaryModel"):
        compile_union(Annotated[Open | Plain, BinaryUnion("kind")])
