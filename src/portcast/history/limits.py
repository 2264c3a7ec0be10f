"""The options of history. Command line, TOML and reference documentation are generated from this dataclass."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from portcast.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much of each topic is kept for those who come late or come back.

    Whichever bound is reached first applies. 0 in ``publications``, ``age_s``, ``topic_bytes`` or ``total_bytes``
    turns history off; publications are still numbered, so gaps are still noticed.

    Raises:
        ConfigurationError: a value is below its minimum or is not finite.
    """

    # 100 and 300 s: a phone that changes network is back within seconds, a laptop that was moved within minutes.
    publications: int = field(
        default=100,
        metadata={"help": "Newest publications kept per topic; 0 turns history off.", "minimum": 0},
    )
    age_s: float = field(
        default=300.0,
        metadata={"help": "Seconds that a publication is kept; 0 turns history off.", "minimum": 0},
    )
    topic_bytes: int = field(
        default=1_048_576,
        metadata={"help": "Payload bytes kept per topic; 0 turns history off.", "minimum": 0},
    )
    total_bytes: int = field(
        default=67_108_864,
        metadata={
            "help": "Memory for all histories of the process, in bytes: payloads, 240 bytes per publication and "
            "1 KiB per topic that holds any. The topics that were published to longest ago lose theirs first. "
            "0 turns history off.",
            "minimum": 0,
        },
    )
    max_topics: int = field(
        default=100_000,
        metadata={
            "help": "Topics whose positions are remembered. Past it the one that was published to longest ago is "
            "forgotten; it starts a new epoch when it comes back.",
            "minimum": 1,
        },
    )
    # A day: devices that report once an hour, or once a night, keep their epoch; abandoned names go.
    idle_s: float = field(
        default=86_400.0,
        metadata={
            "help": "Seconds without a publication after which a topic is forgotten, never sooner than its history.",
            "minimum": 0,
        },
    )

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            minimum = option.metadata["minimum"]
            if not math.isfinite(value) or value < minimum:
                raise ConfigurationError(
                    f"history.{option.name}", f"{value} cannot work", f"use a number of at least {minimum}"
                )

    @property
    def is_enabled(self) -> bool:
        """True if anything is kept at all."""
        return self.publications > 0 and self.age_s > 0 and self.topic_bytes > 0 and self.total_bytes > 0
