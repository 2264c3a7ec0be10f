r"""Framings by name, built from the keys of a listener URL or a TOML table.

The options of a name are the fields of its dataclass and nothing else, so this module lists none. How a value is
written depends on the field's type:

======================  ==============================================================================================
type                    text
======================  ==============================================================================================
``int``                 decimal, or hexadecimal after ``0x``
``bool``                ``true``, ``false``, ``1`` or ``0``
choice                  one of the choices
``bytes``               text as UTF-8, with ``\r``, ``\n``, ``\t``, ``\0``, ``\\`` and ``\xNN``
``tuple[bytes, ...]``   such texts with commas between them; a comma inside one is ``\,`` or ``\x2c``, a lone comma is
                        itself. A TOML list has one text per item and no special comma.
======================  ==============================================================================================
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from types import UnionType
from typing import Any, Final, Literal, TypeAlias, cast, get_args, get_origin, get_type_hints

from portcast.errors import ConfigurationError
from portcast.framing.ascii_length import AsciiLengthFraming
from portcast.framing.base import Framing
from portcast.framing.checksum import ChecksumFraming
from portcast.framing.cobs import CobsFraming
from portcast.framing.delimiter import DelimiterFraming
from portcast.framing.fixed import FixedLengthFraming
from portcast.framing.json_values import JsonFraming
from portcast.framing.length_field import LengthFieldFraming
from portcast.framing.line import LineFraming
from portcast.framing.marked import MarkedFraming
from portcast.framing.raw import RawFraming
from portcast.framing.varint import VarintFraming

OptionValue: TypeAlias = str | int | bool | bytes | Sequence[str]
"""What a URL (always text) or a TOML file (also numbers, booleans and lists) gives for one key."""

_BuiltIn: TypeAlias = (
    LineFraming
    | DelimiterFraming
    | FixedLengthFraming
    | LengthFieldFraming
    | AsciiLengthFraming
    | MarkedFraming
    | CobsFraming
    | VarintFraming
    | JsonFraming
    | RawFraming
)

CLASSES: Final[Mapping[str, type[_BuiltIn]]] = {
    "lines": LineFraming,
    "delimiter": DelimiterFraming,
    "fixed": FixedLengthFraming,
    "length_field": LengthFieldFraming,
    "ascii_length": AsciiLengthFraming,
    "marked": MarkedFraming,
    "cobs": CobsFraming,
    "varint": VarintFraming,
    "json": JsonFraming,
    "raw": RawFraming,
}
"""Names whose options are all fields of a class."""

PRESETS: Final[Mapping[str, AsciiLengthFraming | MarkedFraming]] = {
    "octet_counting": AsciiLengthFraming.octet_counting(),
    "netstring": AsciiLengthFraming.netstring(),
    "slip": MarkedFraming.slip(),
    "hdlc": MarkedFraming.hdlc(),
    "jt808": MarkedFraming.jt808(),
    "mllp": MarkedFraming.mllp(),
}
"""Names of which a standard fixes everything but ``max_frame``."""

FRAMING_NAMES: Final = tuple(sorted((*CLASSES, *PRESETS)))
"""All names that `framing_from_options` takes."""

_IN_CODE: Final = {
    "checksum": "write checksum=crc16_modbus beside another framing",
    "first_byte": "build FirstByteFraming in Python: its framings have options of their own",
    "custom": "derive from CustomFraming in Python",
}
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|.?)", re.DOTALL)
_ESCAPED: Final = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\", ",": b","}
_CHECKSUM: Final = "checksum"


@dataclass(frozen=True, slots=True)
class FramingOption:
    """One key that a framing takes.

    Attributes:
        name: the key.
        type: the type of the dataclass field: `int`, `bool`, `bytes`, a `Literal`, a tuple or a union of these.
        is_required: True if there is no default.
    """

    name: str
    type: object
    is_required: bool


def framing_options(name: str) -> tuple[FramingOption, ...]:
    """Return the options of a framing, in the order of its fields, then those of the checksum beside it.

    Raises:
        ConfigurationError: no framing has this name.
    """
    return _own_options(_known(name)) + _checksum_options()


def framing_from_options(name: str, options: Mapping[str, OptionValue]) -> Framing:
    """Return the framing that a URL's or a TOML table's keys describe.

    Args:
        name: one of `FRAMING_NAMES`.
        options: the keys beside ``framing=`` that concern it. ``checksum`` wraps the framing in a `ChecksumFraming`,
            whose other fields are written ``checksum_skip`` and so on.

    Raises:
        ConfigurationError: the name or a key does not exist (its hint lists those that do), a value cannot be read, a
            required key is missing, or the framing refuses the configuration.
    """
    own = _own_options(_known(name))
    known = {option.name: option for option in framing_options(name)}
    values: dict[str, Any] = {}
    for key, value in options.items():
        if key not in known:
            raise ConfigurationError(key, f"framing={name} has no such option", _suggestion(key, known))
        values[key] = _read(key, value, known[key].type)
    for option in own:
        if option.is_required and option.name not in values:
            raise ConfigurationError(option.name, f"framing={name} needs it", f"add {option.name}=…")
    checksum = {key: values.pop(key) for key in list(values) if key.startswith(_CHECKSUM)}
    framing: Framing = replace(PRESETS[name], **values) if name in PRESETS else CLASSES[name](**values)
    return _with_checksum(framing, checksum) if checksum else framing


def _known(name: str) -> str:
    if name in _IN_CODE:
        raise ConfigurationError("framing", f"{name} cannot be written as text", _IN_CODE[name])
    if name not in FRAMING_NAMES:
        raise ConfigurationError("framing", f"there is no framing {name!r}", _suggestion(name, FRAMING_NAMES))
    return name


def _suggestion(name: str, valid: Iterable[str]) -> str:
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1)
    return (f"did you mean {close[0]}? " if close else "") + "use one of " + ", ".join(names)


@cache
def _own_options(name: str) -> tuple[FramingOption, ...]:
    if name in PRESETS:
        return tuple(option for option in _fields_of(type(PRESETS[name])) if option.name == "max_frame")
    return _fields_of(CLASSES[name])


@cache
def _checksum_options() -> tuple[FramingOption, ...]:
    options = _fields_of(ChecksumFraming)
    return tuple(replace(option, name=_checksum_key(option.name), is_required=False) for option in options)


def _checksum_key(field: str) -> str:
    return _CHECKSUM if field == "algorithm" else f"{_CHECKSUM}_{field}"


def _fields_of(cls: type[_BuiltIn | ChecksumFraming]) -> tuple[FramingOption, ...]:
    """Return the fields that text can fill: no callables, no nested framings."""
    hints = get_type_hints(cls)
    return tuple(
        FramingOption(field.name, hints[field.name], field.default is MISSING)
        for field in fields(cls)
        if _reader(hints[field.name]) is not None
    )


def _with_checksum(framing: Framing, options: dict[str, Any]) -> Framing:
    if _CHECKSUM not in options:
        key = next(iter(options))
        raise ConfigurationError(key, "there is no checksum", "add checksum=crc16_modbus or another one")
    by_field = {_checksum_key(option.name): option.name for option in _fields_of(ChecksumFraming)}
    try:
        return ChecksumFraming(framing, **{by_field[key]: value for key, value in options.items()})
    except ConfigurationError as error:
        key = _checksum_key(error.key)
        raise ConfigurationError(key if key in by_field else error.key, error.problem, error.hint) from error


_Reader: TypeAlias = Callable[[str, OptionValue], object]


def _read(key: str, value: OptionValue, hint: object) -> object:
    reader = _reader(hint)
    assert reader is not None, "options without a reader are not listed"
    return reader(key, value)


def _reader(hint: object) -> _Reader | None:
    """Return the function that reads a value of the type ``hint``; None if text cannot express it."""
    if hint is int:
        return _read_int
    if hint is bool:
        return _read_bool
    if hint is bytes:
        return _read_bytes
    if get_origin(hint) is Literal:
        return lambda key, value: _read_choice(key, value, get_args(hint))
    if hint == tuple[bytes, ...]:
        return _read_several
    if isinstance(hint, UnionType) and get_args(hint) == (bytes, tuple[bytes, ...]):
        return _read_one_or_several
    return None


def _read_int(key: str, value: OptionValue) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value, 16) if value.lower().startswith("0x") else int(value)
        except ValueError:
            pass
    raise ConfigurationError(key, f"{value!r} is not a whole number", "write it in decimal, or as 0x…")


def _read_bool(key: str, value: OptionValue) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text not in ("true", "false", "1", "0"):
        raise ConfigurationError(key, f"{value!r} is neither true nor false", "write true, false, 1 or 0")
    return text in ("true", "1")


def _read_choice(key: str, value: OptionValue, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ConfigurationError(key, f"{value!r} is not a choice", _suggestion(str(value), choices))
    return cast("str", value)


def _read_bytes(key: str, value: OptionValue) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ConfigurationError(key, f"{value!r} is not text", "write it in quotes")
    if any("\ud800" <= character <= "\udfff" for character in value):
        # What is not UTF-8 on a command line is given to us as surrogates (PEP 383).
        raise ConfigurationError(key, f"{value!r} is not UTF-8", r"write other bytes as \xNN")
    parts: list[bytes] = []
    position = 0
    for match in _ESCAPE.finditer(value):
        parts.append(value[position : match.start()].encode())
        code = match[1]
        if len(code) == 3:
            parts.append(bytes.fromhex(code[1:]))
        elif code in _ESCAPED:
            parts.append(_ESCAPED[code])
        else:
            raise ConfigurationError(key, rf"unknown escape \{code}", r"write \r, \n, \t, \0, \\ or \xNN")
        position = match.end()
    parts.append(value[position:].encode())
    return b"".join(parts)


def _read_several(key: str, value: OptionValue) -> tuple[bytes, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(_read_bytes(key, item) for item in value)
    if not isinstance(value, str) or value == ",":
        return (_read_bytes(key, value),)
    # Pieces between commas, where a backslash takes the next character along.
    pieces = re.findall(r"((?:[^,\\]|\\.?)*)(?:,|$)", value, re.DOTALL)
    # The pattern also matches the nothing behind the last piece.
    return tuple(_read_bytes(key, piece) for piece in (pieces[:-1] if not value.endswith(",") else pieces))


def _read_one_or_several(key: str, value: OptionValue) -> bytes | tuple[bytes, ...]:
    several = _read_several(key, value)
    return several[0] if len(several) == 1 else several
