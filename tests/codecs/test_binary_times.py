from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.codecs import BcdDateTime, ByteDateTime, ByteOrder, UnixTime
from portcast.codecs.binary_layout import PREFIXES, Layout
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError

CHINA = timezone(timedelta(hours=8))
AT = datetime(2024, 6, 30, 23, 59, 58, tzinfo=UTC)


def read(layout: Layout, data: bytes, order: ByteOrder = "big") -> object:
    """As a run does."""
    code, convert = layout.reader(order)
    (raw,) = struct.unpack(PREFIXES[order] + code, data)
    return raw if convert is None else convert(raw)


@pytest.mark.parametrize(
    ("layout", "data"),
    [
        (ByteDateTime(), "18061e173b3a"),
        (BcdDateTime(), "240630235958"),
        (BcdDateTime(CHINA), "240701075958"),
        (UnixTime(), "6681f17e"),
        (UnixTime(byte_order="little"), "7ef18166"),
        (UnixTime(8, 1000), "000001906b975430"),
        (UnixTime(8, 1_000_000, "little"), "80db2047241c0600"),
    ],
    ids=["bytes", "bcd", "zone", "seconds", "little", "milliseconds", "microseconds"],
)
def test_one_moment_in_each_layout(layout: Layout, data: str) -> None:
    """They all mean the same."""
    assert layout.width == len(data) // 2
    assert read(layout, bytes.fromhex(data)) == AT
    assert layout.write(AT, "big").hex() == data


def test_values_are_in_the_zone_of_the_device() -> None:
    """They show what its clock shows, and say so."""
    value = read(BcdDateTime(CHINA), bytes.fromhex("240701075958"))
    assert isinstance(value, datetime)
    assert value.isoformat() == "2024-07-01T07:59:58+08:00"


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31, 23, 59, 59)), st.sampled_from([UTC, CHINA]))
def test_fractions_of_the_smallest_step_are_cut_off(naive: datetime, tz: timezone) -> None:
    """A moment is never written as a later one."""
    at = naive.replace(tzinfo=tz)
    for layout in (ByteDateTime(tz), BcdDateTime(tz), UnixTime(), UnixTime(8)):
        assert read(layout, layout.write(at, "big")) == at.replace(microsecond=0)
    assert read(UnixTime(8, 1_000_000), UnixTime(8, 1_000_000).write(at, "big")) == at


@pytest.mark.parametrize(
    ("layout", "data"),
    [
        (ByteDateTime(), "180d01000000"),
        (ByteDateTime(), "18021e000000"),
        (ByteDateTime(), "640101000000"),
        (BcdDateTime(), "241301000000"),
        (BcdDateTime(), "240230000000"),
        (BcdDateTime(), "240101240000"),
    ],
    ids=["month", "day", "year", "bcd month", "bcd day", "bcd hour"],
)
def test_dates_that_are_none(layout: Layout, data: str) -> None:
    """A month of 13, the 30th of February, a year of 100, an hour of 24."""
    with pytest.raises(Refusal, match="year, month, day, hour, minute and second, not "):
        read(layout, bytes.fromhex(data))


def test_digits_that_are_none() -> None:
    """A BCD date has only digits."""
    with pytest.raises(Refusal, match="12 decimal digits, not 18061e173b3a"):
        read(BcdDateTime(), bytes.fromhex("18061e173b3a"))


def test_times_that_python_does_not_know() -> None:
    """8 bytes of seconds reach beyond the year 9999."""
    with pytest.raises(Refusal, match="a time before the year 10000, not 18446744073709551615"):
        read(UnixTime(8), b"\xff" * 8)


@pytest.mark.parametrize(
    ("layout", "value", "problem"),
    [
        (ByteDateTime(), AT.replace(year=1999), "a year from 2000 to 2099, not 1999"),
        (BcdDateTime(), AT.replace(year=2100), "a year from 2000 to 2099, not 2100"),
        (UnixTime(), AT.replace(year=1969), "a time from 1970 on that fits 4 bytes"),
        (UnixTime(), AT.replace(year=2107), "a time from 1970 on that fits 4 bytes"),
        (UnixTime(), AT.replace(tzinfo=None), "a datetime with a time zone"),
        (ByteDateTime(), 5, "a datetime, not int"),
    ],
    ids=["early", "late", "before", "after", "naive", "type"],
)
def test_times_that_do_not_fit(layout: Layout, value: object, problem: str) -> None:
    """They are refused, not wrapped round."""
    with pytest.raises(Refusal, match=problem):
        layout.write(value, "big")


@pytest.mark.parametrize(
    ("make", "problem"),
    [(lambda: UnixTime(6), "UnixTime: 6 bytes"), (lambda: UnixTime(8, 3), "3 does not divide a million")],
    ids=["size", "ticks"],
)
def test_times_that_cannot_work(make: type[object], problem: str) -> None:
    """They are found where they are written."""
    with pytest.raises(ConfigurationError, match=problem):
        make()
