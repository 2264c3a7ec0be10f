"""Which options a topic has: what its listener said, else the first key that matches it, else the default.

A key is a topic filter or a *namespace*: text without wildcards that ends with ``:`` and stands for every topic that
begins with it, as the namespaces of Centrifugo do. ``smallhistory:`` matches ``smallhistory:42`` and
``smallhistory:a/b``.

Keys are looked through one by one; whoever asks often remembers the answer. Nothing here changes after the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from portcast.config import TopicOptions
from portcast.history import HistoryLimits
from portcast.topics import is_wildcard, matches


def is_namespace(key: str) -> bool:
    """Return True if a key of the table stands for all topics that begin with it."""
    return key.endswith(":") and not is_wildcard(key)


@dataclass(frozen=True, slots=True)
class TopicTable:
    """The options of every topic.

    Attributes:
        by_filter: options by topic filter or namespace; the first that matches a topic counts.
        by_topic: options by topic, from its listener; stronger than ``by_filter``.
        default: for topics that nothing matches.
        history: what is kept of topics whose options say nothing of it, and the budgets of the process.
    """

    by_filter: Mapping[str, TopicOptions] = field(default_factory=dict)
    by_topic: Mapping[str, TopicOptions] = field(default_factory=dict)
    default: TopicOptions = field(default_factory=TopicOptions)
    history: HistoryLimits = field(default_factory=HistoryLimits)

    def of(self, topic: str) -> TopicOptions:
        """Return the options of a topic."""
        options = self.by_topic.get(topic)
        if options is not None:
            return options
        for key, options in self.by_filter.items():
            if topic.startswith(key) if is_namespace(key) else matches(key, topic):
                return options
        return self.default

    def history_of(self, topic: str) -> HistoryLimits:
        """Return how much of a topic is kept; topics of the same options share the value."""
        options = self.of(topic)
        if options.history is None and options.history_age_s is None:
            return self.history
        return _limited(self.history, options.history, options.history_age_s)

    def every(self) -> Iterator[TopicOptions]:
        """Iterate over all options that a topic may have."""
        yield self.default
        yield from self.by_filter.values()
        yield from self.by_topic.values()


@lru_cache
def _limited(limits: HistoryLimits, publications: int | None, age_s: float | None) -> HistoryLimits:
    return replace(
        limits,
        publications=limits.publications if publications is None else publications,
        age_s=limits.age_s if age_s is None else age_s,
    )
