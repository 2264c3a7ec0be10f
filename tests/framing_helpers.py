"""What the tests of framings share: splitting streams every way, and the rules that every decoder must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hypothesis import strategies as st

from portcast.errors import FramingError
from portcast.framing import FrameDecoder, Framing

REASONS = {"malformed", "oversize", "truncated", "checksum"}


@dataclass(frozen=True)
class Outcome:
    """What came of a whole stream."""

    frames: list[bytes]
    error: type[FramingError] | None
    message: str
    skipped: int


def outcome(decoder: FrameDecoder, chunks: Iterable[bytes], *, end: bool = True, bound: int | None = None) -> Outcome:
    """Feed ``chunks``; check that no more than ``bound`` bytes are ever held, and that a fault is final."""
    frames: list[bytes] = []
    for chunk in chunks:
        frames += decoder.feed(chunk)
        assert bound is None or decoder.buffered <= bound
        if decoder.error is not None:
            assert decoder.buffered == 0
            assert decoder.feed(b"more\r\n") == []
    if end:
        frames += decoder.end()
        assert decoder.buffered == 0
    error = decoder.error
    if error is not None:
        assert error.reason in REASONS
        assert len(error.head) <= 32
        assert decoder.end() == []
    return Outcome(frames, type(error) if error else None, str(error or ""), decoder.skipped_bytes)


def bytewise(data: bytes) -> list[bytes]:
    """Return ``data`` one byte at a time."""
    return [data[at : at + 1] for at in range(len(data))]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return ``data`` cut at ``places`` (taken modulo its length)."""
    borders = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in zip(borders, borders[1:], strict=False)]


def decode(framing: Framing, data: bytes, *, end: bool = False) -> Outcome:
    """Decode ``data`` whole, byte by byte and in two pieces at every place, and require the same outcome each time."""
    whole = outcome(framing.decoder(), [data], end=end)
    assert outcome(framing.decoder(), bytewise(data), end=end) == whole
    if len(data) <= 200:
        for place in range(1, len(data)):
            assert outcome(framing.decoder(), [data[:place], data[place:]], end=end) == whole
    return whole


def check_any_split(framing: Framing, data: bytes, places: Iterable[int], overhead: int) -> Outcome:
    """Decode ``data`` whole, byte by byte and cut at ``places``: same frames, same error, bounded memory, no long frame."""
    bound = framing.max_frame + overhead
    whole = outcome(framing.decoder(), [data], bound=bound)
    assert outcome(framing.decoder(), bytewise(data), bound=bound) == whole
    assert outcome(framing.decoder(), cut(data, places), bound=bound) == whole
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


class CountingBytes(bytes):
    """A read that counts how often its content is looked at as a whole (joined to other bytes)."""


def work(framing: Framing, chunks: Iterable[bytes], measure: Callable[[FrameDecoder], int]) -> int:
    """Feed ``chunks`` and return the sum of ``measure`` before each."""
    decoder = framing.decoder()
    total = 0
    for chunk in chunks:
        total += measure(decoder)
        decoder.feed(chunk)
    return total
