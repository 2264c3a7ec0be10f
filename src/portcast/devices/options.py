"""The options of devices and commands. Command line, TOML and reference documentation are generated from these."""

from __future__ import annotations

import math
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, get_args

from portcast.devices.identity import Takeover, UnknownDevice
from portcast.errors import ConfigurationError


class _Checked:
    """Holds values built in Python to the ranges of the fields' metadata."""

    __slots__ = ()

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            key = f"{type(self).__name__}.{option.name}"
            if choices := option.metadata.get("choices"):
                if value not in choices:
                    raise ConfigurationError(key, f"{value!r} is no choice", f"use one of {', '.join(choices)}")
            elif not math.isfinite(value) or value < option.metadata["minimum"]:
                minimum = option.metadata["minimum"]
                raise ConfigurationError(key, f"{value} cannot work", f"use a number of at least {minimum}")


@dataclass(frozen=True, slots=True)
class DeviceOptions(_Checked):
    """Who may be a device, and how many are remembered.

    Raises:
        ConfigurationError: a value is below its minimum, not finite or no choice.
    """

    takeover: Takeover = field(
        default="replace",
        metadata={
            "help": "a device that appears on a second connection: replace the first, reject the second, or allow both",
            "choices": get_args(Takeover),
        },
    )
    unknown: UnknownDevice = field(
        default="accept",
        metadata={"help": "a device that nobody announced", "choices": get_args(UnknownDevice)},
    )
    # At 600 bytes each, measured, 60 MB: the fleet of a large operator on one node.
    max_devices: int = field(
        default=100_000,
        metadata={
            "help": "devices remembered; past it the one that is offline longest is forgotten, configured and approved "
            "ones never",
            "minimum": 1,
        },
    )
    max_devices_per_connection: int = field(
        default=1_000,
        metadata={"help": "devices that one connection, such as a concentrator's, may speak for", "minimum": 1},
    )


@dataclass(frozen=True, slots=True)
class CommandOptions(_Checked):
    """How long commands wait, and how many.

    Raises:
        ConfigurationError: a value is below its minimum or not finite.
    """

    timeout_s: float = field(
        default=10.0,
        metadata={"help": "seconds for the answer, from the moment the command is written", "minimum": 0},
    )
    lifetime_s: float = field(
        default=86_400.0,
        metadata={"help": "seconds that a command may wait for its device; 0 = it must be connected", "minimum": 0},
    )
    max_queued: int = field(
        default=100, metadata={"help": "commands that may wait for one device, then 429", "minimum": 1}
    )
    max_in_flight: int = field(
        default=16, metadata={"help": "commands of one device that may wait for their answers", "minimum": 1}
    )
    # As long as the timeout: a device that needs twice as long is as good as gone.
    settle_s: float = field(
        default=10.0,
        metadata={
            "help": "seconds after a time-out in which a late answer may come, so nothing with the same correlation is "
            "written",
            "minimum": 0,
        },
    )
    max_ended: int = field(
        default=10_000,
        metadata={
            "help": "ended commands, of all devices, that can still be looked up and whose late answers are recognised",
            "minimum": 0,
        },
    )


@dataclass(frozen=True, slots=True)
class RedeliveryOptions(_Checked):
    """How long a handled message is remembered, so that the device may send it again without harm.

    Raises:
        ConfigurationError: a value is below its minimum or not finite.
    """

    window: int = field(
        default=1_000, metadata={"help": "handled messages remembered per device; 0 = none", "minimum": 0}
    )
    lifetime_s: float = field(
        default=3_600.0, metadata={"help": "seconds that a handled message is remembered", "minimum": 0}
    )
