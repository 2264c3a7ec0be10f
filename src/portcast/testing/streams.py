"""What comes of a stream: the rules that every frame decoder keeps, checked while it is fed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from portcast.errors import HEAD_BYTES, FramingError
from portcast.framing import FrameDecoder

REASONS = frozenset({"malformed", "oversize", "truncated", "checksum"})
"""Reasons that a `FramingError` may have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a whole stream.

    Attributes:
        frames: all frames, in order.
        error: the kind of the error that ended it; None if none did.
        message: the error's sentence.
        skipped: bytes thrown away.
    """

    frames: list[bytes]
    error: type[FramingError] | None
    message: str
    skipped: int

    @property
    def error_name(self) -> str:
        """The error's class, for messages."""
        return "no error" if self.error is None else self.error.__name__


def outcome(decoder: FrameDecoder, chunks: Iterable[bytes], *, end: bool = True, bound: int | None = None) -> Outcome:
    """Feed a decoder and return what came of it.

    Args:
        decoder: a fresh one.
        chunks: what it is fed, in order.
        end: also tell it that the stream has ended.
        bound: most bytes that it may hold after any chunk; None for any number.

    Raises:
        AssertionError: it holds too much, goes on after its error, keeps bytes after the end, or its error is not as
            errors are.
        Exception: whatever it raised; a decoder must not raise.
    """
    frames: list[bytes] = []
    for chunk in chunks:
        frames += decoder.feed(chunk)
        if bound is not None and decoder.buffered > bound:
            raise AssertionError(f"it holds {decoder.buffered} bytes, more than {bound}")
        if decoder.error is not None:
            _require(decoder.buffered == 0, "it keeps bytes after its error")
            _require(decoder.feed(b"more\r\n") == [], "it gives frames after its error")
    if end:
        frames += decoder.end()
        _require(decoder.buffered == 0, "it keeps bytes after the end of the stream")
    error = decoder.error
    if error is not None:
        _require(isinstance(error, FramingError), f"its error is a {type(error).__name__}, not a FramingError")
        _require(error.reason in REASONS, f"the error's reason {error.reason!r} is not one of {sorted(REASONS)}")
        _require(len(error.head) <= HEAD_BYTES, f"the error's head has more than {HEAD_BYTES} bytes")
        _require(decoder.end() == [], "it gives frames at the end, after its error")
    return Outcome(frames, type(error) if error else None, str(error or ""), decoder.skipped_bytes)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise AssertionError(problem)


def bytewise(data: bytes) -> list[bytes]:
    """Return ``data`` one byte at a time."""
    return [data[at : at + 1] for at in range(len(data))]
