"""The contract passes for every framing of ours, and names each promise that one of a user's own breaks."""

from __future__ import annotations

from typing import Any

import pytest

from portcast.errors import FramingError
from portcast.framing import (
    AsciiLengthFraming,
    ChecksumFraming,
    CobsFraming,
    CustomFraming,
    DelimiterFraming,
    FirstByteFraming,
    FixedLengthFraming,
    Framing,
    JsonFraming,
    LengthFieldFraming,
    LineFraming,
    MarkedFraming,
    RawFraming,
    VarintFraming,
)
from portcast.testing import GoldenFrame, check_framing


class Sized(CustomFraming):
    """One byte says how many follow."""

    max_frame = 200

    def decode(self, buffer: bytearray) -> bytes | None:
        if buffer[0] > 100:
            raise FramingError("at most 100 bytes", len(buffer), buffer)
        size = 1 + buffer[0]
        if len(buffer) < size:
            return None
        frame = bytes(buffer[1:size])
        del buffer[:size]
        return frame

    def encode(self, frame: bytes) -> bytes:
        return bytes([len(frame)]) + frame


OURS: dict[str, tuple[Framing, list[Any], list[bytes]]] = {
    "lines": (LineFraming(max_frame=5000), [(b"a\nbc\n", [b"a", b"bc"]), b"x" * 300 + b"\n"], [b"x" * 6000]),
    "any line": (LineFraming(ending="any"), [b"a\r\nb\rc\n"], []),
    "delimiter": (DelimiterFraming(b"#", start=b"*"), [b"*HQ,1#"], []),
    "fixed": (FixedLengthFraming(4), [b"abcd"], [b"ab"]),
    "length_field": (LengthFieldFraming(), [b"\0\2ab", b"\0\0"], [b"\0\2a"]),
    "octet_counting": (AsciiLengthFraming.octet_counting(), [b"2 ab"], [b"x"]),
    "netstring": (AsciiLengthFraming.netstring(), [b"2:ab,"], [b"2:abc"]),
    "mllp": (MarkedFraming.mllp(), [b"\x0bMSH|\x1c\r"], []),
    "slip": (MarkedFraming.slip(), [b"ab\xc0"], []),
    "cobs": (CobsFraming(), [b"\x03ab\0"], []),
    "varint": (VarintFraming(), [b"\x02ab"], [b"\xff" * 12]),
    "json": (JsonFraming(), [b'{"a":[1,"}"]}'], [b"]"]),
    "nmea": (ChecksumFraming(LineFraming(), "nmea"), [b"$A*41\n"], [b"$A*42\n"]),
    "first byte": (FirstByteFraming({b"*": DelimiterFraming(b"#")}), [b"*a#"], [b"x"]),
    "custom": (Sized(), [b"\2ab", (b"\0", [b""]), GoldenFrame("one", b"\1a", (b"a",))], [b"\xff", b"\2a"]),
}


@pytest.mark.parametrize("name", OURS)
def test_ours_pass(name: str) -> None:
    """Otherwise it would not be a contract."""
    framing, valid, invalid = OURS[name]
    check_framing(framing, valid=valid, invalid=invalid, round_trip=name != "any line" and name != "nmea")


def fails(framing: Framing, problem: str, **options: Any) -> None:
    with pytest.raises(AssertionError, match=problem):
        check_framing(framing, **{"valid": [b"\2ab"], **options})


def test_it_needs_something_to_check() -> None:
    """A check of nothing would pass for everything."""
    with pytest.raises(ValueError, match="at least one valid"):
        check_framing(Sized(), valid=[])


def test_wrong_frames_and_refusals() -> None:
    """Of valid streams, and of invalid ones that are taken."""
    fails(Sized(), "Sized: valid stream 0, b'\\\\x02ab': expected the frames", valid=[(b"\2ab", [b"abc"])])
    fails(Sized(), "valid stream 0, .* it is refused: malformed frame", valid=[b"\xff"])
    fails(LineFraming(), "it gives no frame", valid=[b""])
    fails(Sized(), "invalid stream 0, .* is not refused", invalid=[b"\1a"])


def test_a_framing_that_depends_on_packets() -> None:
    """The classic fault."""

    class Packets(Sized):
        def decode(self, buffer: bytearray) -> bytes | None:
            frame = bytes(buffer)
            buffer.clear()
            return frame

    fails(Packets(), "split one byte at a time it gives 3 frames, no error and 0 bytes skipped; whole, 1 frames")
    fails(RawFraming(), "RawFraming: .* split")


def test_a_framing_whose_connections_share_state() -> None:
    """What `__init__` made is there once, whatever copies are made of the framing."""

    class Shared(Sized):
        def __init__(self) -> None:
            self.seen = bytearray()

        def decode(self, buffer: bytearray) -> bytes | None:
            self.seen += buffer
            buffer.clear()
            frame = Sized.decode(self, self.seen) if self.seen else None
            return frame

        def start(self) -> None:
            if len(self.seen) > 100:
                self.seen.clear()

    fails(Shared(), "Shared: ", valid=[b"\2ab", b"\3abc"])

    class Sequenced(Sized):
        """Frames carry the number of their kind, counted for all connections together."""

        numbers: list[int] = []  # noqa: RUF012 - the fault

        def start(self) -> None:
            self.numbers.clear()

        def decode(self, buffer: bytearray) -> bytes | None:
            frame = super().decode(buffer)
            if frame is not None:
                self.numbers.append(1)
                frame += b"%d" % len(self.numbers)
            return frame

    fails(Sequenced(), "they share state", valid=[b"\2ab"], round_trip=False)


def test_what_is_encoded_must_come_back() -> None:
    """And an encoder may not raise for what was decoded."""

    class Silent(Sized):
        def encode(self, frame: bytes) -> bytes:
            return frame

    class Raising(Sized):
        def encode(self, frame: bytes) -> bytes:
            raise KeyError(frame)

    fails(Silent(), "the frame b'ab', encoded and decoded, gives")
    fails(Raising(), "it raised KeyError")
    check_framing(Silent(), valid=[b"\2ab"], round_trip=False)


class Wrapped:
    """A framing that is no `CustomFraming`: nothing keeps it in bounds."""

    max_frame = 1000

    def __init__(self, decoder: type[Any]) -> None:
        self.decoder = decoder

    def encode(self, frame: bytes) -> bytes:
        return bytes([len(frame)]) + frame


class Unbounded:
    """Lines, kept without a bound."""

    error: FramingError | None = None
    skipped_bytes = 0

    def __init__(self) -> None:
        self.held = bytearray()

    @property
    def buffered(self) -> int:
        return len(self.held)

    def feed(self, data: bytes) -> list[bytes]:
        self.held += data
        *lines, rest = self.held.split(b"\n")
        self.held = bytearray(rest)
        return [bytes(line) for line in lines]

    def end(self) -> list[bytes]:
        self.held.clear()
        return []


def test_memory_without_a_bound() -> None:
    """A peer that never ends a frame."""
    fails(Wrapped(Unbounded), r"without end: it holds \d+ bytes, more than 3024", valid=[b"ab\n"], round_trip=False)


def test_a_decoder_that_raises() -> None:
    """Garbage is a peer's fault, never an exception."""

    class Raising(Unbounded):
        def feed(self, data: bytes) -> list[bytes]:
            self.held += data
            if len(self.held) > 900:
                self.error = FramingError("less", 1, b"")
                self.held.clear()
                return []
            if b"\xff" in data:
                raise UnicodeDecodeError("utf-8", data, 0, 1, "invalid")
            *lines, rest = self.held.split(b"\n")
            self.held = bytearray(rest)
            return [bytes(line) for line in lines]

    fails(Wrapped(Raising), "garbage, .* it raised UnicodeDecodeError", valid=[b"ab\n"], round_trip=False)


class Bounded(Unbounded):
    """Lines of up to 100 000 bytes; `look` is what it does with all that is held, for every read."""

    def look(self) -> None: ...

    def feed(self, data: bytes) -> list[bytes]:
        if self.error is not None:
            return []
        self.held += data
        self.look()
        if b"\n" not in self.held:
            if len(self.held) > 100_000:
                self.error = FramingError("a line", len(self.held), self.held)
                self.held.clear()
            return []
        *lines, rest = self.held.split(b"\n")
        self.held = bytearray(rest)
        if any(len(line) > 100_000 for line in lines) or len(rest) > 100_000:
            self.error = FramingError("a line", len(self.held), b"")
            self.held.clear()
            return []
        return [bytes(line) for line in lines]


def test_what_one_more_byte_costs() -> None:
    """Neither a loop over all that is held, nor a copy of it."""

    class Loops(Bounded):
        def look(self) -> None:
            for _ in self.held:
                pass

    class Copies(Bounded):
        def look(self) -> None:
            bytes(self.held).count(b"\n")

    for decoder, problem in ((Loops, "remember how far you looked"), (Copies, "look at the buffer itself")):
        framing = Wrapped(decoder)
        framing.max_frame = 100_000
        fails(framing, problem, valid=[b"ab\n"], round_trip=False)


def test_frames_are_bytes() -> None:
    """A view or a bytearray would change under the handler's hands."""

    class Views(Unbounded):
        def feed(self, data: bytes) -> list[Any]:
            return [bytearray(one) for one in super().feed(data)]

    fails(Wrapped(Views), "a frame is a bytearray, not bytes", valid=[b"ab\n"])
