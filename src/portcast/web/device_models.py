"""The bodies of the HTTP API for devices and commands. Times are Unix seconds, sizes bytes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["online", "offline", "quarantined"]


class DeviceBody(BaseModel):
    """One device, connected or not."""

    id: str
    status: Status
    is_known: bool = Field(description="configured, approved, or found by the application")
    first_seen: float | None = Field(description="null if it never came")
    last_seen: float | None
    address: str = Field(description="of its newest connection; empty if it never had one")
    connections: list[str] = Field(description="ids, oldest first")
    attached: int = Field(description="how often it got a connection")
    frames: int = Field(description="messages that came from it")
    payload_bytes: int = Field(description="of these messages")
    open_commands: int = Field(description="commands that have not ended")
    tags: dict[str, str]


class CountsBody(BaseModel):
    """How many devices there are, by status."""

    online: int
    offline: int
    quarantined: int


class DevicesBody(BaseModel):
    """Devices, by id."""

    at: float = Field(description="when this was so")
    counts: CountsBody = Field(description="of all devices, whatever was asked for")
    devices: list[DeviceBody]
    next: str | None = Field(
        description="pass as `after` for the next page; null on the last. With `status` or `search` a page may be "
        "short, even empty, and not the last"
    )


class CommandRequest(BaseModel):
    """A command for a device: `command`, or `base64` for bytes that are not text."""

    model_config = ConfigDict(extra="forbid")

    # Not `JsonValue`, whose schema has definitions of its own that OpenAPI looks for elsewhere.
    command: Any = Field(default=None, description="text, or whatever the listener makes a frame of")
    base64: str | None = Field(default=None, description="bytes, instead of `command`")
    answered: bool | None = Field(
        default=None, description="false: it ends when it is written; null: as the device's listener knows answers"
    )
    timeout: float | None = Field(default=None, ge=0, le=86_400, description="seconds for the answer, from writing")
    lifetime: float | None = Field(
        default=None, ge=0, le=31_536_000, description="seconds that it may wait for the device; 0: it must be there"
    )
    idempotent: bool = Field(default=False, description="the device may get it twice")
    deduplication: str = Field(
        default="", max_length=255, description="it takes the place of a queued command with the same key"
    )


class CommandBody(BaseModel):
    """A command in its newest state."""

    id: str
    device: str
    state: Literal[
        "queued",
        "written",
        "delivered",
        "answered",
        "refused",
        "timed_out",
        "unknown",
        "expired",
        "cancelled",
        "displaced",
    ]
    at: float = Field(description="when it got there")
    is_end: bool = Field(description="true if it stays there")
    command: Any = Field(description="as submitted; bytes that are not text as `{base64: …}`")
    answer: Any = Field(description="what the device said, if it answered or refused")


class CommandsBody(BaseModel):
    """Commands of a device that have not ended, in the order of writing."""

    commands: list[CommandBody]
    next: int | None = Field(
        description="pass as `after` for the next page, whatever has ended meanwhile; null on the last"
    )
