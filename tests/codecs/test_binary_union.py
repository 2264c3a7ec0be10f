from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, TypeAdapter

from portcast.codecs import REST, Bcd, BinaryUnion, Bits, Bytes, Constant, UInt8, UInt16
from portcast.codecs.binary_layout import Layout
from portcast.codecs.binary_program import ContentElement, Named, Path, Program
from portcast.codecs.binary_run import BitGroup, FixedRun, Item, Near, Whole
from portcast.codecs.binary_scale import Refusal
from portcast.codecs.binary_union import UnionElement
from portcast.errors import ConfigurationError


class Kind(IntEnum):
    LOGIN = 1


class Login(BaseModel):
    kind: Literal[Kind.LOGIN]
    x: int


class Beat(BaseModel):
    kind: Literal[2, 3]


class Other(BaseModel):
    kind: int
    body: bytes = b""


BYTE = UInt8()


def program(model: type[BaseModel], layout: Layout = BYTE, magic: bytes = b"$", *names: str) -> Program:
    items: list[Item] = [
        Near("kind", Constant(magic)),
        Whole("kind", layout),
        *(Whole(name, UInt8()) for name in names),
    ]
    steps: list[FixedRun | Named] = [FixedRun(tuple(items), "big")]
    if model is Other:
        steps.append(Named("body", ContentElement(Bytes(REST), "big")))
    return Program(model, steps, len(steps))


LOGIN, BEAT, OTHER = program(Login, UInt8(), b"$", "x"), program(Beat), program(Other)


def union(programs: Sequence[Program], unknown: type[BaseModel] | None = None, tag: str = "kind") -> UnionElement:
    return UnionElement(BinaryUnion(tag, unknown), programs, "Frame.message")


def refused(call: Callable[[], object]) -> tuple[Path, int | None, str]:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.path, caught.value.offset, caught.value.expected


@pytest.mark.parametrize(
    ("frame", "value"),
    [
        (b"$\1\7", Login(kind=Kind.LOGIN, x=7)),
        (b"$\2", Beat(kind=2)),
        (b"$\3", Beat(kind=3)),
    ],
    ids=["enum", "first of two", "second of two"],
)
def test_the_tag_picks_the_model(frame: bytes, value: BaseModel) -> None:
    """Both ways; an instance, so that Pydantic need not guess."""
    it = union([LOGIN, BEAT])
    assert it.read(b"-" + frame, 1, {}) == (value, 1 + len(frame))
    assert it.write(value) == frame
    assert (it.least, it.is_open, it.measure) == (2, False, None)
    assert it.locate(frame, 5, ("x",), {}) == 5


def test_unknown_tags_are_refused() -> None:
    """By default: what nobody declared cannot be understood."""
    assert refused(lambda: union([LOGIN, BEAT]).read(b"-$\x09", 1, {})) == (("kind",), 2, "one of 1, 2, 3, not 9")


def test_unknown_tags_may_have_a_model() -> None:
    """It has them all, the known ones keep theirs."""
    it = union([LOGIN, OTHER], Other)
    assert it.read(b"$\x09ab", 0, {}) == (Other(kind=9, body=b"ab"), 4)
    assert it.read(b"$\1\7", 0, {}) == (Login(kind=Kind.LOGIN, x=7), 3)
    assert it.write(Other(kind=9, body=b"ab")) == b"$\x09ab"
    assert it.is_open


@pytest.mark.parametrize(
    ("frame", "refusal"),
    [
        (b"", (("kind",), 1, "1 byte, 0 bytes are left")),
        (b"$", (("kind",), 1, "1 byte, 0 bytes are left")),
        (b"$\1", (("x",), 2, "1 byte, 0 bytes are left")),
        (b"%\1\1", (("kind",), 0, "the constant 24, not 25")),
    ],
    ids=["empty", "cut", "cut behind", "constant"],
)
def test_what_is_wrong_and_where(frame: bytes, refusal: tuple[Path, int, str]) -> None:
    """The tag first, then what it stands for."""
    assert refused(lambda: union([LOGIN, BEAT]).read(frame, 0, {})) == refusal


def test_tags_of_any_layout() -> None:
    """Digits, for example; what is none is refused at its place."""

    class Text(BaseModel):
        kind: Literal["01"]

    it = union([program(Text, Bcd(2))])
    assert it.read(b"$\1", 0, {}) == (Text(kind="01"), 2)
    assert refused(lambda: it.read(b"$\xff", 0, {})) == (("kind",), 1, "2 decimal digits, not ff")


def test_only_members_are_written() -> None:
    """A message of another model would be read as something else."""
    assert refused(lambda: union([LOGIN, BEAT]).write(5)) == ((), None, "one of Login, Beat, not int")
    with pytest.raises(NotImplementedError):
        union([LOGIN, BEAT]).size_of(5)


class Far(BaseModel):
    kind: Literal[7]


class Flags(BaseModel):
    kind: Literal[8]


class Same(BaseModel):
    kind: Literal[3]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            lambda: union([LOGIN, OTHER]),
            r"Other.kind is no Literal; write Literal\[…\], or BinaryUnion\(…, unknown=Other",
        ),
        (lambda: union([LOGIN, BEAT], Other), "Other is not in the union; add it with |"),
        (lambda: union([BEAT, program(Same)]), "Beat and Same have the same kind 3; change one"),
        (
            lambda: union([LOGIN, program(Far, UInt8(), b"$$")]),
            r"'kind' is not at one place \(Login: byte 1, UInt8 of 1 byte, big-endian; Far: byte 2, UInt8 of 1 byte, "
            r"big-endian\); give it the same layout",
        ),
        (lambda: union([LOGIN, program(Far, UInt16())]), "'kind' is not at one place"),
        (lambda: union([LOGIN, BEAT], tag="x"), "Beat has no 'x' at a fixed place; declare 'x' in it"),
        (
            lambda: union([Program(Flags, [FixedRun((BitGroup((("kind", Bits(8)),)),), "big")], 1)]),
            "Flags has no 'kind'",
        ),
        (lambda: union([Program(Flags, [], 0)]), "Flags has no 'kind' at a fixed place"),
    ],
    ids=["no literal", "no member", "same tag", "elsewhere", "wider", "no such field", "bits", "no fields"],
)
def test_unions_that_cannot_work(make: Callable[[], object], problem: str) -> None:
    """They are found when they are declared; the error says where."""
    with pytest.raises(ConfigurationError, match=f"Frame.message: {problem}"):
        make()


def test_json_is_told_apart_by_the_tag_too() -> None:
    """Pydantic tries the members only if a plain tag leaves it no choice."""
    tagged: TypeAdapter[Any] = TypeAdapter(Annotated[Login | Beat, BinaryUnion("kind")])
    assert tagged.json_schema()["discriminator"]["propertyName"] == "kind"
    assert tagged.validate_json('{"kind": 2}') == Beat(kind=2)
    tried: TypeAdapter[Any] = TypeAdapter(Annotated[Login | Other, BinaryUnion("kind", unknown=Other)])
    assert "discriminator" not in tried.json_schema()
    assert tried.validate_json('{"kind": 9, "body": "ab"}') == Other(kind=9, body=b"ab")


def test_what_pydantic_cannot_tell_apart_is_left_to_the_compiler() -> None:
    """Its error would speak of schemas; ours says what to change."""

    class Untagged(BaseModel):
        x: int

    made: TypeAdapter[Any] = TypeAdapter(Annotated[Login | Untagged, BinaryUnion("kind")])
    assert made.validate_json('{"x": 1}') == Untagged(x=1)
