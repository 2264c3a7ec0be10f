"""Text from devices and clients, made safe to print on a terminal or in a log."""

from __future__ import annotations

from unicodedata import category


def escape(text: str, max_chars: int | None = None) -> str:
    r"""Return ``text`` on one line and without anything that a terminal or a log reader would obey.

    Escaped as ``\n``, ``\r``, ``\t``, ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``: control characters (ANSI sequences begin
    with one), line and paragraph separators, format characters (which turn the direction of text around or hide it),
    surrogates and unassigned characters. Letters of every script, signs, emoji and spaces stay. A backslash stays too,
    so the result is for reading and cannot be turned back.

    Args:
        text: anything.
        max_chars: cut the text after so many characters and say how many are left out; None for no limit.
    """
    cut = "" if max_chars is None or len(text) <= max_chars else f"…(+{len(text) - max_chars})"
    if cut:
        text = text[:max_chars]
    # str.isprintable is the fast path: true for all but a few lines.
    return (text if text.isprintable() else "".join(map(_escape_character, text))) + cut


def escape_bytes(data: bytes, max_chars: int | None = None) -> str:
    r"""Return bytes as text, as `escape` does; bytes that are not UTF-8 become ``\xNN``."""
    return escape(data.decode("utf-8", "surrogateescape"), max_chars)


def _escape_character(character: str) -> str:
    if character.isprintable() or category(character) == "Zs":
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # what surrogateescape made of a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
