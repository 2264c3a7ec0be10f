"""The bodies of the HTTP API for the flight recorder. Times are Unix seconds, sizes bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class FrameBody(BaseModel):
    """A frame, or what happened to its connection."""

    number: int = Field(description="counts up over everything that is recorded")
    at: float
    kind: Literal["in", "out", "refused", "opened", "rejected", "closed"] = Field(
        description="`refused`: bytes in which the framing found an error; `rejected`: the codec refused a frame"
    )
    device: str | None = Field(description="null while the connection has no device, or where it has several")
    connection: str
    listener: str
    size: int = Field(description="of the whole frame")
    hex: str
    text: str = Field(description="UTF-8, each other byte as `\\xNN`")
    is_redacted: bool = Field(description="true if something was taken out")
    is_truncated: bool = Field(description="true if this is the beginning of the frame only")
    skipped: int = Field(description="frames right before this one that were too fast to be recorded")
    detail: str = Field(description="why it was refused or closed; the peer, if it was opened")


class FramesBody(BaseModel):
    """What was recorded, oldest first."""

    is_recording: bool = Field(description="true if something that is asked for is recorded now")
    frames: list[FrameBody]
    next: int | None = Field(description="pass as `after` for the next page; null on the last")


class RuleBody(BaseModel):
    """A rule that says what is recorded."""

    rule: str = Field(description="`device:ID`, `connection:ID`, `listener:NAME` or `peer:ADDRESS`, perhaps with a `*`")
    until: float | None = Field(description="when it ends by itself; null if it does not")


class RecordingBody(BaseModel):
    """What is kept of one device or connection."""

    device: str | None = Field(description="null if it is a connection")
    connection: str | None = Field(description="null if it is a device")
    frames: int
    bytes: int = Field(description="bookkeeping included")
    skipped: int = Field(description="frames that were too fast to be recorded")
    evicted: int = Field(description="frames that had to give way or were too old")
    last_at: float = Field(description="when its newest was recorded")


class RecorderBody(BaseModel):
    """The flight recorder: what it is told to record, and what it holds."""

    rules: list[RuleBody]
    connections: int = Field(description="that are recorded now, with those of which nobody knows yet whose they are")
    frames: int
    bytes: int
    last_number: int = Field(description="of the newest frame; pass it as `after` to see what comes from now on")
    unpublished: int = Field(description="frames that could not be published on their topic")
    recordings: list[RecordingBody]
    next: str | None = Field(description="pass as `after` for the next page of recordings; null on the last")
