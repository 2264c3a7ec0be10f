"""The commands of a node's devices: the shell around `portcast.devices.Commands`.

The core decides, this file acts. Of each step it publishes the changes on ``$devices/<id>/commands``, tells those who
wait for an end, and writes, in this order; what comes of a write (the connection is gone, the frame cannot be made) is
another step, taken after the one at hand, so that frames keep their order.

* A device is in reach exactly while the core takes it for connected. Before anything is handed out for it, a look at
  its connection makes sure of that: one that is being closed takes no command, which stays in its queue.
* One timer for all deadlines.
* A command ends exactly once, at the latest when the node stops; whoever waits for it is told then.

Commands are written past the transport's mark (`Output.push`), since the core hands each out once. How much that can be
is bounded: `submit` waits while the device does not take what was sent, and a queue has a limit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from itertools import count
from random import SystemRandom

from portcast.devices import Change, Command, CommandOptions, Commands, CommandStatistics, Step, Write
from portcast.errors import CodecError, CommandQueueFull, ConfigurationError, ConnectionClosedError, ProtocolUnknown
from portcast.events import AnswerStrayed, CommandRefused, Emit, HandlerFailed
from portcast.runtime.clock import Clock, Timer
from portcast.runtime.device import Device
from portcast.runtime.device_json import change_json
from portcast.runtime.device_protocol import DeviceProtocol, Outgoing
from portcast.runtime.device_submission import Submission
from portcast.types import CommandId, DeviceId, ListenerName

# As connection ids: unique in a process, unlikely to meet another's.
_ids = count(SystemRandom().randrange(1 << 47))

Publish = Callable[[str, Sequence[bytes]], object]


class DeviceCommands:
    """See the theory on top of the module."""

    def __init__(
        self,
        options: CommandOptions,
        *,
        clock: Clock,
        publish: Publish,
        unix_time: Callable[[float], float],
        emit: Emit,
        first_number: Callable[[], int],
    ) -> None:
        """Make it without commands.

        Args:
            options: how long commands wait, and how many.
            clock: the loop.
            publish: publishes on a topic.
            unix_time: turns monotonic seconds into Unix seconds.
            emit: takes what happens.
            first_number: see `portcast.runtime.surroundings.Surroundings`.
        """
        self.options = options
        self.unix_time = unix_time
        self._core = Commands(options)
        self._clock = clock
        self._publish = publish
        self._emit = emit
        self._first_number = first_number
        self._in_reach: dict[DeviceId, Device] = {}
        self._protocols: list[DeviceProtocol] = []
        # Of the next command, for devices that were asked something.
        self._numbers: dict[DeviceId, int] = {}
        self._waiters: dict[CommandId, list[asyncio.Future[Change]]] = {}
        # Steps that wait for the one at hand.
        self._steps: deque[Step] = deque()
        self._is_stepping = False
        self._timer: Timer | None = None
        self._due = 0.0

    def speak(self, protocol: DeviceProtocol) -> None:
        """Note how a listener speaks to devices; if it is the only one, it speaks so to those that never came."""
        self._protocols.append(protocol)

    # What devices do

    def connected(self, device: Device) -> None:
        """Note that a device can be written to, by its newest connection, and write what waits for it."""
        if device.connections and device.connections[-1].is_open:
            self._in_reach[device.id] = device
            self._take(self._core.connected(device.id, self._clock.time()))

    def disconnected(self, device: Device) -> None:
        """Note that it cannot; it may be `connected` again at once, by another connection."""
        if self._in_reach.pop(device.id, None) is not None:
            self._take(self._core.disconnected(device.id, self._clock.time()))

    def forgotten(self, device_id: DeviceId) -> None:
        """Note that it is no device any more."""
        self._in_reach.pop(device_id, None)
        self._numbers.pop(device_id, None)
        self._take(self._core.forget(device_id, self._clock.time()))

    def awaits(self, device: Device) -> bool:
        """Return True if an answer of this device may come now."""
        return self._core.awaits(device.id)

    def answered(self, device: Device, protocol: DeviceProtocol, message: object) -> bool:
        """Return True if a message was the answer to a command, which has ended then."""
        replies = protocol.replies
        if replies is None or (replies.is_exclusive and not self._core.awaits(device.id)):
            return False
        reply = replies.read(message)
        if reply is None:
            return False
        self._look_at(device)
        step = self._core.answer(
            device.id, reply.correlation, self._clock.time(), reply.answer, is_refusal=reply.is_refusal
        )
        self._take(step)
        if step.stray is not None:
            self._emit(AnswerStrayed(device.id, step.stray))
        return step.stray is None

    # What users do

    async def submit(self, device: Device, submission: Submission) -> Change:
        """Take a command and return its state: queued, written, or ended.

        Waits first while the device does not take what was sent to it. Cancelled meanwhile, nothing was submitted.

        Raises:
            CommandQueueFull: as many wait already as may.
            ProtocolUnknown: the device never came, and nobody knows how it will speak.
            ConfigurationError: an answer is wanted, and its listener does not say how answers are recognised.
            Exception: what ``write=`` raised; a `CodecError` if the value cannot be expressed.
        """
        if device.connections:
            await device.connections[-1].wait_writable()
        return self.submit_nowait(device, submission)

    def submit_nowait(self, device: Device, submission: Submission) -> Change:
        """Take a command at once; otherwise as `submit`."""
        if submission.command_id is not None and (known := self._core.get(submission.command_id)) is not None:
            return known
        command = self._command(device, submission)
        self._look_at(device)
        try:
            step = self._core.submit(command, self._clock.time())
        except CommandQueueFull:
            self._emit(CommandRefused(device.id, "queue_full"))
            raise
        self._take(step)
        # With `max_ended=0` a command that has ended already is not remembered.
        return self._core.get(command.command_id) or [one for one in step.changes if one.command is command][-1]

    def _command(self, device: Device, submission: Submission) -> Command:
        protocol = device.protocol or (self._protocols[0] if len(self._protocols) == 1 else None)
        if protocol is None:
            raise ProtocolUnknown(device.id)
        replies, is_answered = protocol.replies, submission.is_answered
        if is_answered is None:
            is_answered = replies is not None
        correlation: Hashable = None
        if replies is not None:
            number = self._numbers.get(device.id) or self._first_number()
            correlation = replies.correlate(submission.value, number)
            self._numbers[device.id] = number + 1
        elif is_answered:
            raise ConfigurationError(
                "request", "the listener does not say how answers are recognised", "add replies= to it, or use send"
            )
        return Command(
            submission.command_id or CommandId(f"{next(_ids):012x}"),
            device.id,
            Outgoing(submission.value, protocol.frame(submission.value, correlation), protocol),
            correlation,
            is_answered=is_answered,
            is_idempotent=submission.is_idempotent,
            deduplication=submission.deduplication,
            timeout_s=submission.timeout_s,
            lifetime_s=submission.lifetime_s,
        )

    def refuse_unknown(self, device_id: str) -> None:
        """Tell of a command to a device that there is not."""
        self._emit(CommandRefused(device_id, "unknown_device"))

    async def wait_end(self, change: Change) -> Change:
        """Wait for the end of a command and return it; cancelling leaves the command as it is."""
        if change.is_end:
            return change
        future: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(change.command.command_id, [])
        waiters.append(future)
        try:
            return await future
        finally:
            if future in waiters:
                waiters.remove(future)

    def cancel(self, command_id: CommandId) -> Change | None:
        """End a command unless it was written, and return its last change; None if it is not known."""
        self._take(self._core.cancel(command_id, self._clock.time()))
        return self._core.get(command_id)

    def get(self, command_id: str) -> Change | None:
        """Return the last change of a command; None if it is not known, or ended too long ago."""
        return self._core.get(CommandId(command_id))

    def commands_of(self, device_id: DeviceId) -> tuple[Change, ...]:
        """Return the last changes of the commands of a device that have not ended, in the order of writing."""
        return self._core.commands_of(device_id)

    def statistics(self) -> CommandStatistics:
        """Return what became of commands, and of answers without one."""
        return self._core.statistics()

    def close(self) -> None:
        """End all commands, at the end of the node."""
        self._take(self._core.close(self._clock.time()))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Steps

    def _look_at(self, device: Device) -> None:
        """Take a device out of reach whose connection takes no more frames."""
        if not (device.connections and device.connections[-1].is_open):
            self.disconnected(device)

    def _take(self, step: Step) -> None:
        """Carry out a step, and those that come of it."""
        self._steps.append(step)
        if self._is_stepping:
            return
        self._is_stepping = True
        try:
            while self._steps:
                one = self._steps.popleft()
                for change in one.changes:
                    self._tell(change)
                for write in one.writes:
                    self._write(write)
        finally:
            self._is_stepping = False
        self._arm()

    def _tell(self, change: Change) -> None:
        command = change.command
        self._publish(f"$devices/{command.device_id}/commands", (change_json(change, self.unix_time),))
        if change.is_end:
            for future in self._waiters.pop(command.command_id, ()):
                if not future.done():
                    future.set_result(change)

    def _write(self, write: Write) -> None:
        command = write.command
        device, now = self._in_reach.get(command.device_id), self._clock.time()
        assert isinstance(command.payload, Outgoing)
        if device is None:
            return  # a write before this one found that the connection is gone, and that ended this command, too
        connection = device.connections[-1]
        try:
            connection.push(command.payload.frame_for(device.protocol, command.correlation))
        except ConnectionClosedError:
            self.disconnected(device)
        except Exception as error:  # noqa: BLE001 - `write=` of the user's, or a framing that cannot carry it
            self._emit(HandlerFailed(connection.id, ListenerName(connection.listener), "write", error))
            if command.is_answered:
                # The sentence of a codec or framing has no more of the command than whoever gave it knows.
                problem = f"it could not be written: {error if isinstance(error, CodecError) else type(error).__name__}"
                self._take(self._core.answer(device.id, command.correlation, now, problem, is_refusal=True))

    def _arm(self) -> None:
        due = self._core.next_deadline()
        if due is None or (self._timer is not None and self._due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer = None
        # A loop may call a little early, by the resolution of its clock.
        self._take(self._core.expire(max(self._clock.time(), self._due)))
