from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portcast.delivery import Batch, Outbox, OutboxLimits, Policy, Standing
from portcast.publication import Mark

LIMITS = OutboxLimits(
    soft_bytes=100, soft_messages=10, soft_for_s=2.0, hard_bytes=1000, hard_messages=20, hard_age_s=10.0
)
OTHERS: tuple[Policy, ...] = ("catch_up", "latest", "latest_per_key", "drop_oldest", "drop_newest")
"""The policies under which a subscriber that gets on is not removed."""


def batch(messages: int = 1, size: int = 1) -> Batch:
    return Batch(["item"] * messages, messages, size)


def mark(sequence: int = 0) -> Mark:
    return Mark("t", "e", sequence, sequence)


def outbox(patience_s: float = 0.5, policy: Policy = "disconnect", limits: OutboxLimits = LIMITS) -> Outbox:
    it = Outbox(limits, 0.0)
    it.patience.full_s = patience_s
    it.policy = policy
    return it


def offer(it: Outbox, one: Batch, now: float, start: Mark | None = None) -> None:
    """Begin it if the sink is free, queue it otherwise."""
    if it.is_free:
        it.begin(one, now)
    else:
        it.queue(one, now, start or mark())


class TestQueue:
    def test_the_first_batch_is_written_and_the_others_wait(self) -> None:
        """A free sink gets its batch at once, a busy one later, in order."""
        it = outbox()
        assert it.is_free
        it.begin(batch(), 0.0)
        assert not it.is_free
        second, third = batch(), batch()
        it.queue(second, 1.0, mark())
        it.queue(third, 2.0, mark())
        assert it.next(3.0) is second
        assert it.next(3.0) is third
        assert it.next(3.0) is None
        assert it.is_free

    def test_delivered_grows_with_what_is_written(self) -> None:
        """A long batch counts message by message, and not twice when it ends."""
        it = outbox()
        it.begin(batch(10, 50), 0.0)
        it.wrote(4, 20, 0.1)
        assert (it.delivered, it.waiting_messages, it.waiting_bytes) == (4, 6, 30)
        assert it.next(0.2) is None
        assert (it.delivered, it.waiting_messages, it.waiting_bytes) == (10, 0, 0)

    def test_next_without_a_batch_changes_nothing(self) -> None:
        """A sink that is drained twice is not charged twice."""
        it = outbox()
        assert it.next(0.0) is None
        assert it.delivered == 0

    def test_discard_drops_and_counts_what_waits(self) -> None:
        """What was written stays delivered; the rest is dropped, behind or not, and the sink counts as free."""
        it = outbox()
        it.begin(batch(10, 50), 0.0)
        it.queue(batch(5, 5), 0.0, mark())
        it.keep_latest("k", batch(1, 5), 0.0, mark())
        it.fall_behind(7, mark())
        it.wrote(4, 20, 0.0)
        assert it.discard() == 19
        assert (it.delivered, it.dropped, it.waiting_messages, it.waiting_bytes, it.behind) == (4, 19, 0, 0, 0)
        assert it.discard() == 0
        assert it.next(0.0) is None
        assert list(it.batches()) == []

    def test_nothing_queued_means_the_batch_being_written_only(self) -> None:
        """The moment at which the policy may change."""
        it = outbox()
        assert it.is_queue_empty
        it.begin(batch(), 0.0)
        assert it.is_queue_empty
        it.queue(batch(), 0.0, mark())
        assert not it.is_queue_empty
        it.next(0.0)
        it.keep_latest("k", batch(), 0.0, mark())
        assert not it.is_queue_empty
        it.next(0.0)
        it.fall_behind(1, mark())
        assert not it.is_queue_empty

    def test_what_it_keeps_alive(self) -> None:
        """The process's budget counts these, and nothing for what is behind."""
        it = outbox()
        written, queued, latest = batch(1), batch(2), batch(3)
        it.begin(written, 0.0)
        it.queue(queued, 0.0, mark())
        it.keep_latest("k", latest, 0.0, mark())
        it.fall_behind(1000, mark())
        assert list(it.batches()) == [written, queued, latest]


class TestStanding:
    @pytest.mark.parametrize(
        ("messages", "size", "is_over"),
        [
            pytest.param(10, 100, False, id="at both limits"),
            pytest.param(11, 1, True, id="messages"),
            pytest.param(1, 101, True, id="bytes"),
        ],
    )
    def test_healthy_ends_above_the_soft_limit(self, messages: int, size: int, is_over: bool) -> None:
        """The soft limit belongs to the healthy; more of either kind makes a subscriber slow."""
        it = outbox()
        it.begin(batch(messages, size), 0.0)
        assert it.is_over_soft is is_over
        assert it.review(0.0) is (Standing.HOLDING if is_over else Standing.HEALTHY)

    @pytest.mark.parametrize("messages", [pytest.param(6, id="above half"), pytest.param(5, id="half")])
    def test_holding_ends_at_half_the_soft_limit(self, messages: int) -> None:
        """The gap between entering and leaving keeps a client at the limit from pausing its devices all the time."""
        it = outbox()
        it.begin(batch(11, 11), 0.0)
        it.review(0.0)
        it.wrote(11 - messages, 11 - messages, 0.05)
        assert it.review(0.1) is (Standing.HOLDING if messages == 6 else Standing.HEALTHY)

    def test_holding_ends_when_bytes_are_below_half_too(self) -> None:
        """Few messages, many bytes: still slow."""
        it = outbox()
        it.begin(batch(2, 120), 0.0)
        it.review(0.0)
        it.wrote(1, 69, 0.05)
        assert it.review(0.1) is Standing.HOLDING
        it.wrote(0, 1, 0.1)
        assert it.review(0.1) is Standing.HEALTHY

    def test_holding_becomes_demoted_when_patience_is_spent(self) -> None:
        """No longer than its patience, and not a moment sooner."""
        it = outbox(0.5)
        it.begin(batch(11), 0.0)
        it.review(0.0)
        assert it.review(0.499) is Standing.HOLDING
        assert it.review(0.5) is Standing.DEMOTED

    def test_no_patience_demotes_at_once(self) -> None:
        """patience=0: a slow subscriber never holds."""
        it = outbox(0.0)
        it.begin(batch(11), 0.0)
        assert it.review(0.0) is Standing.DEMOTED

    def test_demoted_becomes_healthy_when_drained(self) -> None:
        """Who catches up before its policy strikes is a subscriber like any other, with its patience refilling."""
        it = outbox(0.5)
        it.begin(batch(11), 0.0)
        it.review(0.0)
        it.review(0.5)
        it.next(1.0)
        assert it.review(1.0) is Standing.HEALTHY
        it.begin(batch(11), 1.0)
        assert it.review(1.0) is Standing.HOLDING, "a little has been refilled"
        assert it.review(1.2) is Standing.DEMOTED

    def test_demoted_stays_demoted_while_it_waits(self) -> None:
        """Patience that refills does not let a slow subscriber hold again before it has drained."""
        it = outbox(0.5)
        it.begin(batch(11), 0.0)
        it.review(0.0)
        it.review(0.5)
        assert it.review(100.0) is Standing.DEMOTED

    @pytest.mark.parametrize("policy", OTHERS)
    def test_more_than_the_hard_limit_of_bytes_demotes(self, policy: Policy) -> None:
        """However patient the topic is: the policy bounds the queue, so nobody need go."""
        it = outbox(60.0, policy)
        it.begin(batch(1, 100_000), 0.0)
        it.queue(batch(1, 1000), 0.0, mark())
        assert not it.is_over_hard
        assert it.review(0.0) is Standing.HOLDING
        it.queue(batch(1, 1), 0.1, mark())
        assert it.is_over_hard
        assert it.review(0.1) is Standing.DEMOTED
        assert it.excess(0.1) == ""

    @pytest.mark.parametrize("policy", OTHERS)
    def test_age_demotes(self, policy: Policy) -> None:
        """A trickle to a client that hardly reads never passes the soft limit."""
        it = outbox(policy=policy)
        it.begin(batch(2, 2), 0.0)
        it.wrote(1, 1, 9.0)
        assert it.review(10.0) is Standing.HEALTHY
        assert it.review(10.1) is Standing.DEMOTED
        assert it.excess(10.1) == ""

    def test_demoted_for_age_does_not_flap(self) -> None:
        """It lasts until nothing is that old, or each look would demote it, and count it, again."""
        it = outbox(policy="drop_oldest")
        it.begin(batch(2, 2), 0.0)
        it.queue(batch(), 5.0, mark())
        it.wrote(1, 1, 9.0)
        it.review(10.1)
        assert it.review(11.0) is Standing.DEMOTED
        it.next(12.0)
        assert it.review(12.0) is Standing.HEALTHY

    def test_disconnect_is_not_demoted_for_age(self) -> None:
        """It goes instead."""
        it = outbox()
        it.begin(batch(2, 2), 0.0)
        it.wrote(1, 1, 9.0)
        assert it.review(10.1) is Standing.HEALTHY
        assert it.excess(10.1) == "slow consumer: behind for 10 s"


class TestAge:
    def test_is_that_of_the_oldest_waiting(self) -> None:
        """It follows the queue: what was offered first is written first."""
        it = outbox()
        assert it.age(5.0) == 0.0
        it.begin(batch(), 1.0)
        it.queue(batch(), 3.0, mark())
        assert it.age(5.0) == 4.0
        it.next(5.0)
        assert it.age(5.0) == 2.0
        it.next(5.0)
        assert it.age(5.0) == 0.0

    def test_a_stall_begins_with_the_last_progress(self) -> None:
        """Whoever takes a little is slow, and not stuck."""
        it = outbox()
        assert it.stalled_s(5.0) == 0.0
        it.begin(batch(10, 10), 5.0)
        it.wrote(1, 1, 8.0)
        assert (it.age(9.0), it.stalled_s(9.0)) == (4.0, 1.0)
        it.progress(8.5)
        assert it.stalled_s(9.0) == 0.5
        it.queue(batch(), 6.0, mark())
        it.next(9.0)
        assert (it.age(10.0), it.stalled_s(10.0)) == (4.0, 1.0)
        it.next(10.0)
        assert it.stalled_s(20.0) == 0.0

    def test_a_new_batch_for_a_free_sink_begins_anew(self) -> None:
        """An idle client has not stalled."""
        it = outbox()
        it.begin(batch(), 0.0)
        it.next(0.0)
        it.begin(batch(), 100.0)
        assert (it.age(101.0), it.stalled_s(101.0)) == (1.0, 1.0)

    def test_time_for_which_publishers_waited_does_not_count(self) -> None:
        """A lossless relay (large patience) must not end a client for what patience allowed."""
        it = outbox(patience_s=1000.0)
        it.begin(batch(10, 10), 0.0)
        it.queue(batch(5, 5), 0.0, mark())
        assert it.review(0.0) is Standing.HOLDING
        it.wrote(9, 9, 19.0)
        it.next(20.0)
        assert it.review(20.0) is Standing.HEALTHY
        assert it.excess(20.0) == ""
        it.wrote(1, 1, 29.0)
        assert it.excess(30.0) == ""
        assert it.excess(30.1) == "slow consumer: behind for 10 s"


class TestExcess:
    def test_too_many_bytes_behind_the_batch_being_written_end_it_at_once(self) -> None:
        """The byte limit holds whatever the patience: publishers that are held add less than that."""
        it = outbox(patience_s=60.0)
        it.begin(batch(1, 100_000), 0.0)
        it.review(0.0)
        assert it.excess(0.0) == "", "one large flush must not end a client that had no time to read it"
        it.queue(batch(1, 1000), 0.0, mark())
        assert it.excess(0.0) == ""
        it.queue(batch(1, 1), 0.0, mark())
        assert it.review(0.0) is Standing.HOLDING
        assert it.excess(0.0) == "slow consumer: 101001 bytes waiting"

    def test_a_partly_written_batch_counts_with_its_rest_only(self) -> None:
        """What is queued behind does not change when a part of the batch being written is out."""
        it = outbox(patience_s=60.0)
        it.begin(batch(2, 500), 0.0)
        it.queue(batch(1, 1001), 0.0, mark())
        it.wrote(1, 250, 0.0)
        assert it.excess(0.0)

    def test_too_many_messages_end_a_demoted_one_only(self) -> None:
        """A large patience means what it says: a holding subscriber may have more than the hard number waiting."""
        it = outbox(0.5)
        it.begin(batch(1), 0.0)
        it.queue(batch(21, 21), 0.0, mark())
        assert it.review(0.0) is Standing.HOLDING
        assert it.excess(0.0) == ""
        assert it.review(0.5) is Standing.DEMOTED
        assert it.excess(0.5) == "slow consumer: 22 messages waiting"

    def test_a_demoted_one_goes_after_its_time(self) -> None:
        """Slow for longer than soft_for, counted from the moment it became slow."""
        it = outbox(0.5)
        it.begin(batch(11), 0.0)
        it.review(0.0)
        it.review(0.5)
        assert it.excess(2.0) == ""
        assert it.excess(2.1) == "slow consumer: behind for 2 s"

    def test_a_demoted_one_goes_by_the_age_of_what_waits(self) -> None:
        """What waited before it became slow counts for the age."""
        it = outbox(0.0, limits=OutboxLimits(soft_messages=10, soft_for_s=100.0, hard_age_s=3.0))
        it.begin(batch(2, 2), 0.0)
        it.queue(batch(10), 2.0, mark())
        assert it.review(2.0) is Standing.DEMOTED
        it.wrote(1, 1, 3.0)
        assert it.excess(3.0) == ""
        assert it.excess(3.5) == "slow consumer: behind for 4 s"

    @pytest.mark.parametrize("policy", ["disconnect", *OTHERS])
    @pytest.mark.parametrize("messages", [pytest.param(1, id="healthy"), pytest.param(11, id="demoted")])
    def test_who_takes_nothing_goes_whatever_the_policy(self, policy: Policy, messages: int) -> None:
        """Slow means gone on time: a client that reads nothing will not come back."""
        it = outbox(0.0, policy, OutboxLimits(soft_messages=10, soft_for_s=100.0, hard_age_s=10.0))
        it.begin(batch(messages), 0.0)
        it.review(0.0)
        assert it.excess(10.0) == ""
        it.review(10.1)
        assert it.excess(10.1) == "slow consumer: took nothing for 10 s"

    @pytest.mark.parametrize("policy", OTHERS)
    def test_who_gets_on_stays_except_under_disconnect(self, policy: Policy) -> None:
        """However slow, however old, however much waits."""
        it = outbox(0.0, policy)
        it.begin(batch(1000, 1000), 0.0)
        it.queue(batch(1000, 10_000), 0.0, mark())
        for now in range(1, 100):
            it.wrote(1, 1, float(now))
            it.review(float(now))
            assert it.excess(float(now)) == ""

    def test_a_holding_one_may_be_old(self) -> None:
        """A lossless relay (large patience) keeps a subscriber however old its oldest publication is."""
        it = outbox(patience_s=1000.0)
        it.begin(batch(11), 0.0)
        it.review(0.0)
        assert it.review(500.0) is Standing.HOLDING
        assert it.excess(500.0) == ""


class TestDropping:
    def test_the_oldest_give_way_until_the_soft_limit_is_kept(self) -> None:
        """From the front, and never what is being written."""
        it = outbox(policy="drop_oldest")
        it.begin(batch(50, 50), 0.0)
        batches = [batch(4, 4) for _ in range(3)]
        for one in batches:
            it.queue(one, 0.0, mark())
        assert it.is_full
        assert it.drop_oldest() == 4
        assert not it.is_full
        assert list(it.batches())[1:] == batches[1:]
        assert (it.dropped, it.waiting_messages, it.waiting_bytes) == (4, 58, 58)
        assert it.drop_oldest() == 0

    def test_the_newest_batch_stays_however_large(self) -> None:
        """Or a client with flushes above the soft limit would never get anything."""
        it = outbox(policy="drop_oldest")
        it.begin(batch(), 0.0)
        it.queue(batch(3, 3), 0.0, mark())
        it.queue(batch(11, 5000), 0.0, mark())
        assert it.drop_oldest() == 3
        assert it.waiting_messages == 12

    def test_nothing_to_drop(self) -> None:
        """Neither without a queue, nor for what is being written."""
        it = outbox(policy="drop_oldest")
        assert it.drop_oldest() == 0
        it.begin(batch(50), 0.0)
        assert not it.is_full
        assert it.drop_oldest() == 0

    def test_refused_counts_as_dropped(self) -> None:
        """It never waited."""
        it = outbox(policy="drop_newest")
        it.refuse(3)
        assert (it.dropped, it.waiting_messages) == (3, 0)


class TestLatest:
    def test_a_newer_one_takes_the_place_of_its_key(self) -> None:
        """One per key; who changed last is written last."""
        it = outbox(policy="latest_per_key")
        it.begin(batch(), 0.0)
        first, second, third = batch(1, 5), batch(1, 6), batch(1, 7)
        assert it.keep_latest("a", first, 0.0, mark()) == 0
        assert it.keep_latest("b", second, 0.0, mark()) == 0
        assert it.keep_latest("a", third, 0.0, mark()) == 1
        assert (it.dropped, it.waiting_messages, it.waiting_bytes) == (1, 3, 14)
        assert [it.next(1.0), it.next(1.0), it.next(1.0)] == [second, third, None]

    def test_keys_are_bounded(self) -> None:
        """A device that makes up keys does not fill the memory; who changed longest ago gives way."""
        it = outbox(policy="latest_per_key")
        it.begin(batch(), 0.0)
        lost = sum(it.keep_latest(str(number), batch(), 0.0, mark()) for number in range(15))
        assert (lost, it.dropped) == (5, 5)
        assert len(list(it.batches())) == 1 + LIMITS.soft_messages

    def test_bytes_are_bounded(self) -> None:
        """By half the hard limit, whatever is queued before them; the newest stays however large it is."""
        it = outbox(policy="latest_per_key")
        it.begin(batch(), 0.0)
        it.queue(batch(1, 1000), 0.0, mark())
        assert it.keep_latest("a", batch(1, 250), 0.0, mark()) == 0
        assert it.keep_latest("b", batch(1, 250), 0.0, mark()) == 0
        assert it.keep_latest("b", batch(1, 250), 0.0, mark()) == 1, "in place of itself it needs no more room"
        assert it.keep_latest("c", batch(1, 1), 0.0, mark()) == 1
        assert it.keep_latest("d", batch(1, 5000), 0.0, mark()) == 2
        assert [one.size for one in it.batches()] == [1, 1000, 5000]
        it.next(0.0)
        it.next(0.0)
        assert it.keep_latest("e", batch(1, 500), 0.0, mark()) == 0, "what was written needs no room any more"

    def test_they_follow_what_was_queued_before(self) -> None:
        """Per topic the order is that of publishing."""
        it = outbox(policy="latest")
        queued, latest = batch(), batch()
        it.begin(batch(), 0.0)
        it.queue(queued, 0.0, mark())
        it.keep_latest("k", latest, 0.0, mark())
        assert [it.next(0.0), it.next(0.0)] == [queued, latest]

    def test_once_healthy_what_comes_is_queued_behind_them(self) -> None:
        """A newer publication must not pass an older one that still waits for its key."""
        it = outbox(0.0, policy="latest")
        it.begin(batch(11, 11), 0.0)
        assert it.review(0.0) is Standing.DEMOTED
        latest, later = batch(1, 1), batch(1, 1)
        it.keep_latest("k", latest, 0.0, mark())
        it.wrote(10, 10, 0.1)
        assert it.review(0.1) is Standing.HEALTHY
        it.queue(later, 0.1, mark())
        assert [it.next(0.2), it.next(0.2), it.next(0.2)] == [latest, later, None]
        assert it.delivered == 13


class TestBehind:
    def test_what_is_behind_is_a_place_and_a_number(self) -> None:
        """However much falls behind, nothing is kept; the place is that of the first."""
        it = outbox(policy="catch_up")
        it.fall_behind(5, mark(7))
        it.fall_behind(1000, mark(12))
        assert (it.behind, it.behind_from, it.waiting_messages) == (1005, mark(7), 0)
        assert list(it.batches()) == []

    def test_the_queue_falls_behind_and_what_is_being_written_does_not(self) -> None:
        """From the first queued on."""
        it = outbox(policy="catch_up")
        it.begin(batch(5, 5), 0.0)
        it.queue(batch(2, 2), 0.0, mark(5))
        it.queue(batch(3, 3), 0.0, mark(7))
        it.queue_falls_behind()
        assert (it.behind, it.behind_from, it.waiting_messages, it.waiting_bytes) == (5, mark(5), 5, 5)
        assert it.next(0.0) is None

    def test_without_a_queue_nothing_falls_behind(self) -> None:
        """Who is demoted for what is being written has missed nothing yet."""
        it = outbox(policy="catch_up")
        it.begin(batch(50), 0.0)
        it.queue_falls_behind()
        assert (it.behind, it.behind_from) == (0, None)

    def test_one_that_resumes_begins_behind(self) -> None:
        """Demoted from the start, whatever the topic's policy: history comes first."""
        it = outbox()
        it.start_behind(400, mark(3))
        assert (it.policy, it.standing, it.behind, it.behind_from) == ("catch_up", Standing.DEMOTED, 400, mark(3))
        assert it.review(1.0) is Standing.DEMOTED
        assert it.excess(1000.0) == "", "it has nothing to take"

    def test_rounds_bring_it_up_to_date(self) -> None:
        """What came, what is lost and what is left make up what was behind; demoted lasts until nothing is left."""
        it = outbox()
        it.start_behind(100, mark(0))
        it.caught_up(60, 10, mark(70))
        assert (it.behind, it.behind_from, it.dropped) == (30, mark(70), 10)
        assert it.review(0.0) is Standing.DEMOTED
        it.caught_up(30, 0, None)
        assert (it.behind, it.behind_from, it.dropped) == (0, None, 10)
        assert it.review(0.0) is Standing.HEALTHY

    def test_history_cannot_have_more_than_fell_behind(self) -> None:
        """Then something would come twice: an invariant of ours, not of the client's."""
        it = outbox()
        it.start_behind(5, mark(0))
        with pytest.raises(AssertionError):
            it.caught_up(6, 0, None)


class Ledger(RuleBasedStateMachine):
    """offered == delivered + dropped + waiting + behind after every step, whatever the order of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.it = outbox()
        self.offered = 0
        self.now = 0.0
        self.writing: tuple[int, int] | None = None

    @rule(messages=st.integers(1, 12), each=st.integers(0, 60))
    def offer(self, messages: int, each: int) -> None:
        if self.it.is_free:
            self.writing = (messages, each)
        offer(self.it, batch(messages, messages * each), self.now)
        self.offered += messages

    @rule(key=st.sampled_from("abcdefghijklmn"), size=st.integers(0, 300))
    @precondition(lambda self: self.writing is not None)
    def keep_latest(self, key: str, size: int) -> None:
        self.it.keep_latest(key, batch(1, size), self.now, mark())
        self.offered += 1

    @precondition(lambda self: self.writing is not None and self.writing[0] > 0)
    @rule(data=st.data())
    def wrote(self, data: st.DataObject) -> None:
        assert self.writing is not None
        left, each = self.writing
        count = data.draw(st.integers(0, left))
        self.it.wrote(count, count * each, self.now)
        self.writing = (left - count, each)

    @rule()
    def next(self) -> None:
        following = self.it.next(self.now)
        self.writing = None if following is None else (following.messages, following.size // following.messages)
        if following is not None and following.size % following.messages:
            self.writing = (0, 0)

    @rule()
    def drop_oldest(self) -> None:
        self.it.drop_oldest()

    @rule(messages=st.integers(1, 9))
    def refuse(self, messages: int) -> None:
        self.it.refuse(messages)
        self.offered += messages

    @rule(messages=st.integers(1, 9))
    def fall_behind(self, messages: int) -> None:
        self.it.fall_behind(messages, mark(self.offered))
        self.offered += messages

    @rule()
    def queue_falls_behind(self) -> None:
        self.it.queue_falls_behind()

    @precondition(lambda self: self.it.behind)
    @rule(data=st.data())
    def caught_up(self, data: st.DataObject) -> None:
        came = data.draw(st.integers(0, self.it.behind))
        missed = data.draw(st.integers(0, self.it.behind - came))
        self.it.caught_up(came, missed, mark() if came + missed < self.it.behind else None)
        # What came is written at once.
        self.it.delivered += came

    @rule()
    def discard(self) -> None:
        self.it.discard()
        self.writing = None

    @rule(passed=st.floats(0, 3), policy=st.sampled_from(["disconnect", *OTHERS]))
    def review(self, passed: float, policy: Policy) -> None:
        it, before = self.it, self.it.standing
        self.now += passed
        it.policy = policy
        after = it.review(self.now)
        is_low = it.waiting_messages <= 5 and it.waiting_bytes <= 50 and not it.behind
        if before is Standing.HEALTHY and it.is_over_soft:
            assert after is not Standing.HEALTHY
        elif before is Standing.HEALTHY or is_low:
            assert after is Standing.HEALTHY or (after is Standing.DEMOTED and it.age(self.now) > 10)
        else:
            assert after is not Standing.HEALTHY
        if before is Standing.DEMOTED:
            assert after is not Standing.HOLDING
        assert isinstance(it.excess(self.now), str)

    @invariant()
    def the_ledger_is_even(self) -> None:
        it = self.it
        assert self.offered == it.delivered + it.dropped + it.waiting_messages + it.behind
        assert (it.behind > 0) is (it.behind_from is not None)

    @invariant()
    def what_waits_is_what_is_kept(self) -> None:
        it = self.it
        kept = list(it.batches())
        done = 0 if self.writing is None else kept[0].messages - self.writing[0]
        assert it.waiting_messages == sum(one.messages for one in kept) - done
        assert it.waiting_bytes >= 0


TestLedger = Ledger.TestCase
