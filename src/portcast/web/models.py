"""The bodies of the HTTP API. Times are Unix seconds, sizes bytes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


class Unfit(BaseModel):
    """Why a request was refused: in words, or by the parameter that does not fit."""

    detail: str | list[dict[str, Any]]


REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "a valid key or token is missing"},
    403: {"model": Problem, "description": "what was shown is not enough, or a page of a foreign origin asks"},
    429: {"model": Problem, "description": "too much that is not valid came from this address; see `Retry-After`"},
}
"""What every route that asks for rights may answer."""


class SessionBody(BaseModel):
    """Who asks."""

    user: str = Field(description="empty for nobody in particular")
    role: Literal["client", "reader", "operator"]
    topics: list[str] = Field(description="to which the role is limited; empty: everything")
    expires_at: int = Field(description="until when, Unix seconds; 0: for ever")


class PositionBody(BaseModel):
    """A place in the stream of a topic."""

    topic: str
    epoch: str = Field(description="names one uninterrupted numbering; offsets of different epochs cannot be compared")
    offset: int = Field(description="counts publications from 1; 0 is before the first")


class TopicBody(PositionBody):
    """One topic."""

    retained: int = Field(description="publications in history")
    retained_bytes: int
    subscribers: int
    published_at: float = Field(description="when the newest was published")


class TopicsBody(BaseModel):
    """Known topics, by name."""

    topics: list[TopicBody]
    next: str | None = Field(description="pass as `after` for the next page; null on the last")


class PublicationBody(BaseModel):
    """One publication: `data` if the payload is UTF-8, else `base64`."""

    offset: int
    time: float
    data: str | None = None
    base64: str | None = None


class HistoryBody(PositionBody):
    """Retained publications of a topic; `epoch` and `offset` are its newest position."""

    publications: list[PublicationBody]


class EnvelopeBody(BaseModel):
    """One publication with its topic and place: `data` if the payload is UTF-8, else `base64`."""

    topic: str
    epoch: str
    offset: int
    id: str = Field(description="pass as `since`, with the same filters, for what follows")
    time: float
    data: str | None = None
    base64: str | None = None
    tags: dict[str, str] | None = None


class MergedHistoryBody(BaseModel):
    """Retained publications of several topics, oldest first."""

    publications: list[EnvelopeBody]
    missed: int = Field(description="publications after `since` that are gone")
    exact: bool = Field(description="false if there may be more of them")
    more: int = Field(description="publications that follow the last one and did not fit")


class ListenerBody(BaseModel):
    """One listener and its counters since start."""

    name: str
    address: str
    framing: str
    target: str
    state: str
    connections: int
    accepted: int
    frames: int
    bytes_received: int
    bytes_sent: int
    errors: dict[str, int] = Field(description="connections that ended by a fault, by reason")


class ListenersBody(BaseModel):
    """All listeners, and what a dashboard wants to know beside them."""

    listeners: list[ListenerBody]
    version: str
    subscribers: int
    delivered: int = Field(description="publications handed to clients, all together")
    dropped: int = Field(description="publications that clients did not get; `/api/slow-consumers` says why")
    max_connections: int
    devices: int = Field(description="that are remembered, connected or not")


class BufferedBody(BaseModel):
    """All that waits in the server's own buffers, in bytes."""

    total: int
    frames: int = Field(description="of devices: partial frames, and those that wait for their handler or topic")
    devices: int = Field(description="written to devices and not taken by them")
    clients: int = Field(description="publications that wait for clients, are being written, or wait for the flush")
    history: int = Field(description="publications that are retained")
    recorder: int = Field(description="what the flight recorder keeps")


class MemoryBody(BaseModel):
    """What the process uses, what it may use, and where bytes wait."""

    is_short: bool = Field(description="devices are not read now, and newcomers are refused")
    times_short: int = Field(description="how often that happened since start")
    used_bytes: int = Field(description="resident memory; 0 where the system does not tell")
    limit_bytes: int = Field(description="soft limit of resident memory; 0 = none")
    limit_source: str = Field(description="`option`, `cgroup`, `machine`, `address_space` (RLIMIT_AS), or `none`")
    buffered: BufferedBody


class SlowConsumerBody(BaseModel):
    """One subscriber that does not keep up now."""

    id: str
    transport: str
    peer: str
    filters: list[str]
    standing: Literal["holding", "demoted"] = Field(
        description="holding: its publishers wait for it; demoted: its patience is spent, and the policy applies"
    )
    policy: str
    waiting: int = Field(description="publications in its queue, and being written to it")
    waiting_bytes: int
    behind: int = Field(description="publications that it will read from history")


class LossBody(BaseModel):
    """Publications declared dropped, each counted once for each client that did not get it."""

    topic: str = Field(description="or the client's first filter, where a loss spans topics")
    policy: str = Field(description="the client's at that moment")
    reason: str = Field(
        description="conflated: a newer one took their place; oldest, newest: the queue was full; overtaken: history "
        "moved on; removed: they waited for a slow client when it was removed; left: for one that left"
    )
    messages: int


class SlowConsumersBody(BaseModel):
    """Clients that do not keep up, what waits for them, and what it cost since start.

    A publication counts once for each client: delivered, dropped, waiting and behind are all that was published.
    """

    subscribers: int
    delivered: int = Field(description="publications handed to clients")
    dropped: int = Field(description="publications that clients did not get")
    waiting: int
    behind: int
    slow: int = Field(
        description="how often, since start, a client ceased to keep up; `now` tells who does not at present"
    )
    demoted: int = Field(description="how often, since start, one was demoted")
    removed: int = Field(description="how many, since start, were removed for it")
    now: list[SlowConsumerBody] = Field(description="those that do not keep up, most waiting first")
    losses: list[LossBody] = Field(description="largest first")


class ConnectionBody(BaseModel):
    """One device connection."""

    id: str
    listener: str
    peer: str
    opened_at: float
    received_at: float
    frames: int
    bytes_received: int
    bytes_sent: int
    skipped_bytes: int = Field(description="that the framing threw away: noise, frames with a wrong check value")
    devices: list[str] = Field(description="that said who they are on it, oldest first; at most 10 of them")
    is_reading: bool = Field(description="false while backpressure keeps the gateway from reading")


class ConnectionsBody(BaseModel):
    """Device connections, by id."""

    connections: list[ConnectionBody]
    next: str | None = Field(description="pass as `after` for the next page; null on the last")


class HealthBody(BaseModel):
    """Whether the process lives."""

    status: str


class LoopBody(BaseModel):
    """How long everybody waits for the event loop; zeros without a watchdog (``block_limit`` 0)."""

    lag: float = Field(description="seconds by which the last beat, four of them a second, was late")
    worst_lag: float = Field(description="the same, the latest of all since start")
    blocked: int = Field(description="how often it was blocked for longer than `block_limit`")


class ReadyBody(HealthBody):
    """Whether the process takes work."""

    loop: LoopBody | None = Field(description="none while nothing runs")
