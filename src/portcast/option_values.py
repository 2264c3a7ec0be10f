"""What a user may write for an option, and how it becomes the value of a field: units, ranges, names, errors.

The options themselves are in `portcast.config` and beside what they are for.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, replace
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

from portcast.errors import ConfigurationError

MOST_SECONDS = 10 * 365 * 86_400.0
"""Ten years: as good as no deadline, and all clocks and timers can express it."""
MOST_BYTES = 1 << 40
MOST_COUNT = (1 << 31) - 1
"""What a C ``int`` holds: some numbers go to the system as they are."""

Value = str | int | float | bool
"""What an option can be before it is converted: text from a URL or the environment, or a typed TOML value."""


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


D = TypeVar("D", bound=_Dataclass)


def external_name(f: Field[Any]) -> str:
    """Return the name under which users write a field: without its unit."""
    return f.name.removesuffix("_s")


def option_names(cls: type[_Dataclass]) -> dict[str, Field[Any]]:
    """Return the fields of an options dataclass by the name that users write."""
    return {external_name(f): f for f in fields(cls)}


def from_options(cls: type[D], options: Mapping[str, Value], key: str, base: D | None = None) -> D:
    """Build an options dataclass from what a user wrote.

    Args:
        cls: the dataclass.
        options: values by external name.
        key: what to name in errors, such as the URL or the TOML table.
        base: takes what ``options`` does not say; the defaults if None.

    Raises:
        ConfigurationError: an unknown name, or a value of the wrong kind or out of range.
    """
    known = option_names(cls)
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name not in known:
            raise unknown_option(key, name, known)
        values[known[name].name] = convert(cls, known[name], value, f"{key}: {name}")
    try:
        return replace(base, **values) if base is not None else cls(**values)
    except ConfigurationError as error:
        # Checks of the dataclass name the field as Python writes it: "HttpOptions.allowed_origins".
        name = error.key.partition(".")[2].removesuffix("_s")
        raise ConfigurationError(f"{key}: {name}" if name in known else key, error.problem, error.hint) from error


def unknown_option(key: str, name: str, known: Mapping[str, object]) -> ConfigurationError:
    """Return the error for an option that does not exist, with the nearest one that does."""
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known options: {', '.join(sorted(known))}"
    return ConfigurationError(key, f"unknown option {name!r}", hint)


_SIZES = {"": 1, "b": 1, "k": 1000, "kb": 1000, "kib": 1024, "m": 10**6, "mb": 10**6, "mib": 1024**2, "gib": 1024**3}
_DURATIONS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PLAIN = {"": 1}


def units_of(f: Field[Any]) -> Mapping[str, float]:
    """Return the units that a number may carry, lower case, with their factors; ``""`` is the unit of bare numbers."""
    if f.name.endswith("_s"):
        return _DURATIONS
    return _SIZES if f.name.endswith("bytes") else _PLAIN


def parse_size(value: Value, key: str) -> int:
    """Return a number of bytes, written with or without a unit.

    Raises:
        ConfigurationError: it is not a whole number of bytes.
    """
    number = _number(value, _SIZES, key)
    if number != int(number):
        raise ConfigurationError(key, f"{value!r} is not a whole number of bytes")
    return int(number)


def convert(cls: type[_Dataclass], f: Field[Any], value: Value | list[Any], key: str) -> Any:
    """Return a written value as the type of its field, checked against the range in its metadata.

    Raises:
        ConfigurationError: it does not fit; the message names ``key``.
    """
    hint = type_of(cls, f)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigurationError(key, f"{value!r} is not one of {', '.join(map(str, get_args(hint)))}")
        return value
    if get_origin(hint) is tuple:
        items = value if isinstance(value, (list, tuple)) else str(value).split(",")
        return tuple(filter(None, (str(item).strip() for item in items)))
    if hint is bool:
        return _boolean(value, key)
    if hint is str:
        if not isinstance(value, str):
            raise ConfigurationError(key, f"{value!r} is not text")
        return value
    number = _number(value, units_of(f), key)
    if hint is int:
        if number != int(number):
            raise ConfigurationError(key, f"{value!r} is not a whole number")
        number = int(number)
    check_range(f, number, key)
    return number


def type_of(cls: type[_Dataclass], f: Field[Any]) -> Any:
    """Return the type of what a user may write for a field: None is what it has when nothing is written."""
    hint = get_type_hints(cls)[f.name]
    if get_origin(hint) is UnionType:
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    return hint


def _boolean(value: Value | list[Any], key: str) -> bool:
    word = str(value).lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    if word in {"false", "0", "no", "off"}:
        return False
    raise ConfigurationError(key, f"{value!r} is not true or false")


def _number(value: Value | list[Any], units: Mapping[str, float], key: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigurationError(key, f"{value!r} is not a finite number")
        if abs(value) > sys.float_info.max:
            raise ConfigurationError(key, "is too large a number")
        return value
    match = re.fullmatch(r"\s*(-?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", str(value))
    if match is None or match[2].lower() not in units:
        known = ", ".join(filter(None, units))
        raise ConfigurationError(key, f"{value!r} is not a number", f"units: {known}" if known else "")
    number = float(match[1]) * units[match[2].lower()]
    if not math.isfinite(number):  # some hundred digits
        raise ConfigurationError(key, "is too large a number")
    return number


def _most_of(f: Field[Any]) -> float:
    """Return the largest value of an option that names none: enough for anything, and systems can take it."""
    if f.name.endswith("_s"):
        return MOST_SECONDS
    return MOST_BYTES if f.name.endswith("bytes") else MOST_COUNT


def check_range(f: Field[Any], number: float, key: str) -> None:
    """Check a number against the range in a field's metadata.

    Raises:
        ConfigurationError: it is outside; the message names ``key``.
    """
    minimum, maximum = f.metadata.get("minimum"), f.metadata.get("maximum", _most_of(f))
    if minimum is not None and not number >= minimum:  # written so that NaN is refused
        raise ConfigurationError(key, f"{number:g} is too small", f"at least {minimum:g}")
    if not number <= maximum:
        raise ConfigurationError(key, f"{number:g} is too large", f"at most {maximum:g}")


def default_of(f: Field[Any]) -> Any:
    """Return the default of a field, as written in its dataclass."""
    if f.default_factory is not MISSING:
        return f.default_factory()
    return f.default


class Checked:
    """Holds values built in Python to the ranges in their fields' metadata."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, f.name)
            if isinstance(value, (int, float)):
                check_range(f, value, f"{type(self).__name__}.{f.name}")
