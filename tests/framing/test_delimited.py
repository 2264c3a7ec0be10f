"""The base of decoders that search for an end: where searching goes on, and what happens to what is too long."""

from __future__ import annotations

import pytest

from framing_helpers import bytewise, outcome
from portcast.errors import OversizeFrameError, TruncatedFrameError
from portcast.framing.cutting import Buffer
from portcast.framing.delimited import DelimitedDecoder


class Semicolons(DelimitedDecoder):
    """Ends at ``;;``. Records how many bytes it was asked to search."""

    def __init__(self, limit: int, *, discards: bool = False) -> None:
        super().__init__(limit, 1, "discard" if discards else "close")
        self.work = 0

    def _expected(self) -> str:
        return "two semicolons"

    def _find(self, buffer: Buffer, start: int, first: int) -> tuple[int, int] | None:
        self.work += len(buffer) - first
        at = buffer.find(b";;", first)
        return None if at < 0 else (at, at + 2)


def test_each_byte_is_searched_about_once() -> None:
    """One byte at a time costs a constant number of looks per byte, not one look per byte held."""
    decoder = Semicolons(10_000)
    for byte in bytewise(b"x" * 10_000 + b";;"):
        decoder.feed(byte)
    assert decoder.work <= 3 * 10_002


def test_bound_is_exact() -> None:
    """A frame of the bound passes, also with half an end behind it; one byte more does not."""
    for chunks in ([b"abc;;"], bytewise(b"abc;;")):
        assert outcome(Semicolons(3), chunks).frames == [b"abc"]
    for chunks in ([b"abcd;;"], bytewise(b"abcd;;")):
        result = outcome(Semicolons(3), chunks)
        assert (result.frames, result.error) == ([], OversizeFrameError)
        assert result.message == (
            "oversize frame: expected two semicolons within 3 bytes; saw 4 bytes beginning b'abcd'"
        )


@pytest.mark.parametrize("whole", [True, False], ids=["at once", "bytewise"])
def test_discarding_goes_on_behind_the_end(whole: bool) -> None:
    """A long frame costs itself; its bytes without the end are counted, and little is held meanwhile."""
    stream = b"a;;" + b"long frame" + b";;" + b"b;;" + b"another long one;;c;;"
    decoder = Semicolons(3, discards=True)
    result = outcome(decoder, [stream] if whole else bytewise(stream), bound=4)
    assert (result.frames, result.error, result.skipped) == ([b"a", b"b", b"c"], None, 26)


def test_end_while_discarding() -> None:
    """The stream was cut inside a frame, even if the frame was lost anyway; the size counts what was dropped."""
    decoder = Semicolons(3, discards=True)
    assert decoder.feed(b"long frame;") == []
    assert not decoder.is_between
    assert decoder.end() == []
    assert isinstance(decoder.error, TruncatedFrameError)
    assert (decoder.error.size, decoder.skipped_bytes) == (11, 11)


def test_frame_is_under_way_while_it_is_dropped() -> None:
    """Also when nothing of it is held."""
    decoder = Semicolons(3, discards=True)
    decoder._spare = 0
    decoder.feed(b"long")
    assert (decoder.buffered, decoder.is_between) == (0, False)


def test_fast_path_rules() -> None:
    """A subclass that splits a whole read asks whether all of it fits, and hands over the rest."""
    decoder = Semicolons(3)
    assert decoder._fits(b"abc", [], b"abc")
    assert decoder._fits(b"abc;;abc;", [b"abc"], b"abc;")
    assert decoder._fits(b"abc;", [], b"abc;")
    assert not decoder._fits(b"abcd;;", [b"abcd"], b"")
    assert not decoder._fits(b"abcd;", [], b"abcd;")
    decoder._hold(b"ab;")
    assert decoder.feed(b";") == [b"ab"]


def test_base_knows_no_end() -> None:
    """A subclass says what an end is."""
    with pytest.raises(NotImplementedError):
        DelimitedDecoder(3, 0, "close").feed(b"x")
