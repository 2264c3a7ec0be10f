from __future__ import annotations

import tomllib

import pytest

from portcast.device_table import devices_from_table
from portcast.devices import CommandOptions, DeviceOptions, RedeliveryOptions
from portcast.errors import ConfigurationError
from portcast.runtime import DeviceSettings

WHOLE = """
unknown = "quarantine"
max_devices = 500

[known.boiler-1]
site = "north"

[known.boiler-2]

[commands]
timeout = "500ms"
max_queued = 5

[redelivery]
window = 7
"""


def test_a_whole_table() -> None:
    """Names are those of the options, without their units."""
    assert devices_from_table(tomllib.loads(WHOLE), "x") == DeviceSettings(
        DeviceOptions(unknown="quarantine", max_devices=500),
        CommandOptions(timeout_s=0.5, max_queued=5),
        RedeliveryOptions(window=7),
        {"boiler-1": {"site": "north"}, "boiler-2": {}},
    )
    assert devices_from_table({}, "x") == DeviceSettings()


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("unknow = 'reject'", "x"),
        ("unknown = 'let in'", "x: unknown"),
        ("max_devices = 0", "x: max_devices"),
        ("commands = 5", "x: commands"),
        ("commands.timeout = -1", "x: commands: timeout"),
        ("redelivery.window = 'many'", "x: redelivery: window"),
        ("known.'a/b' = {}", "x: known"),
        ("known.a = 1", "x: known: a"),
        ("known.a.floor = 1", "x: known: a: floor"),
    ],
)
def test_what_cannot_work_is_named(table: str, key: str) -> None:
    """By its place in the file."""
    with pytest.raises(ConfigurationError) as caught:
        devices_from_table(tomllib.loads(table), "x")
    assert caught.value.key == key


def test_no_table() -> None:
    """As for every other."""
    with pytest.raises(ConfigurationError, match="not a table"):
        devices_from_table(["a"], "x")
