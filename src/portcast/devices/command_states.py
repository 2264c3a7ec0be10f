"""What a command is, and the states of its life.

==============  =========================================  ==========================================================
state           entered when                               may become
==============  =========================================  ==========================================================
queued          submitted; or its connection was lost      written, expired, cancelled, displaced; unknown in place
                after it was written and it is idempotent  of the last three if it was written before
written         it was handed out to be written            answered, refused, timed_out, unknown, delivered, queued
delivered       it was written and no answer was asked     (end)
answered        the device answered                        (end)
refused         the device answered that it will not       (end)
timed_out       the connection lived, and the answer did   (end)
                not come in time
unknown         it was written, and its connection was     (end)
                lost: perhaps it was carried out
expired         its lifetime passed before it was written  (end)
cancelled       somebody thought better of it before it    (end)
                was written, or the device was forgotten
displaced       a newer command with the same              (end)
                deduplication key took its place
==============  =========================================  ==========================================================

Each command reaches exactly one end. A command that is not idempotent is written at most once: only idempotent ones
go back to *queued*.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from portcast.types import CommandId, DeviceId


class CommandState(Enum):
    """See the table on top of the module."""

    QUEUED = "queued"
    WRITTEN = "written"
    DELIVERED = "delivered"
    ANSWERED = "answered"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    DISPLACED = "displaced"


TRANSITIONS: Final[dict[CommandState, frozenset[CommandState]]] = {
    CommandState.QUEUED: frozenset(
        {
            CommandState.WRITTEN,
            CommandState.EXPIRED,
            CommandState.CANCELLED,
            CommandState.DISPLACED,
            CommandState.UNKNOWN,
        }
    ),
    CommandState.WRITTEN: frozenset(
        {
            CommandState.DELIVERED,
            CommandState.ANSWERED,
            CommandState.REFUSED,
            CommandState.TIMED_OUT,
            CommandState.UNKNOWN,
            CommandState.QUEUED,
        }
    ),
}
"""The table on top of the module; what is not a key is an end."""

ENDS: Final = frozenset(CommandState) - TRANSITIONS.keys()
"""The states in which a command stays."""

Stray = Literal["late", "doubled", "foreign"]
"""Answers that belong to no command that waits for one:

* ``late``: its command timed out, or its connection was lost.
* ``doubled``: its command was answered before.
* ``foreign``: no command of this device, as far back as is remembered, has this correlation.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A request to a device.

    Attributes:
        command_id: names it; submitted again under the same id it is the same command.
        device_id: whom it is for.
        payload: what is to be written: bytes, or a value for the codec.
        correlation: what its answer has in common with it. A number or word that both hold; the type of the answer; or
            None for devices that answer one command at a time. At most one command of a device with the same
            correlation waits for its answer.
        is_answered: False if no answer is expected: the command ends as delivered when it is written.
        is_idempotent: True if the device may get it twice: it is written again if the connection is lost before the
            answer. A command that is not ends as unknown then.
        deduplication: a newer command with the same key takes the place of one that is still queued. Empty: none does.
        timeout_s: how long the answer may take from writing; None is the default of `CommandOptions`.
        lifetime_s: how long it may be queued from submission; None is the default of `CommandOptions`.
    """

    command_id: CommandId
    device_id: DeviceId
    payload: object = field(repr=False)
    correlation: Hashable = None
    is_answered: bool = True
    is_idempotent: bool = False
    deduplication: str = ""
    timeout_s: float | None = None
    lifetime_s: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A command entered a state; to be published on ``$devices/<id>/commands``.

    Attributes:
        command: which.
        state: the state.
        at: when.
        answer: what the device said, if it answered or refused.
        number: of the command among all that were submitted, from 1 on: the order in which a device gets its own.
    """

    command: Command
    state: CommandState
    at: float
    answer: object = field(default=None, repr=False)
    number: int = 0

    @property
    def is_end(self) -> bool:
        """True if it is the last change of this command."""
        return self.state in ENDS


@dataclass(frozen=True, slots=True)
class Write:
    """A command that is to be written to its device now, in the same step in which it is handed out.

    Attributes:
        command: which.
        attempt: 1, or more if it is idempotent and was written before.
    """

    command: Command
    attempt: int


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one call.

    Attributes:
        changes: in the order in which they happened.
        writes: in the order in which they are to be written.
        stray: what an answer was that belongs to no waiting command; None otherwise.
    """

    changes: tuple[Change, ...] = ()
    writes: tuple[Write, ...] = ()
    stray: Stray | None = None


@dataclass(frozen=True, slots=True)
class CommandStatistics:
    """What became of commands, and of answers without one.

    Attributes:
        submitted: all commands so far; ``submitted == queued + written + the sum of ended``.
        queued: that wait to be written.
        written: that wait for their answers.
        ended: by the state in which they ended.
        rewritten: writes beyond the first of a command.
        late: strays of this kind.
        doubled: strays of this kind.
        foreign: strays of this kind.
    """

    submitted: int
    queued: int
    written: int
    ended: dict[CommandState, int]
    rewritten: int
    late: int
    doubled: int
    foreign: int
