"""The two interfaces of delivery: an `Encoding` makes one `Batch` for all, a `Sink` takes it to one client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from portcast.publication import Run


class Batch(NamedTuple):
    """Publications in the form in which a kind of client takes them, shared by all clients of that kind.

    Attributes:
        items: what the sink writes, one after the other; never changed once made.
        messages: publications in it.
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

    def join(self, batches: Sequence[Batch]) -> Batch:
        """Return several batches as one, to be written in one go. Called once, whoever gets it."""
        ...

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        """Return what tells the client of lost publications; None if it cannot be said in-band.

        Args:
            missed: how many.
            is_exact: False if that is a lower bound.
        """
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

    Three tiers implement it (design: sinks): our own WebSocket class, the transport found under another uvicorn class,
    and plain ASGI ``send``. All pass one suite of tests.
    """

    def write(self, batch: Batch) -> bool:
        """Write a batch. Does not wait and does not raise; a broken client ends through its connection.

        Returns:
            True if the sink takes another at once; False if `SinkOwner.on_drained` will say when it does, and until
            then nothing may be written.
        """
        ...

    def write_now(self, items: Sequence[object]) -> bool:
        """Write what is not a publication, such as the answer to a command, whatever waits.

        It stands after what was written already, and before all that follows.

        Returns:
            False if the client should be answered no more until `SinkOwner.on_drained`. What is written all the same
            is kept.
        """
        ...

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the kernel has not taken yet, as far as the sink can see.

        When it shrinks the client gets on, even if nothing else tells so.
        """
        ...

    def close(self, code: int, reason: str) -> None:
        """Say goodbye once what is being written is out, then end. `abort` follows by itself after a second."""
        ...

    def abort(self) -> None:
        """End now, without waiting for a peer that may never read."""
        ...


def joined(batches: Sequence[Batch]) -> Batch:
    """Return several batches as one whose items follow each other."""
    if len(batches) == 1:
        return batches[0]
    return Batch(
        [item for batch in batches for item in batch.items],
        sum(batch.messages for batch in batches),
        sum(batch.size for batch in batches),
    )
