"""Several formats on one port: the first byte of each frame chooses its framing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portcast.errors import CodecError, ConfigurationError, FramingError
from portcast.framing.base import FrameDecoder, Framing
from portcast.framing.checksum import ChecksumFraming
from portcast.framing.cutting import SingleFrameDecoder, single_frame_decoder
from portcast.framing.line import LineFraming
from portcast.framing.raw import RawFraming


@dataclass(frozen=True, slots=True)
class FirstByteFraming:
    r"""A framing per first byte, chosen anew for every frame.

    ::

        FirstByteFraming({b"*": DelimiterFraming(b"#"), b"$X": FixedLengthFraming(45)})

    The chosen framing gets the frame with its first byte. A first byte that has no framing is malformed.

    Attributes:
        framings: from first bytes to framings. A key is a number, or a byte string of which each byte is one.
        default: the framing of all other bytes. None: there is none.
        ignore: bytes that may stand between frames, such as ``b"\r\n"``; they are dropped and counted as skipped.

    Raises:
        ConfigurationError: no framing at all, a key that is no byte or occurs twice or is ignored, or a framing that
            cannot say where its frame ends before it has seen more: `RawFraming`, and `LineFraming` with ``any``.
    """

    framings: Mapping[int | bytes, Framing] = field(hash=False)
    default: Framing | None = None
    ignore: bytes = b""

    def __post_init__(self) -> None:
        by_byte: dict[int | bytes, Framing] = {}
        for key, framing in self.framings.items():
            for byte in (key,) if isinstance(key, int) else key:
                if not 0 <= byte <= 0xFF:
                    raise ConfigurationError("framings", f"{byte} is not a byte", "use 0 to 255")
                if byte in by_byte or byte in self.ignore:
                    raise ConfigurationError("framings", f"byte {byte:#04x} has two meanings", "keep one of them")
                by_byte[byte] = framing
        if not by_byte and self.default is None:
            raise ConfigurationError("framings", "is empty", "give at least one framing")
        for framing in self._all(by_byte):
            self._check_inner(framing)
        object.__setattr__(self, "framings", by_byte)

    def _all(self, framings: Mapping[int | bytes, Framing]) -> list[Framing]:
        return [*framings.values(), *([] if self.default is None else [self.default])]

    def _check_inner(self, framing: Framing) -> None:
        if not isinstance(framing, Framing):
            raise ConfigurationError("framings", f"a {type(framing).__name__} is not a framing", "give one, built")
        while isinstance(framing, ChecksumFraming):
            framing = framing.inner
        if isinstance(framing, RawFraming) or (isinstance(framing, LineFraming) and framing.ending == "any"):
            raise ConfigurationError(
                "framings", "raw, and lines with ending any, do not know where one frame ends", "use another framing"
            )

    @property
    def max_frame(self) -> int:
        """The largest bound of all framings."""
        return max(framing.max_frame for framing in self._all(self.framings))

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _FirstByteDecoder(self)

    def encode(self, frame: bytes) -> bytes:
        """Return ``frame`` in the first framing whose result a receiver with this framing would read with it.

        The framing of the frame's own first byte is tried before the others, in the order of their keys.

        Raises:
            CodecError: there is none.
        """
        candidates = self._all(self.framings)
        if frame and (own := self._choose(frame[0])) is not None:
            candidates.insert(0, own)
        for framing in candidates:
            try:
                whole = framing.encode(frame)
            except CodecError:
                continue
            if whole and whole[0] not in self.ignore and self._choose(whole[0]) is framing:
                return whole
        raise CodecError("first_byte", "no framing carries this frame behind a first byte of its own")

    def _choose(self, byte: int) -> Framing | None:
        return self.framings.get(byte, self.default)


class _FirstByteDecoder:
    """Passes bytes to the decoder of the frame under way, and chooses one when there is none.

    Decoders are made when their byte first comes and kept, so a connection that speaks one format pays for one.
    """

    __slots__ = ("_current", "_decoders", "_framing", "_ignored", "error")

    error: FramingError | None

    def __init__(self, framing: FirstByteFraming) -> None:
        self.error = None
        self._framing = framing
        self._decoders: dict[int, SingleFrameDecoder] = {}
        # The decoder of the frame under way; None between frames.
        self._current: SingleFrameDecoder | None = None
        self._ignored = 0

    @property
    def skipped_bytes(self) -> int:
        return self._ignored + sum(decoder.skipped_bytes for decoder in self._decoders.values())

    @property
    def buffered(self) -> int:
        return self._current.buffered if self._current else 0

    def feed(self, data: bytes) -> list[bytes]:
        frames: list[bytes] = []
        position = 0
        while position < len(data) and self.error is None:
            current = self._current
            if current is None:
                if data[position] in self._framing.ignore:
                    self._ignored += 1
                    position += 1
                    continue
                current = self._current = self._begin(data[position])
                if current is None:
                    break
            position = current.take(data, position, frames)
            self._after(current)
        return frames

    def end(self) -> list[bytes]:
        current = self._current
        if self.error is not None or current is None:
            return []
        frames = current.end()
        self._after(current)
        self._current = None
        return frames

    def _after(self, current: SingleFrameDecoder) -> None:
        self.error = current.error
        if self.error is not None or current.is_between:
            self._current = None

    def _begin(self, byte: int) -> SingleFrameDecoder | None:
        framing = self._framing._choose(byte)
        if framing is None:
            first_bytes = bytes(sorted(key for key in self._framing.framings if isinstance(key, int)))
            self.error = FramingError(f"a frame that begins with one of {first_bytes!r}", 1, bytes((byte,)))
            return None
        # All bytes of one key share its decoder; framings are compared by identity, since a user's may not be hashable.
        key = id(framing)
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = single_frame_decoder(framing.decoder())
        return decoder
