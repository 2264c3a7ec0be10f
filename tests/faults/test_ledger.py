"""The judge itself: each broken promise is found."""

from __future__ import annotations

import pytest

from faults.ledger import Ledger

WHOLE = ["a:0", "b:0", "a:1", "a:2"]


def ledger(reference: list[str], other: list[str] | None = None, *, missed: int = 0, is_whole: bool = True) -> Ledger:
    it = Ledger()
    it.connection("a", is_whole=is_whole).number = 3
    it.connection("b", is_whole=True).number = 1
    it.subscriber("reference").messages = reference
    if other is not None:
        seen = it.subscriber("other")
        seen.messages, seen.missed = other, missed
    return it


@pytest.mark.parametrize(
    "it",
    [
        ledger(WHOLE),
        ledger(WHOLE, WHOLE),
        ledger(WHOLE[:3], is_whole=False),
        ledger(WHOLE, WHOLE[1:]),
        ledger(WHOLE, ["b:0", "a:2"], missed=1),
    ],
)
def test_promises_that_hold(it: Ledger) -> None:
    """A subscriber that came later has what came after."""
    assert it.problems() == []


@pytest.mark.parametrize(
    ("it", "word"),
    [
        (ledger(WHOLE[:3]), "2 of 3 arrived"),
        (ledger(["a:0", "b:0", "a:2", "a:1"]), "out of order"),
        (ledger(["a:0", "a:0", "b:0", "a:1", "a:2"]), "twice"),
        (ledger([*WHOLE, "a:3"], is_whole=False), "4 of 3 arrived"),
        (ledger([*WHOLE, "c:0"]), "nobody sent"),
        (ledger([*WHOLE, "a:x"]), "nobody sent"),
        (ledger(WHOLE, ["a:0", "a:1", "a:2"]), "1 are missing, of 0"),
        (ledger(WHOLE, WHOLE, missed=1), "0 are missing, of 1"),
        (ledger(WHOLE, ["b:0", "a:0"]), "another order"),
        (ledger(WHOLE, ["a:0", "a:0"]), "twice"),
        (ledger(WHOLE[:3], WHOLE, is_whole=False), "the reference did not see"),
    ],
)
def test_promises_that_are_broken(it: Ledger, word: str) -> None:
    """Each is told with its word."""
    problems = it.problems()
    assert len(problems) == 1
    assert word in problems[0]
