"""A snapshot: all topics with their positions and histories, as bytes that outlive the process.

All numbers are big-endian; *text* is UTF-8 and *blob* bytes, each after its length in 4 bytes. The file::

    0          8         9                17                    33
    +----------+---------+----------------+---------------------+--------- - - -
    | PORTCAST | version | length of body | BLAKE2b-128 of body | body
    +----------+---------+----------------+---------------------+--------- - - -
      8 bytes    1 byte    8 bytes          16 bytes

    body  saved_at (float64, Unix seconds)
          node_epoch (text)  sequence (u64)  system_sequence (u64)
          next_epoch (text)  forgotten_sequence (u64)
          number of metas (u32), each:  number of tags (u32), each key and value (text)
                                        user, client (text)  conn_info, chan_info (blob)
          number of topics (u32), the one published to longest ago first, each:
              topic, epoch (text)  first_sequence, last_offset, last_sequence (u64)
              evicted_offset, evicted_sequence (u64)  age (float64, seconds)
              number of runs (u32), oldest first, each:
                  first_sequence (u64)  age (float64, seconds)  meta (u32: 0 none, else number from 1)
                  number of publications (u32)  their lengths (u32 each)  their payloads

Times are ages, because monotonic clocks mean nothing in another process: what was 10 s old when it was saved is as much
older as wall clocks have moved on since, at least 0. The offset of a run follows from the ring's invariants.

The checksum is against damage, not against malice; still, whatever the bytes are, `decode` returns a snapshot that
keeps the invariants of `portcast.history.ring` and `portcast.history.store`, or raises `SnapshotError`, with no more
memory than a few times their size.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from portcast.errors import SnapshotError, TagError
from portcast.publication import Meta, Run

MAGIC = b"PORTCAST"
VERSION = 1
HEADER = struct.Struct(">8sBQ16s")

_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_F64 = struct.Struct(">d")
_RING = struct.Struct(">QQQQQdI")
_RUN = struct.Struct(">QdII")

_MOST = 1 << 62
"""No count of publications is as large: what is may not be added to without fear."""


@dataclass(frozen=True, slots=True)
class RingState:
    """What makes a `portcast.history.Ring`; its attributes of these names, and its runs, oldest first."""

    topic: str
    epoch: str
    first_sequence: int
    last_offset: int
    last_sequence: int
    evicted_offset: int
    evicted_sequence: int
    published_at: float
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that numbering and history need in order to go on.

    Attributes:
        node_epoch: of the node's sequence.
        sequence: of the newest publication.
        system_sequence: of the newest on a ``$…`` topic.
        next_epoch: the epoch of topics that are not known yet.
        forgotten_sequence: the highest of any topic that was forgotten.
        rings: by rising ``last_sequence``.
    """

    node_epoch: str
    sequence: int
    system_sequence: int
    next_epoch: str
    forgotten_sequence: int
    rings: tuple[RingState, ...]


def encode(snapshot: Snapshot, *, now: float, unix_now: float) -> bytes:
    """Return the bytes of a snapshot, as on top of the module.

    Args:
        snapshot: whose times are on the monotonic clock.
        now: that clock's time.
        unix_now: the same moment, Unix seconds.
    """
    metas = {id(run.meta): run.meta for ring in snapshot.rings for run in ring.runs if run.meta is not None}
    numbers = {key: number for number, key in enumerate(metas, 1)}
    parts = [
        _F64.pack(unix_now),
        *_text(snapshot.node_epoch),
        _U64.pack(snapshot.sequence),
        _U64.pack(snapshot.system_sequence),
        *_text(snapshot.next_epoch),
        _U64.pack(snapshot.forgotten_sequence),
        _U32.pack(len(metas)),
    ]
    for meta in metas.values():
        parts += _meta_parts(meta)
    parts.append(_U32.pack(len(snapshot.rings)))
    for ring in snapshot.rings:
        parts += _text(ring.topic)
        parts += _text(ring.epoch)
        parts.append(
            _RING.pack(
                ring.first_sequence,
                ring.last_offset,
                ring.last_sequence,
                ring.evicted_offset,
                ring.evicted_sequence,
                now - ring.published_at,
                len(ring.runs),
            )
        )
        for run in ring.runs:
            count = len(run)
            meta_number = 0 if run.meta is None else numbers[id(run.meta)]
            parts.append(_RUN.pack(run.first_sequence, now - run.at, meta_number, count))
            parts.append(struct.pack(f">{count}I", *map(len, run.payloads)))
            parts += run.payloads
    body = b"".join(parts)
    return HEADER.pack(MAGIC, VERSION, len(body), _checksum(body)) + body


def decode(data: bytes, *, now: float, unix_now: float) -> Snapshot:
    """Return the snapshot of which ``data`` are the bytes; its times are on the monotonic clock of ``now``.

    Args:
        data: anything.
        now: the monotonic time.
        unix_now: the same moment, Unix seconds.

    Raises:
        SnapshotError: they are none, of another version, cut short, damaged, or make no sense.
    """
    if len(data) < HEADER.size or data[: len(MAGIC)] != MAGIC:
        raise SnapshotError("it is none" if data[: len(MAGIC)] != MAGIC[: len(data)] else "it is cut short")
    _, version, length, checksum = HEADER.unpack_from(data)
    if version != VERSION:
        raise SnapshotError(f"it is of version {version}, and this Portcast reads version {VERSION}")
    body = memoryview(data)[HEADER.size :]
    if len(body) != length:
        raise SnapshotError(
            f"it is cut short: {len(body)} bytes of {length}" if len(body) < length else "it is damaged"
        )
    if _checksum(body) != checksum:
        raise SnapshotError("it is damaged: its checksum does not match")
    try:
        return _Reader(body, now).snapshot(unix_now)
    except (struct.error, UnicodeDecodeError, TagError) as error:
        raise SnapshotError("it makes no sense") from error


def _checksum(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def _text(text: str) -> tuple[bytes, bytes]:
    return _blob(text.encode())


def _blob(data: bytes) -> tuple[bytes, bytes]:
    return _U32.pack(len(data)), data


def _meta_parts(meta: Meta) -> list[bytes]:
    parts = [_U32.pack(len(meta.tags))]
    for key, value in meta.tags.items():
        parts += [*_text(key), *_text(value)]
    return [*parts, *_text(meta.user), *_text(meta.client), *_blob(meta.conn_info), *_blob(meta.chan_info)]


def _require(is_right: bool) -> None:
    if not is_right:
        raise SnapshotError("it makes no sense")


class _Reader:
    """Takes a body apart, front to back. Nothing is allocated that the bytes left could not fill."""

    def __init__(self, body: memoryview, now: float) -> None:
        self._body = body
        self._at = 0
        self._now = now
        self._passed = 0.0
        self._metas: list[Meta] = []

    def snapshot(self, unix_now: float) -> Snapshot:
        saved_at: float = self._one(_F64)
        _require(math.isfinite(saved_at))
        self._passed = max(0.0, unix_now - saved_at)
        node_epoch, sequence, system_sequence = self._text(), self._number(), self._number()
        next_epoch, forgotten_sequence = self._text(), self._number()
        self._metas = [self._meta() for _ in range(self._count(_U32.size))]
        rings = tuple(self._ring() for _ in range(self._count(_RING.size)))
        _require(self._at == len(self._body) and bool(node_epoch) and bool(next_epoch))
        _require(max(system_sequence, forgotten_sequence, *(ring.last_sequence for ring in rings), 0) <= sequence)
        _require(all(one.last_sequence < other.last_sequence for one, other in pairwise(rings)))
        _require(len({ring.topic for ring in rings}) == len(rings))
        return Snapshot(node_epoch, sequence, system_sequence, next_epoch, forgotten_sequence, rings)

    def _ring(self) -> RingState:
        topic, epoch = self._text(), self._text()
        first, last_offset, last, evicted_offset, evicted, age, count = self._many(_RING)
        _require(bool(topic) and bool(epoch) and max(first, last_offset, last, evicted) < _MOST)
        # A topic has no fewer sequences than offsets: others' lie between, never within.
        _require(0 < first <= last and 0 < last_offset <= last - first + 1 and evicted_offset <= last_offset)
        _require(first + evicted_offset - 1 <= evicted <= last if evicted_offset else evicted == 0)
        offset, before = evicted_offset, evicted
        runs = []
        for _ in range(count):
            run = self._run(topic, epoch, offset + 1)
            _require(run.first_sequence > before and run.first_sequence >= first)
            runs.append(run)
            offset += len(run)
            before = run.first_sequence + len(run) - 1
        _require(offset == last_offset and before == last)
        _require(all(one.at <= other.at for one, other in pairwise(runs)))
        return RingState(topic, epoch, first, last_offset, last, evicted_offset, evicted, self._time(age), tuple(runs))

    def _run(self, topic: str, epoch: str, first_offset: int) -> Run:
        first_sequence, age, meta, count = self._many(_RUN)
        _require(count > 0 and meta <= len(self._metas) and first_sequence < _MOST)
        _require(count * _U32.size <= self._left)
        payloads = [bytes(self._take(length)) for length in self._many(struct.Struct(f">{count}I"))]
        shared = self._metas[meta - 1] if meta else None
        return Run(topic, epoch, first_offset, first_sequence, self._time(age), payloads, shared)

    def _meta(self) -> Meta:
        tags = {self._text(): self._text() for _ in range(self._count(2 * _U32.size))}
        return Meta(tags, self._text(), self._text(), bytes(self._blob()), bytes(self._blob()))

    def _time(self, age: float) -> float:
        _require(math.isfinite(age))
        return self._now - max(0.0, age) - self._passed

    def _text(self) -> str:
        return str(self._blob(), "utf-8")

    def _blob(self) -> memoryview:
        length: int = self._one(_U32)
        return self._take(length)

    def _number(self) -> int:
        number: int = self._one(_U64)
        _require(number < _MOST)
        return number

    def _count(self, least_size: int) -> int:
        """Return a number of things that each take at least ``least_size`` bytes."""
        count: int = self._one(_U32)
        _require(count * least_size <= self._left)
        return count

    @property
    def _left(self) -> int:
        return len(self._body) - self._at

    def _one(self, form: struct.Struct) -> Any:
        (value,) = self._many(form)
        return value

    def _many(self, form: struct.Struct) -> tuple[Any, ...]:
        values = form.unpack_from(self._body, self._at)
        self._at += form.size
        return values

    def _take(self, length: int) -> memoryview:
        _require(length <= self._left)
        self._at += length
        return self._body[self._at - length : self._at]
