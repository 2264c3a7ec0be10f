from __future__ import annotations

import sys

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from portcast.devices import Deadlines


def test_due_ones_come_in_order() -> None:
    """Earliest first; those of one moment in the order in which they were set."""
    it: Deadlines[str] = Deadlines()
    for key, at in (("b", 2.0), ("a", 1.0), ("c", 2.0), ("d", 3.0)):
        it.set(key, at)
    assert it.next() == 1.0
    assert it.due(2.0) == ["a", "b", "c"]
    assert it.next() == 3.0
    assert len(it) == 1


def test_a_new_deadline_replaces_the_old() -> None:
    """Earlier or later; the old one does not come back."""
    it: Deadlines[str] = Deadlines()
    it.set("a", 1.0)
    it.set("a", 5.0)
    assert it.due(4.0) == []
    it.set("a", 2.0)
    assert it.due(9.0) == ["a"]
    assert it.next() is None


def test_what_ended_is_passed_over() -> None:
    """Also if it was never there."""
    it: Deadlines[str] = Deadlines()
    it.set("a", 1.0)
    it.clear("a")
    it.clear("b")
    assert it.next() is None
    assert it.due(9.0) == []


def test_what_ended_does_not_fill_the_memory() -> None:
    """A hundred thousand commands answered at once, each with a lifetime of a day."""
    it: Deadlines[int] = Deadlines()
    for key in range(100_000):
        it.set(key, 86_400.0)
        it.clear(key)
    assert len(it) == 0
    assert sys.getsizeof(it._heap) < 10_000


class AgainstADict(RuleBasedStateMachine):
    """The same as a dict that is searched."""

    def __init__(self) -> None:
        super().__init__()
        self.it: Deadlines[int] = Deadlines()
        self.model: dict[int, float] = {}

    @rule(key=st.integers(0, 20), at=st.integers(0, 50))
    def set(self, key: int, at: int) -> None:
        self.it.set(key, float(at))
        self.model[key] = float(at)

    @rule(key=st.integers(0, 20))
    def clear(self, key: int) -> None:
        self.it.clear(key)
        self.model.pop(key, None)

    @rule(now=st.integers(0, 50))
    def due(self, now: int) -> None:
        due = self.it.due(float(now))
        assert [self.model[key] for key in due] == sorted(at for at in self.model.values() if at <= now)
        for key in due:
            del self.model[key]

    @invariant()
    def agrees(self) -> None:
        assert len(self.it) == len(self.model)
        assert self.it.next() == min(self.model.values(), default=None)


TestAgainstADict = AgainstADict.TestCase
