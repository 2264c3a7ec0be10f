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

__all__ = [
    "MAX_TOPIC_BYTES",
    "MAX_TOPIC_LEVELS",
    "SubscriptionIndex",
    "is_wildcard",
    "matches",
    "validate_filter",
    "validate_topic",
]
