"""The commands of all devices: which are written when, and how each ends.

The states are those of the table in `portcast.devices.command_states`. Beside it:

* **Order.** A device's commands are written in the order of their submission. The first that must wait (for the window
  of commands in flight, or for its correlation) holds up those behind it.
* **Correlation.** At most one command of a device with the same correlation waits for its answer, so an answer has one
  owner at most. After a time-out the correlation *settles*: nothing with it is written for a while, because a late
  answer to the first command could not be told from one to the second. The late answer, the end of the connection or
  the end of that time sets it free.
* **Handed out is written.** What a step says is to be written counts as written, whatever becomes of the socket: the
  shell writes it to the transport before it does anything else. A command can be cancelled until it is handed out.
* **Cuts.** A device has a connection or not; when the one that its commands are written to is lost, those in flight
  become unknown, or are queued again, in front and in their old order, if they are idempotent.

Invariants: a command is in the queue of its device exactly if its state is *queued*, in flight exactly if it is
*written*, and in neither after its end; it has a deadline exactly as long as it has not ended. ``submitted == queued +
written + ended``. A device without commands and settling correlations costs an entry in a set while it is connected.

This file must not know what a payload is, who submitted it, or how an answer was recognised as one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TypeAlias

from portcast.devices.command_states import (
    TRANSITIONS,
    Change,
    Command,
    CommandState,
    CommandStatistics,
    Step,
    Stray,
    Write,
)
from portcast.devices.deadlines import Deadlines
from portcast.devices.ended_commands import EndedCommands
from portcast.devices.options import CommandOptions
from portcast.errors import CommandQueueFull
from portcast.types import CommandId, DeviceId


class _Entry:
    """A command that has not ended."""

    __slots__ = ("attempts", "command", "expires_at", "last")

    def __init__(self, command: Command, expires_at: float, last: Change) -> None:
        self.command = command
        self.expires_at = expires_at
        self.last = last
        self.attempts = 0


class _Lane:
    """The commands of one device that have not ended."""

    __slots__ = ("in_flight", "queue", "settling")

    def __init__(self) -> None:
        self.queue: OrderedDict[CommandId, _Entry] = OrderedDict()
        # By correlation, in the order of writing.
        self.in_flight: dict[Hashable, _Entry] = {}
        self.settling: set[Hashable] = set()

    @property
    def is_empty(self) -> bool:
        return not (self.queue or self.in_flight or self.settling)


class _Log:
    """What one call did, in order."""

    __slots__ = ("changes", "writes")

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.writes: list[Write] = []

    def step(self, stray: Stray | None = None) -> Step:
        return Step(tuple(self.changes), tuple(self.writes), stray)


_Settling: TypeAlias = tuple[DeviceId, Hashable]
"""A correlation of a device; the other keys of deadlines are command ids."""


class Commands:
    """Every call says what changed and what is to be written now; the caller does both, in this order."""

    __slots__ = (
        "_connected",
        "_deadlines",
        "_ended",
        "_entries",
        "_lanes",
        "_options",
        "_queued",
        "_rewritten",
        "_submitted",
    )

    def __init__(self, options: CommandOptions) -> None:
        self._options = options
        self._connected: set[DeviceId] = set()
        self._lanes: dict[DeviceId, _Lane] = {}
        self._entries: dict[CommandId, _Entry] = {}
        self._deadlines: Deadlines[CommandId | _Settling] = Deadlines()
        self._ended = EndedCommands(options.max_ended)
        self._submitted = 0
        self._queued = 0
        self._rewritten = 0

    def submit(self, command: Command, now: float) -> Step:
        """Take a command: it is queued, and written at once if its device is connected and nothing is before it.

        A command whose id is known, ended or not, is taken as the same again: nothing happens.

        Raises:
            CommandQueueFull: as many commands as may wait for this device already.
        """
        if self.get(command.command_id) is not None:
            return Step()
        log = _Log()
        lane = self._lanes.get(command.device_id) or _Lane()
        older = self._same_key(lane, command)
        if len(lane.queue) - (older is not None) >= self._options.max_queued:
            raise CommandQueueFull(command.device_id, self._options.max_queued)
        self._lanes[command.device_id] = lane
        if older is not None:
            self._drop(lane, older, CommandState.DISPLACED, now, log)
        lifetime = self._options.lifetime_s if command.lifetime_s is None else command.lifetime_s
        self._submitted += 1
        entry = _Entry(command, now + lifetime, Change(command, CommandState.QUEUED, now, number=self._submitted))
        self._entries[command.command_id] = entry
        log.changes.append(entry.last)
        self._enqueue(lane, entry)
        self._pump(command.device_id, lane, now, log)
        # After the attempt to write it: a lifetime of 0 is for devices that take it at once.
        if entry.last.state is CommandState.QUEUED and entry.expires_at <= now:
            self._drop(lane, entry, CommandState.EXPIRED, now, log)
        self._tidy(command.device_id, lane)
        return log.step()

    def cancel(self, command_id: CommandId, now: float) -> Step:
        """End a command that is queued. Nothing happens to one that was written, has ended or is not known."""
        entry = self._entries.get(command_id)
        if entry is None or entry.last.state is not CommandState.QUEUED:
            return Step()
        log, device_id = _Log(), entry.command.device_id
        lane = self._lanes[device_id]
        self._drop(lane, entry, CommandState.CANCELLED, now, log)
        self._pump(device_id, lane, now, log)
        self._tidy(device_id, lane)
        return log.step()

    def connected(self, device_id: DeviceId, now: float) -> Step:
        """Note that a device can be written to, and write what waits for it."""
        log = _Log()
        self._connected.add(device_id)
        lane = self._lanes.get(device_id)
        if lane is not None:
            self._pump(device_id, lane, now, log)
            self._tidy(device_id, lane)
        return log.step()

    def disconnected(self, device_id: DeviceId, now: float) -> Step:
        """Note that the connection to which a device's commands were written is lost.

        A device with another connection is then `connected` again.
        """
        log = _Log()
        self._connected.discard(device_id)
        lane = self._lanes.get(device_id)
        if lane is not None:
            self._cut(device_id, lane, now, log)
            self._tidy(device_id, lane)
        return log.step()

    def answer(
        self,
        device_id: DeviceId,
        correlation: Hashable,
        now: float,
        answer: object = None,
        *,
        is_refusal: bool = False,
    ) -> Step:
        """Note that a device answered, and write what waited for that.

        Args:
            device_id: who answered; an answer of another device never ends a command.
            correlation: what the answer has in common with its command.
            now: the time. An answer that is here before its time-out was noticed is in time.
            answer: what it says.
            is_refusal: True if the device will not carry the command out.
        """
        log = _Log()
        lane = self._lanes.get(device_id)
        entry = lane.in_flight.get(correlation) if lane is not None else None
        if lane is None or entry is None:
            return self._stray(device_id, lane, correlation, now)
        self._land(lane, entry)
        state = CommandState.REFUSED if is_refusal else CommandState.ANSWERED
        self._end(entry, state, now, log, answer)
        self._pump(device_id, lane, now, log)
        self._tidy(device_id, lane)
        return log.step()

    def awaits(self, device_id: DeviceId) -> bool:
        """Return True if an answer of this device may come now, in time or late."""
        lane = self._lanes.get(device_id)
        return lane is not None and bool(lane.in_flight or lane.settling)

    def next_deadline(self) -> float | None:
        """Return when `expire` is to be called next; None if nothing waits."""
        return self._deadlines.next()

    def expire(self, now: float) -> Step:
        """Do what was due up to ``now``: end commands, set correlations free, write what waited for that."""
        log = _Log()
        # A dict as an ordered set: writes in the order in which their devices became free.
        freed: dict[DeviceId, None] = {}
        for key in self._deadlines.due(now):
            if isinstance(key, tuple):
                device_id, correlation = key
                self._lanes[device_id].settling.discard(correlation)
            else:
                device_id = self._run_out(self._entries[key], now, log)
            freed[device_id] = None
        for device_id in freed:
            lane = self._lanes[device_id]
            self._pump(device_id, lane, now, log)
            self._tidy(device_id, lane)
        return log.step()

    def forget(self, device_id: DeviceId, now: float) -> Step:
        """End all commands of a device that is no longer one."""
        log = _Log()
        self._connected.discard(device_id)
        lane = self._lanes.get(device_id)
        if lane is not None:
            self._cut(device_id, lane, now, log, is_final=True)
            for entry in tuple(lane.queue.values()):
                self._drop(lane, entry, CommandState.CANCELLED, now, log)
            self._tidy(device_id, lane)
        return log.step()

    def close(self, now: float) -> Step:
        """End all commands, at the end of the process."""
        changes: list[Change] = []
        for device_id in tuple(self._lanes):
            changes += self.forget(device_id, now).changes
        return Step(tuple(changes))

    def get(self, command_id: CommandId) -> Change | None:
        """Return the last change of a command; None if it is not known, or ended too long ago."""
        entry = self._entries.get(command_id)
        return self._ended.get(command_id) if entry is None else entry.last

    def commands_of(self, device_id: DeviceId) -> tuple[Change, ...]:
        """Return the last changes of the commands of a device that have not ended, in the order of writing."""
        lane = self._lanes.get(device_id)
        entries = () if lane is None else (*lane.in_flight.values(), *lane.queue.values())
        return tuple(entry.last for entry in entries)

    def statistics(self) -> CommandStatistics:
        """Return what became of commands, and of answers without one."""
        return CommandStatistics(
            submitted=self._submitted,
            queued=self._queued,
            written=len(self._entries) - self._queued,
            ended=dict(self._ended.counts),
            rewritten=self._rewritten,
            late=self._ended.strays["late"],
            doubled=self._ended.strays["doubled"],
            foreign=self._ended.strays["foreign"],
        )

    def _same_key(self, lane: _Lane, command: Command) -> _Entry | None:
        """Return the queued command whose place ``command`` takes."""
        key = command.deduplication
        if not key:
            return None
        return next((entry for entry in lane.queue.values() if entry.command.deduplication == key), None)

    def _pump(self, device_id: DeviceId, lane: _Lane, now: float, log: _Log) -> None:
        """Write what can be written, in order."""
        while device_id in self._connected and lane.queue:
            entry = next(iter(lane.queue.values()))
            if entry.expires_at < now:
                self._drop(lane, entry, CommandState.EXPIRED, now, log)
                continue
            command = entry.command
            if command.is_answered and (
                len(lane.in_flight) >= self._options.max_in_flight
                or command.correlation in lane.in_flight
                or command.correlation in lane.settling
            ):
                return
            self._write(lane, entry, now, log)

    def _write(self, lane: _Lane, entry: _Entry, now: float, log: _Log) -> None:
        command = entry.command
        del lane.queue[command.command_id]
        self._queued -= 1
        entry.attempts += 1
        self._rewritten += entry.attempts > 1
        self._move(entry, CommandState.WRITTEN, now, log)
        log.writes.append(Write(command, entry.attempts))
        if not command.is_answered:
            self._end(entry, CommandState.DELIVERED, now, log)
            return
        lane.in_flight[command.correlation] = entry
        timeout = self._options.timeout_s if command.timeout_s is None else command.timeout_s
        self._deadlines.set(command.command_id, now + timeout)

    def _enqueue(self, lane: _Lane, entry: _Entry) -> None:
        lane.queue[entry.command.command_id] = entry
        self._queued += 1
        self._deadlines.set(entry.command.command_id, entry.expires_at)

    def _land(self, lane: _Lane, entry: _Entry) -> None:
        del lane.in_flight[entry.command.correlation]

    def _drop(self, lane: _Lane, entry: _Entry, state: CommandState, now: float, log: _Log) -> None:
        """End a queued command. If it was written before, nobody can say that it was not carried out."""
        del lane.queue[entry.command.command_id]
        self._queued -= 1
        self._end(entry, CommandState.UNKNOWN if entry.attempts else state, now, log)

    def _run_out(self, entry: _Entry, now: float, log: _Log) -> DeviceId:
        """End a command whose time is up, and return its device."""
        device_id, correlation = entry.command.device_id, entry.command.correlation
        lane = self._lanes[device_id]
        if entry.last.state is CommandState.QUEUED:
            self._drop(lane, entry, CommandState.EXPIRED, now, log)
            return device_id
        self._land(lane, entry)
        self._end(entry, CommandState.TIMED_OUT, now, log)
        if self._options.settle_s > 0:
            lane.settling.add(correlation)
            self._deadlines.set((device_id, correlation), now + self._options.settle_s)
        return device_id

    def _cut(self, device_id: DeviceId, lane: _Lane, now: float, log: _Log, *, is_final: bool = False) -> None:
        """End or requeue what was in flight; no answer to it can come any more on this connection."""
        for correlation in lane.settling:
            self._deadlines.clear((device_id, correlation))
        lane.settling.clear()
        again: list[_Entry] = []
        for entry in tuple(lane.in_flight.values()):
            self._land(lane, entry)
            if entry.command.is_idempotent and entry.expires_at >= now and not is_final:
                again.append(entry)
            else:
                self._end(entry, CommandState.UNKNOWN, now, log)
        # The newest first: each goes to the front, and finds a newer one with its key in the queue already.
        for entry in reversed(again):
            newer = self._same_key(lane, entry.command)
            self._move(entry, CommandState.QUEUED, now, log)
            self._enqueue(lane, entry)
            if newer is not None:
                self._drop(lane, entry, CommandState.DISPLACED, now, log)
            else:
                lane.queue.move_to_end(entry.command.command_id, last=False)

    def _stray(self, device_id: DeviceId, lane: _Lane | None, correlation: Hashable, now: float) -> Step:
        log = _Log()
        if lane is not None and correlation in lane.settling:
            lane.settling.discard(correlation)
            self._deadlines.clear((device_id, correlation))
            self._pump(device_id, lane, now, log)
            self._tidy(device_id, lane)
        return log.step(self._ended.stray(device_id, correlation))

    def _move(self, entry: _Entry, state: CommandState, now: float, log: _Log, answer: object = None) -> None:
        assert state in TRANSITIONS[entry.last.state], (entry.last.state, state)
        entry.last = Change(entry.command, state, now, answer, entry.last.number)
        log.changes.append(entry.last)

    def _end(self, entry: _Entry, state: CommandState, now: float, log: _Log, answer: object = None) -> None:
        command = entry.command
        self._move(entry, state, now, log, answer)
        self._deadlines.clear(command.command_id)
        del self._entries[command.command_id]
        self._ended.add(entry.last, was_written=entry.attempts > 0)

    def _tidy(self, device_id: DeviceId, lane: _Lane) -> None:
        if lane.is_empty:
            self._lanes.pop(device_id, None)
