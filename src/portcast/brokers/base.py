"""The interface of brokers: who numbers publications, keeps their history and carries them to every node's hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from portcast.publication import Mark, Meta, Position, Publication, Run
from portcast.topics import is_wildcard

Deliver = Callable[[Run], None]
"""Called for each run that this node's hub must deliver, in order, on the loop; must not block or raise."""


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """What is known of one topic.

    Attributes:
        topic: its name.
        position: the position of its newest publication.
        retained: publications in history.
        retained_bytes: their payload bytes.
        published_at: when the newest was published, seconds on the monotonic clock.
    """

    topic: str
    position: Position
    retained: int
    retained_bytes: int
    published_at: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """The answer to "what did I miss since this position".

    Attributes:
        publications: what is still held after the position, oldest first.
        missed: publications after the position that are gone. 0 means that nothing was lost.
        more: publications that are held, but were not returned because of the limit; they follow the last one.
        is_exact: False when ``missed`` is a lower bound (a filter over several topics whose history moved on).
    """

    publications: list[Publication]
    missed: int
    is_exact: bool
    more: int = 0


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A resume id, read: where a subscription wants to go on.

    Attributes:
        epoch: of the topic, or of the node's sequence.
        number: an offset, or a sequence.
        is_sequence: which of the two.
    """

    epoch: str
    number: int
    is_sequence: bool


def is_single_topic(filters: Sequence[str]) -> bool:
    """Return True if a subscription with these filters sees one topic, so that it is resumed by that topic's offset."""
    return len(filters) == 1 and not is_wildcard(filters[0])


def resume_id(filters: Sequence[str], publication: Publication, node_epoch: str) -> str:
    """Return the id of ``publication`` for a subscription with these filters; `Broker.recover` takes it as ``since``.

    One exact topic gets ``epoch:offset``: it counts gaps exactly and means the same on every node. Anything else gets
    ``node-epoch:*sequence``, the one order that all topics of a node share.

    Args:
        filters: the subscription's valid filters.
        publication: what the subscriber is sent.
        node_epoch: the broker's `Broker.node_epoch`.
    """
    if is_single_topic(filters):
        return f"{publication.epoch}:{publication.offset}"
    return f"{node_epoch}:*{publication.sequence}"


def resume_at(filters: Sequence[str], mark: Mark, node_epoch: str) -> str:
    """Return the id that resumes right after ``mark``; otherwise as `resume_id`.

    A mark on another topic than the one that is followed counts by the sequence: its offset means nothing there.
    """
    if is_single_topic(filters) and filters[0] == mark.topic:
        return f"{mark.epoch}:{mark.offset}"
    return resume_by_sequence(mark, node_epoch)


def resume_by_sequence(mark: Mark, node_epoch: str) -> str:
    """Return the id that resumes right after ``mark`` whatever the filters: by the order of all topics of a node."""
    return f"{node_epoch}:*{mark.sequence}"


def parse_resume_id(since: str) -> ResumePoint | None:
    """Return what ``since`` says, or None if it is no resume id.

    ``since`` is whatever a client sent (``Last-Event-ID``): any text is taken, nothing is raised, and at most 19 digits
    are converted.
    """
    epoch, colon, number = since.rpartition(":")
    is_sequence = number[:1] == "*"
    digits = number[1:] if is_sequence else number
    # `int` alone would also take spaces, underscores, signs and other scripts' digits, and refuse 4301 of them.
    if not colon or len(digits) > 19 or not (digits.isascii() and digits.isdigit()):
        return None
    return ResumePoint(epoch, int(digits), is_sequence)


class Broker(Protocol):
    """Numbers, keeps and carries publications. All methods are called on the loop that runs the app."""

    def bind(self, deliver: Deliver) -> None:
        """Set where runs go. Called once, before `start`."""
        ...

    async def start(self) -> None:
        """Connect. Returns soon even if the other side is away: local delivery goes on without it."""
        ...

    async def stop(self) -> None:
        """Let go of everything; nothing is delivered afterwards."""
        ...

    def publish_nowait(self, topic: str, payloads: Sequence[bytes], now: float, meta: Meta | None = None) -> Position:
        """Publish consecutive messages on one topic and return the position of the last. Never waits.

        What is delivered has a `Run.previous` where history still holds the publication before it.

        Args:
            topic: a topic that `portcast.topics.validate_topic` accepts; the caller has checked it.
            payloads: at least one message.
            now: the monotonic time.
            meta: what else is known of them, kept and delivered with each.
        """
        ...

    def topics(self, topic_filter: str, now: float) -> list[TopicInfo]:
        """Return the known topics that match the filter, by name."""
        ...

    def retained_bytes(self) -> int:
        """Return how many bytes all that is retained takes."""
        ...

    def position(self, topic: str) -> Position:
        """Return the position of the newest publication of ``topic``; offset 0 if there is none."""
        ...

    def history(
        self, topic: str, *, since: Position | None, limit: int, is_reverse: bool, now: float
    ) -> list[Publication]:
        """Return up to ``limit`` retained publications of one topic.

        Args:
            topic: the topic.
            since: only those after this position (before it, in reverse); None for all. A position of another
                epoch gives none.
            limit: at least 0.
            is_reverse: newest first.
            now: the monotonic time; what is older than the history's age is not returned.
        """
        ...

    def latest(self, filters: Sequence[str], limit: int, now: float) -> list[Publication]:
        """Return the newest ``limit`` retained publications over all topics that match, oldest first."""
        ...

    def recover(self, filters: Sequence[str], since: str, limit: int, now: float) -> Recovery:
        """Return what was published on the matching topics after ``since``.

        Args:
            filters: valid topic filters.
            since: for one exact topic ``epoch:offset``; otherwise ``node-epoch:*sequence`` (see `resume_id`).
            limit: at most so many publications, the oldest ones; `Recovery.more` says how many follow.
            now: the monotonic time.

        A position of another epoch, or one that cannot be read, gives everything retained and ``missed`` as a lower
        bound of 1.
        """
        ...

    def node_epoch(self) -> str:
        """The epoch of this node's sequence numbers."""
        ...
