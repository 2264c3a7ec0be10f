"""One receiver of events made of several."""

from __future__ import annotations

import logging

from portcast.events import Emit, Event

_logger = logging.getLogger("portcast")


def fan_out(*receivers: Emit) -> Emit:
    """Return a receiver that passes each event to all of ``receivers``, in order.

    An exception in one is logged and does not keep the event from the others.
    """

    def emit(event: Event) -> None:
        for receiver in receivers:
            try:
                receiver(event)
            except Exception:
                _logger.exception("event receiver failed event=%s", type(event).__name__)

    return emit
