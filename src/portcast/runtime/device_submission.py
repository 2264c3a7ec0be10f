"""A command as it is asked for, by handlers and over HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from portcast.config import MOST_SECONDS
from portcast.errors import ConfigurationError
from portcast.types import CommandId


@dataclass(frozen=True, slots=True)
class Submission:
    """A command as it is asked for.

    Attributes:
        value: what the listener's ``write=`` makes a frame of.
        is_answered: False: it ends when it is written. None: True if the listener says how answers are recognised.
        timeout_s: for the answer, from writing, 0 to `MOST_SECONDS`; None: as `portcast.devices.CommandOptions` says.
        lifetime_s: for the writing, from now, 0 to `MOST_SECONDS`; 0: the device must take it at once; None: as the
            options say.
        is_idempotent: True if the device may get it twice.
        deduplication: it takes the place of a queued command with the same key; empty: of none.
        command_id: its id; None makes one.

    Raises:
        ConfigurationError: a timeout or lifetime is out of its range. One that is no number would be a deadline that
            never comes, in the way of those of all other commands.
    """

    value: object
    is_answered: bool | None = None
    timeout_s: float | None = None
    lifetime_s: float | None = None
    is_idempotent: bool = False
    deduplication: str = ""
    command_id: CommandId | None = None

    def __post_init__(self) -> None:
        for name, seconds in (("timeout", self.timeout_s), ("lifetime", self.lifetime_s)):
            if seconds is not None and not 0 <= seconds <= MOST_SECONDS:
                raise ConfigurationError(name, f"{seconds!r} is out of range", "give 0 s to ten years, in seconds")
