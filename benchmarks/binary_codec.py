"""What decoding a binary message costs beside `struct.unpack` and the making of a model.

Run it with ``python -m benchmarks.binary_codec``.

The message has 12 fields in 34 bytes, five of which `struct` leaves to be converted: three are scaled, one has 24
bits and one is an IMEI of BCD digits.
"""

from __future__ import annotations

import struct
import timeit
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel

from portcast.codecs import Bcd, BinaryCodec, BinaryModel, Bool, Int16, Int32, UInt8, UInt16, UInt24, UInt32


class Report(BinaryModel):
    kind: Annotated[int, UInt8()]
    serial: Annotated[int, UInt16()]
    time: Annotated[int, UInt32()]
    latitude: Annotated[float, Int32(scale=1e-7, unit="°")]
    longitude: Annotated[float, Int32(scale=1e-7, unit="°")]
    altitude: Annotated[int, Int16(unit="m")]
    angle: Annotated[int, UInt16(unit="°")]
    speed: Annotated[float, UInt16(scale=0.1, unit="km/h")]
    satellites: Annotated[int, UInt8()]
    is_fixed: Annotated[bool, Bool()]
    odometer: Annotated[int, UInt24(unit="km")]
    imei: Annotated[str, Bcd(15)]


class Plain(BaseModel):
    kind: int
    serial: int
    time: int
    latitude: float
    longitude: float
    altitude: int
    angle: int
    speed: float
    satellites: int
    is_fixed: bool
    odometer: int
    imei: str


RUNS, CALLS = 7, 20_000


def microseconds(call: Callable[[], object]) -> float:
    """Return the time of one call, of the best run."""
    return min(timeit.repeat(call, number=CALLS, repeat=RUNS)) / CALLS * 1e6


def main() -> None:
    """Print one line for each part."""
    report = Report(
        kind=1, serial=2, time=3, latitude=22.5461, longitude=113.1, altitude=-4, angle=300, speed=12.3, satellites=9,
        is_fixed=True, odometer=123_456, imei="123456789012345",
    )  # fmt: skip
    frame, values, codec = report.to_bytes(), dict(report), BinaryCodec(Report)
    layout = struct.Struct(">BHIiihHHBB3s8s")
    unpack, construct = microseconds(lambda: layout.unpack(frame)), microseconds(lambda: Plain(**values))
    decode, encode = microseconds(lambda: codec.decode(frame)), microseconds(lambda: codec.encode(report))
    print(f"struct.unpack       {unpack:6.2f} µs")
    print(f"model construction  {construct:6.2f} µs")
    print(f"decode              {decode:6.2f} µs, {decode / (unpack + construct):.2f} times both")
    print(f"encode              {encode:6.2f} µs")


if __name__ == "__main__":
    main()
