from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portcast.devices import TRANSITIONS, Command, CommandOptions, Commands, CommandState, Step
from portcast.errors import CommandQueueFull
from portcast.types import CommandId, DeviceId

QUEUED, WRITTEN, DELIVERED, ANSWERED, REFUSED, TIMED_OUT, UNKNOWN, EXPIRED, CANCELLED, DISPLACED = CommandState
A, B = DeviceId("a"), DeviceId("b")


def commands(**options: Any) -> Commands:
    return Commands(CommandOptions(**options))


def command(number: int, device_id: DeviceId = A, **more: Any) -> Command:
    return Command(CommandId(str(number)), device_id, number, **{"correlation": number, **more})


def states(step: Step) -> list[tuple[str, CommandState]]:
    return [(change.command.command_id, change.state) for change in step.changes]


def written(step: Step) -> list[object]:
    return [write.command.payload for write in step.writes]


class TestWriting:
    def test_a_command_for_a_connected_device(self) -> None:
        """Queued and written in one step, answered in another."""
        it = commands()
        it.connected(A, 0.0)
        step = it.submit(command(1), 1.0)
        assert states(step) == [("1", QUEUED), ("1", WRITTEN)]
        assert written(step) == [1]
        assert it.next_deadline() == 11.0
        step = it.answer(A, 1, 2.0, "done")
        assert [(c.state, c.at, c.answer, c.is_end) for c in step.changes] == [(ANSWERED, 2.0, "done", True)]
        assert step.stray is None
        assert it.next_deadline() is None

    def test_a_refusal_is_an_outcome(self) -> None:
        """The device said no, which is not silence."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1), 0.0)
        assert states(it.answer(A, 1, 1.0, "busy", is_refusal=True)) == [("1", REFUSED)]

    def test_no_answer_expected(self) -> None:
        """Delivered when it is written; nothing waits."""
        it = commands(max_in_flight=1)
        it.connected(A, 0.0)
        for number in (1, 2):
            step = it.submit(command(number, is_answered=False), 0.0)
            assert states(step)[1:] == [(str(number), WRITTEN), (str(number), DELIVERED)]
        assert it.next_deadline() is None

    def test_a_device_that_is_not_there(self) -> None:
        """Commands wait, and are written in their order when it comes."""
        it = commands()
        for number in (1, 2, 3):
            assert states(it.submit(command(number), float(number))) == [(str(number), QUEUED)]
        assert [change.command.payload for change in it.commands_of(A)] == [1, 2, 3]
        assert [change.number for change in it.commands_of(A)] == [1, 2, 3]
        assert written(it.connected(A, 5.0)) == [1, 2, 3]
        assert it.next_deadline() == 15.0

    def test_whether_an_answer_may_come(self) -> None:
        """In time or late, not for what waits to be written."""
        it = commands(settle_s=5, timeout_s=1)
        it.submit(command(1), 0.0)
        assert not it.awaits(A)
        it.connected(A, 0.0)
        assert it.awaits(A)
        it.expire(1.0)
        assert it.awaits(A)
        it.expire(6.0)
        assert not it.awaits(A)
        assert not it.awaits(B)

    def test_the_window_of_commands_in_flight(self) -> None:
        """The next is written when one has ended."""
        it = commands(max_in_flight=2)
        it.connected(A, 0.0)
        assert [written(it.submit(command(number), 0.0)) for number in (1, 2, 3)] == [[1], [2], []]
        assert written(it.answer(A, 2, 1.0)) == [3]

    @pytest.mark.parametrize("correlation", [None, "status"], ids=["one at a time", "reply type"])
    def test_one_at_a_time(self, correlation: Hashable) -> None:
        """Where the answers of two commands could not be told apart, the second waits."""
        it = commands()
        it.connected(A, 0.0)
        assert written(it.submit(command(1, correlation=correlation), 0.0)) == [1]
        assert written(it.submit(command(2, correlation=correlation), 0.0)) == []
        assert written(it.submit(command(3), 0.0)) == [], "order is kept"
        assert written(it.answer(A, correlation, 1.0)) == [2, 3]

    def test_the_same_command_again(self) -> None:
        """A client that repeats its request gets the same command, waiting or ended."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1), 0.0)
        assert it.submit(command(1), 1.0) == Step()
        it.answer(A, 1, 2.0)
        assert it.submit(command(1), 3.0) == Step()
        assert it.statistics().submitted == 1

    def test_attempts_are_counted(self) -> None:
        """The shell may mark a repetition, where the protocol can."""
        it = commands()
        it.connected(A, 0.0)
        assert it.submit(command(1, is_idempotent=True), 0.0).writes[0].attempt == 1
        it.disconnected(A, 1.0)
        assert it.connected(A, 2.0).writes[0].attempt == 2
        assert it.statistics().rewritten == 1


class TestEnds:
    def test_timed_out(self) -> None:
        """The connection lives, the answer does not come."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1, timeout_s=3.0), 0.0)
        assert it.expire(2.9) == Step()
        assert states(it.expire(3.0)) == [("1", TIMED_OUT)]

    def test_an_answer_that_is_here_before_its_timeout_was_noticed(self) -> None:
        """Is in time: a loop that is late must not turn an answer into none."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1), 0.0)
        assert states(it.answer(A, 1, 99.0)) == [("1", ANSWERED)]
        assert it.expire(99.0) == Step()

    def test_expired(self) -> None:
        """Its lifetime passed before the device came."""
        it = commands()
        it.submit(command(1, lifetime_s=60.0), 0.0)
        assert it.next_deadline() == 60.0
        assert states(it.expire(60.0)) == [("1", EXPIRED)]
        assert it.connected(A, 61.0) == Step()

    def test_expired_but_not_noticed(self) -> None:
        """It is not written any more."""
        it = commands()
        it.submit(command(1, lifetime_s=60.0), 0.0)
        it.submit(command(2), 0.0)
        step = it.connected(A, 61.0)
        assert states(step) == [("1", EXPIRED), ("2", WRITTEN)]
        assert written(step) == [2]

    def test_no_lifetime_means_now_or_never(self) -> None:
        """For requests that somebody waits for."""
        it = commands()
        assert states(it.submit(command(1, lifetime_s=0.0), 0.0)) == [("1", QUEUED), ("1", EXPIRED)]
        it.connected(A, 0.0)
        assert states(it.submit(command(2, lifetime_s=0.0), 0.0)) == [("2", QUEUED), ("2", WRITTEN)]

    def test_cancelled(self) -> None:
        """Before it is written; and it is not written."""
        it = commands()
        it.submit(command(1), 0.0)
        it.submit(command(2), 0.0)
        assert states(it.cancel(CommandId("1"), 1.0)) == [("1", CANCELLED)]
        assert written(it.connected(A, 2.0)) == [2]

    def test_cancelling_comes_too_late(self) -> None:
        """What was written, has ended or is not known goes on as it is."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1), 0.0)
        assert it.cancel(CommandId("1"), 1.0) == Step()
        it.answer(A, 1, 2.0)
        assert it.cancel(CommandId("1"), 3.0) == it.cancel(CommandId("9"), 3.0) == Step()

    def test_cancelling_the_first_lets_the_others_through(self) -> None:
        """It held them up."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1, correlation="x"), 0.0)
        it.submit(command(2, correlation="x"), 0.0)
        it.submit(command(3), 0.0)
        assert written(it.cancel(CommandId("2"), 1.0)) == [3]

    def test_displaced(self) -> None:
        """Only the newest set point matters; it stands where it was submitted, and needs no room."""
        it = commands(max_queued=2)
        it.submit(command(1, deduplication="set point"), 0.0)
        it.submit(command(2), 0.0)
        step = it.submit(command(3, deduplication="set point"), 1.0)
        assert states(step) == [("1", DISPLACED), ("3", QUEUED)]
        assert written(it.connected(A, 2.0)) == [2, 3]

    def test_what_is_written_is_not_displaced(self) -> None:
        """The newer one follows it."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1, deduplication="x"), 0.0)
        assert states(it.submit(command(2, deduplication="x"), 1.0)) == [("2", QUEUED), ("2", WRITTEN)]

    def test_a_full_queue(self) -> None:
        """Nothing changes; other devices have theirs."""
        it = commands(max_queued=2)
        for number in (1, 2):
            it.submit(command(number), 0.0)
        with pytest.raises(CommandQueueFull, match="2 commands wait for device 'a' already"):
            it.submit(command(3), 0.0)
        it.submit(command(4, B), 0.0)
        assert it.statistics().submitted == 3
        assert it.get(CommandId("3")) is None

    def test_forgotten_devices_and_the_end_of_the_process(self) -> None:
        """Whatever waits ends: cancelled, or unknown if it was written."""
        it = commands(max_in_flight=1)
        it.connected(A, 0.0)
        for number in (1, 2):
            it.submit(command(number, is_idempotent=True), 0.0)
        assert states(it.forget(A, 1.0)) == [("1", UNKNOWN), ("2", CANCELLED)]
        assert it.forget(A, 1.0) == Step()
        it.submit(command(3), 2.0)
        it.submit(command(4, B), 2.0)
        assert states(it.close(3.0)) == [("3", CANCELLED), ("4", CANCELLED)]
        assert it.next_deadline() is None


class TestCuts:
    def test_unknown_after_write(self) -> None:
        """Perhaps it was carried out: it is not written again."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1), 0.0)
        assert states(it.disconnected(A, 1.0)) == [("1", UNKNOWN)]
        assert it.connected(A, 2.0) == Step()
        assert it.disconnected(B, 2.0) == Step()

    def test_idempotent_ones_are_written_again_in_their_order(self) -> None:
        """Before what was queued meanwhile."""
        it = commands(max_in_flight=2)
        it.connected(A, 0.0)
        for number in (1, 2, 3):
            it.submit(command(number, is_idempotent=True), 0.0)
        assert sorted(states(it.disconnected(A, 1.0))) == [("1", QUEUED), ("2", QUEUED)]
        it.submit(command(4), 2.0)
        assert written(it.connected(A, 3.0)) == [1, 2]
        assert written(it.answer(A, 1, 4.0)) == [3]

    def test_an_idempotent_one_does_not_outlive_its_lifetime(self) -> None:
        """It was written, so nobody can say that it was not carried out."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1, is_idempotent=True, lifetime_s=5.0), 0.0)
        it.submit(command(2, is_idempotent=True, lifetime_s=9.0), 0.0)
        assert states(it.disconnected(A, 6.0)) == [("1", UNKNOWN), ("2", QUEUED)]
        assert states(it.expire(9.0)) == [("2", UNKNOWN)]

    def test_cancelling_what_was_written_before(self) -> None:
        """It is not written again, and nobody can say that it was not carried out."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1, is_idempotent=True), 0.0)
        it.disconnected(A, 1.0)
        assert states(it.cancel(CommandId("1"), 2.0)) == [("1", UNKNOWN)]

    def test_a_newer_one_displaces_what_comes_back(self) -> None:
        """Whether that waited or was written too."""
        it = commands(max_in_flight=2)
        it.connected(A, 0.0)
        for number in (1, 2, 3):
            it.submit(command(number, is_idempotent=True, deduplication="x"), 0.0)
        it.disconnected(A, 1.0)
        assert written(it.connected(A, 2.0)) == [3]
        assert it.statistics().ended[UNKNOWN] == 2


class TestStrays:
    def test_late(self) -> None:
        """After its time-out; then doubled."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1), 0.0)
        it.expire(10.0)
        assert it.answer(A, 1, 11.0).stray == "late"
        assert it.answer(A, 1, 12.0).stray == "doubled"

    def test_late_after_a_cut(self) -> None:
        """On the next connection."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1), 0.0)
        it.disconnected(A, 1.0)
        it.connected(A, 2.0)
        assert it.answer(A, 1, 3.0).stray == "late"

    def test_doubled(self) -> None:
        """It changes nothing."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1), 0.0)
        it.answer(A, 1, 1.0, "first")
        step = it.answer(A, 1, 2.0, "second")
        assert (step.changes, step.stray) == ((), "doubled")
        end = it.get(CommandId("1"))
        assert end is not None
        assert end.answer == "first"

    def test_foreign(self) -> None:
        """An answer of another device, even with the right correlation, ends nothing."""
        it = commands()
        it.connected(A, 0.0)
        it.connected(B, 0.0)
        it.submit(command(1, A), 0.0)
        assert it.answer(B, 1, 1.0).stray == "foreign"
        assert it.answer(A, 2, 1.0).stray == "foreign"
        assert states(it.answer(A, 1, 2.0)) == [("1", ANSWERED)]
        statistics = it.statistics()
        assert (statistics.late, statistics.doubled, statistics.foreign) == (0, 0, 2)

    def test_a_late_answer_is_not_taken_for_that_of_the_next(self) -> None:
        """Nothing with the same correlation is written while it may come."""
        it = commands(settle_s=5.0)
        it.connected(A, 0.0)
        it.submit(command(1, correlation=None), 0.0)
        it.submit(command(2, correlation=None), 0.0)
        assert written(it.expire(10.0)) == []
        step = it.answer(A, None, 11.0)
        assert (step.stray, written(step)) == ("late", [2])
        assert states(it.answer(A, None, 12.0)) == [("2", ANSWERED)]

    def test_a_late_answer_is_not_waited_for_for_ever(self) -> None:
        """The correlation is free after a while, or at once if that is 0."""
        it = commands(settle_s=5.0)
        it.connected(A, 0.0)
        it.submit(command(1, correlation=None), 0.0)
        it.submit(command(2, correlation=None), 0.0)
        it.expire(10.0)
        assert it.next_deadline() == 15.0
        assert written(it.expire(15.0)) == [2]
        at_once = commands(settle_s=0.0)
        at_once.connected(A, 0.0)
        at_once.submit(command(1, correlation=None), 0.0)
        at_once.submit(command(2, correlation=None), 0.0)
        assert written(at_once.expire(10.0)) == [2]

    def test_a_cut_sets_the_correlation_free(self) -> None:
        """No late answer comes on a new connection."""
        it = commands()
        it.connected(A, 0.0)
        it.submit(command(1, correlation=None), 0.0)
        it.expire(10.0)
        it.submit(command(2, correlation=None), 10.0)
        it.disconnected(A, 11.0)
        assert written(it.connected(A, 11.0)) == [2]
        assert it.next_deadline() == 21.0


class TestLookingUp:
    def test_each_state(self) -> None:
        """A place to look, while it waits and after its end."""
        it = commands(max_ended=1)
        assert it.get(CommandId("1")) is None
        assert it.commands_of(A) == ()
        it.submit(command(1), 0.0)
        assert [change.state for change in it.commands_of(A)] == [QUEUED]
        it.connected(A, 1.0)
        it.submit(command(2), 1.0)
        assert [(c.command.payload, c.state) for c in it.commands_of(A)] == [(1, WRITTEN), (2, WRITTEN)]
        it.answer(A, 1, 2.0)
        end = it.get(CommandId("1"))
        assert end is not None
        assert end.state is ANSWERED
        it.answer(A, 2, 3.0)
        assert it.get(CommandId("1")) is None

    def test_statistics(self) -> None:
        """Nothing is lost in silence."""
        it = commands()
        it.submit(command(1), 0.0)
        it.connected(B, 0.0)
        it.submit(command(2, B), 0.0)
        it.submit(command(3, B), 0.0)
        it.answer(B, 3, 1.0)
        statistics = it.statistics()
        assert (statistics.submitted, statistics.queued, statistics.written) == (3, 1, 1)
        assert statistics.ended == {state: int(state is ANSWERED) for state in CommandState if state not in TRANSITIONS}


class Watch:
    """Follows every change and write, as the shell and the devices see them, and knows what must never happen."""

    def __init__(self, it: Commands) -> None:
        self.it = it
        self.last: dict[CommandId, CommandState] = {}
        self.writes: Counter[CommandId] = Counter()
        self.waiting: dict[DeviceId, set[Hashable]] = {}
        self.connected: set[DeviceId] = set()

    def see(self, step: Step) -> Step:
        for change in step.changes:
            before, device_id = self.last.get(change.command.command_id), change.command.device_id
            assert change.state is QUEUED if before is None else change.state in TRANSITIONS[before]
            waiting = self.waiting.setdefault(device_id, set())
            if change.state is WRITTEN and change.command.is_answered:
                assert change.command.correlation not in waiting
                waiting.add(change.command.correlation)
            elif before is WRITTEN and change.command.is_answered:
                waiting.discard(change.command.correlation)
            self.last[change.command.command_id] = change.state
        for write in step.writes:
            command_id = write.command.command_id
            assert write.command.device_id in self.connected
            self.writes[command_id] += 1
            assert write.attempt == self.writes[command_id]
            assert write.attempt == 1 or write.command.is_idempotent, "written twice"
        return step

    def check(self) -> None:
        counts = Counter(self.last.values())
        statistics = self.it.statistics()
        assert statistics.submitted == len(self.last)
        assert (statistics.queued, statistics.written) == (counts[QUEUED], counts[WRITTEN])
        assert {state: count for state, count in statistics.ended.items() if count} == {
            state: count for state, count in counts.items() if state not in TRANSITIONS
        }
        assert (self.it.next_deadline() is None) <= (counts[QUEUED] + counts[WRITTEN] == 0)

    def finish(self, now: float) -> None:
        self.see(self.it.close(now))
        self.check()
        assert all(state not in TRANSITIONS for state in self.last.values()), "without an outcome"
        assert self.it.next_deadline() is None
        for command_id, state in self.last.items():
            if state in (EXPIRED, CANCELLED, DISPLACED):
                assert self.writes[command_id] == 0


class Life(RuleBasedStateMachine):
    """Any order of commands, answers, cuts and time."""

    def __init__(self) -> None:
        super().__init__()
        self.it = commands(max_in_flight=2, max_queued=4, settle_s=3.0, max_ended=6)
        self.watch = Watch(self.it)
        self.now = 0.0
        self.number = 0

    @rule(
        device_id=st.sampled_from([A, B]),
        correlation=st.sampled_from([None, "x", "own"]),
        is_answered=st.booleans(),
        is_idempotent=st.booleans(),
        deduplication=st.sampled_from(["", "", "k"]),
        lifetime_s=st.sampled_from([0.0, 4.0, None]),
    )
    def submit(self, device_id: DeviceId, correlation: Hashable, **more: Any) -> None:
        self.number += 1
        correlation = self.number if correlation == "own" else correlation
        try:
            self.watch.see(self.it.submit(command(self.number, device_id, correlation=correlation, **more), self.now))
        except CommandQueueFull:
            assert len([c for c in self.it.commands_of(device_id) if c.state is QUEUED]) >= 4

    @precondition(lambda self: self.number)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        command_id = CommandId(str(data.draw(st.integers(1, self.number))))
        was = self.watch.last.get(command_id)
        step = self.watch.see(self.it.cancel(command_id, self.now))
        assert bool(step.changes) is (was is QUEUED)

    @rule(device_id=st.sampled_from([A, B]))
    def connect(self, device_id: DeviceId) -> None:
        self.watch.connected.add(device_id)
        self.watch.see(self.it.connected(device_id, self.now))

    @rule(device_id=st.sampled_from([A, B]))
    def cut(self, device_id: DeviceId) -> None:
        self.watch.connected.discard(device_id)
        self.watch.see(self.it.disconnected(device_id, self.now))

    @rule(device_id=st.sampled_from([A, B]), data=st.data(), is_refusal=st.booleans())
    def answer(self, device_id: DeviceId, data: st.DataObject, is_refusal: bool) -> None:
        correlation = data.draw(st.sampled_from([None, "x", *range(1, self.number + 2)]))
        is_waiting = correlation in self.watch.waiting.get(device_id, ())
        step = self.watch.see(self.it.answer(device_id, correlation, self.now, is_refusal=is_refusal))
        assert (step.stray is None) is is_waiting

    @rule(seconds=st.sampled_from([0.5, 2.0, 11.0]), is_noticed=st.booleans())
    def wait(self, seconds: float, is_noticed: bool) -> None:
        self.now += seconds
        if is_noticed:
            self.watch.see(self.it.expire(self.now))
            deadline = self.it.next_deadline()
            assert deadline is None or deadline > self.now

    @rule(device_id=st.sampled_from([A, B]))
    def forget(self, device_id: DeviceId) -> None:
        self.watch.connected.discard(device_id)
        self.watch.see(self.it.forget(device_id, self.now))
        assert self.it.commands_of(device_id) == ()

    @invariant()
    def agrees(self) -> None:
        self.watch.check()

    def teardown(self) -> None:
        self.watch.finish(self.now)


TestLife = Life.TestCase


class Fleet:
    """A hundred devices that answer, or do it late, twice, for another or never, on connections that are cut."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.it = commands(timeout_s=3.0, settle_s=2.0, max_ended=200_000)
        self.watch = Watch(self.it)
        self.devices = [DeviceId(f"d{number}") for number in range(100)]
        self.now = 0.0
        self.answers: list[tuple[float, DeviceId, Hashable]] = []

    def see(self, step: Step) -> None:
        """Note what devices will say to what was written to them."""
        self.watch.see(step)
        for write in step.writes:
            device_id, correlation = write.command.device_id, write.command.correlation
            for delay in self._delays():
                sender = self.chance.choice(self.devices) if self.chance.random() < 0.02 else device_id
                self.answers.append((self.now + delay, sender, correlation))

    def _delays(self) -> Iterable[float]:
        kind = self.chance.random()
        if kind < 0.75:
            return [self.chance.random()]
        if kind < 0.85:
            return [4.0 + self.chance.random()]
        return [] if kind < 0.95 else [0.5, 0.6]

    def submit(self, number: int) -> bool:
        chance = self.chance.random
        correlation: Hashable = number if chance() < 0.7 else ("status" if chance() < 0.5 else None)
        more = {
            "correlation": correlation,
            "is_answered": chance() < 0.9,
            "is_idempotent": chance() < 0.4,
            "deduplication": "set point" if chance() < 0.1 else "",
            "lifetime_s": self.chance.choice([0.0, 1.0, 5.0, None]),
        }
        try:
            self.see(self.it.submit(command(number, self.chance.choice(self.devices), **more), self.now))
        except CommandQueueFull:
            return False
        return True

    def pass_time(self) -> None:
        self.now += 0.05
        due = [answer for answer in self.answers if answer[0] <= self.now]
        self.answers = [answer for answer in self.answers if answer[0] > self.now]
        for _, device_id, correlation in due:
            self.see(self.it.answer(device_id, correlation, self.now, is_refusal=self.chance.random() < 0.1))
        self.see(self.it.expire(self.now))
        for _ in range(4):
            device_id = self.chance.choice(self.devices)
            if device_id in self.watch.connected:
                self.watch.connected.discard(device_id)
                self.see(self.it.disconnected(device_id, self.now))
            else:
                self.watch.connected.add(device_id)
                self.see(self.it.connected(device_id, self.now))


def test_a_hundred_thousand_commands() -> None:
    """Under cuts, reconnects, time-outs, doubled, late and foreign answers: each ends once, none is written twice."""
    fleet = Fleet(seed=5)
    for number in range(1, 150_000):
        fleet.submit(number)
        if len(fleet.watch.last) == 100_000:
            break
        if number % 50 == 0:
            fleet.pass_time()
        if number % 97 == 0:
            fleet.see(fleet.it.cancel(CommandId(str(fleet.chance.randint(1, number))), fleet.now))
    for _ in range(200):
        fleet.pass_time()
    fleet.watch.finish(fleet.now)
    statistics = fleet.it.statistics()
    assert statistics.submitted == sum(statistics.ended.values()) == 100_000
    assert all(statistics.ended.values()), "every end was reached"
    assert min(statistics.late, statistics.doubled, statistics.foreign, statistics.rewritten) > 0
