r"""Golden frames: bytes that real devices sent, kept in text files that people can read and diff.

The format. A file is UTF-8 text. Blank lines part it into entries; each entry is a piece of a byte stream::

    # From the tracker on the bench, firmware 2.1
    login:
    78 78 0d 01                 # start, length, type
    01 23 45 67 89 01 23 45     # IMEI
    00 01 8c dd 0d 0a

    h02 position:
    "*HQ,865205030330012,V1,A#\r\n"
    => "*HQ,865205030330012,V1,A"

* Bytes are hexadecimal digits, two for each byte, spaced as you like (an odd number of digits in one word is an error),
  or text in double quotes, as UTF-8, with ``\r``, ``\n``, ``\t``, ``\0``, ``\"``, ``\\`` and ``\xNN``. Both may be
  mixed; all of an entry's lines are joined.
* ``#`` outside of quotes begins a comment, to the end of the line. A line with nothing but a comment parts nothing.
* An entry may begin with a name and a colon. Without one it is named after its first line.
* ``=>`` begins a frame that the stream gives; there may be several. ``=> ""`` is a frame of no bytes. An entry without
  ``=>`` gives one frame, whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from portcast.errors import ConfigurationError
from portcast.framing import Framing
from portcast.testing.splits import splits
from portcast.testing.streams import outcome

_NAME = re.compile(r'([^\s"#=:][^"#=:]*):(?=\s|$)')
_TOKEN = re.compile(
    r'\s*(?:(?P<comment>#.*)|(?P<arrow>=>)|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<hex>[0-9A-Fa-f]+)(?=[\s"#=]|$))'
)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)")
_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", '"': b'"', "\\": b"\\"}


@dataclass(frozen=True, slots=True)
class GoldenFrame:
    """One entry of a file.

    Attributes:
        name: its name, for messages and test ids.
        data: the bytes on the wire.
        frames: the frames that they give; None where the file says nothing: then it is one.
    """

    name: str
    data: bytes
    frames: tuple[bytes, ...] | None = None

    def __str__(self) -> str:
        return self.name


def golden(path: str | Path) -> list[GoldenFrame]:
    """Return the entries of a file, in order. The format is told on top of `portcast.testing.golden_frames`.

    ```python
    @pytest.mark.parametrize("entry", golden("tests/frames.txt"), ids=str)
    def test_decodes(entry): ...
    ```

    Args:
        path: the file; a relative path begins at the working directory.

    Raises:
        ConfigurationError: a line cannot be read; the error names it.
        OSError: the file cannot be read.
    """
    return parse_golden(Path(path).read_text("utf-8"), str(path))


def parse_golden(text: str, name: str = "golden frames") -> list[GoldenFrame]:
    """Return the entries of a text; otherwise as `golden`.

    Args:
        text: in the same format.
        name: names the text in errors.

    Raises:
        ConfigurationError: a line cannot be read; the error names it.
    """
    entries: list[_Entry] = []
    entry: _Entry | None = None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped:
            entry = None
        elif not stripped.startswith("#"):
            if entry is None:
                entry = _Entry(f"line {number}")
                entries.append(entry)
                if named := _NAME.match(stripped):
                    entry.name = named[1].strip()
                    stripped = stripped[named.end() :]
            _read(stripped, entry, f"{name}:{number}")
    return [one.golden() for one in entries]


class _Entry:
    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: list[bytearray] = [bytearray()]

    def golden(self) -> GoldenFrame:
        data, *frames = map(bytes, self.parts)
        return GoldenFrame(self.name, data, tuple(frames) or None)


def _read(line: str, entry: _Entry, where: str) -> None:
    at = 0
    while at < len(line):
        token = _TOKEN.match(line, at)
        if token is None:
            if not line[at:].strip():
                return
            raise ConfigurationError(where, f"cannot read {line[at:].strip()[:40]!r}", 'write hex digits or "text"')
        at = token.end()
        if token["comment"] is not None:
            return
        if token["arrow"] is not None:
            entry.parts.append(bytearray())
        elif token["hex"] is not None:
            if len(token["hex"]) % 2:
                raise ConfigurationError(where, f"{token['hex'][:40]!r} has half a byte", "write two digits for each")
            entry.parts[-1] += bytes.fromhex(token["hex"])
        else:
            entry.parts[-1] += _unescaped(token["text"], where)


def _unescaped(text: str, where: str) -> bytes:
    data, at = bytearray(), 0
    for escape in _ESCAPE.finditer(text):
        data += text[at : escape.start()].encode()
        at = escape.end()
        code = escape[1]
        if len(code) == 3:
            data.append(int(code[1:], 16))
        elif code in _ESCAPES:
            data += _ESCAPES[code]
        else:
            raise ConfigurationError(where, f"unknown escape '\\{code}'", r"known are \r \n \t \0 \" \\ \xNN")
    return bytes(data + text[at:].encode())


def check_golden(framing: Framing, entries: Iterable[GoldenFrame], *, encodes: bool = True) -> None:
    """Check that a framing gives the frames of a file, however the stream is split, and encodes them again.

    Args:
        framing: under test.
        entries: from `golden`.
        encodes: also require that encoding the frames gives the same bytes. False for a framing that writes in another
            way than it reads.

    Raises:
        AssertionError: it does not; the message names the entry.
    """
    for entry in entries:
        found = outcome(framing.decoder(), [entry.data])
        if found.error is not None:
            raise AssertionError(f"{entry}: it was refused: {found.message}")
        if entry.frames is None and len(found.frames) != 1:
            raise AssertionError(f"{entry}: expected one frame, got {_shown(found.frames)}")
        if entry.frames is not None and tuple(found.frames) != entry.frames:
            raise AssertionError(f"{entry}: expected {_shown(entry.frames)}, got {_shown(found.frames)}")
        for pieces in splits(entry.data):
            if outcome(framing.decoder(), pieces).frames != found.frames:
                raise AssertionError(f"{entry}: it gives other frames in {len(pieces)} pieces, {_shown(pieces)}")
        if encodes:
            encoded = b"".join(map(framing.encode, found.frames))
            if encoded != entry.data:
                raise AssertionError(f"{entry}: encoded it is {encoded!r}, not {entry.data!r}")


def _shown(frames: Sequence[bytes]) -> str:
    shown = ", ".join(repr(one) for one in frames[:4]) or "none"
    return shown + (f", … ({len(frames)})" if len(frames) > 4 else "")
