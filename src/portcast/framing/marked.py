"""Frames between a start and an end marker, with escapes for marker bytes inside: SLIP, HDLC, JT/T 808, MLLP."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portcast.errors import CodecError, ConfigurationError, FramingError, OversizeFrameError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.cutting import Buffer, CuttingDecoder
from portcast.framing.validation import check_at_least, check_not_empty, size_text

_MLLP_MAX_FRAME = 1 << 20
"""1 MiB: HL7 messages carry documents; the other formats here carry readings."""


@dataclass(frozen=True, slots=True)
class MarkedFraming:
    r"""Frames between markers; what is delivered lies between them, with escapes undone.

    ::

        +---------+---------------------------------------------+---------+
        | start   | frame; a byte of a marker inside it is      | end     |
        |         | written as the escape byte and a code byte  |         |
        +---------+---------------------------------------------+---------+

    * With a start marker, bytes between frames are skipped and counted. A start marker inside a frame is ordinary.
    * Without one, a frame begins where the one before ended, and frames of no bytes are not delivered.
    * If both are the same byte string (a flag), one flag may end a frame and begin the next, and frames of no bytes are
      not delivered.
    * The escape at the very end of a frame is HDLC's abort (RFC 1662 §4.3): with ``escape_xor`` the frame is dropped
      and its bytes are counted; otherwise, as any unknown code, it is malformed.

    Attributes:
        end: what ends a frame.
        start: what begins one. Empty: nothing does.
        escape: the escape byte. Empty: no escapes; a frame that holds the end marker cannot be written.
        escape_table: pairs of a code byte and the byte that it stands for: ``b"\x02\x7e"`` means that the escape and
            0x02 stand for 0x7E.
        escape_xor: a code byte that is not in the table stands for itself XOR this number. 0: it is malformed.
        max_frame: most bytes of a frame as delivered. 64 KiB. With escapes, twice as many may arrive.

    Raises:
        ConfigurationError: an empty end, an escape without a table or XOR number (or the reverse), a table entry that
            is not two bytes, or escapes that leave a marker's byte in a frame.
    """

    end: bytes
    start: bytes = b""
    escape: bytes = b""
    escape_table: tuple[bytes, ...] = ()
    escape_xor: int = 0
    max_frame: int = DEFAULT_MAX_FRAME

    def __post_init__(self) -> None:
        check_not_empty("end", self.end)
        check_at_least("max_frame", self.max_frame, 1)
        if bool(self.escape) != bool(self.escape_table or self.escape_xor):
            raise ConfigurationError("escape", "needs escape_table or escape_xor, and the reverse", "give both or none")
        if self.escape:
            self._check_escapes()

    def _check_escapes(self) -> None:
        if len(self.escape) != 1:
            raise ConfigurationError("escape", f"{self.escape!r} is not one byte", "use one byte")
        if not 0 <= self.escape_xor <= 0xFF:
            raise ConfigurationError("escape_xor", f"{self.escape_xor} is not a byte", "use 1 to 255, or 0 for none")
        if any(len(entry) != 2 for entry in self.escape_table):
            raise ConfigurationError("escape_table", "an entry is not two bytes", "write the code byte, then the byte")
        first_bytes = self.start[:1] + self.end[:1]
        codes = self._codes()
        for byte in first_bytes + self.escape:
            if byte not in codes:
                raise ConfigurationError("escape_table", f"has no code for byte {byte:#04x}", "add one")
        for byte, code in codes.items():
            if code in first_bytes:
                raise ConfigurationError("escape_table", f"code {code:#04x} begins a marker", "use another code")
            if any(entry[1] == byte and entry[0] != code for entry in self.escape_table):
                raise ConfigurationError("escape_table", f"has two codes for byte {byte:#04x}", "keep one")
        if len(set(codes.values())) != len(codes):
            raise ConfigurationError("escape_table", "has one code for two bytes", "give each byte a code of its own")

    def _codes(self) -> dict[int, int]:
        """Return the code of every byte that must be escaped."""
        codes = {byte: code for code, byte in self.escape_table}
        if self.escape_xor:
            for byte in self.start[:1] + self.end[:1] + self.escape:
                codes.setdefault(byte, byte ^ self.escape_xor)
        return codes

    @classmethod
    def slip(cls, max_frame: int = DEFAULT_MAX_FRAME) -> MarkedFraming:
        """Return SLIP: frames end in 0xC0; 0xDB 0xDC and 0xDB 0xDD stand for 0xC0 and 0xDB (RFC 1055)."""
        return cls(end=b"\xc0", escape=b"\xdb", escape_table=(b"\xdc\xc0", b"\xdd\xdb"), max_frame=max_frame)

    @classmethod
    def hdlc(cls, max_frame: int = DEFAULT_MAX_FRAME) -> MarkedFraming:
        """Return HDLC-like framing: flag 0x7E; 0x7D and a byte XOR 0x20 (RFC 1662 §4). The FCS stays in the frame."""
        return cls(end=b"\x7e", start=b"\x7e", escape=b"\x7d", escape_xor=0x20, max_frame=max_frame)

    @classmethod
    def jt808(cls, max_frame: int = DEFAULT_MAX_FRAME) -> MarkedFraming:
        """Return JT/T 808: flag 0x7E; 0x7D 0x02 and 0x7D 0x01 stand for 0x7E and 0x7D. The check byte stays."""
        return cls(
            end=b"\x7e", start=b"\x7e", escape=b"\x7d", escape_table=(b"\x02\x7e", b"\x01\x7d"), max_frame=max_frame
        )

    @classmethod
    def mllp(cls, max_frame: int = _MLLP_MAX_FRAME) -> MarkedFraming:
        """Return HL7's minimal lower layer protocol: 0x0B, the message, 0x1C 0x0D; at most 1 MiB."""
        return cls(end=b"\x1c\r", start=b"\x0b", max_frame=max_frame)

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _MarkedDecoder(self)

    def encode(self, frame: bytes) -> bytes:
        """Return ``frame`` between the markers, escaped.

        Raises:
            CodecError: it holds the end marker and there are no escapes, or it is empty and such frames are not
                delivered.
        """
        if not frame and self.start in (b"", self.end):
            raise CodecError("marked", "a frame of no bytes cannot be told from none")
        if self.escape:
            codes = self._codes()
            # Every first byte of a marker has a code, so no marker can begin inside.
            special = re.compile(b"[%b]" % b"".join(re.escape(bytes((byte,))) for byte in codes))
            frame = special.sub(lambda match: self.escape + bytes((codes[match[0][0]],)), frame)
        elif (frame + self.end).find(self.end) != len(frame):
            raise CodecError("marked", f"the frame holds the end marker {self.end!r}")
        return self.start + frame + self.end


class _MarkedDecoder(CuttingDecoder):
    """Looks for the start, then for the end from where it stopped looking, then undoes escapes.

    What is held begins with the start marker, except that after a flag the next frame may begin at once: then
    ``_is_open`` is True. Bytes as they arrive are bounded by ``_limit``, which is twice ``max_frame`` with escapes.
    """

    __slots__ = ("_framing", "_is_open", "_searched")

    def __init__(self, framing: MarkedFraming) -> None:
        super().__init__()
        self._framing = framing
        # True if a frame can begin without a start marker in front of it.
        self._is_open = not framing.start
        # Bytes of the held frame that hold no beginning of the end marker.
        self._searched = 0

    def _expected(self) -> str:
        return f"the end marker {self._framing.end!r}"

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        framing = self._framing
        marker, mark = framing.start, framing.end
        body = start
        is_flag = marker == mark
        if not self._is_open or (is_flag and buffer.startswith(marker, start)):
            begin = self._synchronise(buffer, start, marker)
            body = start + len(marker)
            if begin != start or body > len(buffer):
                return begin
        at = buffer.find(mark, max(body, start + self._searched))
        limit = framing.max_frame * 2 if framing.escape else framing.max_frame
        if at < 0:
            if len(buffer) - body >= limit + len(mark):
                self._oversize(buffer, body, limit)
            self._searched = max(0, len(buffer) - start - len(mark) + 1)
            return start
        self._searched = 0
        if at - body > limit:
            self._oversize(buffer, body, limit)
            return start
        if at == body and (is_flag or not marker):
            # Between two flags: the second one begins the frame. Without a start: nothing was sent.
            return at if is_flag else at + len(mark)
        frame = self._unescape(bytes(buffer[body:at]))
        if self.error is not None:
            return start
        if frame is not None:
            frames.append(frame)
        self._is_open = is_flag or not marker
        return at + len(mark)

    def _unescape(self, raw: bytes) -> bytes | None:
        """Return ``raw`` without escapes; None if the frame was aborted or `error` was set."""
        framing = self._framing
        escape = framing.escape
        if not escape or escape not in raw:
            frame = raw
        else:
            # Each piece after the first begins with a code, unless the code is the escape byte itself.
            frame = b""
            plain: list[bytes] = []
            position = 0
            while (at := raw.find(escape, position)) >= 0:
                if at + 1 == len(raw) and framing.escape_xor:
                    self.skipped_bytes += len(raw)
                    return None
                code = raw[at + 1 : at + 2]
                byte = self._escaped(code)
                if byte is None:
                    self._fail(FramingError, f"a code after the escape {escape!r}, not {code!r}", len(raw), raw)
                    return None
                plain += (raw[position:at], byte)
                position = at + 2
            plain.append(raw[position:])
            frame = b"".join(plain)
        if len(frame) > framing.max_frame:
            self._oversize(raw, 0, framing.max_frame)
            return None
        return frame

    def _escaped(self, code: bytes) -> bytes | None:
        framing = self._framing
        for entry in framing.escape_table:
            if entry[:1] == code:
                return entry[1:]
        return bytes((code[0] ^ framing.escape_xor,)) if framing.escape_xor else None

    def _oversize(self, buffer: Buffer, body: int, limit: int) -> None:
        expected = f"{self._expected()} within {size_text(limit)}"
        self._fail(OversizeFrameError, expected, limit + 1, buffer[body : body + limit + 1])

    def _finish(self, frames: list[bytes]) -> None:
        framing = self._framing
        if len(self._held) < len(framing.start):
            # Part of a start marker, if what came before did not make it part of a frame.
            if not self._is_open:
                self.skipped_bytes += len(self._held)
                return
        elif self._held == framing.start == framing.end:
            return
        super()._finish(frames)
