"""What waits for the flush: runs, each with what was known of its topic when it was published."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence
from typing import NamedTuple

from portcast.publication import Run
from portcast.runtime.audience import Topic
from portcast.runtime.subscriber import Subscriber
from portcast.topics import matches


class Pending(NamedTuple):
    """A run that waits for the flush."""

    run: Run
    topic: Topic


def is_pending(pending: Iterable[Pending], subscriber: Subscriber) -> bool:
    """Return True if something waits for a subscriber."""
    return any(subscriber in topic.audience for _, topic in pending)


def withdraw(pending: MutableSequence[Pending], subscriber: Subscriber) -> tuple[int, int]:
    """Take a subscriber out of the audiences of what none of its filters matches any more.

    Returns:
        Publications that still wait for it, and those that do not any more.
    """
    kept = dropped = 0
    for index, (run, topic) in enumerate(pending):
        if subscriber not in topic.audience:
            continue
        if any(matches(one, run.topic) for one in subscriber.filters):
            kept += len(run)
        else:
            dropped += len(run)
            pending[index] = Pending(run, topic._replace(audience=topic.audience - {subscriber}))
    return kept, dropped
