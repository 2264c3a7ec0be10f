from __future__ import annotations

import tracemalloc
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portcast.recorder import ENTRY_BYTES, MAX_SUBJECTS, FlightLog, Recorded, RecorderOptions
from portcast.types import ConnectionId, ListenerName

C, L = ConnectionId("c"), ListenerName("l")


def log(**options: Any) -> FlightLog:
    return FlightLog(RecorderOptions(**options))


def add(the: FlightLog, subject: str = "a", data: bytes = b"x", at: float = 0.0, **more: Any) -> Recorded:
    return the.add(subject, at, "in", C, L, data=data, size=len(data), **more)


def numbers(entries: list[Recorded]) -> list[int]:
    return [one.number for one in entries]


def test_entries_have_one_sequence() -> None:
    """Of all subjects; a reader that knows the last number asks for what follows, of one, of some or of all."""
    the = log()
    for subject in "abacb":
        add(the, subject)
    assert the.last_number == 5
    assert numbers(the.page(None)) == [1, 2, 3, 4, 5]
    assert numbers(the.page(["a"])) == [1, 3]
    assert numbers(the.page(["b", "a", "unknown"], after=1, limit=2)) == [2, 3]
    assert numbers(the.page(None, after=4)) == [5]
    assert the.page([]) == []


def test_an_entry_says_what_it_was() -> None:
    """A long frame is kept in part, and its size is told as it was."""
    the = log(max_frame_bytes=3)
    entry = add(the, data=b"abcdef", at=7.0, is_redacted=True, detail="d" * 600)
    assert (entry.data, entry.size, entry.is_truncated, entry.is_redacted) == (b"abc", 6, True, True)
    assert (entry.at, entry.connection, entry.listener, len(entry.detail)) == (7.0, C, L, 500)
    assert entry.cost == 3 + 500 + ENTRY_BYTES
    assert not add(the, data=b"abc").is_truncated


def test_a_subject_is_bounded_in_bytes() -> None:
    """The oldest of it goes; the others keep theirs."""
    the = log(max_bytes=4 * (ENTRY_BYTES + 574))
    add(the, "b")
    for _ in range(10):
        add(the, data=b"x" * 574)
    assert numbers(the.page(["a"])) == [8, 9, 10, 11]
    info = the.info("a")
    assert info is not None
    assert (info.entries, info.bytes, info.evicted) == (4, 4 * 1024, 6)
    assert numbers(the.page(["b"])) == [1]


def test_all_together_are_bounded_in_bytes() -> None:
    """Then the oldest goes, whoever's it is."""
    the = log(total_bytes=8 * (ENTRY_BYTES + 100))
    for number in range(20):
        add(the, f"s{number % 5}", data=b"x" * 100)
    assert numbers(the.page(None)) == list(range(13, 21))
    assert the.bytes == 8 * (ENTRY_BYTES + 100)
    assert sum(one.evicted for one in the.subjects()) == 12


def test_the_newest_entry_always_has_room() -> None:
    """However large it is."""
    the = log(max_bytes=4096, total_bytes=4096, max_frame_bytes=10_000)
    add(the, "a")
    add(the, "b", data=b"x" * 10_000)
    add(the, "b", data=b"x" * 10_000)
    assert numbers(the.page(None)) == [3]


def test_subjects_are_bounded() -> None:
    """The one that was silent longest goes, with its entries."""
    the = log()
    for number in range(MAX_SUBJECTS):
        add(the, f"s{number:04}")
    add(the, "s0000")
    add(the, "new")
    assert the.info("s0001") is None
    assert the.info("s0000") is not None
    assert len(the) == MAX_SUBJECTS + 1
    assert [one.subject for one in the.subjects(after="s0000", limit=2)] == ["s0002", "s0003"]
    assert [one.subject for one in the.subjects(limit=1)] == ["new"]


def test_what_is_too_fast_is_counted_and_told() -> None:
    """The next entry says how many are missing before it; a second's worth may come at once."""
    the = log(max_rate=3)
    admitted = [the.admits("a", 0.0) for _ in range(5)]
    assert admitted == [True, True, True, False, False]
    assert the.admits("b", 0.0)
    assert not the.admits("a", 0.3)
    assert the.admits("a", 0.4)
    assert add(the, at=0.4).skipped == 3
    assert add(the, at=0.4).skipped == 0
    info = the.info("a")
    assert info is not None
    assert info.skipped == 3
    assert [the.admits("a", 100.0) for _ in range(4)] == [True, True, True, False]
    assert not the.admits("a", 50.0)  # a clock that goes back gives nothing


def test_entries_are_gone_when_they_are_old() -> None:
    """And then their subject is, unless it is younger."""
    the = log(age_s=10)
    assert the.next_expiry() is None
    add(the, "a", at=0)
    add(the, "b", at=5)
    add(the, "a", at=5)
    assert the.next_expiry() == 10
    the.expire(9.9)
    assert len(the) == 3
    the.expire(10)
    assert numbers(the.page(None)) == [2, 3]
    the.expire(15)
    assert (len(the), the.subjects(), the.bytes, the.next_expiry()) == (0, [], 0, None)
    the.admits("c", 20)
    assert the.next_expiry() == 30
    the.expire(30)
    assert the.info("c") is None


def test_a_connection_becomes_a_device() -> None:
    """Its entries take their places among those that the device has; counts are added up."""
    the = log(max_rate=1, max_bytes=10 * (ENTRY_BYTES + 50))
    for subject in ("device", "connection", "device", "connection"):
        add(the, subject)
    the.admits("connection", 0)
    the.admits("connection", 0)
    moved = the.move("connection", "device", 0)
    assert [(one.number, one.subject) for one in moved] == [(2, "device"), (4, "device")]
    assert [(one.number, one.subject) for one in the.page(["device"])] == [(n, "device") for n in (1, 2, 3, 4)]
    assert numbers(the.page(None)) == [1, 2, 3, 4]
    assert the.info("connection") is None
    assert add(the, "device").skipped == 1
    assert the.move("unknown", "device", 0) == the.move("device", "device", 0) == []


def test_a_device_that_becomes_too_large_loses_its_oldest() -> None:
    """What is moved is bounded like what is added; only what is left is returned."""
    the = log(max_bytes=9 * (ENTRY_BYTES + 100))
    for subject in ("connection",) * 4 + ("device",) * 8:
        add(the, subject, b"x" * 100)
    assert numbers(the.move("connection", "device", 0)) == [4]
    assert numbers(the.page(["device"])) == list(range(4, 13))


def test_a_subject_is_dropped() -> None:
    """With its entries; it may come again."""
    the = log()
    for subject in "aba":
        add(the, subject)
    assert (the.drop("a"), the.drop("a")) == (2, 0)
    assert numbers(the.page(None)) == [2]
    assert add(the, "a").number == 4


def test_an_entry_costs_what_it_counts_for() -> None:
    """The bookkeeping of ten thousand entries is what `ENTRY_BYTES` says, so that a limit in bytes is one."""
    the = log(max_bytes=10**9, total_bytes=10**9)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(10_000):
        add(the, f"s{number % 10}", data=b"%d" % number, at=number + 0.5)
    cost = (tracemalloc.get_traced_memory()[0] - before) / 10_000
    tracemalloc.stop()
    assert 0.5 * ENTRY_BYTES < cost < ENTRY_BYTES, cost


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc"), st.integers(0, 3000)),
        st.tuples(st.just("move"), st.sampled_from("abc"), st.sampled_from("abc")),
        st.tuples(st.just("drop"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("expire"), st.just(""), st.integers(0, 30)),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_books_always_balance(steps: list[tuple[str, str, Any]]) -> None:
    """Whatever happens: bounds hold, sums are those of the entries, each entry is in its subject and in order."""
    options = RecorderOptions(max_bytes=4096, total_bytes=6000, age_s=20)
    the = FlightLog(options)
    now = 0.0
    for step, subject, value in steps:
        now += 1
        if step == "add":
            add(the, subject, b"x" * value, now)
        elif step == "move":
            the.move(subject, value, now)
        elif step == "drop":
            the.drop(subject)
        else:
            the.expire(now + value)
        entries = the.page(None, limit=10_000)
        assert numbers(entries) == sorted(numbers(entries))
        assert the.bytes == sum(one.cost for one in entries)
        assert the.bytes <= options.total_bytes or len(entries) == 1
        infos = the.subjects()
        assert {one.subject: one.entries for one in infos if one.entries} == Counter(one.subject for one in entries)
        for one in infos:
            own = the.page([one.subject], limit=10_000)
            assert one.bytes == sum(entry.cost for entry in own)
            assert one.bytes <= options.max_bytes or len(own) == 1
            assert all(entry.subject == one.subject for entry in own)
