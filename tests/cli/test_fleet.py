"""Tests of `portcast.cli.fleet`."""

from __future__ import annotations

import json
from itertools import pairwise

from portcast.cli.fleet import KINDS, Thermometer


def test_the_same_seed_gives_the_same_readings() -> None:
    one, other = Thermometer(3, 7), Thermometer(3, 7)
    assert [one.reading() for _ in range(50)] == [other.reading() for _ in range(50)]


def test_other_seeds_and_devices_differ() -> None:
    readings = {tuple(Thermometer(number, seed).reading() for _ in range(5)) for number in (0, 5) for seed in (1, 2)}
    assert len(readings) == 4


def test_a_reading_is_a_line_of_json() -> None:
    line = Thermometer(0, 1).reading()
    assert line.endswith(b"\n")
    reading = json.loads(line)
    assert reading["sensor"] == "boiler-1"
    assert set(reading) == {"sensor", "celsius"}


def test_devices_have_names_of_their_own() -> None:
    names = [Thermometer(number, 1).sensor for number in range(12)]
    assert len(set(names)) == 12
    assert names[5] == "boiler-2"


def test_temperatures_are_believable() -> None:
    for number, (_, usual, swing) in enumerate(KINDS):
        device = Thermometer(number, 1)
        values = [json.loads(device.reading())["celsius"] for _ in range(300)]
        assert all(abs(value - usual) < 2 * swing for value in values)
        assert max(values) - min(values) > swing
        assert all(abs(a - b) < swing for a, b in pairwise(values))


def test_devices_do_not_all_send_at_once() -> None:
    offsets = [Thermometer(number, 1).offset for number in range(20)]
    assert all(0 <= offset <= 1 for offset in offsets)
    assert max(offsets) - min(offsets) > 0.5
