"""What the devices send: lines of exactly 100 bytes, each of them different and all of them predictable."""

from __future__ import annotations

from typing import Literal

LINE = 100
"""Bytes of a line without its line feed."""

Kind = Literal["text", "json"]


def text_line(device: int, number: int) -> bytes:
    """Return ``d0007 n0000000123 xxxx…`` in 100 bytes of ASCII."""
    return b"d%04d n%010d %s" % (device, number, b"x" * (LINE - 18))


def json_line(device: int, number: int) -> bytes:
    """Return a reading of a sensor as JSON in 100 bytes; see `benchmarks.reading.Reading`."""
    line = b'{"sensor":"boiler-%04d","celsius":%.2f,"pressure":%.4f,"sequence":%d,"valid":true,"unit":"' % (
        device,
        20 + number % 1000 / 100,
        1 + number % 997 / 10_000,
        1_000_000 + number,
    )
    return line + b"C" * (LINE - len(line) - 2) + b'"}'


def block(kind: Kind, device: int, count: int, start: int = 0) -> bytes:
    """Return ``count`` lines with their line feeds, numbered from ``start``."""
    make = json_line if kind == "json" else text_line
    return b"".join(make(device, number) + b"\n" for number in range(start, start + count))
