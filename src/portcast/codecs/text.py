"""Frames of text."""

from __future__ import annotations

import codecs

from portcast.errors import CodecError, ConfigurationError


class TextCodec:
    """The frame is text in one encoding.

    Args:
        encoding: any text encoding of Python by name; the default is UTF-8. Transforms that Python also calls codecs
            (``rot13``, ``zlib``) are refused.
        errors: what to do with what cannot be decoded: ``strict`` (the default) costs the frame, ``replace`` puts
            U+FFFD, ``ignore``, ``backslashreplace`` and ``surrogateescape`` as in Python.

    Raises:
        ConfigurationError: an unknown encoding, or an error handler that is unknown or cannot decode.
    """

    __slots__ = ("_encoding", "_errors")

    def __init__(self, encoding: str = "utf-8", errors: str = "strict") -> None:
        try:
            # Encoding a letter tells text encodings from transforms, and looks the name up in any case.
            "a".encode(encoding)
            self._encoding = codecs.lookup(encoding).name
        except (LookupError, ValueError):
            raise ConfigurationError(
                "encoding", f"{encoding!r} is not a text encoding", "try utf-8, latin-1, cp1252 or gb18030"
            ) from None
        try:
            codecs.lookup_error(errors)(UnicodeDecodeError(self._encoding, b"\xff", 0, 1, "probe"))
        except UnicodeError:
            pass  # what `strict` does
        except (LookupError, TypeError):
            raise ConfigurationError(
                "errors", f"{errors!r} cannot decode", "use strict, replace, ignore or backslashreplace"
            ) from None
        self._errors = errors

    @property
    def name(self) -> str:
        """``text``."""
        return "text"

    @property
    def encoding(self) -> str:
        """The encoding's canonical name."""
        return self._encoding

    def decode(self, frame: bytes) -> str:
        """Return the text in ``frame``.

        Raises:
            CodecError: it is not valid in this encoding.
        """
        try:
            return frame.decode(self._encoding, self._errors)
        except UnicodeError as error:
            # Some encodings (idna) do not say where.
            where = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
            raise CodecError("text", f"not valid {self._encoding}{where}", frame) from error

    def encode(self, value: str) -> bytes:
        """Return ``value`` in this encoding.

        Raises:
            CodecError: the encoding has no place for one of its characters, or it is not text.
        """
        if not isinstance(value, str):
            raise CodecError("text", f"expected str, got {type(value).__name__}")
        try:
            return value.encode(self._encoding, self._errors)
        except UnicodeError as error:
            what = f"U+{ord(value[error.start]):04X}" if isinstance(error, UnicodeEncodeError) else "the text"
            raise CodecError("text", f"{self._encoding} cannot express {what}") from error
