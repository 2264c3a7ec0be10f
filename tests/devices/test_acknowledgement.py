from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portcast.devices import (
    AcknowledgementWindow,
    OnFailure,
    Progress,
    RedeliveryOptions,
    RedeliveryWindow,
    Ticket,
)
from portcast.types import DeviceId

A, B = DeviceId("a"), DeviceId("b")


def handled(progress: Progress) -> list[int]:
    return [ticket.number for ticket in progress.handle]


def acknowledged(progress: Progress) -> list[tuple[int, bool]]:
    return [(it.ticket.number, it.is_positive) for it in progress.acknowledge]


def test_acknowledged_after_success() -> None:
    """Never before: what the server lost, the device still has."""
    it = AcknowledgementWindow()
    progress = it.arrive(A, 0.0)
    assert (handled(progress), acknowledged(progress)) == ([1], [])
    assert acknowledged(it.finished(progress.handle[0], 1.0, is_success=True)) == [(1, True)]


def test_failure_is_silent_or_said() -> None:
    """As the protocol has it."""
    for on_failure, said in (("silence", []), ("negative", [(1, False)])):
        it = AcknowledgementWindow(on_failure=on_failure)  # type: ignore[arg-type]  # mypy widens the tuple's literals
        (ticket,) = it.arrive(A, 0.0).handle
        assert acknowledged(it.finished(ticket, 1.0, is_success=False)) == said


def test_one_message_of_a_device_at_a_time() -> None:
    """In order; devices that share the connection do not wait for each other."""
    it = AcknowledgementWindow()
    assert [handled(it.arrive(device_id, 0.0)) for device_id in (A, A, B, A)] == [[1], [], [3], []]
    assert len(it) == 4
    assert handled(it.finished(Ticket(1, A), 1.0, is_success=False)) == [2]
    assert handled(it.finished(Ticket(2, A), 1.0, is_success=True)) == [4]
    assert handled(it.finished(Ticket(3, B), 1.0, is_success=True)) == []
    assert len(it) == 1


def test_acknowledgements_in_order() -> None:
    """One that is ready early waits for those before it; a failed one holds nothing up."""
    it = AcknowledgementWindow(in_order=True)
    for device_id in (A, B, DeviceId("c")):
        it.arrive(device_id, 0.0)
    assert acknowledged(it.finished(Ticket(3, DeviceId("c")), 1.0, is_success=True)) == []
    assert acknowledged(it.finished(Ticket(1, A), 1.0, is_success=False)) == []
    assert acknowledged(it.finished(Ticket(2, B), 1.0, is_success=True)) == [(2, True), (3, True)]


def test_the_window_is_bounded() -> None:
    """The shell stops reading; what was read already is taken."""
    it = AcknowledgementWindow(2)
    it.arrive(A, 0.0)
    assert not it.is_full
    it.arrive(A, 0.0)
    assert it.is_full
    it.arrive(A, 0.0)
    it.finished(Ticket(1, A), 0.0, is_success=True)
    assert it.is_full
    it.finished(Ticket(2, A), 0.0, is_success=True)
    assert not it.is_full


def test_messages_that_come_again() -> None:
    """Ignored while they are handled, acknowledged and not handled afterwards, handled again after a failure."""
    it, window = AcknowledgementWindow(), RedeliveryWindow(RedeliveryOptions())
    (first,) = it.arrive(A, 0.0, 7, window).handle
    assert it.arrive(A, 1.0, 7, window) == Progress()
    it.finished(first, 2.0, is_success=False)
    (again,) = it.arrive(A, 3.0, 7, window).handle
    it.finished(again, 4.0, is_success=True)
    progress = it.arrive(A, 5.0, 7, window)
    assert (handled(progress), acknowledged(progress)) == ([], [(4, True)])
    assert handled(it.arrive(A, 6.0, None, window)) == [5], "without a key it cannot be recognised"


def test_the_end_of_the_connection() -> None:
    """What waits is dropped and may come again; what is handled is remembered, and acknowledged on the next one."""
    window = RedeliveryWindow(RedeliveryOptions())
    old = AcknowledgementWindow(in_order=True)
    (first,) = old.arrive(A, 0.0, "x", window).handle
    old.arrive(A, 0.0, "y", window)
    old.arrive(A, 0.0)
    assert [ticket.number for ticket in old.close()] == [2, 3]
    assert len(old) == 1
    new = AcknowledgementWindow()
    assert new.arrive(A, 1.0, "x", window) == Progress(), "still handled"
    assert old.finished(first, 2.0, is_success=True) == Progress()
    assert acknowledged(new.arrive(A, 3.0, "x", window)) == [(2, True)]
    assert handled(new.arrive(A, 3.0, "y", window)) == [3]


class Model(RuleBasedStateMachine):
    """Whatever comes and ends in which order: each message is handled once and acknowledged at most once, in order."""

    on_failure: OnFailure = "negative"
    in_order = False

    def __init__(self) -> None:
        super().__init__()
        self.it = AcknowledgementWindow(3, self.on_failure, in_order=self.in_order)
        self.arrived: list[Ticket] = []
        self.handling: list[Ticket] = []
        self.finished: dict[int, bool] = {}
        self.said: list[int] = []

    @rule(device_id=st.sampled_from([A, B, DeviceId("c")]))
    def arrive(self, device_id: DeviceId) -> None:
        ticket = Ticket(len(self.arrived) + 1, device_id)
        self.arrived.append(ticket)
        self.see(self.it.arrive(device_id, 0.0))

    @precondition(lambda self: self.handling)
    @rule(data=st.data(), is_success=st.booleans())
    def finish(self, data: st.DataObject, is_success: bool) -> None:
        ticket = self.handling.pop(data.draw(st.integers(0, len(self.handling) - 1)))
        self.finished[ticket.number] = is_success
        self.see(self.it.finished(ticket, 0.0, is_success=is_success))

    def see(self, progress: Progress) -> None:
        self.handling += progress.handle
        for it in progress.acknowledge:
            assert self.finished[it.ticket.number] is it.is_positive
            assert it.ticket.number not in self.said
            self.said.append(it.ticket.number)

    @invariant()
    def agrees(self) -> None:
        unfinished = [ticket for ticket in self.arrived if ticket.number not in self.finished]
        assert len(self.it) == len(unfinished)
        assert self.it.is_full is (len(unfinished) >= 3)
        first = {ticket.device_id: ticket for ticket in reversed(unfinished)}
        assert sorted(self.handling, key=str) == sorted(first.values(), key=str)
        speaking = [n for n, is_success in self.finished.items() if is_success or self.on_failure == "negative"]
        if self.in_order:
            oldest = min((ticket.number for ticket in unfinished), default=len(self.arrived) + 1)
            assert self.said == sorted(number for number in speaking if number < oldest)
        else:
            assert self.said == speaking


class InOrderModel(Model):
    on_failure = "silence"
    in_order = True


TestModel = Model.TestCase
TestInOrderModel = InOrderModel.TestCase
