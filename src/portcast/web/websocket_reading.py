"""What a peer has sent is looked at in pieces, so that one who floods does not keep the loop from everybody else.

A transport reads up to 256 KiB at once (asyncio; uvloop does so again and again while there is more). That may be
43 000 pings, or 2000 commands that somebody must carry out: a fifth of a second in which nobody else is served. So a
piece is looked at, then the loop gets a turn; the transport does not read on before all of it is taken, and the peer
feels TCP slow down.

=========  =====================================  ==========================================================
state      entered by                             left by
=========  =====================================  ==========================================================
reading    the beginning; everything is taken     more than a piece was read; `hold_reading`
taking     more than a piece was read; `read_on`  the last piece; `hold_reading`
held       `hold_reading`                         `read_on`
lost       the transport's end                    (it has ended)
=========  =====================================  ==========================================================

The transport is paused in all states but the first. What was read is kept until it is taken: at most what the
transport hands over although it is paused (over TLS, the rest of a record or two).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

PIECE_BYTES = 4096
"""About 50 commands, or 700 pings: 2 to 3 ms of one core of a 2-core machine under CPython 3.11."""


class _State(Enum):
    READING = "reading"
    TAKING = "taking"
    HELD = "held"
    LOST = "lost"


_READING = _State.READING  # a name of the module is found faster than an attribute of the class


class PacedProtocol(asyncio.Protocol):
    """See the theory on top of the module.

    Attributes:
        on_lost: called once the transport is gone; may be set from outside.
        transport: the way to the peer; set by whoever inherits.
    """

    __slots__ = ("_is_due", "_left", "_reading", "on_lost", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._reading = _READING
        self._left = b""
        # A turn of `_take_next` is scheduled.
        self._is_due = False
        self.on_lost: Callable[[], object] | None = None

    def take(self, data: bytes) -> None:
        """Look at what was read; for whoever inherits."""
        raise NotImplementedError

    @property
    def can_be_held_long(self) -> bool:
        """True: whoever inherits does not wait for pongs while `is_behind`."""
        return True

    @property
    def is_behind(self) -> bool:
        """True while the peer may have sent what was not looked at."""
        return self._reading is not _READING

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol.data_received`."""
        if self._reading is _READING and len(data) <= PIECE_BYTES:
            self.take(data)
            return
        self._left += data
        if self._reading is _READING:
            self._pause(_State.TAKING)
            self._take_next()

    def hold_reading(self) -> None:
        """Look at nothing more until `read_on`, but for what is being looked at."""
        if self._reading is _READING:
            self._pause(_State.HELD)
        elif self._reading is _State.TAKING:
            self._reading = _State.HELD

    def read_on(self) -> None:
        """Undo `hold_reading`."""
        if self._reading is _State.HELD:
            self._reading = _State.TAKING
            self._go_on()

    def reading_lost(self) -> None:
        """Forget what was not taken: the transport is gone."""
        self._reading = _State.LOST
        self._left = b""
        if self.on_lost is not None:
            self.on_lost()

    def _pause(self, state: _State) -> None:
        self._reading = state
        # uvloop's transports raise after their end.
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def _take_next(self) -> None:
        self._is_due = False
        if self._reading is _State.TAKING:
            piece, self._left = self._left[:PIECE_BYTES], self._left[PIECE_BYTES:]
            self.take(piece)
            self._go_on()

    def _go_on(self) -> None:
        if self._reading is not _State.TAKING:
            return
        if not self._left:
            self._reading = _READING
            if not self.transport.is_closing():
                self.transport.resume_reading()
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._take_next)
