"""Tests of `portcast.codecs.binary_fit`; what it says is held against Pydantic itself."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)

from portcast.codecs import (
    Bcd,
    BcdDateTime,
    BinaryModel,
    Bits,
    Bool,
    ByteDateTime,
    Bytes,
    Float32,
    Repeat,
    Sized,
    Text,
    UInt8,
    UInt16,
    UnixTime,
)
from portcast.errors import CodecError, ConfigurationError


def made(annotation: Any) -> type[BinaryModel]:
    model: type[BinaryModel] = create_model("Frame", __base__=BinaryModel, x=(annotation, ...))
    return model


@pytest.mark.parametrize(
    ("annotation", "read"),
    [
        (Annotated[str, UInt8()], "a number"),
        (Annotated[bytes, UInt16(scale=0.1)], "a number"),
        (Annotated[bytes, Float32()], "a number"),
        (Annotated[list[int], UInt8()], "a number"),
        (Annotated[dict[str, int], Bits(8)], "a number"),
        (Annotated[str, Bool()], "true or false"),
        (Annotated[int, UnixTime()], "a date and time"),
        (Annotated[str, ByteDateTime()], "a date and time"),
        (Annotated[float, BcdDateTime()], "a date and time"),
        (Annotated[list[str], Text(2)], "one value"),
        (Annotated[tuple[int, ...], Bytes(2)], "one value"),
        (Annotated[set[str], Bcd(2)], "one value"),
        (Annotated[list[Annotated[str, UInt8()]], Repeat(2)], "a number"),
        (Annotated[str, Sized(2), UInt16()], "a number"),
    ],
    ids=count(),
)
def test_what_no_frame_can_satisfy(annotation: Any, read: str) -> None:
    """The class is refused, with the field."""
    with pytest.raises(ConfigurationError, match=rf"Frame\.x: is a \w+, and its layout reads {read}; "):
        made(annotation)


@pytest.mark.parametrize(
    ("annotation", "frame"),
    [
        (Annotated[int, UInt8()], b"\x01"),
        (Annotated[float, UInt8()], b"\x01"),
        (Annotated[bool, UInt8()], b"\x01"),
        (Annotated[datetime, UInt8()], b"\x01"),
        (Annotated[Decimal, UInt8()], b"\x01"),
        (Annotated[str | int, UInt8()], b"\x01"),
        (Annotated[list[Annotated[int, UInt8()]], Repeat(1)], b"\x01"),
        (Annotated[Literal[1], UInt8()], b"\x01"),
        (Annotated[int, Bool()], b"\x01"),
        (Annotated[datetime, UnixTime()], b"\0\0\0\1"),
        (Annotated[int, Text(1)], b"1"),
        (Annotated[str, Bytes(1)], b"1"),
        (Annotated[str, UInt8(), BeforeValidator(str)], b"\x01"),
        (Annotated[str, UInt8(), PlainValidator(str)], b"\x01"),
        (Annotated[str, UInt8(), WrapValidator(lambda value, handler: handler(str(value)))], b"\x01"),
    ],
    ids=count(),  # a validator's text has an address
)
def test_what_some_frame_satisfies(annotation: Any, frame: bytes) -> None:
    """Nothing that works is refused."""
    assert made(annotation).from_bytes(frame) is not None


def test_validators_of_the_model_may_convert() -> None:
    """For the field or all fields, before Pydantic looks; one that runs after it is too late."""

    class OfField(BinaryModel):
        x: Annotated[str, UInt8()]

        @field_validator("x", mode="before")
        @classmethod
        def _text(cls, value: object) -> str:
            return str(value)

    class OfAll(BinaryModel):
        x: Annotated[str, UInt8()]

        @model_validator(mode="before")
        @classmethod
        def _texts(cls, values: dict[str, object]) -> dict[str, str]:
            return {name: str(value) for name, value in values.items()}

    class OfConfig(BinaryModel):
        model_config = ConfigDict(coerce_numbers_to_str=True)
        x: Annotated[str, UInt8()]

    assert [one.from_bytes(b"\7").x for one in (OfField, OfAll, OfConfig)] == ["7", "7", "7"]
    with pytest.raises(ConfigurationError, match="reads a number"):

        class After(BinaryModel):
            x: Annotated[str, UInt8()]

            @field_validator("x")
            @classmethod
            def _text(cls, value: str) -> str:
                return value


def test_a_frame_may_still_be_refused() -> None:
    """What cannot be told from the types is found out by the first frame."""
    with pytest.raises(CodecError):
        made(Annotated[Literal["a"], UInt8()]).from_bytes(b"\1")
