"""What every codec promises, as one check for codecs of your own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeVar

from portcast.codecs import Codec
from portcast.errors import HEAD_BYTES, CodecError

T = TypeVar("T")

RANDOM_FRAMES = 400
MOST_TEXT = 2000
"""Characters of an error's sentence: it goes into a log line, and must not carry the payload."""


def check_codec(
    codec: Codec[T],
    *,
    valid: Sequence[bytes | tuple[bytes, T]],
    invalid: Iterable[bytes] = (),
    round_trip: bool = True,
    seed: int = 0,
) -> None:
    """Check that a codec keeps what all of Portcast's codecs promise.

    * Valid frames become the values that you name, the same on every call.
    * Encoding a value and decoding it gives the value. The bytes may differ: JSON has many ways to say one thing.
    * Invalid frames raise `CodecError`, and so does garbage that is no message: nothing else is ever raised by what a
      device may send.
    * The error names the codec, keeps at most 32 bytes of the frame, and its sentence stays short.

    It needs no pytest.

    Args:
        codec: under test.
        valid: frames, at least one, or pairs of a frame and its value.
        invalid: frames that are no message.
        round_trip: False for a codec whose values do not compare, or that only reads.
        seed: another number tries other garbage.

    Raises:
        AssertionError: it does not; the message says which promise, and with what frame.
        ValueError: ``valid`` is empty.
    """
    if not valid:
        raise ValueError("give at least one valid frame")
    _require(codec.name.isprintable() and codec.name != "", codec, "its name is no word")
    frames: list[bytes] = []
    for one in valid:
        if isinstance(one, tuple):
            frame, expected = one
            value = _decoded(codec, frame)
            _require(value == expected, codec, f"{_shown(frame)} became {value!r}, not {expected!r}")
        else:
            frame = one
            value = _decoded(codec, frame)
        frames.append(frame)
        if round_trip:
            _check_round_trip(codec, frame, value)
    for frame in invalid:
        _require(not _is_accepted(codec, frame), codec, f"{_shown(frame)} is not refused")
    random = Random(seed)  # noqa: S311 - the same garbage on every run
    for _ in range(RANDOM_FRAMES):
        _is_accepted(codec, random.randbytes(random.randint(0, 64)))
        _is_accepted(codec, _mutated(random.choice(frames), random))


def _require(condition: bool, codec: Codec[T], problem: str) -> None:
    if not condition:
        raise AssertionError(f"{type(codec).__name__}: {problem}")


def _shown(frame: bytes) -> str:
    return repr(frame[:40]) + (f"… ({len(frame)} bytes)" if len(frame) > 40 else "")


def _decoded(codec: Codec[T], frame: bytes) -> T:
    try:
        return codec.decode(frame)
    except Exception as error:
        raise AssertionError(
            f"{type(codec).__name__}: the valid frame {_shown(frame)} raised {type(error).__name__}: {error}"
        ) from error


def _check_round_trip(codec: Codec[T], frame: bytes, value: T) -> None:
    again = _decoded(codec, frame)
    _require(again == value, codec, f"{_shown(frame)} became {value!r}, and {again!r} the second time")
    try:
        encoded = codec.encode(value)
    except Exception as error:
        raise AssertionError(
            f"{type(codec).__name__}: its own value {value!r} cannot be encoded: {type(error).__name__}: {error}"
        ) from error
    _require(type(encoded) is bytes, codec, f"encode gives a {type(encoded).__name__}, not bytes")
    back = _decoded(codec, encoded)
    _require(back == value, codec, f"{value!r}, encoded as {_shown(encoded)} and decoded, is {back!r}")


def _is_accepted(codec: Codec[T], frame: bytes) -> bool:
    """Decode; require that whatever is refused is refused as it should be."""
    try:
        codec.decode(frame)
    except CodecError as error:
        _require(error.codec == codec.name, codec, f"its error names the codec {error.codec!r}, not {codec.name!r}")
        _require(len(error.head) <= HEAD_BYTES, codec, f"its error keeps more than {HEAD_BYTES} bytes of the frame")
        _require(len(str(error)) <= MOST_TEXT, codec, f"its error for {_shown(frame)} has {len(str(error))} characters")
        return False
    except Exception as error:
        raise AssertionError(
            f"{type(codec).__name__}: {_shown(frame)} raised {type(error).__name__}: {error}; raise CodecError"
        ) from error
    return True


def _mutated(frame: bytes, random: Random) -> bytes:
    data = bytearray(frame)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        data[at : at + random.randint(0, 2)] = random.randbytes(random.randint(0, 2))
    return bytes(data)
