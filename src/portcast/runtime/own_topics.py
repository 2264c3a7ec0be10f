"""The topics of the gateway itself, and how they treat subscribers, unless the application says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from portcast.config import MOST_SECONDS, TopicOptions
from portcast.runtime.device_directory import STATUS_TOPICS
from portcast.runtime.flight_recorder import TOPIC
from portcast.runtime.store import STORE_TOPICS

_LAST_VALUE = TopicOptions(history=1, history_age_s=MOST_SECONDS)

OWN_TOPICS: Mapping[str, TopicOptions] = {
    # Presence: a subscriber begins with what is the case, however long it has been so.
    STATUS_TOPICS: _LAST_VALUE,
    # One that cannot keep up is told what is the case now, for each key.
    STORE_TOPICS: replace(_LAST_VALUE, slow_consumer="latest_per_key"),
    # Kept by the recorder itself. Whoever watches must never hold up those who are watched.
    f"{TOPIC}#": TopicOptions(history=0, patience_s=0, slow_consumer="drop_oldest"),
}
"""Options by topic filter."""
