"""A user's own framing: one method, its state, and what happens when it misbehaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

from framing_helpers import bytewise, check_any_split, decode, garbage, outcome, quick, splits
from portcast.errors import ConfigurationError, FramingError, OversizeFrameError, TruncatedFrameError
from portcast.framing.custom import CustomFraming
from portcast.framing.cutting import SingleFrameDecoder

# "GT06 GPS Tracker Communication Protocol", the example of a login packet.
GT06_LOGIN = bytes.fromhex("78780d01012345678901234500018cdd0d0a")


class Gt06(CustomFraming):
    """0x78 0x78 and a length of one byte, or 0x79 0x79 and one of two; both count what follows without the last two."""

    max_frame = 1024

    def decode(self, buffer: bytearray) -> bytes | None:
        if buffer[0] not in (0x78, 0x79):
            del buffer[:1]
            return None
        header = 3 if buffer[0] == 0x78 else 4
        if len(buffer) < header:
            return None
        size = header + int.from_bytes(buffer[2:header], "big") + 2
        if len(buffer) < size:
            return None
        frame = bytes(buffer[:size])
        del buffer[:size]
        return frame


class Counted(CustomFraming):
    """A first byte sets the size of all frames of the connection: state that no other connection may see."""

    max_frame = 20

    def start(self) -> None:
        self.size = 0
        self.seen: list[bytes] = []

    def decode(self, buffer: bytearray) -> bytes | None:
        if not self.size:
            self.size = buffer[0] % 8 + 1
            del buffer[:1]
            return None
        if len(buffer) < self.size:
            return None
        frame = bytes(buffer[: self.size])
        self.seen.append(frame)
        del buffer[: self.size]
        return bytes([len(self.seen)]) + frame


def framing_of(function: Callable[[bytearray], bytes | None]) -> CustomFraming:
    class Own(CustomFraming):
        max_frame = 8

        def decode(self, buffer: bytearray) -> bytes | None:
            return function(buffer)

    return Own()


def test_gt06() -> None:
    """The worked example, with both headers and bytes that are no frame."""
    long = b"\x79\x79\x00\x02ab\r\n"
    result = decode(Gt06(), b"??" + GT06_LOGIN + long + GT06_LOGIN, end=True)
    assert (result.frames, result.error, result.skipped) == ([GT06_LOGIN, long, GT06_LOGIN], None, 2)


def test_state_belongs_to_a_connection() -> None:
    """What `decode` assigns to ``self`` is seen by its own connection only, and not by the framing."""
    framing = Counted()
    first, second = framing.decoder(), framing.decoder()
    assert first.feed(b"\x01ab") == [b"\x01ab"]
    assert second.feed(b"\x02abc") == [b"\x01abc"]
    assert first.feed(b"cd") == [b"\x02cd"]
    assert not hasattr(framing, "size")


def test_end_inside_a_frame() -> None:
    """What is left over was cut."""
    result = decode(Gt06(), GT06_LOGIN[:5], end=True)
    assert (result.frames, result.error) == ([], TruncatedFrameError)
    assert "the rest of a frame of Gt06" in result.message


def test_users_exception_is_a_malformed_frame() -> None:
    """It ends one connection, names the exception, and keeps it as the cause; the frames before it are delivered."""

    def fail(buffer: bytearray) -> bytes | None:
        if buffer[0] == 0xFF:
            raise KeyError("secret")
        return bytes((buffer.pop(0),))

    decoder = framing_of(fail).decoder()
    assert decoder.feed(b"ab\xffc") == [b"a", b"b"]
    assert decoder.error is not None
    assert decoder.error.reason == "malformed"
    assert "bytes that Own.decode accepts (it raised KeyError)" in str(decoder.error)
    assert "secret" not in str(decoder.error)
    assert isinstance(decoder.error.__cause__, KeyError)
    assert (decoder.buffered, decoder.feed(b"a"), decoder.end()) == (0, [], [])


def test_users_framing_error_is_kept() -> None:
    """The user's own words reach the log."""

    def fail(buffer: bytearray) -> bytes | None:
        raise FramingError("a polite device", len(buffer), buffer)

    assert "a polite device" in decode(framing_of(fail), b"x").message


@pytest.mark.parametrize(
    "function",
    [lambda buffer: b"", lambda buffer: bytes(buffer), lambda buffer: buffer.extend(b"x")],
    ids=["empty frame", "frame left in place", "grows"],
)
def test_decode_must_shorten_the_buffer(function: Callable[[bytearray], bytes | None]) -> None:
    """Otherwise one read would make frames for ever."""
    result = outcome(framing_of(function).decoder(), [b"abc"])
    assert (result.frames, result.error) == ([], FramingError)
    assert "Own.decode to take the frame off the buffer" in result.message


def test_bytearray_is_made_bytes() -> None:
    """Frames are immutable whatever the user returned."""

    def take(buffer: bytearray) -> bytes | None:
        frame = buffer[:1]
        del buffer[:1]
        return frame  # type: ignore[return-value] # what an untyped caller may write

    assert type(framing_of(take).decoder().feed(b"a")[0]) is bytes


class TestBound:
    def test_while_waiting(self) -> None:
        """No more than `max_frame` bytes are held for a frame that never ends."""
        framing = framing_of(lambda buffer: None)
        assert outcome(framing.decoder(), bytewise(b"a" * 8), end=False, bound=8).error is None
        assert decode(framing, b"a" * 9).error is OversizeFrameError

    def test_of_a_frame(self) -> None:
        """A frame that is there at once is measured in the same way."""

        def line(buffer: bytearray) -> bytes | None:
            at = buffer.find(b"\n")
            if at < 0:
                return None
            frame = bytes(buffer[:at])
            del buffer[: at + 1]
            return frame

        result = decode(framing_of(line), b"abcdefg\nabcdefgh\n")
        assert (result.frames, result.error) == ([b"abcdefg"], OversizeFrameError)

    def test_of_a_read(self) -> None:
        """A read of many frames may be larger."""
        framing = framing_of(lambda buffer: bytes((buffer.pop(0),)))
        assert len(framing.decoder().feed(b"a" * 1000)) == 1000

    def test_must_be_possible(self) -> None:
        """It is checked when the decoder is made, since the class is the user's."""
        framing = CustomFraming()
        framing.max_frame = 0
        with pytest.raises(ConfigurationError, match="max_frame"):
            framing.decoder()


class TestTake:
    def test_one_frame(self) -> None:
        """The bytes behind a frame are left, those behind skipped bytes are not."""
        decoder = Gt06().decoder()
        assert isinstance(decoder, SingleFrameDecoder)
        frames: list[bytes] = []
        assert decoder.take(b"-??", 1, frames) == 3
        assert not decoder.is_between
        stream = GT06_LOGIN + GT06_LOGIN
        assert decoder.take(stream[:5], 0, frames) == 5
        assert decoder.take(stream, 5, frames) == len(GT06_LOGIN)
        assert decoder.is_between
        assert frames == [GT06_LOGIN]

    def test_fault(self) -> None:
        """A fault takes the whole read, and all later ones."""
        decoder = framing_of(lambda buffer: b"").decoder()
        assert isinstance(decoder, SingleFrameDecoder)
        assert decoder.take(b"abc", 0, []) == 3
        assert decoder.buffered == 0
        assert decoder.take(b"abc", 0, []) == 3


@given(garbage(b"\x78\x78", b"\x79\x79", b"\x00", b"\x01", b"\x02ab", GT06_LOGIN, max_size=15), splits())
@quick
def test_any_split(stream: bytes, places: list[int]) -> None:
    """With a `decode` that keeps the rules, frames and errors do not depend on where reads end."""
    check_any_split(Gt06(), stream, places, 0)
    check_any_split(Counted(), stream, places, 0)


def test_encode_and_decode_defaults() -> None:
    """Bytes are sent as they are; a framing without `decode` says so."""
    assert CustomFraming().encode(b"abc") == b"abc"
    with pytest.raises(NotImplementedError):
        CustomFraming().decode(bytearray(b"a"))
    with pytest.raises(NotImplementedError):
        Gt06().decoder()._cut(b"a", 0, [])  # type: ignore[attr-defined] # the base's hook has no meaning here
