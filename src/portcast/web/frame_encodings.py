"""Publications as WebSocket frames: bytes made once, written as they are to every client.

These serve the sinks that reach the transport; `portcast.web.encodings` has the same for plain ASGI servers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from portcast.delivery import Batch
from portcast.publication import Run
from portcast.web.encodings import Envelopes, gap_notice
from portcast.web.websocket_frames import deflated_frames, frames

Framer = Callable[[Sequence[bytes]], bytes]
"""Joins payloads as frames: `frames` or `deflated_frames`."""


def framer(is_deflated: bool) -> Framer:
    """Return what makes frames for connections that negotiated permessage-deflate with us, or did not."""
    return deflated_frames if is_deflated else frames


class _Joined:
    """Encodings whose batches are one bytes object: joining them is copying once, for all subscribers."""

    def join(self, batches: Sequence[Batch]) -> Batch:
        """See `portcast.delivery.Encoding`."""
        return Batch(
            [b"".join(cast("Sequence[bytes]", [item for batch in batches for item in batch.items]))],
            sum(batch.messages for batch in batches),
            sum(batch.size for batch in batches),
        )


class PlainFrames(_Joined):
    """The payload and nothing else."""

    def __init__(self, make: Framer) -> None:
        self._make = make

    def encode(self, run: Run) -> Batch:
        """See `portcast.delivery.Encoding`."""
        payloads = run.payloads
        return Batch([self._make(payloads)], len(payloads), sum(map(len, payloads)))

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        """Return None: a plain client cannot tell a notice from a payload."""
        return None


class JsonFrames(_Joined):
    """Envelopes: topic, position and time travel with the payload."""

    def __init__(self, make: Framer, envelopes: Envelopes) -> None:
        self._make = make
        self._envelopes = envelopes

    def encode(self, run: Run) -> Batch:
        """See `portcast.delivery.Encoding`."""
        texts = [text.encode() for text in self._envelopes.of(run)]
        return Batch([self._make(texts)], len(texts), sum(map(len, run.payloads)))

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        """Return ``{"gap": {"missed": n, "exact": bool}}``."""
        return Batch([self._make([gap_notice(missed, is_exact).encode()])], 0, 0)
