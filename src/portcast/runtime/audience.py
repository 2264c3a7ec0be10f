"""Who gets what is published on a topic, and how patient the topic is with them.

The answer for a topic is remembered until somebody comes or goes. It is dropped then and not corrected: a topic that
is never published again must not keep alive the subscribers that it once had. Topics with the same audience share one
set, so that 65 536 topics that a thousand clients all watch cost one set of a thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portcast.config import TopicOptions
from portcast.delivery import Policy, decided
from portcast.history import HistoryLimits
from portcast.topic_table import TopicTable
from portcast.topics import SubscriptionIndex, is_wildcard

if TYPE_CHECKING:
    from portcast.runtime.subscriber import Subscriber

MAX_TOPICS = 65_536
"""Topics whose audience is remembered; past it all are forgotten and found again when needed."""


class Topic(NamedTuple):
    """What is known of one topic until the next change.

    Attributes:
        audience: those who get what is published now.
        patience_s: how long each of them may hold its publishers.
        policy: what happens to one that is demoted.
        key: the JSON field by which ``latest_per_key`` tells publications apart.
    """

    audience: frozenset[Subscriber]
    patience_s: float
    policy: Policy
    key: str


class Audiences:
    """See the theory on top of the module.

    Attributes:
        patiences: every patience that a topic may have, the default's among them.
    """

    __slots__ = ("_index", "_shared", "_table", "_topics", "patiences")

    def __init__(self, table: TopicTable) -> None:
        """Prepare without subscribers, with the options of all topics."""
        self._table = table
        self._index: SubscriptionIndex[Subscriber] = SubscriptionIndex()
        self._topics: dict[str, Topic] = {}
        self._shared: dict[frozenset[Subscriber], frozenset[Subscriber]] = {}
        self.patiences = frozenset(options.patience_s for options in table.every())

    def add(self, subscriber: Subscriber) -> None:
        """Let the subscriber be found by its filters."""
        table = self._table
        subscriber.outbox.patience.full_s = table.default.patience_s
        filters = subscriber.filters
        if len(filters) == 1 and not is_wildcard(only := filters[0]):
            subscriber.outbox.policy = _policy(table.of(only), table.history_of(only))
        else:
            subscriber.outbox.policy = _policy(table.default, table.history)
        for one in subscriber.filters:
            self._index.add(one, subscriber)
        self._forget()

    def remove(self, subscriber: Subscriber) -> None:
        """Undo `add`."""
        for one in subscriber.filters:
            self._index.remove(one, subscriber)
        self._forget()

    def follow(self, subscriber: Subscriber, topic_filter: str) -> None:
        """Let a subscriber that was added be found by one more filter."""
        self._index.add(topic_filter, subscriber)
        self._forget()

    def unfollow(self, subscriber: Subscriber, topic_filter: str) -> None:
        """Undo `follow`."""
        self._index.remove(topic_filter, subscriber)
        self._forget()

    def of(self, name: str) -> Topic:
        """Return what is known of a topic."""
        topic = self._topics.get(name)
        return self._look_up(name) if topic is None else topic

    def _look_up(self, name: str) -> Topic:
        if len(self._topics) >= MAX_TOPICS:
            self._forget()
        found = frozenset(self._index.match(name))
        audience = self._shared.setdefault(found, found)
        options = self._table.of(name)
        if options.patience_s > self._table.default.patience_s:
            for subscriber in audience:
                allowance = subscriber.outbox.patience
                allowance.full_s = max(allowance.full_s, options.patience_s)
        policy = _policy(options, self._table.history_of(name))
        topic = self._topics[name] = Topic(audience, options.patience_s, policy, options.key)
        return topic

    def _forget(self) -> None:
        self._topics.clear()
        self._shared.clear()


def _policy(options: TopicOptions, limits: HistoryLimits) -> Policy:
    return decided(options.slow_consumer, has_history=limits.is_enabled)
