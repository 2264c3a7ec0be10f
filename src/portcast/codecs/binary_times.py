"""Dates and times in binary frames; the values are aware `datetime` objects.

::

    BcdDateTime    24 06 30 23 59 58     year, month, day, hour, minute, second: two decimal digits each
    ByteDateTime   18 06 1E 17 3B 3A     the same moment with a number in each byte
    UnixTime       66 81 F1 7E           4 or 8 bytes of seconds (milliseconds, …) since 1970

Years are those of 2000 to 2099.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from portcast.codecs.binary_layout import ByteOrder, Convert, Layout, Reader
from portcast.codecs.binary_numbers import UInt32, UInt64
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError

_CENTURY = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Parts(Layout):
    """Six bytes: year, month, day, hour, minute, second.

    Attributes:
        tz: the zone that the device's clock shows; values are in this zone. UTC.
    """

    tz: tzinfo = UTC

    @property
    def width(self) -> int:
        """6 bytes."""
        return 6

    def reader(self, order: ByteOrder) -> Reader:
        """Take the bytes."""
        return Reader("6s", self._convert())

    def _convert(self) -> Convert:
        tz = self.tz

        def convert(data: bytes) -> datetime:
            year, month, day, hour, minute, second = data
            try:
                if year > 99:
                    raise ValueError
                return datetime(_CENTURY + year, month, day, hour, minute, second, tzinfo=tz)
            except ValueError:
                raise Refusal(f"year, month, day, hour, minute and second, not {data.hex(' ')}") from None

        return convert

    def write(self, value: object, order: ByteOrder) -> bytes:
        """Return the moment in this field's zone; fractions of a second are cut off."""
        at = _aware(value).astimezone(self.tz)
        if not 0 <= at.year - _CENTURY <= 99:
            raise Refusal(f"a year from {_CENTURY} to {_CENTURY + 99}, not {at.year}")
        return self._join((at.year - _CENTURY, at.month, at.day, at.hour, at.minute, at.second))

    def _join(self, parts: tuple[int, ...]) -> bytes:
        return bytes(parts)


class ByteDateTime(_Parts):
    """Six bytes with a number each: year since 2000, month, day, hour, minute, second.

    Args:
        tz: the zone that the device's clock shows; values are in this zone. UTC.
    """

    __slots__ = ()


class BcdDateTime(_Parts):
    """Six bytes with two decimal digits each: year since 2000, month, day, hour, minute, second.

    Args:
        tz: the zone that the device's clock shows; values are in this zone. UTC.
    """

    __slots__ = ()

    def _convert(self) -> Convert:
        convert = _Parts._convert(self)

        def from_digits(data: bytes) -> object:
            text = data.hex()
            if not text.isdecimal():
                raise Refusal(f"12 decimal digits, not {text}")
            return convert(bytes(map(int, (text[i : i + 2] for i in range(0, 12, 2)))))

        return from_digits

    def _join(self, parts: tuple[int, ...]) -> bytes:
        return bytes.fromhex("".join(f"{part:02d}" for part in parts))


@dataclass(frozen=True, slots=True)
class UnixTime(Layout):
    """Time since 1970-01-01 00:00 UTC without leap seconds, as an unsigned number.

    Attributes:
        size: 4 or 8 bytes.
        ticks_per_second: 1 for seconds, 1000 for milliseconds; a divisor of 1 000 000, which is what `datetime` holds.
        byte_order: None takes the order of the model.

    Raises:
        ConfigurationError: another size or number of ticks.
    """

    size: int = 4
    ticks_per_second: int = 1
    byte_order: ByteOrder | None = None

    def __post_init__(self) -> None:
        if self.size not in (4, 8):
            raise ConfigurationError("UnixTime", f"{self.size} bytes", "use 4 or 8")
        if self.ticks_per_second < 1 or 1_000_000 % self.ticks_per_second:
            problem = f"{self.ticks_per_second} does not divide a million"
            raise ConfigurationError("UnixTime.ticks_per_second", problem, "use 1, 1000 or 1_000_000")

    @property
    def width(self) -> int:
        """4 or 8 bytes."""
        return self.size

    @property
    def _number(self) -> UInt32 | UInt64:
        return (UInt32 if self.size == 4 else UInt64)(byte_order=self.byte_order)

    def reader(self, order: ByteOrder) -> Reader:
        """Take the number."""
        code, to_number = self._number.reader(order)
        microseconds = 1_000_000 // self.ticks_per_second

        def convert(raw: object) -> datetime:
            ticks = to_number(raw) if to_number else raw
            assert isinstance(ticks, int)
            try:
                return _EPOCH + ticks * microseconds * _MICROSECOND
            except OverflowError:
                raise Refusal(f"a time before the year 10000, not {ticks}") from None

        return Reader(code, convert)

    def write(self, value: object, order: ByteOrder) -> bytes:
        """Return the moment in ticks; what is finer than one is cut off."""
        ticks = (_aware(value) - _EPOCH) // _MICROSECOND * self.ticks_per_second // 1_000_000
        try:
            return self._number.write(ticks, order)
        except Refusal:
            raise Refusal(f"a time from 1970 on that fits {self.size} bytes, not {value}") from None


def _aware(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise Refusal(f"a datetime, not {type(value).__name__}")
    if value.tzinfo is None:
        raise Refusal("a datetime with a time zone: use datetime.now(UTC)")
    return value
