"""What is remembered of commands that have ended: how they did, and what another answer to them would be.

============  =============================  ==============================================
an answer is  if its correlation was last    and then
============  =============================  ==============================================
late          timed out, or cut off          the same again is doubled
doubled       answered or refused            it stays so
foreign       not seen, or too long ago      it stays so
============  =============================  ==============================================
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from portcast.devices.command_states import ENDS, Change, CommandState, Stray
from portcast.types import CommandId, DeviceId


class EndedCommands:
    """The newest ends of all devices.

    Args:
        limit: how many commands, and how many correlations; 0 remembers none.

    Attributes:
        counts: by state, how many commands have ended, remembered or not.
        strays: by kind, how many answers belonged to no waiting command.
    """

    __slots__ = ("_changes", "_limit", "_next_stray", "counts", "strays")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changes: OrderedDict[CommandId, Change] = OrderedDict()
        self._next_stray: OrderedDict[tuple[DeviceId, Hashable], Stray] = OrderedDict()
        self.counts = dict.fromkeys(sorted(ENDS, key=lambda state: state.value), 0)
        self.strays: dict[Stray, int] = {"late": 0, "doubled": 0, "foreign": 0}

    def add(self, end: Change, *, was_written: bool) -> None:
        """Remember how a command ended."""
        command = end.command
        self.counts[end.state] += 1
        self._changes[command.command_id] = end
        if len(self._changes) > self._limit:
            self._changes.popitem(last=False)
        if command.is_answered and was_written:
            is_answered = end.state in (CommandState.ANSWERED, CommandState.REFUSED)
            self._expect(command.device_id, command.correlation, "doubled" if is_answered else "late")

    def get(self, command_id: CommandId) -> Change | None:
        """Return how a command ended; None if that is not remembered."""
        return self._changes.get(command_id)

    def stray(self, device_id: DeviceId, correlation: Hashable) -> Stray:
        """Count an answer for which no command waits, and return what it is."""
        kind = self._next_stray.get((device_id, correlation), "foreign")
        self.strays[kind] += 1
        if kind == "late":
            self._expect(device_id, correlation, "doubled")
        return kind

    def _expect(self, device_id: DeviceId, correlation: Hashable, kind: Stray) -> None:
        key = (device_id, correlation)
        self._next_stray[key] = kind
        self._next_stray.move_to_end(key)
        if len(self._next_stray) > self._limit:
            self._next_stray.popitem(last=False)
