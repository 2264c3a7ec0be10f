from __future__ import annotations

from manual_clock import ManualClock
from portcast.publication import Run
from portcast.runtime import Subscriber
from portcast.runtime.audience import Topic
from portcast.runtime.pending import Pending, is_pending, withdraw
from runtime_kit import LIMITS, FakeEncoding, FakeSink, make_hub

HUB = make_hub(ManualClock())


def subscriber(*filters: str) -> Subscriber:
    return Subscriber(HUB, filters, FakeEncoding(), FakeSink(), LIMITS, 0.0, transport="test", peer="")


def waits(topic: str, *audience: Subscriber, messages: int = 1) -> Pending:
    return Pending(Run(topic, "e", 1, 1, 0.0, [b"x"] * messages), Topic(frozenset(audience), 0.0, "catch_up", ""))


def test_what_waits_for_whom() -> None:
    """By the audience at the time of publishing, not by the filters of now."""
    one, other = subscriber("a"), subscriber("a")
    assert is_pending([waits("b", other), waits("b", one)], one)
    assert not is_pending([waits("a", other)], one)
    assert not is_pending([], one)


def test_only_what_no_filter_matches_is_withdrawn() -> None:
    """The others get everything, and the one what its other filters match."""
    one, other = subscriber("a/+"), subscriber("#")
    pending = [waits("a/b", one, other), waits("c", one, other, messages=3), waits("c", other), waits("a/d", one)]
    before = list(pending)
    assert withdraw(pending, one) == (2, 3)
    assert pending[1].topic.audience == {other}
    assert pending[1].run is before[1].run
    assert [pending[index] is before[index] for index in (0, 2, 3)] == [True] * 3
