"""The two interfaces of delivery: an `Encoding` makes one `Batch` for all, a `Sink` takes it to one client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from portcast.publication import Run


class Batch(NamedTuple):
    """Publications in the form in which a kind of client takes them, shared by all clients of that kind.

    Attributes:
        items: what the sink writes, one after the other; never changed once made.
        messages: publications in it. Either one per item, or all of them in a single item.
        size: payload bytes in it.
    """

    items: Sequence[object]
    messages: int
    size: int


class Encoding(Protocol):
    """Turns a run into a batch. Compared by identity: subscribers with the same object share the same batch."""

    def encode(self, run: Run) -> Batch:
        """Return the run's publications for this kind of client. Called once per run, whoever listens."""
        ...


class SinkOwner(Protocol):
    """Whom a sink tells of its progress: one subscriber. Called on the loop, never from within `Sink.write`."""

    def on_written(self, count: int, size: int) -> None:
        """So much of the batch has been handed to the transport."""
        ...

    def on_drained(self) -> None:
        """The batch is written: the sink takes another."""
        ...


class Sink(Protocol):
    """The way to one client.

    It takes one batch at a time: after `write` no further one until `SinkOwner.on_drained`. Three tiers implement it
    (design: sinks); this release has the plain ASGI one.
    """

    def write(self, batch: Batch) -> None:
        """Begin to write a batch. Does not wait and does not raise; a broken client ends through its endpoint."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Say goodbye once what is being written is out, then end. `abort` follows by itself after a second."""
        ...

    def abort(self) -> None:
        """End now, without waiting for a peer that may never read."""
        ...
