"""GT06 messages: each class is a table of the protocol, from the protocol number to the serial number."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from portcast.codecs import (
    REST,
    Bcd,
    BinaryModel,
    BinaryUnion,
    Bits,
    ByteDateTime,
    Bytes,
    PaddingBits,
    Text,
    UInt8,
    UInt16,
    UInt24,
    UInt32,
)

Serial = Annotated[int, UInt16()]
Flag = Annotated[bool, Bits(1)]
Rest = Annotated[bytes, Bytes(REST)]  # what newer trackers append

ALARMS = {1: "SOS", 2: "power cut", 3: "shock", 4: "fence entered", 5: "fence left"}


class Fix(BinaryModel):
    at: Annotated[datetime, ByteDateTime()]
    length: Annotated[int, Bits(4)] = 12
    satellites: Annotated[int, Bits(4)]
    latitude: Annotated[float, UInt32(scale=1 / 1_800_000, unit="°"), Field(le=90)]
    longitude: Annotated[float, UInt32(scale=1 / 1_800_000, unit="°"), Field(le=180)]
    speed: Annotated[int, UInt8(unit="km/h")]
    is_differential: Annotated[bool, PaddingBits(2), Bits(1)] = False
    is_valid: Flag = True
    is_west: Flag = False
    is_north: Flag = True
    course: Annotated[int, Bits(10)] = 0

    @property
    def place(self) -> tuple[float, float]:
        """Latitude and longitude; south and west are negative."""
        north, east = 1 if self.is_north else -1, -1 if self.is_west else 1
        return round(north * self.latitude, 6), round(east * self.longitude, 6)


class Cell(BinaryModel):
    country: Annotated[int, UInt16()]
    network: Annotated[int, UInt8()]
    area: Annotated[int, UInt16()]
    id: Annotated[int, UInt24()]


class Status(BinaryModel):
    is_fuel_cut: Flag = False
    is_tracking: Flag = True
    alarm_bits: Annotated[int, Bits(3)] = 0
    is_charging: Flag = False
    ignition: Flag = False
    is_armed: Flag = False
    battery: Annotated[int, UInt8()]  # 0 (empty) to 6 (full)
    signal: Annotated[int, UInt8()]  # 0 (none) to 4 (strong)
    alarm: Annotated[int, UInt8()] = 0
    language: Annotated[int, UInt8()] = 1


class Login(BinaryModel):
    protocol: Annotated[Literal[0x01], UInt8()] = 0x01
    imei: Annotated[str, Bcd(15)]
    extra: Rest = b""
    serial: Serial


class Position(BinaryModel):
    protocol: Annotated[Literal[0x12, 0x22], UInt8()] = 0x12
    fix: Fix
    cell: Cell
    extra: Rest = b""
    serial: Serial


class Heartbeat(BinaryModel):
    protocol: Annotated[Literal[0x13], UInt8()] = 0x13
    status: Status
    extra: Rest = b""
    serial: Serial


class Alarm(BinaryModel):
    protocol: Annotated[Literal[0x16, 0x26], UInt8()] = 0x16
    fix: Fix
    cell_length: Annotated[int, UInt8()] = 9
    cell: Cell
    status: Status
    extra: Rest = b""
    serial: Serial


class Answer(BinaryModel):
    protocol: Annotated[Literal[0x15], UInt8()] = 0x15
    length: Annotated[int, UInt8()] = 0
    flag: Annotated[int, UInt32()]  # as in the command
    text: Annotated[str, Text("length", adjust=-4, encoding="latin-1")]
    extra: Rest = b"\x00\x02"
    serial: Serial


class OnlineAnswer(BinaryModel):
    """What newer terminals answer; it comes with the long header."""

    protocol: Annotated[Literal[0x21], UInt8()] = 0x21
    flag: Annotated[int, UInt32()]  # as in the command
    encoding: Annotated[int, UInt8()] = 1  # 1: ASCII, 2: UTF-16
    content: Rest
    serial: Serial

    @property
    def text(self) -> str:
        return self.content.decode("latin-1" if self.encoding == 1 else "utf-16-be", "replace")


class Unknown(BinaryModel):
    protocol: Annotated[int, UInt8()]
    content: Rest
    serial: Serial


Message = Annotated[
    Login | Position | Heartbeat | Alarm | Answer | OnlineAnswer | Unknown,
    BinaryUnion("protocol", unknown=Unknown),
]


class Acknowledgement(BinaryModel):
    protocol: Annotated[int, UInt8()]
    serial: Serial


class Command(BinaryModel):
    protocol: Annotated[Literal[0x80], UInt8()] = 0x80
    length: Annotated[int, UInt8()] = 0
    flag: Annotated[int, UInt32()]
    text: Annotated[str, Text("length", adjust=-4, encoding="ascii")]
    serial: Serial
