from __future__ import annotations

from portcast.devices import Change, Command, CommandState
from portcast.devices.ended_commands import EndedCommands
from portcast.types import CommandId, DeviceId

A, B = DeviceId("a"), DeviceId("b")


def end(number: int, state: CommandState, device_id: DeviceId = A, *, is_answered: bool = True) -> Change:
    command = Command(CommandId(str(number)), device_id, b"", correlation=number, is_answered=is_answered)
    return Change(command, state, 0.0)


def test_strays_by_how_their_command_ended() -> None:
    """Late once, then doubled; nothing of what was never written or asked for an answer."""
    it = EndedCommands(9)
    it.add(end(1, CommandState.ANSWERED), was_written=True)
    it.add(end(2, CommandState.REFUSED), was_written=True)
    it.add(end(3, CommandState.TIMED_OUT), was_written=True)
    it.add(end(4, CommandState.UNKNOWN), was_written=True)
    it.add(end(5, CommandState.EXPIRED), was_written=False)
    it.add(end(6, CommandState.DELIVERED, is_answered=False), was_written=True)
    assert [it.stray(A, number) for number in (1, 1, 2, 3, 3, 4, 5, 6, 7)] == [
        "doubled", "doubled", "doubled", "late", "doubled", "late", "foreign", "foreign", "foreign"
    ]  # fmt: skip
    assert it.stray(B, 1) == "foreign", "another device's answer"
    assert it.strays == {"late": 2, "doubled": 4, "foreign": 4}


def test_the_newest_are_remembered() -> None:
    """Counts go on."""
    it = EndedCommands(2)
    for number in (1, 2, 3):
        it.add(end(number, CommandState.ANSWERED), was_written=True)
    assert it.get(CommandId("1")) is None
    assert it.get(CommandId("3")) == end(3, CommandState.ANSWERED)
    assert (it.stray(A, 1), it.stray(A, 2)) == ("foreign", "doubled")
    assert it.counts[CommandState.ANSWERED] == 3


def test_nothing_is_remembered_if_so_wished() -> None:
    """0 turns it off."""
    it = EndedCommands(0)
    it.add(end(1, CommandState.ANSWERED), was_written=True)
    assert it.get(CommandId("1")) is None
    assert it.stray(A, 1) == "foreign"
