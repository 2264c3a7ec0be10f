from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.errors import SnapshotError
from portcast.history import HistoryLimits, HistoryStore, Ring
from portcast.history.snapshot import HEADER, MAGIC, VERSION, RingState, Snapshot, decode, encode
from portcast.publication import Meta, Publication, Run

META = Meta({"unit": "°C"}, user="ada", client="c1", conn_info=b"\xff", chan_info=b"{}")


def numbered_epochs() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"e{next(numbers)}"


def small() -> Snapshot:
    """Two topics, one with nothing held, the other with two runs."""
    runs = (Run("b", "e1", 2, 4, 6.0, [b"x", b""], META), Run("b", "e1", 4, 7, 8.0, [b"\xff"]))
    return Snapshot(
        "node",
        9,
        8,
        "e2",
        1,
        (
            RingState("a", "e1", 2, 1, 2, 1, 2, 5.0, ()),
            RingState("b", "e1", 3, 4, 7, 1, 3, 8.0, runs),
        ),
    )


def sealed(body: bytes, *, magic: bytes = MAGIC, version: int = VERSION) -> bytes:
    """A file with a header that fits its body."""
    return HEADER.pack(magic, version, len(body), hashlib.blake2b(body, digest_size=16).digest()) + body


SMALL = encode(small(), now=10.0, unix_now=1000.0)
BODY = SMALL[HEADER.size :]


def publications(snapshot: Snapshot) -> list[Publication]:
    return [one for ring in snapshot.rings for run in ring.runs for one in run.publications()]


def restored(snapshot: Snapshot, limits: HistoryLimits | None = None, now: float = 0.0) -> HistoryStore:
    store = HistoryStore(limits or HistoryLimits(), numbered_epochs())
    store.restore(snapshot.rings, snapshot.next_epoch, snapshot.forgotten_sequence, now)
    return store


def test_what_is_written_is_read() -> None:
    """Everything but times stays as it was; times have moved to the other process's clock."""
    snapshot = decode(SMALL, now=500.0, unix_now=1003.0)
    expected = small()
    assert (snapshot.node_epoch, snapshot.sequence, snapshot.system_sequence) == ("node", 9, 8)
    assert (snapshot.next_epoch, snapshot.forgotten_sequence) == ("e2", 1)
    assert [one._replace(at=0) for one in publications(snapshot)] == [
        one._replace(at=0) for one in publications(expected)
    ]
    # Written 2 s after the last publication, read 3 s later.
    assert [run.at for run in snapshot.rings[1].runs] == [500.0 - 3 - 4, 500.0 - 3 - 2]
    assert [ring.published_at for ring in snapshot.rings] == [500.0 - 3 - 5, 500.0 - 3 - 2]
    assert snapshot.rings[0].evicted_sequence == 2


def test_a_meta_is_shared_again() -> None:
    """It is written once, however many runs have it."""
    runs = tuple(Run("a", "e", i, i, 0.0, [b""], META) for i in range(1, 101))
    data = encode(
        Snapshot("n", 100, 0, "e", 0, (RingState("a", "e", 1, 100, 100, 0, 0, 0.0, runs),)), now=0.0, unix_now=0.0
    )
    assert data.count(b"ada") == 1
    metas = {id(run.meta) for run in decode(data, now=0.0, unix_now=0.0).rings[0].runs}
    assert len(metas) == 1


def test_a_wall_clock_that_was_set_back_makes_nothing_younger_than_it_was() -> None:
    """The time between the two processes is at least none."""
    snapshot = decode(SMALL, now=500.0, unix_now=0.0)
    assert snapshot.rings[1].runs[1].at == 498.0


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "cut short", id="empty"),
        pytest.param(b"PORT", "cut short", id="cut in the name"),
        pytest.param(b"GIF89a" * 20, "it is none", id="another file"),
        pytest.param(sealed(BODY, magic=b"portcast"), "it is none", id="another name"),
        pytest.param(sealed(BODY, version=2), "of version 2, and this Portcast reads version 1", id="version"),
        pytest.param(SMALL[:-1], f"cut short: {len(BODY) - 1} bytes of {len(BODY)}", id="cut short"),
        pytest.param(SMALL + b"x", "damaged", id="longer"),
        pytest.param(sealed(b""), "no sense", id="nothing in it"),
        pytest.param(sealed(BODY + b"x"), "no sense", id="more in it"),
    ],
)
def test_what_is_no_snapshot_says_why(data: bytes, problem: str) -> None:
    """One sentence for the log."""
    with pytest.raises(SnapshotError, match=problem):
        decode(data, now=0.0, unix_now=0.0)


def test_every_cut_and_every_flipped_byte_is_noticed() -> None:
    """Whatever a disk does to the file."""
    for end in range(len(SMALL)):
        with pytest.raises(SnapshotError):
            decode(SMALL[:end], now=0.0, unix_now=0.0)
    for index in range(len(SMALL)):
        flipped = bytearray(SMALL)
        flipped[index] ^= 0x55
        with pytest.raises(SnapshotError):
            decode(bytes(flipped), now=0.0, unix_now=0.0)


def test_every_cut_of_a_body_with_a_right_checksum_is_noticed() -> None:
    """Lengths are never believed."""
    for end in range(len(BODY)):
        with pytest.raises(SnapshotError):
            decode(sealed(BODY[:end]), now=0.0, unix_now=0.0)


def check(store: HistoryStore) -> None:
    rings: list[Ring] = list(store.newest_first())
    last = [ring.last_sequence for ring in rings]
    assert last == sorted(last, reverse=True)
    assert store.charge == sum(ring.charge for ring in rings)
    for ring in rings:
        found = ring.after(0, 10**6)
        assert [one.offset for one in found] == list(range(ring.evicted_offset + 1, ring.last_offset + 1))
        assert ring.retained_bytes == sum(len(one.data) for one in found)
        assert ring.newest == (found[-1].data if found else None)


@given(st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_changed_body_with_a_right_checksum_is_refused_or_makes_sense(changes: list[tuple[int, int]]) -> None:
    """A file that somebody made breaks no invariant, and never raises anything else."""
    body = bytearray(BODY)
    for index, value in changes:
        body[index] = value
    try:
        snapshot = decode(sealed(bytes(body)), now=0.0, unix_now=0.0)
    except SnapshotError:
        return
    store = restored(snapshot)
    check(store)
    for ring in list(store.newest_first()):
        store.append(ring, [b"next"], max(snapshot.sequence, ring.last_sequence) + 1, 0.0)
        break
    check(store)


@given(st.binary(max_size=200))
def test_any_body_is_refused_or_makes_sense(body: bytes) -> None:
    """Garbage with a right checksum."""
    with contextlib.suppress(SnapshotError):
        check(restored(decode(sealed(body), now=0.0, unix_now=0.0)))


def test_a_count_that_the_bytes_cannot_fill_costs_no_memory() -> None:
    """Four thousand million topics in thirty bytes."""
    body = struct.pack(">d", 0.0) + struct.pack(">I", 1) + b"n" + struct.pack(">QQ", 0, 0)
    body += struct.pack(">I", 1) + b"e" + struct.pack(">Q", 0)
    with pytest.raises(SnapshotError, match="no sense"):
        decode(sealed(body + struct.pack(">I", 0) + b"\xff\xff\xff\xff"), now=0.0, unix_now=0.0)
    with pytest.raises(SnapshotError, match="no sense"):
        decode(sealed(body + b"\xff\xff\xff\xff"), now=0.0, unix_now=0.0)


steps = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.lists(st.binary(max_size=5), min_size=1, max_size=4),
        st.sampled_from([None, META, Meta()]),
        st.sampled_from([0.0, 1.0, 7.0]),
    ),
    max_size=30,
)


@given(steps, st.integers(0, 5), st.integers(1, 4))
def test_a_store_goes_on_as_if_nothing_had_been(
    published: list[tuple[str, list[bytes], Meta | None, float]], kept: int, max_topics: int
) -> None:
    """Written and read at any time, a store answers and goes on like the one that it was made of."""
    limits = HistoryLimits(publications=kept, age_s=10.0, max_topics=max_topics)
    store = HistoryStore(limits, numbered_epochs())
    now, sequence = 0.0, 0
    for topic, payloads, meta, passed in published:
        now += passed
        store.append(store.get(topic) or store.create(topic, now), payloads, sequence + 1, now, meta)
        sequence += len(payloads)
    snapshot = Snapshot("n", sequence, 0, store.next_epoch, store.forgotten_sequence, store.states())
    data = encode(snapshot, now=now, unix_now=50.0)
    other = restored(decode(data, now=now, unix_now=50.0), limits, now)
    check(other)
    for ring in list(store.newest_first()):
        store.refresh(ring, now)
    assert [state(ring) for ring in other.newest_first()] == [state(ring) for ring in store.newest_first()]
    assert (other.next_epoch, other.forgotten_sequence) == (store.next_epoch, store.forgotten_sequence)


def state(ring: Ring) -> tuple[object, ...]:
    return (
        *(ring.topic, ring.epoch, ring.first_sequence, ring.last_offset, ring.last_sequence, ring.published_at),
        *(ring.evicted_offset, ring.evicted_sequence, ring.charge, ring.after(0, 999)),
    )


def test_restoring_keeps_to_the_limits_of_now() -> None:
    """The configuration may have changed between the two processes."""
    store = HistoryStore(HistoryLimits(), numbered_epochs())
    for i in range(30):
        topic = "abc"[i % 3]
        store.append(store.get(topic) or store.create(topic, 0.0), [b"x" * 100], i + 1, float(i))

    def again(limits: HistoryLimits, now: float = 30.0) -> dict[str, int]:
        snapshot = Snapshot("n", 30, 0, "e1", 0, store.states())
        other = restored(decode(encode(snapshot, now=30.0, unix_now=0.0), now=now, unix_now=0.0), limits, now)
        check(other)
        return {ring.topic: ring.retained for ring in other.newest_first()}

    assert again(HistoryLimits()) == {"c": 10, "b": 10, "a": 10}
    assert again(HistoryLimits(publications=4)) == {"c": 4, "b": 4, "a": 4}
    assert again(HistoryLimits(publications=0)) == {"c": 0, "b": 0, "a": 0}
    assert again(HistoryLimits(topic_bytes=250)) == {"c": 2, "b": 2, "a": 2}
    assert again(HistoryLimits(age_s=7.5)) == {"c": 3, "b": 2, "a": 2}
    assert again(HistoryLimits(total_bytes=6000)) == {"c": 10, "b": 0, "a": 0}
    assert again(HistoryLimits(total_bytes=2000)) == {"c": 2, "b": 0, "a": 0}
    assert again(HistoryLimits(max_topics=2)) == {"c": 10, "b": 10}


def test_a_topic_forgotten_while_restoring_comes_back_in_a_new_epoch() -> None:
    """As if the smaller limit had been there before."""
    store = HistoryStore(HistoryLimits(), numbered_epochs())
    for i, topic in enumerate("ab"):
        store.append(store.create(topic, 0.0), [b"x"], i + 1, 0.0)
    snapshot = Snapshot("n", 2, 0, "e1", 0, store.states())
    other = restored(snapshot, HistoryLimits(max_topics=1))
    assert other.next_epoch != "e1"
    assert other.forgotten_sequence == 1
