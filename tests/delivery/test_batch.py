from __future__ import annotations

from collections.abc import Sequence

from portcast.delivery import Batch, Encoding, Sink, SinkOwner, joined
from portcast.publication import Run


class Upper:
    def encode(self, run: Run) -> Batch:
        return Batch([payload.upper() for payload in run.payloads], len(run.payloads), sum(map(len, run.payloads)))

    def join(self, batches: Sequence[Batch]) -> Batch:
        return joined(batches)

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        return Batch([b"%d lost" % missed], 0, 0) if is_exact else None


class Pipe:
    """A sink that takes one batch."""

    def __init__(self) -> None:
        self.written: list[object] = []

    def write(self, batch: Batch) -> bool:
        self.written += batch.items
        return False

    def write_now(self, items: Sequence[object]) -> bool:
        self.written += items
        return False

    @property
    def buffered(self) -> int:
        return len(self.written)

    def close(self, code: int, reason: str) -> None:
        self.written.append((code, reason))

    def abort(self) -> None:
        self.written.append("abort")


class Owner:
    def __init__(self) -> None:
        self.told: list[object] = []

    def on_written(self, count: int, size: int) -> None:
        self.told.append((count, size))

    def on_drained(self) -> None:
        self.told.append("drained")


def test_an_encoding_and_a_sink_meet_in_a_batch() -> None:
    """What an encoding makes is what a sink takes: the interfaces fit without inheritance."""
    encoding: Encoding = Upper()
    pipe = Pipe()
    sink: Sink = pipe
    owner: SinkOwner = Owner()
    batch = encoding.encode(Run("t", "e", 1, 1, 0.0, [b"a", b"bc"]))
    gap = encoding.gap(3, True)
    assert gap is not None
    assert not sink.write(encoding.join([gap, batch]))
    sink.close(1012, "bye")
    owner.on_written(1, 1)
    owner.on_drained()
    assert (batch.messages, batch.size) == (2, 3)
    assert pipe.written == [b"3 lost", b"A", b"BC", (1012, "bye")]


def test_joined_items_follow_each_other() -> None:
    """In order; the numbers add up."""
    assert joined([Batch("ab", 2, 20), Batch("", 0, 0), Batch("c", 7, 3)]) == Batch(["a", "b", "c"], 9, 23)


def test_one_batch_is_not_copied() -> None:
    """Most flushes have one run."""
    batch = Batch(["a"], 1, 1)
    assert joined([batch]) is batch
