"""What every framing promises, as one check for framings of your own.

Chance is seeded and work is bounded, so a check takes the same second or two on every run, and fails on all or on none.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from types import FrameType
from typing import Any

from portcast.framing import FrameDecoder, Framing
from portcast.testing.golden_frames import GoldenFrame
from portcast.testing.splits import evenly, pieces, splits
from portcast.testing.streams import Outcome, bytewise, outcome

Stream = bytes | tuple[bytes, Sequence[bytes]] | GoldenFrame
"""Bytes of whole frames; with the frames that they give, or as read from a file."""

OVERHEAD = 1024
"""Bytes that a decoder may hold of headers and trailers, besides twice ``max_frame``: escapes may double a frame."""
MOST_FED = 8_388_608
"""Bytes fed at most in one attempt to make it hold too much."""
LONG = 65_536
"""Bytes of a frame that is not whole, for the check of what one more byte costs."""
RANDOM_STREAMS = 200
MOST_STEPS = 1000
"""Steps of Python that one more byte may cost beyond ten times what it costs when nothing is held: a loop over what is
held needs several for each byte. Counted and not timed, so that a busy machine changes nothing."""
COPIES = 5
"""Feeds of a hundred that may allocate as much as is held: a growing buffer does so now and then."""


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    data: bytes
    frames: tuple[bytes, ...] | None


def check_framing(
    framing: Framing,
    *,
    valid: Sequence[Stream],
    invalid: Sequence[bytes] = (),
    round_trip: bool = True,
    overhead: int | None = None,
    seed: int = 0,
) -> None:
    """Check that a framing keeps what all of Portcast's framings promise.

    * Any split of a stream gives the same frames, the same kind of error and the same number of skipped bytes.
    * Valid streams are not refused, give the frames that you name, and may follow each other on one connection.
    * Connections do not share state.
    * A stream that is cut off gives the frames before the cut, and at its end nothing that is held is kept.
    * Invalid streams, and no valid one, end with a `FramingError`. It is final, and is not raised.
    * Garbage raises nothing, whatever it is: random bytes, valid streams with bytes changed, added and left out.
    * No more than ``max_frame`` and ``overhead`` bytes are held, however long a peer sends without ending a frame, and
      one more byte does not cost much more, in time or in memory, when much is held.
    * Encoding a frame and decoding it gives the frame.

    It needs no pytest. `RawFraming` cannot pass: what it delivers are the reads.

    Args:
        framing: under test.
        valid: streams of whole frames, at least one. What the check can find depends on them: give one of each kind.
        invalid: streams that a decoder must refuse, at the latest when they end.
        round_trip: False for a framing that writes in another way than it reads.
        overhead: bytes that a decoder may hold above ``max_frame``; if None, ``max_frame`` and 1 KiB, because escapes
            may double what is on the wire.
        seed: another number tries other garbage.

    Raises:
        AssertionError: it does not; the message says which promise, and with what bytes.
        ValueError: ``valid`` is empty.
    """
    if not valid:
        raise ValueError("give at least one valid stream")
    cases = [_case(one, index) for index, one in enumerate(valid)]
    bound = framing.max_frame + (framing.max_frame + OVERHEAD if overhead is None else overhead)
    random = Random(seed)  # noqa: S311 - the same garbage on every run
    for case in cases:
        with _named(framing, case.name):
            _check_valid(framing, case, bound)
            _check_cut_off(framing, case, bound)
            if round_trip:
                _check_round_trip(framing, case)
    with _named(framing, "all valid streams after each other"):
        _check_together(framing, cases, bound)
    for index, data in enumerate(invalid):
        with _named(framing, f"invalid stream {index}, {_shown(data)}"):
            _check_invalid(framing, data, bound)
    for data in _garbage(cases, invalid, random):
        with _named(framing, f"garbage, {_shown(data)}"):
            _check_garbage(framing, data, bound, random)
    _check_long(framing, cases, bound)


def _case(stream: Stream, index: int) -> _Case:
    if isinstance(stream, GoldenFrame):
        return _Case(stream.name, stream.data, stream.frames)
    data, frames = (stream, None) if isinstance(stream, bytes) else (stream[0], tuple(stream[1]))
    return _Case(f"valid stream {index}, {_shown(data)}", data, frames)


def _shown(data: bytes) -> str:
    return repr(data[:24]) + (f"… ({len(data)} bytes)" if len(data) > 24 else "")


@contextmanager
def _named(framing: Framing, what: str) -> Iterator[None]:
    """Say of every failure which framing and which stream it was."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{type(framing).__name__}: {what}: {error}") from None
    except Exception as error:
        raise AssertionError(f"{type(framing).__name__}: {what}: it raised {type(error).__name__}: {error}") from error


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise AssertionError(problem)


def _same(one: Outcome, other: Outcome) -> bool:
    # Not the sentence: what an error of the user's own quotes may depend on how much had arrived.
    return (one.frames, one.error, one.skipped) == (other.frames, other.error, other.skipped)


def _check_splits(framing: Framing, data: bytes, ways: Iterable[Sequence[bytes]], whole: Outcome, bound: int) -> None:
    for way in ways:
        other = outcome(framing.decoder(), way, bound=bound)
        if not _same(other, whole):
            how = "one byte at a time" if len(way) == len(data) else f"as {' | '.join(map(_shown, way))}"
            raise AssertionError(
                f"split {how} it gives {len(other.frames)} frames, {other.error_name} and {other.skipped} bytes "
                f"skipped; whole, {len(whole.frames)} frames, {whole.error_name} and {whole.skipped}"
            )


def _check_valid(framing: Framing, case: _Case, bound: int) -> None:
    whole = outcome(framing.decoder(), [case.data], bound=bound)
    _require(whole.error is None, f"it is refused: {whole.message}")
    _require(bool(whole.frames), "it gives no frame")
    for frame in whole.frames:
        _require(type(frame) is bytes, f"a frame is a {type(frame).__name__}, not bytes")
    if case.frames is not None:
        _require(tuple(whole.frames) == case.frames, f"expected the frames {case.frames}, got {whole.frames}")
    _check_splits(framing, case.data, splits(case.data), whole, bound)
    seeded = (pieces(case.data, seed) for seed in range(20))
    _check_splits(framing, case.data, seeded, whole, bound)


def _check_cut_off(framing: Framing, case: _Case, bound: int) -> None:
    whole = outcome(framing.decoder(), [case.data], bound=bound).frames
    for at in evenly(range(len(case.data)), 200):
        decoder = framing.decoder()
        before = decoder.feed(case.data[:at])
        _require(decoder.error is None, f"cut off after {at} bytes it is refused before its end: {decoder.error}")
        _require(whole[: len(before)] == before, f"cut off after {at} bytes it gives other frames: {before}")
        decoder.end()
        _require(decoder.buffered == 0, f"cut off after {at} bytes it keeps bytes after the end of the stream")


def _check_round_trip(framing: Framing, case: _Case) -> None:
    for frame in outcome(framing.decoder(), [case.data]).frames:
        again = outcome(framing.decoder(), [framing.encode(frame)])
        _require(again.frames == [frame], f"the frame {_shown(frame)}, encoded and decoded, gives {again.frames}")


def _check_together(framing: Framing, cases: Sequence[_Case], bound: int) -> None:
    data = b"".join(case.data for case in cases)
    alone = [frame for case in cases for frame in outcome(framing.decoder(), [case.data]).frames]
    whole = outcome(framing.decoder(), [data], bound=max(bound, len(data)))
    _require(whole.frames == alone, f"they give {len(whole.frames)} frames, {len(alone)} when each is sent alone")
    # Two connections at a time, byte by byte: what one keeps must not be the other's.
    decoders = [framing.decoder(), framing.decoder()]
    streams = [cases[0].data, cases[-1].data]
    found: list[list[bytes]] = [[], []]
    for at in range(max(map(len, streams))):
        for decoder, stream, frames in zip(decoders, streams, found, strict=True):
            frames += decoder.feed(stream[at : at + 1])
    for decoder, stream, frames in zip(decoders, streams, found, strict=True):
        frames += decoder.end()
        expected = outcome(framing.decoder(), [stream]).frames
        _require(frames == expected, f"beside another connection {_shown(stream)} gives {frames}; they share state")


def _check_invalid(framing: Framing, data: bytes, bound: int) -> None:
    whole = outcome(framing.decoder(), [data], bound=bound)
    _require(whole.error is not None, f"it is not refused; it gives {whole.frames}")
    _check_splits(framing, data, splits(data), whole, bound)


def _garbage(cases: Sequence[_Case], invalid: Sequence[bytes], random: Random) -> Iterator[bytes]:
    known = [*(case.data for case in cases), *invalid]
    for _ in range(RANDOM_STREAMS):
        yield random.randbytes(random.randint(1, 64))
        data = bytearray(random.choice(known)[:4096] * random.randint(1, 2))
        for _ in range(random.randint(1, 4)):
            at = random.randrange(len(data) + 1)
            data[at : at + random.randint(0, 2)] = random.randbytes(random.randint(0, 2))
        yield bytes(data)


def _check_garbage(framing: Framing, data: bytes, bound: int, random: Random) -> None:
    whole = outcome(framing.decoder(), [data], bound=bound)
    _require(whole.skipped <= len(data), f"it says that {whole.skipped} bytes were skipped, of {len(data)}")
    _check_splits(framing, data, [bytewise(data), pieces(data, random.randrange(1 << 30))], whole, bound)


def _check_long(framing: Framing, cases: Sequence[_Case], bound: int) -> None:
    """Send without ending a frame, in every way that a valid beginning and a repeated byte allow."""
    longest: tuple[int, bytes, bytes] = (0, b"", b"")
    for begin in dict.fromkeys(case.data[:at] for case in cases for at in evenly(range(len(case.data)), 16)):
        for filler in dict.fromkeys((b"x", b"\0", b"1", b"\xff", begin[-1:] or b"x")):
            with _named(framing, f"{_shown(begin)} and then {filler!r} without end"):
                _check_endless(framing, begin, filler, bound)
                decoder = framing.decoder()
                decoder.feed(begin + filler * min(LONG, framing.max_frame * 3 // 4))
                if decoder.error is None and decoder.buffered > longest[0]:
                    longest = decoder.buffered, begin, filler
    held, begin, filler = longest
    if held >= 4096:
        with _named(framing, f"{_shown(begin)} and then {filler!r}, {held} bytes held"):
            _check_cost(framing, begin + filler * held, filler)


def _check_endless(framing: Framing, begin: bytes, filler: bytes, bound: int) -> None:
    decoder = framing.decoder()
    decoder.feed(begin)
    chunk = filler * 16_384
    for _ in range(min(MOST_FED, 2 * bound) // len(chunk) + 2):
        decoder.feed(chunk)
        _require(decoder.buffered <= bound, f"it holds {decoder.buffered} bytes, more than {bound}")
        if decoder.error is not None:
            return


def _check_cost(framing: Framing, data: bytes, filler: bytes) -> None:
    idle, busy = framing.decoder(), framing.decoder()
    busy.feed(data)
    if busy.error is not None or busy.buffered < 4096:
        return
    little, much = _steps(idle, filler), _steps(busy, filler)
    _require(
        much <= 10 * little + MOST_STEPS,
        f"one more byte takes {much} steps of Python, and {little} when nothing is held: remember how far you looked",
    )
    copies = _copies(busy, filler)
    _require(copies <= COPIES, f"{copies} of 100 single bytes copied what is held; look at the buffer itself")


def _steps(decoder: FrameDecoder, filler: bytes) -> int:
    """Count the bytecode instructions of one feed."""
    steps = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        decoder.feed(filler)
    finally:
        sys.settrace(before)
    return steps


def _copies(decoder: FrameDecoder, filler: bytes) -> int:
    copies = 0
    held = decoder.buffered
    tracemalloc.start()
    try:
        for _ in range(100):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            decoder.feed(filler)
            copies += tracemalloc.get_traced_memory()[1] - before >= held
    finally:
        tracemalloc.stop()
    return copies
