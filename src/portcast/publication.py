"""What travels from the broker to subscribers: publications, and the runs in which they are delivered.

A *run* is a stretch of consecutive publications on one topic. The hot path handles runs, so that ten thousand lines
read in one go cost one object and not ten thousand; single `Publication` objects are made only for those who ask
(history over HTTP, recovery).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Position(NamedTuple):
    """A place in the stream of one topic.

    ``offset`` counts publications from 1; 0 means before the first. ``epoch`` names one uninterrupted numbering:
    offsets of different epochs cannot be compared.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"


class Publication(NamedTuple):
    """One message on a topic.

    Attributes:
        topic: the topic.
        epoch: the numbering that ``offset`` belongs to.
        offset: position in the topic, from 1.
        sequence: position among all publications of this node, from 1; orders publications of different topics.
        at: when it was published, seconds on the node's monotonic clock.
        data: the payload.
    """

    topic: str
    epoch: str
    offset: int
    sequence: int
    at: float
    data: bytes


class Mark(NamedTuple):
    """The place right before a publication: where to resume in order to get it.

    Attributes:
        topic: the publication's topic.
        epoch: the numbering of its offset.
        offset: of the publication before it on the topic; 0 if it is the first.
        sequence: of the publication before it on the node; 0 if it is the first.
    """

    topic: str
    epoch: str
    offset: int
    sequence: int


class Run:
    """Consecutive publications on one topic, published at about the same time.

    The publication ``i`` (from 0) has offset ``first_offset + i`` and sequence ``first_sequence + i``. A run is
    append-only until it is flushed, and is not changed after that: it may be shared by any number of subscribers.
    """

    __slots__ = ("at", "epoch", "first_offset", "first_sequence", "payloads", "topic")

    def __init__(
        self, topic: str, epoch: str, first_offset: int, first_sequence: int, at: float, payloads: list[bytes]
    ) -> None:
        self.topic = topic
        self.epoch = epoch
        self.first_offset = first_offset
        self.first_sequence = first_sequence
        self.at = at
        self.payloads = payloads

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def start(self) -> Mark:
        """The place right before the run."""
        return Mark(self.topic, self.epoch, self.first_offset - 1, self.first_sequence - 1)

    def is_continued_by(self, other: Run) -> bool:
        """Return True if ``other`` may be appended: same topic and numbering, and nothing was published between."""
        return (
            self.topic == other.topic
            and self.epoch == other.epoch
            and self.first_sequence + len(self.payloads) == other.first_sequence
        )

    def only(self, index: int) -> Run:
        """Return one of its publications as a run of its own."""
        return Run(
            self.topic,
            self.epoch,
            self.first_offset + index,
            self.first_sequence + index,
            self.at,
            [self.payloads[index]],
        )

    def publications(self) -> list[Publication]:
        """Return the run's publications one by one, oldest first."""
        return [
            Publication(self.topic, self.epoch, self.first_offset + i, self.first_sequence + i, self.at, data)
            for i, data in enumerate(self.payloads)
        ]


def runs_of(publications: Sequence[Publication]) -> list[Run]:
    """Join publications to runs where nothing lies between them and they were published together."""
    runs: list[Run] = []
    for one in publications:
        run = Run(one.topic, one.epoch, one.offset, one.sequence, one.at, [one.data])
        if runs and runs[-1].is_continued_by(run) and runs[-1].at == run.at:
            runs[-1].payloads.append(one.data)
        else:
            runs.append(run)
    return runs


def mark_after(one: Publication) -> Mark:
    """Return the place right after a publication."""
    return Mark(one.topic, one.epoch, one.offset, one.sequence)
