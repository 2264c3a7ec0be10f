"""The inbox of a connection whose device answers commands.

A handler may wait for the answer of the very device whose message it handles: ``await device.request(…)`` at a login.
The answer would wait in the inbox for the handler, and the handler for the answer. So while a message is being handled
and the device owes an answer, frames are looked at as they come, and answers are taken out.
"""

from __future__ import annotations

from portcast.runtime.device_session import DeviceHandler
from portcast.runtime.inbox import InboxConsumer


class DeviceInbox(InboxConsumer):
    """See the theory on top of the module."""

    __slots__ = ()

    _handler: DeviceHandler

    def frames_received(self, frames: list[bytes]) -> bool:
        """See `Consumer.frames_received`."""
        device = self._connection.device
        if self._is_handling and device is not None and self._handler.directory.commands.awaits(device):
            frames = [one for one in frames if not self._handler.take_answer(one, self._connection)]
        return super().frames_received(frames)
