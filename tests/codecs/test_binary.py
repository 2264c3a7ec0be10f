"""Golden frames are the examples of the protocols' public descriptions; their checksums were verified.

GT06: "GPS Tracker Communication Protocol (GT06)", sections 5.1 (login), 5.2 (location) and 5.4 (status), as published
by several makers. Teltonika: "Data Sending Protocols" of wiki.teltonika-gps.com, Codec 8, examples 1 and 3.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator, model_validator

from portcast.codecs import (
    REST,
    Bcd,
    BinaryCodec,
    BinaryModel,
    BinaryUnion,
    BinaryUnionCodec,
    Bits,
    Bool,
    ByteDateTime,
    Bytes,
    Codec,
    Constant,
    Float32,
    Int8,
    Int16,
    Int32,
    Padding,
    PaddingBits,
    Repeat,
    Text,
    UInt8,
    UInt16,
    UInt24,
    UInt32,
    UInt64,
    UnixTime,
    encode_value,
)
from portcast.errors import ConfigurationError, FieldError

T = TypeVar("T")

Start = Constant(b"\x78\x78")
Stop = Constant(b"\x0d\x0a")


class Login(BinaryModel):
    length: Annotated[int, Start, UInt8()] = 13
    protocol: Annotated[Literal[0x01], UInt8()] = 0x01
    imei: Annotated[str, Bcd(15)]
    serial: Annotated[int, UInt16()]
    check: Annotated[int, UInt16(), Stop]


class Position(BinaryModel):
    length: Annotated[int, Start, UInt8()] = 31
    protocol: Annotated[Literal[0x12], UInt8()] = 0x12
    at: Annotated[datetime, ByteDateTime()]
    gps_length: Annotated[int, Bits(4)] = 12
    satellites: Annotated[int, Bits(4)]
    latitude: Annotated[float, UInt32(scale=1 / 1_800_000, unit="°"), Field(le=90)]
    longitude: Annotated[float, UInt32(scale=1 / 1_800_000, unit="°"), Field(le=180)]
    speed: Annotated[int, UInt8(unit="km/h")]
    is_differential: Annotated[bool, PaddingBits(2), Bits(1)]
    is_fixed: Annotated[bool, Bits(1)]
    is_west: Annotated[bool, Bits(1)]
    is_north: Annotated[bool, Bits(1)]
    course: Annotated[int, Bits(10, unit="°")]
    mcc: Annotated[int, UInt16()]
    mnc: Annotated[int, UInt8()]
    lac: Annotated[int, UInt16()]
    cell: Annotated[int, UInt24()]
    serial: Annotated[int, UInt16()]
    check: Annotated[int, UInt16(), Stop]


class Heartbeat(BinaryModel):
    length: Annotated[int, Start, UInt8()] = 10
    protocol: Annotated[Literal[0x13], UInt8()] = 0x13
    is_oil_cut: Annotated[bool, Bits(1)]
    is_tracking: Annotated[bool, Bits(1)]
    alarm: Annotated[int, Bits(3)]
    is_charging: Annotated[bool, Bits(1)]
    is_ignition_on: Annotated[bool, Bits(1)]
    is_armed: Annotated[bool, Bits(1)]
    voltage_level: Annotated[int, UInt8(), Field(le=6)]
    signal: Annotated[int, UInt8(), Field(le=4)]
    language: Annotated[int, UInt16()]
    serial: Annotated[int, UInt16()]
    check: Annotated[int, UInt16(), Stop]


class Gt06Other(BinaryModel):
    length: Annotated[int, Start, UInt8()]
    protocol: Annotated[int, UInt8()]
    content: Annotated[bytes, Bytes("length", adjust=-5)]
    serial: Annotated[int, UInt16()]
    check: Annotated[int, UInt16(), Stop]


LOGIN = bytes.fromhex("78780D01012345678901234500018CDD0D0A")
POSITION = bytes.fromhex("78781F120B081D112E10CF027AC7EB0C46584900148F01CC00287D001FB8000380810D0A")
HEARTBEAT = bytes.fromhex("78780A134004040001000FDCEE0D0A")

GT06 = Annotated[Login | Position | Heartbeat, BinaryUnion("protocol")]


class Io8(BinaryModel):
    id: Annotated[int, UInt8()]
    value: Annotated[int, UInt8()]


class Io16(BinaryModel):
    id: Annotated[int, UInt8()]
    value: Annotated[int, UInt16()]


class Io32(BinaryModel):
    id: Annotated[int, UInt8()]
    value: Annotated[int, UInt32()]


class Io64(BinaryModel):
    id: Annotated[int, UInt8()]
    value: Annotated[int, UInt64()]


class Priority(Enum):
    LOW = 0
    HIGH = 1
    PANIC = 2


class Avl(BinaryModel):
    at: Annotated[datetime, UnixTime(8, 1000)]
    priority: Annotated[Priority, UInt8()]
    longitude: Annotated[float, Int32(scale=1e-7, unit="°")]
    latitude: Annotated[float, Int32(scale=1e-7, unit="°")]
    altitude: Annotated[int, Int16(unit="m")]
    angle: Annotated[int, UInt16(unit="°")]
    satellites: Annotated[int, UInt8()]
    speed: Annotated[int, UInt16(unit="km/h")]
    event: Annotated[int, UInt8()]
    total: Annotated[int, UInt8()]
    io8: Annotated[list[Io8], Repeat(UInt8())]
    io16: Annotated[list[Io16], Repeat(UInt8())]
    io32: Annotated[list[Io32], Repeat(UInt8())]
    io64: Annotated[list[Io64], Repeat(UInt8())]


class Teltonika(BinaryModel):
    size: Annotated[int, Padding(4), UInt32()]
    codec: Annotated[Literal[8], UInt8()] = 8
    count: Annotated[int, UInt8()] = 0
    records: Annotated[list[Avl], Repeat("count")]
    count_again: Annotated[int, UInt8()]
    check: Annotated[int, UInt32()]


ONE_RECORD = bytes.fromhex(
    "000000000000003608010000016B40D8EA30010000000000000000000000000000000105021503010101425E0F01F10000601A014E"
    "0000000000000000010000C7CF"
)
TWO_RECORDS = bytes.fromhex(
    "000000000000004308020000016B40D57B480100000000000000000000000000000001010101000000000000016B40D5C19801000000"
    "0000000000000000000000000101010101000000020000252C"
)


class TestGolden:
    def test_gt06_login(self) -> None:
        """The IMEI is digits, with a zero in front that is not part of it."""
        login = Login.from_bytes(LOGIN)
        assert login == Login(imei="123456789012345", serial=1, check=0x8CDD)
        assert login.to_bytes() == LOGIN

    def test_gt06_position(self) -> None:
        """Scaled coordinates, two groups of bits, 24 bits, a date; the example is in Guangdong."""
        position = Position.from_bytes(POSITION)
        assert position.at == datetime(2011, 8, 29, 17, 46, 16, tzinfo=UTC)
        assert (position.gps_length, position.satellites) == (12, 15)
        assert position.latitude == 0x027AC7EB / 1_800_000 == pytest.approx(23.1117, abs=1e-4)
        assert position.longitude == 0x0C465849 / 1_800_000 == pytest.approx(114.4093, abs=1e-4)
        assert (position.is_differential, position.is_fixed, position.is_west, position.is_north) == (
            (False, True, False, True)
        )  # fmt: skip
        assert (position.speed, position.course) == (0, 143)
        assert (position.mcc, position.mnc, position.lac, position.cell) == (460, 0, 0x287D, 0x1FB8)
        assert (position.serial, position.check) == (3, 0x8081)
        assert position.to_bytes() == POSITION

    def test_gt06_heartbeat(self) -> None:
        """Six flags in a byte."""
        beat = Heartbeat.from_bytes(HEARTBEAT)
        assert (beat.is_oil_cut, beat.is_tracking, beat.alarm, beat.is_armed) == (False, True, 0, False)
        assert (beat.voltage_level, beat.signal, beat.language, beat.serial) == (4, 4, 1, 15)
        assert beat.to_bytes() == HEARTBEAT

    @pytest.mark.parametrize(("frame", "count"), [(ONE_RECORD, 1), (TWO_RECORDS, 2)], ids=["one", "two"])
    def test_teltonika_codec_8(self, frame: bytes, count: int) -> None:
        """Records with four repeated groups each, a count in front and again behind."""
        packet = Teltonika.from_bytes(frame)
        assert (packet.count, len(packet.records), packet.count_again) == (count, count, count)
        assert packet.size == len(frame) - 12
        assert packet.to_bytes() == frame

    def test_teltonika_record(self) -> None:
        """The values that the description lists for its first example."""
        (record,) = Teltonika.from_bytes(ONE_RECORD).records
        assert record.at == datetime(2019, 6, 10, 10, 4, 46, tzinfo=UTC)
        assert record.priority is Priority.HIGH
        assert (record.longitude, record.latitude, record.event, record.total) == (0, 0, 1, 5)
        assert record.io8 == [Io8(id=21, value=3), Io8(id=1, value=1)]
        assert record.io16 == [Io16(id=66, value=24079)]
        assert record.io32 == [Io32(id=241, value=24602)]
        assert record.io64 == [Io64(id=78, value=0)]


class TestUnion:
    @pytest.mark.parametrize(
        ("frame", "model"),
        [(LOGIN, Login), (POSITION, Position), (HEARTBEAT, Heartbeat)],
        ids=lambda item: str(item)[:9],
    )
    def test_each_frame_becomes_its_model(self, frame: bytes, model: type[BinaryModel]) -> None:
        """The protocol number decides."""
        codec = BinaryUnionCodec(GT06)
        assert codec.name == "binary"
        message = codec.decode(frame)
        assert type(message) is model
        assert codec.encode(message) == frame

    def test_an_unknown_tag_is_an_error(self) -> None:
        """It costs the frame, and says where it is and what would have been known."""
        with pytest.raises(FieldError) as caught:
            BinaryUnionCodec(GT06).decode(LOGIN[:3] + b"\x16" + LOGIN[4:])
        error = caught.value
        assert (error.field, error.offset, error.expected) == ("protocol", 3, "one of 1, 18, 19, not 22")

    def test_an_unknown_tag_may_have_a_model(self) -> None:
        """It carries the content, whose length comes from a field that counts five bytes more."""
        codec = BinaryUnionCodec(Annotated[Login | Gt06Other, BinaryUnion("protocol", unknown=Gt06Other)])
        message = codec.decode(HEARTBEAT)
        assert message == Gt06Other(
            length=10, protocol=0x13, content=bytes.fromhex("4004040001"), serial=15, check=0xDCEE
        )
        assert codec.encode(message) == HEARTBEAT
        assert isinstance(codec.decode(LOGIN), Login)

    def test_what_is_wrong_in_a_member(self) -> None:
        """The errors are those of its model."""
        codec = BinaryUnionCodec(GT06)
        with pytest.raises(FieldError, match="binary: imei at byte 4: expected 15 decimal digits, not f"):
            codec.decode(LOGIN[:4] + b"\xff" + LOGIN[5:])
        with pytest.raises(FieldError, match="binary: serial: expected 0 to 65535, not 65536"):
            codec.encode(Login(imei="123456789012345", serial=65_536, check=0))
        with pytest.raises(FieldError, match="expected one of Login, Position, Heartbeat, not Io8"):
            codec.encode(Io8(id=1, value=1))

    def test_other_annotations(self) -> None:
        """What has no tag is no union."""
        with pytest.raises(ConfigurationError, match="has no BinaryUnion; use Annotated"):
            BinaryUnionCodec(Login | Position)


class Kind(IntEnum):
    OFF = 0
    ON = 1


class Everything(BinaryModel, byte_order="little"):
    """One of each."""

    head: Annotated[int, Constant(b"#"), UInt16(), Padding(1)]
    big: Annotated[int, Int16(byte_order="big")]
    temperature: Annotated[float, Int8(scale=0.5, offset=-10, unit="°C")]
    pressure: Annotated[float, Float32(unit="bar"), Field(allow_inf_nan=False)]
    is_open: Annotated[bool, Bool()]
    kind: Annotated[Kind, UInt8()]
    low: Annotated[int, Bits(3)]
    high: Annotated[int, Bits(13, signed=True)]
    name: Annotated[str, Text(UInt8())]
    count: Annotated[int, UInt16()] = 0
    words: Annotated[list[Annotated[int, UInt24()]], Repeat("count")]
    blob: Annotated[bytes, Bytes(UInt16())]
    note: Annotated[str | None, Text(UInt8())] = None
    rest: Annotated[bytes | None, Bytes(REST)] = None


everything = st.builds(
    Everything,
    head=st.integers(0, 65_535),
    big=st.integers(-32_768, 32_767),
    temperature=st.integers(-128, 127).map(lambda raw: raw / 2 - 10),
    pressure=st.floats(width=32, allow_nan=False, allow_infinity=False),
    is_open=st.booleans(),
    kind=st.sampled_from(Kind),
    low=st.integers(0, 7),
    high=st.integers(-4096, 4095),
    name=st.text(max_size=60),
    words=st.lists(st.integers(0, 2**24 - 1), max_size=9),
    blob=st.binary(max_size=300),
    note=st.none() | st.text(max_size=9),
)
codec = BinaryCodec(Everything)


def decoded(its: Codec[T], frame: bytes) -> T | FieldError:
    """Return the message, or why there is none."""
    try:
        return its.decode(frame)
    except FieldError as error:
        return error


class TestBothWays:
    @given(everything)
    def test_messages_come_back(self, message: Everything) -> None:
        """Encoding is the inverse of decoding; the count is written from the list."""
        frame = codec.encode(message)
        assert codec.decode(frame) == message.model_copy(update={"count": len(message.words)})
        assert message.to_bytes() == frame

    @given(everything)
    def test_truncation_at_every_byte(self, message: Everything) -> None:
        """A frame that ends early is refused, or lacks only what may be missing; nothing else ever happens."""
        frame = codec.encode(message)
        whole = len(codec.encode(message.model_copy(update={"note": None})))
        for size in range(len(frame)):
            if size == whole:
                assert codec.decode(frame[:size]).note is None
                continue
            with pytest.raises(FieldError) as caught:
                codec.decode(frame[:size])
            assert caught.value.field
            assert caught.value.offset is not None
            assert caught.value.offset <= size

    @given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"#\1\0\0\0\1\2\0\0\0\0\1\1\0\0" + tail))
    def test_garbage(self, frame: bytes) -> None:
        """Any bytes are a message that encodes again, or a codec error."""
        message = decoded(codec, frame)
        if isinstance(message, FieldError):
            assert message.head == frame[:32]
            return
        again = codec.encode(message)
        assert (again[:3], again[4:]) == (frame[:3], frame[4:]), "all but the padding"

    @given(st.data())
    @pytest.mark.parametrize("frame", [LOGIN, POSITION, HEARTBEAT, ONE_RECORD, TWO_RECORDS], ids=range(5))
    def test_damaged_golden_frames(self, frame: bytes, data: st.DataObject) -> None:
        """One byte changed: another message, or an error that points into the frame."""
        place = data.draw(st.integers(0, len(frame) - 1))
        damaged = frame[:place] + data.draw(st.binary(min_size=1, max_size=1)) + frame[place + 1 :]
        its: Codec[Any] = BinaryUnionCodec(GT06) if frame[0] else BinaryCodec(Teltonika)
        message = decoded(its, damaged)
        if isinstance(message, FieldError):
            assert message.offset is not None
            assert message.offset <= len(frame)
        else:
            assert its.decode(its.encode(message)) == message


MISCOUNTED = ONE_RECORD[:9] + b"\x02" + ONE_RECORD[10:]


class TestErrors:
    @pytest.mark.parametrize(
        ("frame", "field", "offset", "expected"),
        [
            (b"", "size", 0, "4 bytes, 0 bytes are left"),
            (ONE_RECORD + b"-", "", 66, "the end of the frame (1 byte more)"),
            (ONE_RECORD[:8] + b"\x0c" + ONE_RECORD[9:], "codec", 8, "8"),
            (
                ONE_RECORD[:9] + b"\x02" + ONE_RECORD[10:],
                "records",
                10,
                "2 items of at least 30 bytes, 56 bytes are left",
            ),
            (ONE_RECORD[:18] + b"\x05" + ONE_RECORD[19:], "records.0.priority", 18, "0, 1 or 2"),
        ],
        ids=["empty", "long", "literal", "count", "enum"],
    )
    def test_field_and_offset(self, frame: bytes, field: str, offset: int, expected: str) -> None:
        """Who sent the frame reads which field is wrong, where it is, and what belongs there."""
        with pytest.raises(FieldError) as caught:
            Teltonika.from_bytes(frame)
        error = caught.value
        assert (error.codec, error.field, error.offset, error.expected) == ("binary", field, offset, expected)

    def test_a_huge_count_fails_before_anything_is_read(self) -> None:
        """65 535 items with 3 bytes left."""
        frame = codec.encode(Everything.model_construct(**{**GOOD, "words": []}))
        place = frame.index(b"name") + 4
        with pytest.raises(
            FieldError, match=r"words at byte .*: expected 65535 items of at least 3 bytes, 3 bytes are"
        ):
            codec.decode(frame[:place] + b"\xff\xff" + b"abc")

    def test_what_is_out_of_range_is_named(self) -> None:
        """When a command is written, the app reads which value the device cannot take."""
        with pytest.raises(FieldError) as caught:
            codec.encode(Everything.model_construct(**{**GOOD, "temperature": 99.0}))
        assert str(caught.value) == "binary: temperature: expected -74.0 to 53.5, not 99.0"
        assert caught.value.offset is None

    def test_another_model_is_refused(self) -> None:
        """It would be read as something else."""
        with pytest.raises(FieldError, match="binary: expected Everything, not Io8"):
            codec.encode(Io8(id=1, value=2))  # type: ignore[arg-type]  # the mistake under test

    def test_values_of_the_input_stay_out_of_what_pydantic_says(self) -> None:
        """A text that a validator refuses is not quoted."""
        with pytest.raises(FieldError) as caught:
            Named.from_bytes(b"\6secret")
        assert (caught.value.field, caught.value.offset) == ("name", 0)
        assert "secret" not in caught.value.problem
        assert caught.value.expected == "Value error, not this one"

    def test_validators_of_the_whole_model(self) -> None:
        """They point at where it begins."""
        with pytest.raises(FieldError) as caught:
            Named.from_bytes(b"\0")
        assert (caught.value.field, caught.value.offset) == ("", 0)


class Named(BinaryModel):
    name: Annotated[str, Text(UInt8())]

    @field_validator("name")
    @classmethod
    def _check(cls, name: str) -> str:
        if name == "secret":
            raise ValueError("not this one")
        return name

    @model_validator(mode="after")
    def _check_all(self) -> Named:
        if not self.name:
            raise ValueError("no name at all")
        return self


GOOD: dict[str, Any] = {
    "head": 1, "big": 2, "temperature": 0.0, "pressure": 1.0, "is_open": True, "kind": Kind.ON, "low": 1, "high": 2,
    "name": "name", "count": 0, "words": [], "blob": b"", "note": None, "rest": None,
}  # fmt: skip


class TestModels:
    def test_they_are_pydantic_models(self) -> None:
        """JSON for browsers, with bytes as digits; and back, as a command from a browser."""
        message = Gt06Other(length=0, protocol=0x80, content=b"\xff\0", serial=1, check=2)
        assert encode_value(message) == b'{"length":0,"protocol":128,"content":"ff00","serial":1,"check":2}'
        assert Gt06Other.model_validate_json(encode_value(message)) == message
        assert Position.model_json_schema()["properties"]["latitude"]["x-unit"] == "°"

    def test_fields_may_have_aliases(self) -> None:
        """The name on the wire to browsers is not that in the program."""

        class Aliased(BinaryModel):
            kind: Annotated[int, UInt8()]
            speed: Annotated[int, UInt8()] = Field(alias="v", le=100)

        assert Aliased.from_bytes(b"\1\7") == Aliased(kind=1, v=7)
        assert Aliased.from_bytes(b"\1\7").to_bytes() == b"\1\7"
        with pytest.raises(FieldError, match="speed at byte 1: expected less than or equal to 100"):
            Aliased.from_bytes(b"\1\xff")

    def test_strictness_is_for_json(self) -> None:
        """A frame has numbers only: flags, enums and decimals are made of them all the same."""

        class Strict(BinaryModel, strict=True):
            is_on: Annotated[bool, Bits(1)]
            kind: Annotated[Kind, Bits(7)]
            volts: Annotated[Decimal, UInt8(scale=0.1)]

        message = Strict.from_bytes(b"\x81\x7b")
        assert message == Strict(is_on=True, kind=Kind.ON, volts=Decimal("12.3"))
        assert message.to_bytes() == b"\x81\x7b"
        with pytest.raises(ValidationError):
            Strict.model_validate({"is_on": 1, "kind": Kind.ON, "volts": Decimal(1)})

    def test_a_family_may_share_its_header(self) -> None:
        """A tag that a subclass narrows stays where it was; a union may be missing at the end."""

        class Header(BinaryModel):
            kind: Annotated[int, UInt8()]
            serial: Annotated[int, UInt8()]

        class One(Header):
            kind: Annotated[Literal[1], UInt8()] = 1
            x: Annotated[int, UInt8()]

        class Two(Header):
            kind: Annotated[Literal[2], UInt8()] = 2

        class Envelope(BinaryModel):
            version: Annotated[int, UInt8()]
            body: Annotated[One | Two | None, BinaryUnion("kind")] = None

        for frame, body in ((b"\7\1\5\x09", One(serial=5, x=9)), (b"\7\2\5", Two(serial=5)), (b"\7", None)):
            assert Envelope.from_bytes(frame) == Envelope(version=7, body=body)
            assert Envelope(version=7, body=body).to_bytes() == frame

    def test_byte_order_is_inherited(self) -> None:
        """A family of messages says it once."""

        class Base(BinaryModel, byte_order="little"):
            x: Annotated[int, UInt16()]

        class Derived(Base):
            y: Annotated[int, UInt16()]

        class Other(Derived, byte_order="big"):
            pass

        assert Derived(x=1, y=2).to_bytes() == b"\1\0\2\0"
        assert Other(x=1, y=2).to_bytes() == b"\0\1\0\2"
        assert Base(x=1).to_bytes() == b"\1\0"

    def test_config_may_stand_beside_the_byte_order(self) -> None:
        """Pydantic's own arguments reach it."""

        class Titled(BinaryModel, byte_order="little", title="Of its own"):
            x: Annotated[int, UInt16()]

        assert Titled.model_json_schema()["title"] == "Of its own"
        assert Titled.from_bytes(b"\1\0") == Titled(x=1)

    def test_names_may_be_defined_later(self) -> None:
        """The model is compiled when it is first used, and an undefined name is found then."""

        class Early(BinaryModel):
            later: Later

        with pytest.raises(ConfigurationError, match=r"Early: .*define what it names before using it"):
            BinaryCodec(Early)

        class Later(BinaryModel):
            x: Annotated[int, UInt8()]

        Early.model_rebuild()
        assert BinaryCodec(Early).decode(b"\1") == Early(later=Later(x=1))

    def test_mistakes_are_found_when_the_class_is_made(self) -> None:
        """Not by the first frame."""
        with pytest.raises(ConfigurationError, match=r"Wrong\.x: has no layout"):

            class Wrong(BinaryModel):
                x: int

        with pytest.raises(ConfigurationError, match=r"Odd.byte_order: 'middle'; use big or little"):

            class Odd(BinaryModel, byte_order="middle"):
                pass

    def test_a_model_in_itself(self) -> None:
        """Its depth would be the peer's choice."""
        with pytest.raises(ConfigurationError, match="Tree: contains itself; nest only as deep as the format does"):

            class Tree(BinaryModel):
                leaves: Annotated[list[Tree], Repeat(UInt8())]

    @pytest.mark.parametrize("model", [int, 5, list[Io8]], ids=str)
    def test_codecs_take_binary_models_only(self, model: Any) -> None:
        """Found at start."""
        with pytest.raises(ConfigurationError, match="is no BinaryModel; derive it from BinaryModel"):
            BinaryCodec(model)

    def test_the_codec(self) -> None:
        """In the shape of the others."""
        its: Codec[Io8] = BinaryCodec(Io8)
        assert isinstance(its, Codec)
        assert its.name == "binary"
        assert its.decode(its.encode(Io8(id=1, value=2))) == Io8(id=1, value=2)
