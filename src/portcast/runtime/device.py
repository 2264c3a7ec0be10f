"""A device as users hold it: an identity that outlives connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from portcast.devices import Change, CommandState, DeviceInfo, DeviceStatus
from portcast.errors import CommandFailed, DeviceUnknown
from portcast.runtime.device_submission import Submission
from portcast.types import DeviceId

if TYPE_CHECKING:
    from portcast.runtime.connection import Connection
    from portcast.runtime.device_directory import DeviceDirectory
    from portcast.runtime.device_protocol import DeviceProtocol


class Device:
    """One device. There is one such object for each, whatever becomes of its connections.

    Attributes:
        id: its id.
        connections: those on which it said who it is and that have not ended, oldest first.
        protocol: how its newest connection speaks; None if it never had one.
        newcomer: the task that handles the first message of its newest connection; None once that is done.
    """

    __slots__ = ("_directory", "connections", "id", "newcomer", "protocol")

    def __init__(self, device_id: DeviceId, directory: DeviceDirectory) -> None:
        self.id = device_id
        self.connections: tuple[Connection, ...] = ()
        self.protocol: DeviceProtocol | None = None
        self.newcomer: asyncio.Task[Any] | None = None
        self._directory = directory

    def __repr__(self) -> str:
        return f"<Device {self.id}>"

    @property
    def info(self) -> DeviceInfo:
        """All that is known of it, as of now. Times are monotonic seconds.

        Raises:
            DeviceUnknown: it was forgotten meanwhile.
        """
        info = self._directory.roster.get(self.id)
        if info is None:
            raise DeviceUnknown(self.id)
        return info

    @property
    def status(self) -> DeviceStatus:
        """Online, offline or quarantined; as `info`."""
        return self.info.status

    @property
    def is_online(self) -> bool:
        """True while it has a connection and is not quarantined."""
        return self.status is DeviceStatus.ONLINE

    @property
    def tags(self) -> Mapping[str, str]:
        """What the application says of it; as `info`."""
        return self.info.tags

    def tag(self, **tags: str) -> None:
        """Add to what is said of it, or replace.

        Raises:
            DeviceUnknown: it was forgotten meanwhile.
            ConfigurationError: a value is no text.
        """
        self._directory.roster.tag(self.id, {**self.tags, **tags})

    async def request(
        self,
        command: object,
        *,
        timeout: float | None = None,
        lifetime: float | None = None,
        idempotent: bool = False,
        deduplication: str = "",
    ) -> Any:
        """Send a command and return the device's answer: the message that was recognised as one.

        Cancelled, a command that was not written is not written; one that was goes on without you. A handler may ask
        the device whose message it handles.

        Args:
            command: what ``write=`` of its listener makes a frame of.
            timeout: seconds for the answer, from writing, up to ten years; None: as `portcast.CommandOptions.timeout_s`
                says.
            lifetime: seconds that it may wait for a device that is away, or busy with others; None: as long as the
                timeout, because somebody waits; 0: the device must take it at once.
            idempotent: it may be written again if the connection is lost before the answer.
            deduplication: it takes the place of a command with the same key that was not written yet.

        Raises:
            CommandFailed: it ended otherwise; says how.
            CommandQueueFull: as many wait already as may.
            ProtocolUnknown: the device never came, and nobody knows how it will speak.
            CodecError: the command cannot be expressed.
            ConfigurationError: ``timeout`` or ``lifetime`` is negative, or no number; or the listener does not say how
                answers are recognised.
        """
        commands = self._directory.commands
        if lifetime is None:
            lifetime = commands.options.timeout_s if timeout is None else timeout
        submission = Submission(command, True, timeout, lifetime, idempotent, deduplication)
        self._allow_own_handler()
        change = await commands.submit(self, submission)
        try:
            end = await commands.wait_end(change)
        except asyncio.CancelledError:
            commands.cancel(change.command.command_id)
            raise
        if end.state is not CommandState.ANSWERED:
            raise CommandFailed(self.id, end.command.command_id, end.state.value, end.answer)
        return end.answer

    async def send(self, command: object, *, lifetime: float | None = None, deduplication: str = "") -> Change:
        """Send a command to which no answer is expected.

        Waits only while the device does not take what was sent to it; cancelled then, nothing is sent.

        Args:
            command: as for `request`.
            lifetime: seconds that it may wait for a device that is away; None: as `portcast.CommandOptions.lifetime_s`
                says; 0: the device must be there.
            deduplication: as for `request`.

        Returns:
            Its state: delivered, queued, or expired if ``lifetime`` is 0 and the device is not there.

        Raises:
            CommandQueueFull: as many wait already as may.
            ProtocolUnknown: as for `request`.
            CodecError: the command cannot be expressed.
            ConfigurationError: ``lifetime`` is negative, or no number.
        """
        self._allow_own_handler()
        submission = Submission(command, False, None, lifetime, deduplication=deduplication)
        return await self._directory.commands.submit(self, submission)

    def _allow_own_handler(self) -> None:
        """Let the handler of the first message write before that is acknowledged: it would wait for itself."""
        if self.newcomer is not None and self.newcomer is asyncio.current_task():
            self._directory.ready(self)

    def approve(self) -> None:
        """Make it known; if it was quarantined, its messages are handled from now on."""
        self._directory.approve(self.id)

    def close(self) -> None:
        """Close its connections. Those on which other devices speak stay."""
        self._directory.close(self)

    def forget(self) -> None:
        """Remove it, known or not, with its commands. If it says again who it is, it is a new device."""
        self._directory.forget(self.id)
