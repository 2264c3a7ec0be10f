"""Bytes, text and digits in binary frames."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from portcast.codecs.binary_layout import ByteOrder, Layout, Reader
from portcast.codecs.binary_lengths import Measured, bytes_text
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError


class Content(Measured, ABC):
    """A part whose length is counted in bytes; use `Bytes` or `Text`."""

    __slots__ = ()

    is_taken_whole: ClassVar[bool] = False
    """True if the bytes themselves are the value."""

    @abstractmethod
    def decode(self, data: bytes, *, is_fixed: bool) -> object:
        """Return the value in ``data``; padding is removed if the width is fixed.

        Raises:
            Refusal: it is none.
        """

    @abstractmethod
    def encode(self, value: object, width: int | None) -> bytes:
        """Return ``value`` as bytes, filled up to ``width`` unless that is None.

        Raises:
            Refusal: it cannot be expressed, or is longer.
        """


@dataclass(frozen=True, slots=True)
class Bytes(Content):
    """Bytes as they are; in JSON they are hexadecimal digits.

    Attributes:
        length: in bytes: a number, the name of an earlier field, the layout of a number in front, or `REST`.
        adjust: added to what a field or a number in front says.
    """

    is_taken_whole = True

    def decode(self, data: bytes, *, is_fixed: bool) -> object:
        """Return ``data``."""
        return data

    def encode(self, value: object, width: int | None) -> bytes:
        """Return ``value``, which must have exactly ``width`` bytes."""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise Refusal(f"bytes, not {type(value).__name__}")
        data = bytes(value)
        if width is not None and len(data) != width:
            raise Refusal(f"{bytes_text(width)}, not {len(data)}")
        return data


@dataclass(frozen=True, slots=True)
class Text(Content):
    """Text in one encoding.

    Attributes:
        length: in bytes, not characters: a number, the name of an earlier field, the layout of a number in front, or
            `REST`.
        adjust: added to what a field or a number in front says.
        encoding: any text encoding of Python by name.
        pad: the character that fills a fixed length up on the right, and is removed from there; empty if the text must
            have exactly that many bytes. NUL.

    Raises:
        ConfigurationError: an unknown encoding, or a padding that is not one character of it.
    """

    encoding: str = "utf-8"
    pad: str = "\0"

    def __post_init__(self) -> None:
        # By name: a dataclass with slots is a new class, which the zero-argument super() does not know.
        Measured.__post_init__(self)
        try:
            # Encoding a letter tells text encodings from transforms such as rot13.
            "a".encode(self.encoding)
            codecs.lookup(self.encoding)
        except (LookupError, ValueError):
            hint = "try utf-8, ascii, latin-1, utf-16-be or gb18030"
            raise ConfigurationError("Text.encoding", f"{self.encoding!r} is not a text encoding", hint) from None
        try:
            self.pad.encode(self.encoding)
        except UnicodeError:
            raise ConfigurationError("Text.pad", f"{self.encoding} has no {self.pad!r}", "use another") from None
        if len(self.pad) > 1:
            raise ConfigurationError("Text.pad", f"{self.pad!r} is longer than one character", 'use "\\0" or " "')

    def decode(self, data: bytes, *, is_fixed: bool) -> object:
        """Return the text."""
        try:
            text = data.decode(self.encoding)
        except UnicodeError:
            raise Refusal(f"valid {self.encoding}") from None
        return text.rstrip(self.pad) if is_fixed and self.pad else text

    def encode(self, value: object, width: int | None) -> bytes:
        """Return the encoded text; one that ends with the padding could not be told from a shorter one."""
        if not isinstance(value, str):
            raise Refusal(f"text, not {type(value).__name__}")
        try:
            data = value.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise Refusal(f"text that {self.encoding} can express, not U+{ord(value[error.start]):04X}") from None
        if width is None:
            return data
        if self.pad and value.endswith(self.pad):
            raise Refusal(f"text that does not end with its padding {self.pad!r}")
        missing = width - len(data)
        fill = self.pad.encode(self.encoding)
        if missing < 0 or (missing and (not fill or missing % len(fill))):
            raise Refusal(f"text of {bytes_text(width)}, not {len(data)}")
        return data + fill * (missing // len(fill) if fill else 0)


@dataclass(frozen=True, slots=True)
class FixedContent(Layout):
    """A `Content` whose length is a number, as a layout that can be unpacked together with its neighbours."""

    content: Content
    size: int

    @property
    def width(self) -> int:
        """As declared."""
        return self.size

    def reader(self, order: ByteOrder) -> Reader:
        """Take the bytes, decode the text."""
        decode = self.content.decode
        convert = None if self.content.is_taken_whole else lambda data: decode(data, is_fixed=True)
        return Reader(f"{self.size}s", convert)

    def write(self, value: object, order: ByteOrder) -> bytes:
        """Return exactly `width` bytes."""
        return self.content.encode(value, self.size)


@dataclass(frozen=True, slots=True)
class Bcd(Layout):
    """Decimal digits, two in a byte, the more significant half first: an IMEI, a phone number, a meter's count.

    An odd number of digits has a zero half in front. ``Bcd(15)``, the IMEI 123456789012345::

        01 23 45 67 89 01 23 45

    The value is text, so that leading zeros stay; annotate an int to have the number.

    Attributes:
        digits: how many, at least 1.

    Raises:
        ConfigurationError: fewer than 1.
    """

    digits: int

    def __post_init__(self) -> None:
        if self.digits < 1:
            raise ConfigurationError("Bcd", f"{self.digits} digits", "use at least 1")

    @property
    def width(self) -> int:
        """Half as many bytes as digits, rounded up."""
        return (self.digits + 1) // 2

    def reader(self, order: ByteOrder) -> Reader:
        """Take the bytes, which are the digits if written in hexadecimal."""
        is_odd = self.digits % 2

        def convert(data: bytes) -> str:
            text = data.hex()
            if not text.isdecimal() or (is_odd and text[0] != "0"):
                raise Refusal(f"{self.digits} decimal digits, not {text[:32]}")
            return text[is_odd:]

        return Reader(f"{self.width}s", convert)

    def write(self, value: object, order: ByteOrder) -> bytes:
        """Return the digits of a text, which must be all of them, or of an int, with zeros in front."""
        text = f"{value:0{self.digits}d}" if isinstance(value, int) else value
        if not isinstance(text, str):
            raise Refusal(f"{self.digits} decimal digits, not {type(value).__name__}")
        # isdecimal alone takes the digits of other scripts.
        if len(text) != self.digits or not (text.isascii() and text.isdecimal()):
            raise Refusal(f"{self.digits} decimal digits")
        return bytes.fromhex(text.zfill(2 * self.width))
