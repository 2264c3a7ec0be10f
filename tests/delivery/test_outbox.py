from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portcast.delivery import Batch, Outbox, OutboxLimits, Standing

LIMITS = OutboxLimits(
    soft_bytes=100, soft_messages=10, soft_for_s=2.0, hard_bytes=1000, hard_messages=20, hard_age_s=10.0
)


def batch(messages: int = 1, size: int = 1) -> Batch:
    return Batch(["item"] * messages, messages, size)


def outbox(patience_s: float = 0.5) -> Outbox:
    it = Outbox(LIMITS, 0.0)
    it.patience.full_s = patience_s
    return it


def test_the_first_batch_is_written_and_the_others_wait() -> None:
    """A free sink gets its batch at once, a busy one later, in order."""
    it = outbox()
    first, second, third = batch(), batch(), batch()
    assert it.offer(first, 0.0)
    assert not it.offer(second, 1.0)
    assert not it.offer(third, 2.0)
    assert it.next() is second
    assert it.next() is third
    assert it.next() is None
    assert it.offer(batch(), 3.0)


def test_delivered_grows_with_what_is_written() -> None:
    """A long batch counts message by message, and not twice when it ends."""
    it = outbox()
    it.offer(batch(10, 50), 0.0)
    it.wrote(4, 20)
    assert (it.delivered, it.waiting_messages, it.waiting_bytes) == (4, 6, 30)
    assert it.next() is None
    assert (it.delivered, it.waiting_messages, it.waiting_bytes) == (10, 0, 0)


def test_next_without_a_batch_changes_nothing() -> None:
    """A sink that is drained twice is not charged twice."""
    it = outbox()
    assert it.next() is None
    assert it.delivered == 0


def test_discard_drops_and_counts_what_waits() -> None:
    """What was written stays delivered; the rest is dropped, and the sink counts as free."""
    it = outbox()
    it.offer(batch(10, 50), 0.0)
    it.offer(batch(5, 5), 0.0)
    it.wrote(4, 20)
    assert it.discard() == 11
    assert (it.delivered, it.dropped, it.waiting_messages, it.waiting_bytes) == (4, 11, 0, 0)
    assert it.discard() == 0
    assert it.next() is None


@pytest.mark.parametrize(
    ("messages", "size", "is_over"),
    [
        pytest.param(10, 100, False, id="at both limits"),
        pytest.param(11, 1, True, id="messages"),
        pytest.param(1, 101, True, id="bytes"),
    ],
)
def test_healthy_ends_above_the_soft_limit(messages: int, size: int, is_over: bool) -> None:
    """The soft limit belongs to the healthy; more of either kind makes a subscriber slow."""
    it = outbox()
    it.offer(batch(messages, size), 0.0)
    assert it.is_over_soft is is_over
    assert it.review(0.0) is (Standing.HOLDING if is_over else Standing.HEALTHY)


@pytest.mark.parametrize("messages", [pytest.param(6, id="above half"), pytest.param(5, id="half")])
def test_holding_ends_at_half_the_soft_limit(messages: int) -> None:
    """The gap between entering and leaving keeps a client at the limit from pausing its devices at every message."""
    it = outbox()
    it.offer(batch(11, 11), 0.0)
    it.review(0.0)
    it.wrote(11 - messages, 11 - messages)
    assert it.review(0.1) is (Standing.HOLDING if messages == 6 else Standing.HEALTHY)


def test_holding_ends_when_bytes_are_below_half_too() -> None:
    """Few messages, many bytes: still slow."""
    it = outbox()
    it.offer(batch(2, 120), 0.0)
    it.review(0.0)
    it.wrote(1, 69)
    assert it.review(0.1) is Standing.HOLDING
    it.wrote(0, 1)
    assert it.review(0.1) is Standing.HEALTHY


def test_holding_becomes_demoted_when_patience_is_spent() -> None:
    """No longer than its patience, and not a moment sooner."""
    it = outbox(0.5)
    it.offer(batch(11), 0.0)
    it.review(0.0)
    assert it.review(0.499) is Standing.HOLDING
    assert it.review(0.5) is Standing.DEMOTED


def test_no_patience_demotes_at_once() -> None:
    """patience=0: a slow subscriber never holds."""
    it = outbox(0.0)
    it.offer(batch(11), 0.0)
    assert it.review(0.0) is Standing.DEMOTED


def test_demoted_becomes_healthy_when_drained() -> None:
    """Who catches up before its policy strikes is a subscriber like any other, with its patience refilling."""
    it = outbox(0.5)
    it.offer(batch(11), 0.0)
    it.review(0.0)
    it.review(0.5)
    it.next()
    assert it.review(1.0) is Standing.HEALTHY
    it.offer(batch(11), 1.0)
    assert it.review(1.0) is Standing.HOLDING, "a little has been refilled"
    assert it.review(1.2) is Standing.DEMOTED


def test_demoted_stays_demoted_while_it_waits() -> None:
    """Patience that refills does not let a slow subscriber hold again before it has drained."""
    it = outbox(0.5)
    it.offer(batch(11), 0.0)
    it.review(0.0)
    it.review(0.5)
    assert it.review(100.0) is Standing.DEMOTED


def test_age_is_that_of_the_oldest_waiting() -> None:
    """It follows the queue: what was offered first is written first."""
    it = outbox()
    assert it.age(5.0) == 0.0
    it.offer(batch(), 1.0)
    it.offer(batch(), 3.0)
    assert it.age(5.0) == 4.0
    it.next()
    assert it.age(5.0) == 2.0
    it.next()
    assert it.age(5.0) == 0.0


def test_too_many_bytes_behind_the_batch_being_written_end_it_at_once() -> None:
    """The byte limit holds whatever the patience: publishers that are held add less than that."""
    it = outbox(patience_s=60.0)
    it.offer(batch(1, 100_000), 0.0)
    it.review(0.0)
    assert it.excess(0.0) == "", "one large flush must not end a client that had no time to read it"
    it.offer(batch(1, 1000), 0.0)
    assert it.excess(0.0) == ""
    it.offer(batch(1, 1), 0.0)
    assert it.excess(0.0) == "slow consumer: 101001 bytes waiting"


def test_a_partly_written_batch_counts_with_its_rest_only() -> None:
    """What is queued behind does not change when a part of the batch being written is out."""
    it = outbox(patience_s=60.0)
    it.offer(batch(2, 500), 0.0)
    it.offer(batch(1, 1001), 0.0)
    it.wrote(1, 250)
    assert it.excess(0.0)


def test_too_many_messages_end_a_demoted_one_only() -> None:
    """A large patience means what it says: a holding subscriber may have more than the hard number waiting."""
    it = outbox(0.5)
    it.offer(batch(1), 0.0)
    it.offer(batch(21, 21), 0.0)
    assert it.review(0.0) is Standing.HOLDING
    assert it.excess(0.0) == ""
    assert it.review(0.5) is Standing.DEMOTED
    assert it.excess(0.5) == "slow consumer: 22 messages waiting"


def test_a_demoted_one_goes_after_its_time() -> None:
    """Slow for longer than soft_for, counted from the moment it became slow."""
    it = outbox(0.5)
    it.offer(batch(11), 0.0)
    it.review(0.0)
    it.review(0.5)
    assert it.excess(2.0) == ""
    assert it.excess(2.1) == "slow consumer: behind for 2 s"


def test_a_demoted_one_goes_by_the_age_of_what_waits() -> None:
    """What waited before it became slow counts for the age."""
    limits = OutboxLimits(soft_messages=10, soft_for_s=100.0, hard_age_s=3.0)
    it = Outbox(limits, 0.0)
    it.offer(batch(1), 0.0)
    it.offer(batch(10), 2.0)
    assert it.review(2.0) is Standing.DEMOTED
    assert it.excess(3.0) == ""
    assert it.excess(3.5) == "slow consumer: behind for 4 s"


def test_a_healthy_one_goes_by_age_too() -> None:
    """A trickle to a client that does not read never passes the soft limit; slow means gone on time all the same."""
    it = outbox()
    it.offer(batch(), 0.0)
    assert it.excess(10.0) == ""
    assert it.excess(10.1) == "slow consumer: waiting for 10 s"


def test_a_holding_one_may_be_old() -> None:
    """A lossless relay (large patience) keeps a subscriber however old its oldest publication is."""
    it = outbox(patience_s=1000.0)
    it.offer(batch(11), 0.0)
    it.review(0.0)
    assert it.review(500.0) is Standing.HOLDING
    assert it.excess(500.0) == ""


class Ledger(RuleBasedStateMachine):
    """offered == delivered + dropped + waiting after every step, whatever the order of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.it = outbox()
        self.offered = self.offered_bytes = 0
        self.now = 0.0
        self.writing: tuple[int, int] | None = None
        self.queued: list[tuple[int, int]] = []

    @rule(messages=st.integers(1, 12), each=st.integers(0, 60))
    def offer(self, messages: int, each: int) -> None:
        must_write = self.it.offer(batch(messages, messages * each), self.now)
        self.offered += messages
        assert must_write is (self.writing is None)
        if must_write:
            self.writing = (messages, each)
        else:
            self.queued.append((messages, each))

    @precondition(lambda self: self.writing is not None and self.writing[0] > 0)
    @rule(data=st.data())
    def wrote(self, data: st.DataObject) -> None:
        assert self.writing is not None
        left, each = self.writing
        count = data.draw(st.integers(0, left))
        self.it.wrote(count, count * each)
        self.writing = (left - count, each)

    @rule()
    def next(self) -> None:
        following = self.it.next()
        self.writing = self.queued.pop(0) if self.queued else None
        assert (following is None) is (self.writing is None)

    @rule()
    def discard(self) -> None:
        self.it.discard()
        self.writing = None
        self.queued = []

    @rule(passed=st.floats(0, 3))
    def review(self, passed: float) -> None:
        before = self.it.standing
        self.now += passed
        after = self.it.review(self.now)
        is_low = self.it.waiting_messages <= 5 and self.it.waiting_bytes <= 50
        if before is Standing.HEALTHY:
            assert (after is Standing.HEALTHY) is not self.it.is_over_soft
        elif is_low:
            assert after is Standing.HEALTHY
        elif before is Standing.DEMOTED:
            assert after is Standing.DEMOTED
        else:
            assert after is not Standing.HEALTHY
        assert isinstance(self.it.excess(self.now), str)

    @invariant()
    def the_ledger_is_even(self) -> None:
        it = self.it
        assert self.offered == it.delivered + it.dropped + it.waiting_messages

    @invariant()
    def what_waits_is_what_was_not_written(self) -> None:
        parts = [*self.queued, *([self.writing] if self.writing else [])]
        assert self.it.waiting_messages == sum(messages for messages, _ in parts)
        assert self.it.waiting_bytes == sum(messages * each for messages, each in parts)


TestLedger = Ledger.TestCase
