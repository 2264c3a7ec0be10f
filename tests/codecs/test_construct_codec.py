from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

import construct
import pytest
from pydantic import BaseModel, Field

from portcast import Gateway
from portcast.codecs import ConstructCodec, encode_value
from portcast.errors import CodecError, ConfigurationError, MissingDependencyError
from portcast.framing import LengthFieldFraming
from portcast.testing import TestDevice, check_codec

FORMAT = construct.Struct(
    "start" / construct.Const(b"\x78\x78"),
    "count" / construct.Byte,
    "items" / construct.Array(construct.this.count, construct.Struct("value" / construct.Int16ub)),
    "kind" / construct.Enum(construct.Byte, login=1, alarm=2),
)
FRAME = bytes.fromhex("7878 02 0005 0006 01")


def test_what_is_parsed_can_be_published() -> None:
    """Containers are dicts, without the streams that construct leaves in them."""
    message = ConstructCodec(FORMAT).decode(FRAME)
    assert [one.value for one in message["items"]] == [5, 6]
    del message["start"]  # bytes are no JSON
    assert json.loads(encode_value(message)) == {"count": 2, "items": [{"value": 5}, {"value": 6}], "kind": "login"}


def test_round_trip() -> None:
    """What was decoded encodes to the same bytes."""
    codec = ConstructCodec(FORMAT)
    assert codec.name == "construct"
    assert codec.encode(codec.decode(FRAME)) == FRAME
    check_codec(codec, valid=[FRAME], invalid=[FRAME[:n] for n in range(len(FRAME))])


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ("7877", "start: it is not the constant"),
        ("7878 02 0005 00", "items.value: the frame ends too early"),
        ("", "start: the frame ends too early"),
        ("7878 00 01 aabb", "2 bytes are left"),
    ],
)
def test_a_bad_frame_is_refused_by_its_field(frame: str, problem: str) -> None:
    """Without what the frame says: construct's own text quotes it."""
    with pytest.raises(CodecError) as error:
        ConstructCodec(FORMAT).decode(bytes.fromhex(frame))
    assert error.value.problem == problem


def test_expressions_meet_values_that_nobody_expected() -> None:
    """That is the frame's fault; a fault of the construct is not."""
    divided = construct.Struct("by" / construct.Byte, "part" / construct.Computed(lambda this: 6 // this.by))
    assert ConstructCodec(divided).decode(b"\x02").part == 3
    with pytest.raises(CodecError, match="ZeroDivisionError"):
        ConstructCodec(divided).decode(b"\x00")
    missing = construct.Struct(
        "kind" / construct.Byte,
        "body" / construct.Switch(construct.this.kind, {1: construct.Struct("length" / construct.Byte)}),
        "rest" / construct.Bytes(lambda ctx: ctx.body.length if ctx.kind == 1 else ctx.absent),
    )
    assert ConstructCodec(missing).decode(b"\x01\x01x").rest == b"x"
    with pytest.raises(CodecError, match="AttributeError"):
        ConstructCodec(missing).decode(b"\x02x")
    by_key = construct.Struct("part" / construct.Computed(lambda ctx: ctx["absent"]))
    with pytest.raises(CodecError, match="KeyError"):
        ConstructCodec(by_key).decode(b"")
    wrong = construct.Struct("part" / construct.Computed(lambda this: None + 1))  # type: ignore[operator]  # the fault
    with pytest.raises(TypeError):
        ConstructCodec(wrong).decode(b"")


def test_endless_nesting_is_refused() -> None:
    """A construct that contains itself follows the frame, however deep it says."""
    nested: Any = construct.Struct(
        "more" / construct.Byte, "inner" / construct.If(construct.this.more, construct.LazyBound(lambda: nested))
    )
    assert ConstructCodec(nested).decode(b"\x01\x00").inner.more == 0
    with pytest.raises(CodecError, match="nested too deep"):
        ConstructCodec(nested).decode(b"\x01" * 10_000)


@pytest.mark.parametrize("value", [{}, {"count": 1, "items": [{"value": 70_000}], "kind": 1}, None, 5])
def test_what_cannot_be_built(value: object) -> None:
    """Whatever construct raises for it."""
    with pytest.raises(CodecError):
        ConstructCodec(FORMAT).encode(value)


class Login(BaseModel):
    kind: Literal["login"]
    serial: int = Field(le=1000)


class Alarm(BaseModel):
    kind: Literal["alarm"]
    serial: int


Message = Annotated[Login | Alarm, Field(discriminator="kind")]
KINDS = construct.Struct("kind" / construct.Enum(construct.Byte, login=1, alarm=2), "serial" / construct.Int16ub)


def test_with_models() -> None:
    """What was parsed is validated, and models are built."""
    codec = ConstructCodec(KINDS, Message)
    assert codec.decode(b"\x01\x00\x07") == Login(kind="login", serial=7)
    assert codec.encode(Alarm(kind="alarm", serial=3)) == b"\x02\x00\x03"
    with pytest.raises(CodecError, match="less than or equal to 1000"):
        codec.decode(b"\x01\xff\xff")


@pytest.mark.anyio
async def test_with_a_handler_for_each_model() -> None:
    """The whole way."""
    gateway, seen = Gateway(), list[object]()
    listener = gateway.listen(
        "tcp://127.0.0.1:9001",
        framing=LengthFieldFraming(length_field_length=1, bytes_to_strip=1),
        message=Message,
        codec=ConstructCodec(KINDS, Message),
    )

    @listener.on
    async def on_alarm(alarm: Alarm) -> None:
        seen.append(alarm.serial)

    async with TestDevice(gateway) as device:
        await device.send(bytes.fromhex("03020005 03010006 020200"), split="every-byte")
        await device.handled()
        assert seen == [5]
        assert len(device.rejections) == 2


def test_without_construct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "construct", None)
    with pytest.raises(MissingDependencyError, match=r"pip install portcast\[construct\]"):
        ConstructCodec(FORMAT)


def test_only_constructs() -> None:
    """A class of Kaitai's, or a model, is another codec's."""
    with pytest.raises(ConfigurationError, match="is no construct"):
        ConstructCodec(Login)
