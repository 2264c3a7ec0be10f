"""Topic names, topic filters and the index of who subscribes to what."""

from portcast.topics.index import SubscriptionIndex
from portcast.topics.names import (
    MAX_TOPIC_BYTES,
    MAX_TOPIC_LEVELS,
    is_wildcard,
    matches,
    validate_filter,
    validate_topic,
)
from portcast.topics.overlap import covers, overlaps

__all__ = [
    "MAX_TOPIC_BYTES",
    "MAX_TOPIC_LEVELS",
    "SubscriptionIndex",
    "covers",
    "is_wildcard",
    "matches",
    "overlaps",
    "validate_filter",
    "validate_topic",
]
