from __future__ import annotations

from portcast.delivery import Batch, Encoding, Sink, SinkOwner
from portcast.publication import Run


class Upper:
    def encode(self, run: Run) -> Batch:
        return Batch([payload.upper() for payload in run.payloads], len(run.payloads), 3)


class Pipe:
    """A sink that finishes each batch at once, as the owner's next step."""

    def __init__(self) -> None:
        self.written: list[object] = []

    def write(self, batch: Batch) -> None:
        self.written += batch.items

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
    sink.write(batch)
    sink.close(1012, "bye")
    owner.on_written(1, 1)
    owner.on_drained()
    assert (batch.messages, batch.size) == (2, 3)
    assert pipe.written == [b"A", b"BC", (1012, "bye")]
