"""Every option of Portcast, declared once.

One frozen dataclass per concern. The command line, the TOML file, the environment and the reference page are
generated from the fields below and their metadata (``help``, ``minimum``, ``maximum``), so a default is written in
exactly one place. Users write the field's name without its unit suffix: ``idle_timeout_s`` is ``idle_timeout=60`` in
a URL. Durations are seconds and may carry a unit (``500ms``, ``5m``); sizes (``…_bytes``) are bytes and may too
(``64KiB``). Values built in Python are held to the same ranges as written ones.

Framings declare their own options in `portcast.framing`; history in `portcast.history`; the outbox in
`portcast.delivery`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from portcast.address import Address, parse_address, parse_listen_url
from portcast.delivery import SlowConsumer
from portcast.errors import ConfigurationError

__all__ = [
    "DEFAULT_LISTEN",
    "MOST_SECONDS",
    "Address",
    "GatewayOptions",
    "HttpOptions",
    "ListenerOptions",
    "LogOptions",
    "SlowConsumer",
    "TopicOptions",
    "Value",
    "convert",
    "default_of",
    "external_name",
    "from_options",
    "option_names",
    "parse_address",
    "parse_listen_url",
    "parse_size",
    "type_of",
    "units_of",
    "unknown_option",
]

DEFAULT_LISTEN = ("8001", "8002", "8003")
"""The tutorial's three ports."""

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


class _Checked:
    """Holds values built in Python to the ranges in their fields' metadata."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, f.name)
            if isinstance(value, (int, float)):
                _check_range(f, value, f"{type(self).__name__}.{f.name}")


@dataclass(frozen=True, slots=True)
class ListenerOptions(_Checked):
    """Limits and deadlines of one listener and its connections."""

    backlog: int = field(
        default=1024,
        metadata={"help": "connections that the kernel holds until they are accepted", "minimum": 1, "maximum": 65_535},
    )
    max_connections: int = field(
        default=0,
        metadata={"help": "connections at a time, then accepting pauses; 0 = the process's budget", "minimum": 0},
    )
    first_frame_timeout_s: float = field(
        default=30.0,
        metadata={"help": "from accept to the first whole frame, absolute; 0 = no deadline", "minimum": 0},
    )
    idle_timeout_s: float = field(
        default=300.0, metadata={"help": "without receiving anything; 0 = no deadline", "minimum": 0}
    )
    write_timeout_s: float = field(
        default=30.0,
        metadata={"help": "for the device to take what was sent to it, then abort; 0 = no deadline", "minimum": 0},
    )
    bad_frames: int = field(
        default=5, metadata={"help": "frames in a row that the codec refuses, then close; 0 = never", "minimum": 0}
    )
    allow_http: bool = field(
        default=False,
        metadata={
            "help": "take a connection that begins with an HTTP request line as any other; otherwise it is closed, "
            "because any web page can make a browser send one"
        },
    )
    inbox: int = field(
        default=64,
        metadata={"help": "frames that wait for the handler, then reading from the device stops", "minimum": 1},
    )
    write_buffer_bytes: int = field(
        default=65_536,
        metadata={"help": "bytes waiting to be sent to the device, then send() waits", "minimum": 1024},
    )


@dataclass(frozen=True, slots=True)
class TopicOptions(_Checked):
    """How a topic treats subscribers that cannot keep up (design: slow consumers), and what is kept of it.

    ``history`` and ``history_age_s`` take the place of `portcast.history.HistoryLimits.publications` and ``age_s``
    where they are not None; its other limits hold for every topic. 0 in one of them keeps nothing of the topic.
    """

    patience_s: float = field(
        default=0.5,
        metadata={"help": "how long a slow subscriber may hold the publishers of a topic", "minimum": 0},
    )
    slow_consumer: SlowConsumer = field(
        default="auto",
        metadata={
            "help": "what happens to a subscriber past its patience; auto = catch_up where there is history, "
            "else disconnect"
        },
    )
    key: str = field(
        default="",
        metadata={"help": "top-level JSON field that tells publications apart for latest_per_key; empty = the topic"},
    )
    history: int | None = field(
        default=None,
        metadata={"help": "newest publications kept, 0 = none; empty = as [history] says", "minimum": 0},
    )
    history_age_s: float | None = field(
        default=None,
        metadata={"help": "how long a publication is kept, 0 = not at all; empty = as [history] says", "minimum": 0},
    )


@dataclass(frozen=True, slots=True)
class GatewayOptions(_Checked):
    """Limits of the whole process."""

    max_connections: int = field(
        default=0,
        metadata={
            "help": "device connections at a time; 0 = min(10 000, 80 % of the descriptor limit - 256)",
            "minimum": 0,
        },
    )
    flush_duty: float = field(
        default=0.5,
        metadata={"help": "largest share of the loop spent in flushing to subscribers", "minimum": 0.01, "maximum": 1},
    )
    buffer_budget_bytes: int = field(
        default=268_435_456,
        metadata={
            "help": "bytes waiting for all subscribers together, then the worst is removed",
            "minimum": 1_048_576,
        },
    )
    drain_timeout_s: float = field(
        default=15.0, metadata={"help": "from the stop signal to the last abort", "minimum": 0}
    )


@dataclass(frozen=True, slots=True)
class HttpOptions(_Checked):
    """The HTTP side: live page, WebSockets, events and API."""

    allowed_origins: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "other sites whose pages may use the WebSockets and the API, as scheme://host[:port]; "
            "the server's own origin always may"
        },
    )
    allowed_hosts: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "further names by which browsers may call this server, such as gate.example or *.example; bound "
            "to loopback its own names are checked, otherwise only if this is set; * checks nothing"
        },
    )
    max_message_bytes: int = field(
        default=65_536, metadata={"help": "largest WebSocket message or HTTP body accepted", "minimum": 1}
    )
    request_head_timeout_s: float = field(
        default=10.0,
        metadata={
            "help": "from the beginning of a request's head (64 KiB at most) to its end, absolute; 0 = no deadline; "
            "under `portcast serve` only",
            "minimum": 0,
        },
    )
    ping_interval_s: float = field(default=25.0, metadata={"help": "between pings to a client", "minimum": 0.1})
    ping_timeout_s: float = field(default=8.0, metadata={"help": "for the pong", "minimum": 0.1})

    def __post_init__(self) -> None:
        # By name: a dataclass with slots is a new class, which the zero-argument super() does not know.
        _Checked.__post_init__(self)
        for origin in self.allowed_origins:
            _check_origin(origin)
        for host in self.allowed_hosts:
            if not re.fullmatch(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*|\[[0-9A-Fa-f:.]+\]", host):
                raise ConfigurationError(
                    "HttpOptions.allowed_hosts",
                    f"{host!r} is not a name",
                    "write gate.example, without scheme and port",
                )


@dataclass(frozen=True, slots=True)
class LogOptions(_Checked):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = field(
        default="info", metadata={"help": "least severe line that is written"}
    )
    format: Literal["text", "json"] = field(default="text", metadata={"help": "key=value lines, or one object a line"})


def _check_origin(origin: str) -> None:
    try:
        parts = urlsplit(origin)
        is_right = parts.scheme in {"http", "https"} and origin == f"{parts.scheme}://{parts.netloc}" and parts.hostname
        _ = parts.port
    except ValueError:
        is_right = False
    if not is_right:
        raise ConfigurationError(
            "HttpOptions.allowed_origins", f"{origin!r} is not an origin", "write scheme://host or scheme://host:port"
        )


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
        items = value if isinstance(value, list) else str(value).split(",")
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
    _check_range(f, number, key)
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
        if not math.isfinite(value):
            raise ConfigurationError(key, f"{value!r} is not a finite number")
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


def _check_range(f: Field[Any], number: float, key: str) -> None:
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
