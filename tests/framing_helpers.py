"""What the tests of framings share: splitting streams every way, and the rules that every decoder must keep."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st

from portcast.framing import FrameDecoder, Framing
from portcast.testing.streams import Outcome, bytewise, outcome

__all__ = [
    "Outcome",
    "bytewise",
    "check_any_split",
    "check_linear",
    "cut",
    "decode",
    "garbage",
    "idle_size",
    "outcome",
    "quick",
    "splits",
]

quick = settings(max_examples=60, deadline=None)
"""For property tests of pure code: enough examples to meet every branch, few enough for every run."""


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return ``data`` cut at ``places`` (taken modulo its length)."""
    borders = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(borders)]


def decode(framing: Framing, data: bytes, *, end: bool = False) -> Outcome:
    """Decode ``data`` whole, byte by byte and in two pieces at every place, and require the same outcome each time."""
    whole = outcome(framing.decoder(), [data], end=end)
    assert outcome(framing.decoder(), bytewise(data), end=end) == whole
    if len(data) <= 200:
        for place in range(1, len(data)):
            assert outcome(framing.decoder(), [data[:place], data[place:]], end=end) == whole
    return whole


def check_any_split(
    framing: Framing, data: bytes, places: Iterable[int], overhead: int, *, same_message: bool = True
) -> Outcome:
    """Decode ``data`` whole, byte by byte and cut at ``places``.

    Requires the same frames, the same error, bounded memory and no frame above the bound.

    Args:
        framing: under test.
        data: a stream.
        places: where to cut it.
        overhead: bytes that may be held above ``max_frame``.
        same_message: False where the error's size and head may depend on how much has arrived (a user's exception).
    """
    bound = framing.max_frame + overhead
    whole = outcome(framing.decoder(), [data], bound=bound)
    for chunks in (bytewise(data), cut(data, places)):
        other = outcome(framing.decoder(), chunks, bound=bound)
        assert (other if same_message else replace(other, message=whole.message)) == whole
    assert all(len(frame) <= framing.max_frame for frame in whole.frames)
    assert whole.skipped <= len(data)
    return whole


def splits() -> st.SearchStrategy[list[int]]:
    """Return a strategy for places to cut a stream at."""
    return st.lists(st.integers(0, 10_000), max_size=8)


def garbage(*interesting: bytes, max_size: int = 40) -> st.SearchStrategy[bytes]:
    """Return a strategy for streams made of ``interesting`` pieces with arbitrary bytes between them."""
    piece = st.one_of(st.sampled_from(interesting), st.binary(max_size=3)) if interesting else st.binary(max_size=3)
    return st.lists(piece, max_size=max_size).map(b"".join)


def check_linear(framing: Framing, beginning: bytes, filler: bytes = b"x", size: int = 60_000) -> FrameDecoder:
    """Feed a long frame one byte at a time and require that a feed costs nothing that grows with what is held.

    Counted, not timed: late feeds may not allocate memory of the held size (so nothing is copied), and a decoder that
    searches must have searched nearly all that it holds.

    Args:
        framing: under test.
        beginning: what begins the frame.
        filler: the inside of the frame, repeated.
        size: bytes to feed.

    Returns:
        The decoder, with the incomplete frame in it.
    """
    decoder = framing.decoder()
    for byte in bytewise((beginning + filler * (size // len(filler)))[:size]):
        assert decoder.feed(byte) == []
    assert decoder.error is None
    expensive = 0
    tracemalloc.start()
    try:
        for byte in bytewise(filler * 100)[:100]:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            assert decoder.feed(byte) == []
            expensive += tracemalloc.get_traced_memory()[1] - before > 4096
            searched = getattr(decoder, "_searched", None)
            assert searched is None or searched >= decoder.buffered - 16
    finally:
        tracemalloc.stop()
    # The buffer itself grows now and then.
    assert expensive <= 2
    return decoder


def idle_size(framing: Framing) -> int:
    """Return the bytes that an idle decoder costs, as the allocator counts them."""
    count = 500
    framing.decoder()
    tracemalloc.start()
    try:
        decoders = [framing.decoder() for _ in range(count)]
        return tracemalloc.get_traced_memory()[0] // len(decoders)
    finally:
        tracemalloc.stop()
