from __future__ import annotations

import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_counting import count_lines
from portcast.history import HistoryLimits, Ring
from portcast.history.ring import PUBLICATION_OVERHEAD, RING_OVERHEAD, RUN_PUBLICATIONS
from portcast.publication import Meta, Position, Publication


@dataclass
class NaiveRing:
    """The same promises, kept one publication at a time."""

    limits: HistoryLimits
    everything: list[Publication] = field(default_factory=list)
    held: list[Publication] = field(default_factory=list)

    def append(self, payloads: list[bytes], first_sequence: int, now: float) -> None:
        for i, data in enumerate(payloads):
            publication = Publication("t", "e", len(self.everything) + 1, first_sequence + i, now, data)
            self.everything.append(publication)
            self.held.append(publication)
        if not self.limits.is_enabled:
            self.held.clear()
        self.held = self.held[-self.limits.publications :]
        self.expire(now)
        while sum(len(publication.data) for publication in self.held) > self.limits.topic_bytes:
            self.held.pop(0)

    def expire(self, now: float) -> None:
        while self.held and self.held[0].at < now - self.limits.age_s:
            self.held.pop(0)

    @property
    def last_evicted(self) -> Publication | None:
        return self.everything[-len(self.held) - 1] if len(self.everything) > len(self.held) else None


def make_ring(**limits: float) -> Ring:
    return Ring("t", "e", HistoryLimits(**limits), 0.0)  # type: ignore[arg-type]  # ints and floats by name


def numbered(count: int, size: int = 4) -> list[bytes]:
    return [b"%0*d" % (size, i) for i in range(count)]


def datas(publications: list[Publication]) -> list[bytes]:
    return [publication.data for publication in publications]


def read_all(ring: Ring) -> list[Publication]:
    return ring.read(None, sys.maxsize, is_reverse=False)


def test_offsets_count_from_one() -> None:
    """Offset 0 is the place before the first publication."""
    ring = make_ring()
    assert ring.position == Position("e", 0)
    ring.append([b"a", b"b"], 7, 1.5)
    assert read_all(ring) == [Publication("t", "e", 1, 7, 1.5, b"a"), Publication("t", "e", 2, 8, 1.5, b"b")]
    assert ring.position == Position("e", 2)
    assert (ring.first_sequence, ring.last_sequence, ring.published_at) == (7, 8, 1.5)


def test_the_ring_does_not_alias_the_callers_list() -> None:
    """The hub goes on to extend the list that was published."""
    ring = make_ring()
    for count in (3, 300):
        payloads = numbered(count)
        ring.append(payloads, ring.last_sequence + 1, 0.0)
        before = read_all(ring)
        payloads.append(b"late")
        payloads[0] = b"changed"
        assert read_all(ring) == before


def test_only_the_end_of_a_long_batch_is_touched() -> None:
    """A batch of 700 into a ring of 100 costs 100 sizes, not 700."""
    touched = 0

    class Payload(bytes):
        def __len__(self) -> int:
            nonlocal touched
            touched += 1
            return super().__len__()

    ring = make_ring()
    ring.append([Payload(b"x") for _ in range(700)], 1, 0.0)
    assert touched == 100
    assert ring.retained == 100
    assert (ring.evicted_offset, ring.evicted_sequence) == (600, 600)


def test_a_batch_costs_a_fixed_number_of_python_steps() -> None:
    """The relay's speed: steps are counted with the tracer, so that the test does not depend on the machine."""

    def steps(batch: int) -> int:
        ring = make_ring()
        ring.append(numbered(100), 1, 0.0)
        payloads = numbered(batch)
        return count_lines(lambda: ring.append(payloads, 101, 0.0))

    assert steps(50_000) <= steps(100) + 2
    assert steps(90) <= 60


def test_a_history_longer_than_a_run_is_cut_into_runs() -> None:
    """Cutting the head of a run moves its tail, so runs are kept short."""
    ring = make_ring(publications=10_000)
    ring.append(numbered(1000), 1, 0.0)
    assert [len(run) for run in reversed(ring.runs_after(0))] == [128] * 7 + [104]
    ring.append(numbered(9500), 1001, 0.0)
    assert max(len(run) for run in ring.runs_after(0)) <= RUN_PUBLICATIONS
    assert [publication.offset for publication in read_all(ring)] == list(range(501, 10_501))


def test_a_payload_above_the_byte_limit_is_numbered_and_not_held() -> None:
    """What is held is an unbroken end of the stream, so older publications cannot stay behind it."""
    ring = make_ring(topic_bytes=10)
    ring.append([b"12345"], 1, 0.0)
    ring.append([b"x" * 11], 2, 0.0)
    assert (ring.retained, ring.retained_bytes, ring.charge) == (0, 0, 0)
    assert (ring.evicted_offset, ring.evicted_sequence, ring.last_offset) == (2, 2, 2)


def test_age_is_inclusive() -> None:
    """What is exactly as old as the limit is still there; a moment later it is not."""
    ring = make_ring(age_s=10.0)
    ring.append([b"a"], 1, 0.0)
    ring.append([b"b"], 2, 5.0)
    ring.expire(10.0)
    assert datas(read_all(ring)) == [b"a", b"b"]
    ring.expire(10.5)
    assert datas(read_all(ring)) == [b"b"]
    ring.append([b"c"], 3, 15.5)
    assert datas(read_all(ring)) == [b"c"]


@pytest.mark.parametrize("name", ["publications", "age_s", "topic_bytes", "total_bytes"])
def test_positions_count_without_history(name: str) -> None:
    """Where history is off a gap must still be noticed."""
    ring = make_ring(**{name: 0})
    ring.append([b"a", b"b"], 1, 0.0)
    assert ring.position == Position("e", 2)
    assert (ring.retained, ring.evicted_offset, ring.evicted_sequence) == (0, 2, 2)
    assert read_all(ring) == []


@pytest.mark.parametrize(
    ("since", "limit", "is_reverse", "expected"),
    [
        (None, 2, False, [3, 4]),
        (None, 2, True, [8, 7]),
        (None, 100, True, [8, 7, 6, 5, 4, 3]),
        (5, 100, False, [6, 7, 8]),
        (5, 1, False, [6]),
        (0, 2, False, [3, 4]),
        (8, 2, False, []),
        (99, 2, False, []),
        (5, 100, True, [4, 3]),
        (99, 2, True, [8, 7]),
        (3, 2, True, []),
        (0, 2, True, []),
        (None, 0, False, []),
        (None, 0, True, []),
        (None, -1, False, []),
        (None, -1, True, []),
    ],
)
def test_reading(since: int | None, limit: int, is_reverse: bool, expected: list[int]) -> None:
    """``since`` is exclusive in both directions."""
    ring = make_ring(publications=6)
    for sequence, count in ((1, 3), (11, 1), (21, 4)):
        ring.append(numbered(count), sequence, 0.0)
    position = None if since is None else Position("e", since)
    found = ring.read(position, limit, is_reverse=is_reverse)
    assert [publication.offset for publication in found] == expected
    assert ring.read(Position("other", 1), 10, is_reverse=is_reverse) == []


def test_the_newest_payload() -> None:
    """What a delta may refer to: the last one held, and nothing when nothing is."""
    ring = make_ring(age_s=10)
    assert ring.newest is None
    ring.append([b"a", b"b"], 1, 0.0)
    assert ring.newest == b"b"
    ring.append([b"c"], 3, 0.0)
    assert ring.newest == b"c"
    ring.expire(11.0)
    assert ring.newest is None


def test_a_batch_keeps_its_meta() -> None:
    """Each publication has that of its batch, in every piece of a batch that was cut, and is charged for it."""
    meta = Meta({"k": "v" * 99})
    ring = make_ring(publications=500)
    ring.append([b""], 1, 0.0)
    bare = ring.charge
    ring.append([b""] * (RUN_PUBLICATIONS + 1), 2, 0.0, meta)
    found = ring.after(0, 500)
    assert [one.meta for one in found] == [None, *[meta] * (RUN_PUBLICATIONS + 1)]
    assert ring.charge == bare + (RUN_PUBLICATIONS + 1) * PUBLICATION_OVERHEAD + 2 * meta.size


@pytest.mark.parametrize("how", ["by number", "by one batch", "by age", "cleared"])
def test_meta_that_is_gone_is_not_charged(how: str) -> None:
    """Otherwise a topic's charge would grow without end."""
    ring = make_ring(publications=3, age_s=10)
    for i in range(3):
        ring.append([b""], i + 1, 0.0, Meta({"k": "v"}))
    if how == "by number":
        for i in range(3, 6):
            ring.append([b""], i + 1, 0.0)
    elif how == "by one batch":
        ring.append([b""] * 3, 4, 0.0)
    else:
        ring.expire(11.0) if how == "by age" else ring.clear()
        assert ring.charge == 0
        ring.append([b""] * 3, 4, 11.0)
    assert ring.charge == RING_OVERHEAD + 3 * PUBLICATION_OVERHEAD


def test_shrinking_goes_by_charge() -> None:
    """The store cuts a ring to a budget that counts more than payloads."""
    ring = make_ring()
    for i in range(10):
        ring.append([b"x" * 1000], i + 1, 0.0)
    ring.shrink(5000)
    assert 0 < ring.charge <= 5000
    assert datas(read_all(ring)) == [b"x" * 1000] * ring.retained
    ring.shrink(0)
    assert (ring.retained, ring.charge, ring.retained_bytes) == (0, 0, 0)


limits_strategy = st.builds(
    HistoryLimits,
    publications=st.integers(0, 12) | st.just(400),
    age_s=st.sampled_from([0.0, 1.0, 3.0, 1e6]),
    topic_bytes=st.sampled_from([0, 7, 30, 10**6]),
)
payload_lists = st.lists(st.binary(max_size=9), min_size=1, max_size=15) | st.integers(120, 300).map(numbered)
# (what, seconds that pass, sequences of other topics between)
steps = st.tuples(
    st.one_of(payload_lists, st.sampled_from(["expire", "clear", "shrink"])),
    st.sampled_from([0.0, 0.5, 1.0, 2.5]),
    st.integers(0, 3),
)


@given(limits_strategy, st.lists(steps, max_size=25), st.data())
def test_the_ring_agrees_with_a_naive_one(
    limits: HistoryLimits, operations: list[tuple[list[bytes] | str, float, int]], data: st.DataObject
) -> None:
    """Counts, bytes, evicted positions, every way to read and every count of missed, after any operations."""
    ring = Ring("t", "e", limits, 0.0)
    naive = NaiveRing(limits)
    now, sequence = 0.0, 0
    for what, passed, others in operations:
        now += passed
        sequence += others
        if isinstance(what, list):
            ring.append(what, sequence + 1, now)
            naive.append(what, sequence + 1, now)
            sequence += len(what)
        elif what == "expire":
            ring.expire(now)
            naive.expire(now)
        elif what == "clear":
            ring.clear()
            naive.held.clear()
        else:
            ring.shrink(ring.charge // 2)
            del naive.held[: len(naive.held) - ring.retained]
        assert ring.retained == len(naive.held)
        assert ring.retained_bytes == sum(len(publication.data) for publication in naive.held)
        assert (ring.charge > 0) is bool(naive.held)
        evicted = naive.last_evicted
        assert ring.evicted_offset == (evicted.offset if evicted else 0)
        assert ring.evicted_sequence == (evicted.sequence if evicted else 0)
    assert read_all(ring) == naive.held

    limit = data.draw(st.integers(-1, 10))
    since = data.draw(st.none() | st.integers(0, len(naive.everything) + 2))
    after = [publication for publication in naive.held if since is None or publication.offset > since]
    before = [publication for publication in naive.held if since is None or publication.offset < since]
    position = None if since is None else Position("e", since)
    assert ring.read(position, limit, is_reverse=False) == after[: max(0, limit)]
    assert ring.read(position, limit, is_reverse=True) == before[::-1][: max(0, limit)]

    cut = data.draw(st.integers(0, sequence + 2))
    runs = ring.runs_after(cut)
    flat = [publication for run in reversed(runs) for publication in run.publications()]
    assert [publication for publication in flat if publication.sequence > cut] == [
        publication for publication in naive.held if publication.sequence > cut
    ]
    assert all(run.first_sequence + len(run) - 1 > cut for run in runs)
    index, number = ring.place_after(cut)
    assert number == sum(publication.sequence > cut for publication in naive.held)
    begin = ring.run(index)
    assert begin is (runs[-1] if runs else None)
    assert ring.run(index + len(runs)) is None
    missed, is_exact = ring.missed_after_sequence(cut)
    gone = naive.everything[: len(naive.everything) - len(naive.held)]
    truth = sum(publication.sequence > cut for publication in gone)
    assert missed == truth if is_exact else 1 <= missed <= truth
