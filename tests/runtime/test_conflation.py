from __future__ import annotations

from portcast.delivery import Batch
from portcast.publication import Run
from portcast.runtime.conflation import Conflation
from runtime_kit import FakeEncoding


class Telling(FakeEncoding):
    """Writes the number behind the payload, and notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, int]] = []

    def conflated(self, run: Run, number: int) -> Batch:
        self.asked.append((run.payloads[0], number))
        return Batch([run.payloads[0] + b"+%d" % number], 1, len(run.payloads[0]))


def one(payload: bytes) -> Run:
    return Run("t", "e", 1, 1, 0.0, [payload])


def test_what_gives_way_is_counted_until_something_is_written() -> None:
    """And from then on anew; only what is written is encoded, once."""
    conflation, encoding = Conflation(10), Telling()
    conflation.batch("k", one(b"a"), 0, encoding)
    conflation.batch("k", one(b"b"), 4, encoding)
    third = conflation.batch("k", one(b"c"), 0, encoding)
    assert (third.messages, third.size, encoding.asked) == (1, 1, [])
    assert (list(third.items), len(third.items), third.items[0]) == ([b"c+6"], 1, b"c+6")
    assert list(conflation.batch("k", one(b"d"), 2, encoding).items) == [b"d+2"]
    assert list(conflation.batch("k", one(b"e"), 0, encoding).items) == [b"e+0"]
    assert encoding.asked == [(b"c", 6), (b"d", 2), (b"e", 0)]


def test_keys_are_counted_each_by_itself() -> None:
    """A sensor that is quiet does not pay for one that is not."""
    conflation, encoding = Conflation(10), Telling()
    conflation.batch("a", one(b"1"), 0, encoding)
    conflation.batch("b", one(b"2"), 0, encoding)
    assert list(conflation.batch("a", one(b"3"), 0, encoding).items) == [b"3+1"]
    assert list(conflation.batch("b", one(b"4"), 3, encoding).items) == [b"4+4"]


def test_keys_without_end_are_not_remembered() -> None:
    """A device chooses them. Those that changed last are."""
    conflation, encoding = Conflation(2), Telling()
    for key in "abac":
        conflation.batch(key, one(key.encode()), 0, encoding)
    assert list(conflation._kept) == ["a", "c"]
    assert list(conflation.batch("b", one(b"x"), 0, encoding).items) == [b"x+0"]
