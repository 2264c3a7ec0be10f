"""Messages that a device sends again, recognised by a key of the user.

A device that does not get its acknowledgement in time sends the message again. Handled twice, it would be stored twice.

=============  ============================  ==================================================
a message is   after                         sent again, it is
=============  ============================  ==================================================
new            nothing, or `failed`          handled, as if for the first time
in progress    `begin`                       ignored: its acknowledgement follows the first
done           `succeeded`                   acknowledged again, and not handled
=============  ============================  ==================================================

Of what is done the newest are remembered, up to a count and an age. What is in progress is always remembered; the
shell bounds it, as it bounds the messages in flight.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum

from portcast.devices.options import RedeliveryOptions


class Delivery(Enum):
    """See the table on top of the module."""

    NEW = "new"
    IN_PROGRESS = "in progress"
    DONE = "done"


class RedeliveryWindow:
    """The messages of one device.

    Attributes:
        redelivered: messages that were not handled again, so far.
    """

    __slots__ = ("_done", "_in_progress", "_options", "redelivered")

    def __init__(self, options: RedeliveryOptions) -> None:
        self._options = options
        self._in_progress: set[Hashable] = set()
        # When each was done; the oldest first, because time does not go back.
        self._done: OrderedDict[Hashable, float] = OrderedDict()
        self.redelivered = 0

    def __len__(self) -> int:
        return len(self._done) + len(self._in_progress)

    def begin(self, key: Hashable, now: float) -> Delivery:
        """Return what the message with this key is; a new one is in progress from now on."""
        self._forget(now)
        if key in self._in_progress:
            self.redelivered += 1
            return Delivery.IN_PROGRESS
        if key in self._done:
            self.redelivered += 1
            return Delivery.DONE
        self._in_progress.add(key)
        return Delivery.NEW

    def succeeded(self, key: Hashable, now: float) -> None:
        """Remember that the message was handled."""
        self._in_progress.discard(key)
        self._done[key] = now
        self._done.move_to_end(key)
        self._forget(now)

    def failed(self, key: Hashable) -> None:
        """Forget the message: sent again, it is handled again."""
        self._in_progress.discard(key)

    def _forget(self, now: float) -> None:
        oldest = now - self._options.lifetime_s
        while self._done and (len(self._done) > self._options.window or next(iter(self._done.values())) < oldest):
            self._done.popitem(last=False)
