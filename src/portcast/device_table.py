"""The ``[devices]`` table of a settings file: what a gateway is told of its devices.

::

    [devices]                       # DeviceOptions
    unknown = "quarantine"

    [devices.known.boiler-1]        # announced, with its tags; an empty table for none
    site = "north"

    [devices.commands]              # CommandOptions
    timeout = "5s"

    [devices.redelivery]            # RedeliveryOptions
    window = 100

For applications, whose listeners say who a device is; a relay does not know devices. So there are no flags and no
environment variables for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portcast.config import from_options
from portcast.devices import CommandOptions, DeviceOptions, RedeliveryOptions, validate_device_id
from portcast.errors import ConfigurationError, DeviceIdError
from portcast.runtime import DeviceSettings

_PARTS = ("known", "commands", "redelivery")


def devices_from_table(table: object, key: str) -> DeviceSettings:
    """Return what a table says.

    Args:
        table: as read from TOML.
        key: names it in errors.

    Raises:
        ConfigurationError: a name is unknown, a value does not fit, or an announced id is none.
    """
    whole = _table(table, key)
    options = {name: value for name, value in whole.items() if name not in _PARTS}
    return DeviceSettings(
        from_options(DeviceOptions, options, key),
        from_options(CommandOptions, _table(whole.get("commands", {}), f"{key}: commands"), f"{key}: commands"),
        from_options(
            RedeliveryOptions, _table(whole.get("redelivery", {}), f"{key}: redelivery"), f"{key}: redelivery"
        ),
        _known(whole.get("known", {}), f"{key}: known"),
    )


def _known(table: object, key: str) -> dict[str, dict[str, str]]:
    known = {}
    for device_id, tags in _table(table, key).items():
        try:
            validate_device_id(device_id)
        except DeviceIdError as error:
            raise ConfigurationError(key, str(error)) from error
        where = f"{key}: {device_id}"
        for name, value in _table(tags, where).items():
            if not isinstance(value, str):
                raise ConfigurationError(f"{where}: {name}", f"{value!r} is not text", "tags are text")
        known[device_id] = dict(tags)
    return known


def _table(value: object, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(key, f"{value!r} is not a table")
    return value
