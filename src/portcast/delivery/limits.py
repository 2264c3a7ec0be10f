"""How much one subscriber connection may have waiting."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """The soft limit makes a subscriber slow; the hard limits end it, or leave it to its policy.

    The soft limit is where publishers begin to wait (for as long as patience lasts). A browser on a good network
    drains 256 KiB in milliseconds; who still holds that much after seconds cannot keep up. The hard limits do not count
    the batch that is being written. They end a subscriber under the policy ``disconnect``; under the others more than
    ``hard_bytes`` demotes it at once, and only one that takes nothing for ``hard_age_s`` is ended.
    """

    soft_bytes: int = field(
        default=262_144, metadata={"help": "bytes waiting that make a subscriber slow", "minimum": 1}
    )
    soft_messages: int = field(
        default=512, metadata={"help": "publications waiting that make a subscriber slow", "minimum": 1}
    )
    soft_for_s: float = field(
        default=2.0,
        metadata={"help": "slow for so long and out of patience: ends a subscriber under disconnect", "minimum": 0},
    )
    hard_bytes: int = field(
        default=1_048_576,
        metadata={
            "help": "bytes waiting that end a subscriber under disconnect, and end its patience under other policies",
            "minimum": 1,
        },
    )
    hard_messages: int = field(
        default=1024,
        metadata={"help": "publications waiting that end a subscriber out of patience under disconnect", "minimum": 1},
    )
    hard_age_s: float = field(
        default=10.0,
        metadata={
            "help": "nothing taken for so long: ends a subscriber; under disconnect, so does waiting for so long",
            "minimum": 0,
        },
    )
