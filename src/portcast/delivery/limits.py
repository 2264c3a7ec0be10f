"""How much one subscriber connection may have waiting."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """The soft limit makes a subscriber slow, the hard limit ends it.

    The soft limit is where publishers begin to wait (for as long as patience lasts). A browser on a good network
    drains 256 KiB in milliseconds; who still holds that much after seconds cannot keep up. The hard limits do not count
    the batch that is being written.
    """

    soft_bytes: int = field(
        default=262_144, metadata={"help": "bytes waiting that make a subscriber slow", "minimum": 1}
    )
    soft_messages: int = field(
        default=512, metadata={"help": "publications waiting that make a subscriber slow", "minimum": 1}
    )
    soft_for_s: float = field(
        default=2.0, metadata={"help": "slow for so long and out of patience: the policy applies", "minimum": 0}
    )
    hard_bytes: int = field(
        default=1_048_576, metadata={"help": "bytes waiting that end a subscriber at once", "minimum": 1}
    )
    hard_messages: int = field(
        default=1024, metadata={"help": "publications waiting that end a subscriber out of patience", "minimum": 1}
    )
    hard_age_s: float = field(
        default=10.0,
        metadata={"help": "age of the oldest waiting publication that ends a subscriber out of patience", "minimum": 0},
    )
