"""A command as it is asked for, by handlers and over HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from portcast.types import CommandId


@dataclass(frozen=True, slots=True)
class Submission:
    """A command as it is asked for.

    Attributes:
        value: what the listener's ``write=`` makes a frame of.
        is_answered: False: it ends when it is written. None: True if the listener says how answers are recognised.
        timeout_s: for the answer, from writing; None: as `portcast.devices.CommandOptions` says.
        lifetime_s: for the writing, from now; 0: the device must take it at once; None: as the options say.
        is_idempotent: True if the device may get it twice.
        deduplication: it takes the place of a queued command with the same key; empty: of none.
        command_id: its id; None makes one.
    """

    value: object
    is_answered: bool | None = None
    timeout_s: float | None = None
    lifetime_s: float | None = None
    is_idempotent: bool = False
    deduplication: str = ""
    command_id: CommandId | None = None
