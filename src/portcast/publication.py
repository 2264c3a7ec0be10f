"""What travels from the broker to subscribers: publications, and the runs in which they are delivered.

A *run* is a stretch of consecutive publications on one topic. The hot path handles runs, so that ten thousand lines
read in one go cost one object and not ten thousand; single `Publication` objects are made only for those who ask
(history over HTTP, recovery).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from portcast.errors import TagError

MAX_TAGS = 32
"""Tags of one publication. They travel to every subscriber, so they are for a few facts and not for a payload."""

MAX_TAG_CHARACTERS = 255
"""Characters of a tag's key, and of its value; as many as a topic may have bytes."""


class Position(NamedTuple):
    """A place in the stream of one topic.

    ``offset`` counts publications from 1; 0 means before the first. ``epoch`` names one uninterrupted numbering:
    offsets of different epochs cannot be compared.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Meta:
    """What is known of publications beside their payloads; shared by all publications of a run.

    Most publications have none (`Publication.meta` is None), and cost nothing for it.

    Attributes:
        tags: facts for whoever receives them: at most 32, keys of 1 to 255 characters, values of at most 255. They are
            copied, and cannot be changed afterwards.
        user: who published, as the authentication names them; empty if nobody did, or if it is not told.
        client: the id of the connection that published; empty as `user`.
        conn_info: what the authentication says of the connection, as the application wrote it (usually JSON).
        chan_info: the same for the subscription.
        size: bytes of all that; history counts it as payload.

    Raises:
        TagError: there are too many tags, a key is empty, or a text is too long or is none that UTF-8 can express.
    """

    # Not part of the hash, which a mapping has not; equal values still have equal hashes.
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    user: str = ""
    client: str = ""
    conn_info: bytes = b""
    chan_info: bytes = b""
    size: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        # A copy: the caller's mapping may change, and this value is shared by history and all subscribers.
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))
        _check_tags(self.tags)
        texts = (self.user, self.client, *self.tags.keys(), *self.tags.values())
        size = sum(map(_size, texts)) + len(self.conn_info) + len(self.chan_info)
        object.__setattr__(self, "size", size)


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise TagError(f"{text[:80]!r} contains a surrogate, which UTF-8 cannot express") from None


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise TagError(f"there are {len(tags)}; at most {MAX_TAGS} are allowed")
    for key, value in tags.items():
        for text in (key, value):
            if not isinstance(text, str):
                raise TagError(f"{str(text)[:80]!r} is no text")
            if len(text) > MAX_TAG_CHARACTERS:
                raise TagError(f"{text[:80]!r}… is longer than {MAX_TAG_CHARACTERS} characters")
        if not key:
            raise TagError("a key is empty")


class Publication(NamedTuple):
    """One message on a topic.

    Attributes:
        topic: the topic.
        epoch: the numbering that ``offset`` belongs to.
        offset: position in the topic, from 1.
        sequence: position among all publications of this node, from 1; orders publications of different topics.
        at: when it was published, seconds on the node's monotonic clock.
        data: the payload.
        meta: what else is known of it; None if nothing is.
    """

    topic: str
    epoch: str
    offset: int
    sequence: int
    at: float
    data: bytes
    meta: Meta | None = None


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
    All its publications have the same ``meta``.

    Attributes:
        previous: the payload of the publication before the first, on the same topic and in the same epoch; None where
            it is not known. For delta compression: every live subscriber that got all of the topic has it.
    """

    __slots__ = ("at", "epoch", "first_offset", "first_sequence", "meta", "payloads", "previous", "topic")

    def __init__(
        self,
        topic: str,
        epoch: str,
        first_offset: int,
        first_sequence: int,
        at: float,
        payloads: list[bytes],
        meta: Meta | None = None,
        previous: bytes | None = None,
    ) -> None:
        self.topic = topic
        self.epoch = epoch
        self.first_offset = first_offset
        self.first_sequence = first_sequence
        self.at = at
        self.payloads = payloads
        self.meta = meta
        self.previous = previous

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def start(self) -> Mark:
        """The place right before the run."""
        return Mark(self.topic, self.epoch, self.first_offset - 1, self.first_sequence - 1)

    def is_continued_by(self, other: Run) -> bool:
        """Return True if ``other`` may be appended: same topic, numbering and meta, and nothing published between."""
        return (
            self.topic == other.topic
            and self.epoch == other.epoch
            and self.first_sequence + len(self.payloads) == other.first_sequence
            and (self.meta is other.meta or self.meta == other.meta)
        )

    def only(self, index: int) -> Run:
        """Return one of its publications as a run of its own.

        It has no ``previous``: it is taken out for those who do not get the ones before it.
        """
        return Run(
            self.topic,
            self.epoch,
            self.first_offset + index,
            self.first_sequence + index,
            self.at,
            [self.payloads[index]],
            self.meta,
        )

    def publications(self) -> list[Publication]:
        """Return the run's publications one by one, oldest first."""
        return self.slice(0, len(self.payloads))

    def slice(self, start: int, stop: int) -> list[Publication]:
        """Return the publications ``start`` (inclusive) to ``stop`` (exclusive), counted from 0, oldest first."""
        topic, epoch, at, meta = self.topic, self.epoch, self.at, self.meta
        offset, sequence = self.first_offset, self.first_sequence
        return [
            Publication(topic, epoch, offset + i, sequence + i, at, data, meta)
            for i, data in enumerate(self.payloads[start:stop], start)
        ]


def runs_of(publications: Sequence[Publication]) -> list[Run]:
    """Join publications to runs where nothing lies between them and they were published together.

    No run has a ``previous``: who gets them may lack what was published before.
    """
    runs: list[Run] = []
    for one in publications:
        run = Run(one.topic, one.epoch, one.offset, one.sequence, one.at, [one.data], one.meta)
        if runs and runs[-1].is_continued_by(run) and runs[-1].at == run.at:
            runs[-1].payloads.append(one.data)
        else:
            runs.append(run)
    return runs


def mark_after(one: Publication) -> Mark:
    """Return the place right after a publication."""
    return Mark(one.topic, one.epoch, one.offset, one.sequence)
