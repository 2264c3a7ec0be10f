"""The contract passes for every codec of ours, and names each promise that one of a user's own breaks."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from pydantic import BaseModel

from portcast.codecs import codec_for
from portcast.errors import CodecError
from portcast.testing import check_codec


class Reading(BaseModel):
    celsius: float


class Position:
    """Latitude and longitude, four bytes each, big-endian."""

    name = "position"

    def decode(self, frame: bytes) -> tuple[int, int]:
        if len(frame) != 8:
            raise CodecError(self.name, f"expected 8 bytes, got {len(frame)}", frame)
        latitude, longitude = struct.unpack(">ii", frame)
        return latitude, longitude

    def encode(self, value: tuple[int, int]) -> bytes:
        return struct.pack(">ii", *value)


VALID: list[Any] = [(bytes(8), (0, 0)), b"abcdefgh"]


@pytest.mark.parametrize(
    ("annotation", "valid", "invalid"),
    [
        (bytes, [(b"\xff", b"\xff")], []),
        (str, [("ü".encode(), "ü")], [b"\xff"]),
        (dict, [(b'{"a": 1}', {"a": 1})], [b"[]", b"{"]),
        (Reading, [(b'{"celsius": 1}', Reading(celsius=1))], [b"{}", b'{"celsius": "hot"}']),
    ],
    ids=["bytes", "str", "dict", "model"],
)
def test_ours_pass(annotation: Any, valid: list[Any], invalid: list[bytes]) -> None:
    """Otherwise it would not be a contract."""
    check_codec(codec_for(annotation), valid=valid, invalid=invalid)


def test_one_of_a_users_own_passes() -> None:
    """Frames with and without their values."""
    check_codec(Position(), valid=VALID, invalid=[b"", bytes(9)])


class Raises(Position):
    def decode(self, frame: bytes) -> tuple[int, int]:
        return struct.unpack(">ii", frame)


class Swaps(Position):
    def encode(self, value: tuple[int, int]) -> bytes:
        return struct.pack(">ii", *reversed(value))


class EncodesNothing(Position):
    def encode(self, value: tuple[int, int]) -> bytes:
        raise NotImplementedError("reads only")


class GivesViews(Position):
    def encode(self, value: tuple[int, int]) -> Any:
        return bytearray(super().encode(value))


class Counts(Position):
    calls = 0

    def decode(self, frame: bytes) -> tuple[int, int]:
        super().decode(frame)
        self.calls += 1
        return self.calls, 0


class Quotes(Position):
    def decode(self, frame: bytes) -> tuple[int, int]:
        if len(frame) != 8:
            raise CodecError(self.name, "x" * 3000)
        return super().decode(frame)


class Misnamed(Position):
    def decode(self, frame: bytes) -> tuple[int, int]:
        if len(frame) != 8:
            raise CodecError("other", "wrong")
        return super().decode(frame)


class Nameless(Position):
    name = ""


class KeepsAll(Position):
    def decode(self, frame: bytes) -> tuple[int, int]:
        if len(frame) != 8:
            error = CodecError(self.name, "wrong")
            error.head = bytes(99)
            raise error
        return super().decode(frame)


@pytest.mark.parametrize(
    ("codec", "options", "problem"),
    [
        (Raises(), {}, "raised error: .*; raise CodecError"),
        (Swaps(), {}, "and decoded, is"),
        (EncodesNothing(), {}, "cannot be encoded: NotImplementedError"),
        (GivesViews(), {}, "encode gives a bytearray"),
        (Counts(), {"valid": [bytes(8)]}, "the second time"),
        (Quotes(), {"invalid": [b"x"]}, "has 3010 characters"),
        (Misnamed(), {"invalid": [b"x"]}, "names the codec 'other', not 'position'"),
        (KeepsAll(), {"invalid": [b"x"]}, "keeps more than 32 bytes"),
        (Nameless(), {}, "its name is no word"),
        (Position(), {"valid": [(bytes(8), (0, 1))]}, r"became \(0, 0\), not \(0, 1\)"),
        (Position(), {"valid": [b"x"]}, "the valid frame b'x' raised CodecError"),
        (Position(), {"invalid": [bytes(8)]}, "is not refused"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Position) else None,
)
def test_each_promise(codec: Position, options: dict[str, Any], problem: str) -> None:
    """Broken, it is named."""
    with pytest.raises(AssertionError, match=problem):
        check_codec(codec, **{"valid": [b"abcdefgh"], **options})


def test_it_needs_something_to_check() -> None:
    """And what cannot be encoded need not be."""
    with pytest.raises(ValueError, match="at least one valid"):
        check_codec(Position(), valid=[])
    check_codec(EncodesNothing(), valid=[b"abcdefgh" * 1], round_trip=False)
