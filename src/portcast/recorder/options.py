"""The options of the flight recorder. Command line, TOML and reference documentation are generated from these."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from portcast.errors import ConfigurationError
from portcast.recorder.rules import parse_rule


@dataclass(frozen=True, slots=True)
class RecorderOptions:
    """What is recorded from the start, and how much of it is kept.

    Raises:
        ConfigurationError: a value is below its minimum or not finite, or a rule is none.
    """

    on: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "what is recorded from the start on, as device:ID, connection:ID, listener:NAME or peer:ADDRESS; a "
            "final * stands for any rest"
        },
    )
    # Some hundred frames of a tracker, with what led to them.
    max_bytes: int = field(
        default=262_144,
        metadata={"help": "kept of one device or connection, bookkeeping included", "minimum": 4096},
    )
    total_bytes: int = field(
        default=33_554_432,
        metadata={"help": "kept of all together, then the oldest frames go, whoever's they are", "minimum": 4096},
    )
    max_frame_bytes: int = field(
        default=4096, metadata={"help": "kept of one frame; its size is told as it was", "minimum": 0}
    )
    # More than a person reads and a tracker sends; at this rate recording one device takes 0.2 % of a core.
    max_rate: int = field(
        default=200,
        metadata={
            "help": "frames recorded per second of one device or connection; what exceeds it is counted and told",
            "minimum": 1,
        },
    )
    age_s: float = field(default=3600.0, metadata={"help": "how long a frame is kept", "minimum": 1})

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            minimum = option.metadata.get("minimum")
            if minimum is not None and (not math.isfinite(value) or value < minimum):
                raise ConfigurationError(
                    f"RecorderOptions.{option.name}", f"{value} cannot work", f"use a number of at least {minimum}"
                )
        for text in self.on:
            try:
                parse_rule(text)
            except ValueError as error:
                raise ConfigurationError("RecorderOptions.on", str(error)) from error
