"""What happens to a process as a whole, and in its flight recorder; import these from `portcast.events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from portcast.types import ConnectionId, ListenerName


@dataclass(frozen=True, slots=True)
class LoopBlocked:
    """Something held up the event loop: nobody was served meanwhile. See `portcast.runtime.watchdog`."""

    handler: str
    """What the running task worked for; empty outside of tasks."""
    seconds: float
    """How long it had been blocked when it was noticed; it may have lasted longer."""
    stack: str
    """Its innermost frames, outermost first."""


@dataclass(frozen=True, slots=True)
class MemoryShort:
    """The process uses more memory than it may: devices are not read and newcomers are refused until it is less."""

    used_bytes: int
    limit_bytes: int
    buffered_bytes: int
    """What waits in buffers of ours; the rest is code, the application and the allocator."""


@dataclass(frozen=True, slots=True)
class MemoryRecovered:
    """Memory is enough again: devices are read, newcomers come in."""

    used_bytes: int
    limit_bytes: int
    buffered_bytes: int
    seconds: float
    """How long it was short."""


@dataclass(frozen=True, slots=True)
class RecordingChanged:
    """Somebody, or time, changed what the flight recorder records."""

    rule: str
    reason: Literal["on", "off", "expired"]


@dataclass(frozen=True, slots=True)
class RecordingCapped:
    """A connection is too fast to be recorded whole; told once for each. The recorder counts what is missing."""

    connection_id: ConnectionId
    listener: ListenerName
    max_rate: int


@dataclass(frozen=True, slots=True)
class RedactionFailed:
    """The application's redaction raised, so only the sizes of such frames are recorded; told once per connection."""

    connection_id: ConnectionId
    listener: ListenerName
    error: str
    """The exception's class: its text may quote the frame."""
