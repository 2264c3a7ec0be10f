"""The rules that every decoder keeps while it is fed, each broken once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from portcast.errors import FramingError, TruncatedFrameError
from portcast.framing import LineFraming
from portcast.testing.streams import Outcome, bytewise, outcome


def test_an_outcome_is_all_that_came() -> None:
    """Frames, the error, what it says and what was skipped."""
    assert outcome(LineFraming().decoder(), [b"a\nb", b"c\n"]) == Outcome([b"a", b"bc"], None, "", 0)
    cut_off = outcome(LineFraming().decoder(), bytewise(b"a\nb"))
    assert (cut_off.frames, cut_off.error) == ([b"a"], TruncatedFrameError)
    assert "truncated frame" in cut_off.message
    assert cut_off.error_name == "TruncatedFrameError"
    assert outcome(LineFraming().decoder(), [b"b"], end=False).error_name == "no error"


class Decoder:
    """Says what a test wants it to say."""

    def __init__(self, change: Callable[[Decoder], object]) -> None:
        self.error: FramingError | None = FramingError("x", 1, b"")
        self.skipped_bytes = 0
        self.buffered = 0
        self.frames: list[bytes] = []
        self.last: list[bytes] = []
        change(self)

    def feed(self, data: bytes) -> list[bytes]:
        return self.frames

    def end(self) -> list[bytes]:
        return self.last


def _wrong_reason(decoder: Decoder) -> None:
    assert decoder.error is not None
    decoder.error.reason = "bad"


def _long_head(decoder: Decoder) -> None:
    assert decoder.error is not None
    decoder.error.head = bytes(99)


def _keeps(decoder: Decoder) -> None:
    decoder.error, decoder.buffered = None, 5


@pytest.mark.parametrize(
    ("change", "bound", "problem"),
    [
        (lambda one: setattr(one, "buffered", 9), 5, "it holds 9 bytes, more than 5"),
        (lambda one: setattr(one, "buffered", 9), None, "keeps bytes after its error"),
        (lambda one: setattr(one, "frames", [b"x"]), None, "gives frames after its error"),
        (_keeps, None, "keeps bytes after the end of the stream"),
        (lambda one: setattr(one, "error", ValueError()), None, "its error is a ValueError"),
        (_wrong_reason, None, "reason 'bad' is not one of"),
        (_long_head, None, "head has more than 32 bytes"),
        (lambda one: setattr(one, "last", [b"x"]), None, "gives frames at the end, after its error"),
    ],
)
def test_each_rule(change: Callable[[Decoder], object], bound: int | None, problem: str) -> None:
    """Broken, it is named."""
    with pytest.raises(AssertionError, match=problem):
        outcome(Decoder(change), [b"x"], bound=bound)
