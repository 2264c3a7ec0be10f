from __future__ import annotations

import pytest

from portcast.devices import ENDS, TRANSITIONS, Change, Command, CommandState, Step, Write
from portcast.types import CommandId, DeviceId


def test_every_state_can_be_reached_and_left_or_is_an_end() -> None:
    """The table is whole: no state is forgotten, none is a dead end by accident."""
    reachable, waiting = {CommandState.QUEUED}, [CommandState.QUEUED]
    while waiting:
        for state in TRANSITIONS.get(waiting.pop(), ()):
            if state not in reachable:
                reachable.add(state)
                waiting.append(state)
    assert reachable == set(CommandState)
    assert {state for state in CommandState if state not in TRANSITIONS} == ENDS
    assert not ENDS & TRANSITIONS.keys()


@pytest.mark.parametrize("state", CommandState, ids=lambda state: state.value)
def test_a_change_knows_whether_it_is_the_last(state: CommandState) -> None:
    """Who waits for a command waits for this."""
    command = Command(CommandId("1"), DeviceId("a"), b"secret")
    assert Change(command, state, 0.0).is_end is (state in ENDS)


def test_payloads_stay_out_of_logs() -> None:
    """A command may hold a password, its answer a position."""
    command = Command(CommandId("1"), DeviceId("a"), b"secret")
    change = Change(command, CommandState.ANSWERED, 0.0, "secret")
    assert "secret" not in repr(Step((change,), (Write(command, 1),)))
