"""The messages of one connection on their way through handlers, and the acknowledgements that follow.

=============  =======================================  =========================================================
a message is   entered when                             may become
=============  =======================================  =========================================================
waiting        it came, and one of its device is        handled, dropped
               before it
handled        nothing of its device is before it       finished
finished       its handler is done; or it was done      acknowledged, or nothing follows (see `OnFailure`)
               before (`RedeliveryWindow`)
dropped        the connection ended before its turn     (end)
=============  =======================================  =========================================================

* One message of a device at a time, in the order in which they came. Devices that share a connection do not wait for
  each other.
* A message is acknowledged after its handler finished, never before: what the server lost, the device still has.
* With ``in_order`` an acknowledgement waits until all before it are decided. For protocols whose acknowledgement means
  everything so far, or names nothing.
* The window is full when as many messages are not finished as may be; the shell stops reading then. What was read
  already is taken all the same.

A message that comes again while it is handled gets no acknowledgement of its own: that of the first follows, or, if the
first came on a connection that has ended, the device sends it once more and is told that it is done.

This file must not know what a message is, nor how the protocol says yes and no.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from portcast.devices.redelivery import Delivery, RedeliveryWindow
from portcast.types import DeviceId

OnFailure = Literal["negative", "silence"]
"""What a device hears when the handler of its message failed: the protocol's no, or nothing, so that it sends again."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Stands for one message.

    Attributes:
        number: of the message on its connection, from 1.
        device_id: whose it is.
        key: what the user recognises it by when it comes again; None if there is nothing.
    """

    number: int
    device_id: DeviceId
    key: Hashable = None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """To be sent now.

    Attributes:
        ticket: for which message.
        is_positive: False if its handler failed.
    """

    ticket: Ticket
    is_positive: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """What came of one call.

    Attributes:
        handle: messages to be handled now.
        acknowledge: acknowledgements to be sent now, in this order.
    """

    handle: tuple[Ticket, ...] = ()
    acknowledge: tuple[Acknowledgement, ...] = ()


class AcknowledgementWindow:
    """The messages of one connection.

    Args:
        max_in_flight: messages that are waiting or handled, then the window is full. 64, as many as an inbox holds.
        on_failure: what the device hears.
        in_order: True if acknowledgements follow the order of the messages of all devices.
    """

    __slots__ = ("_in_order", "_is_closed", "_max_in_flight", "_number", "_on_failure", "_outcomes", "_queues", "_size")

    def __init__(self, max_in_flight: int = 64, on_failure: OnFailure = "silence", *, in_order: bool = False) -> None:
        self._max_in_flight = max_in_flight
        self._on_failure = on_failure
        self._in_order = in_order
        self._is_closed = False
        self._number = 0
        self._size = 0
        # By device, its messages; the first is being handled.
        self._queues: dict[DeviceId, deque[tuple[Ticket, RedeliveryWindow | None]]] = {}
        # With `in_order`: the messages that are not acknowledged, in order; None until the handler is done.
        self._outcomes: dict[Ticket, bool | None] = {}

    def __len__(self) -> int:
        """Messages that are waiting or handled."""
        return self._size

    @property
    def is_full(self) -> bool:
        """True if the shell must stop reading."""
        return self._size >= self._max_in_flight

    def arrive(
        self, device_id: DeviceId, now: float, key: Hashable = None, redelivery: RedeliveryWindow | None = None
    ) -> Progress:
        """Take a message.

        Args:
            device_id: whose it is.
            now: the time.
            key: what it is recognised by when it comes again; None if it cannot be.
            redelivery: the device's window, which outlives this connection; None if there is none.
        """
        assert not self._is_closed, "nothing comes from a connection that has ended"
        self._number += 1
        ticket = Ticket(self._number, device_id, key)
        if redelivery is None or key is None:
            redelivery, delivery = None, Delivery.NEW
        else:
            delivery = redelivery.begin(key, now)
        if delivery is Delivery.IN_PROGRESS:
            return Progress()
        if self._in_order:
            self._outcomes[ticket] = None
        if delivery is Delivery.DONE:
            return Progress(acknowledge=self._decide(ticket, is_success=True))
        queue = self._queues.setdefault(device_id, deque())
        queue.append((ticket, redelivery))
        self._size += 1
        return Progress(handle=(ticket,) if len(queue) == 1 else ())

    def finished(self, ticket: Ticket, now: float, *, is_success: bool) -> Progress:
        """Note that the handler of a message is done; also after the connection has ended.

        Args:
            ticket: of a message that was to be handled; once.
            now: the time.
            is_success: False if the handler raised.
        """
        queue = self._queues[ticket.device_id]
        first, redelivery = queue.popleft()
        assert first == ticket, "one message of a device is handled at a time"
        self._size -= 1
        if redelivery is not None:
            if is_success:
                redelivery.succeeded(ticket.key, now)
            else:
                redelivery.failed(ticket.key)
        if not queue:
            del self._queues[ticket.device_id]
        if self._is_closed:
            return Progress()
        return Progress((queue[0][0],) if queue else (), self._decide(ticket, is_success=is_success))

    def close(self) -> tuple[Ticket, ...]:
        """Note that the connection has ended, and return the messages that are dropped.

        What is being handled goes on and is remembered as done; the device is not told on this connection.
        """
        self._is_closed = True
        self._outcomes.clear()
        dropped: list[Ticket] = []
        for queue in self._queues.values():
            while len(queue) > 1:
                ticket, redelivery = queue.pop()
                dropped.append(ticket)
                if redelivery is not None:
                    redelivery.failed(ticket.key)
        self._size -= len(dropped)
        return tuple(sorted(dropped, key=lambda ticket: ticket.number))

    def _decide(self, ticket: Ticket, *, is_success: bool) -> tuple[Acknowledgement, ...]:
        """Return the acknowledgements that may be sent now that this message is decided."""
        if not self._in_order:
            return self._spoken(ticket, is_success)
        self._outcomes[ticket] = is_success
        ready: list[Acknowledgement] = []
        while self._outcomes:
            first, outcome = next(iter(self._outcomes.items()))
            if outcome is None:
                break
            del self._outcomes[first]
            ready += self._spoken(first, outcome)
        return tuple(ready)

    def _spoken(self, ticket: Ticket, is_success: bool) -> tuple[Acknowledgement, ...]:
        if is_success or self._on_failure == "negative":
            return (Acknowledgement(ticket, is_success),)
        return ()
