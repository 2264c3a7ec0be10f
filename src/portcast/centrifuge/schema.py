"""The messages as tables, read from the dataclasses: what both codecs walk over, so that neither knows a message.

A field's name and type are those of `portcast.centrifuge.messages`; what Python's types do not say is the width of an
integer, which stands here by name. The order of `REQUESTS` is that of the definition: of several requests in one
command the first counts.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from portcast.centrifuge import messages
from portcast.centrifuge.codes import ReplyError
from portcast.errors import CentrifugeError

MAX_COMMANDS = 1024
"""Commands in one frame. An SDK that reconnects sends ``connect`` and all its subscriptions in one frame: 129 commands
for the 128 subscriptions that a client may have, and one that has more should read error 106 rather than lose its
connection. Beyond that an app may batch what it likes; a frame of 64 KiB, the largest that is read, holds 1024
commands of 64 bytes, and real ones are hardly shorter. More than this is a flood of empty objects."""

MAX_NESTED_MESSAGES = 32
"""Messages inside each other, the command being the first. Only conditions of a tag filter nest at will: this leaves
them 29 levels below a subscription, where people write three. Protobuf's own limit is 100."""


class Kind(Enum):
    """What a field holds."""

    STRING = auto()
    BOOL = auto()
    INT = auto()
    BYTES = auto()
    MESSAGE = auto()
    STRINGS = auto()
    MESSAGES = auto()
    STRING_MAP = auto()
    MESSAGE_MAP = auto()


class Width(NamedTuple):
    """The values of an integer type, both ends inclusive."""

    name: str
    low: int
    high: int


UINT32 = Width("uint32", 0, 2**32 - 1)
_WIDTHS = {
    "offset": Width("uint64", 0, 2**64 - 1),
    "flag": Width("int64", -(2**63), 2**63 - 1),
    "time": Width("int64", -(2**63), 2**63 - 1),
    "limit": Width("int32", -(2**31), 2**31 - 1),
    "type": Width("int32", -(2**31), 2**31 - 1),
}
"""Integers that are not `UINT32`, by the name of the field, which means the same in every message."""


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        name: on the wire and in Python.
        kind: what it holds.
        message: the class of the messages that it holds, or of the values of its map; None if there are none.
        width: for an integer, and of no meaning elsewhere.
    """

    name: str
    kind: Kind
    message: type | None
    width: Width


_SCALARS = {str: Kind.STRING, bool: Kind.BOOL, int: Kind.INT, bytes: Kind.BYTES}


def _field(name: str, hint: object) -> Field:
    """Return the field for a type hint: a scalar, a message or None, a sequence, or a mapping with ``str`` keys."""
    width = _WIDTHS.get(name, UINT32)
    if isinstance(hint, type) and hint in _SCALARS:
        return Field(name, _SCALARS[hint], None, width)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is None or origin is types.UnionType:
        (message,) = [one for one in arguments or (hint,) if one is not types.NoneType]
        return Field(name, Kind.MESSAGE, message, width)
    held = arguments[-1]
    is_map = issubclass(origin, Mapping)
    if held is str:
        return Field(name, Kind.STRING_MAP if is_map else Kind.STRINGS, None, width)
    return Field(name, Kind.MESSAGE_MAP if is_map else Kind.MESSAGES, held, width)


def _tables(roots: Iterable[type]) -> dict[type, tuple[Field, ...]]:
    tables: dict[type, tuple[Field, ...]] = {}
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message not in tables:
            tables[message] = tuple(_field(name, hint) for name, hint in get_type_hints(message).items())
            waiting += [field.message for field in tables[message] if field.message]
    return tables


REQUESTS: Mapping[str, type] = {
    "connect": messages.ConnectRequest,
    "subscribe": messages.SubscribeRequest,
    "unsubscribe": messages.UnsubscribeRequest,
    "publish": messages.PublishRequest,
    "presence": messages.PresenceRequest,
    "presence_stats": messages.PresenceStatsRequest,
    "history": messages.HistoryRequest,
    "ping": messages.PingRequest,
    "send": messages.SendRequest,
    "rpc": messages.RpcRequest,
    "refresh": messages.RefreshRequest,
    "sub_refresh": messages.SubRefreshRequest,
}
"""The fields of a command beside its id, in the order of the definition."""

BODIES: Mapping[type, str] = {
    ReplyError: "error",
    messages.Push: "push",
    messages.ConnectResult: "connect",
    messages.SubscribeResult: "subscribe",
    messages.UnsubscribeResult: "unsubscribe",
    messages.PublishResult: "publish",
    messages.PresenceResult: "presence",
    messages.PresenceStatsResult: "presence_stats",
    messages.HistoryResult: "history",
    messages.RpcResult: "rpc",
    messages.RefreshResult: "refresh",
    messages.SubRefreshResult: "sub_refresh",
}
"""The field of a reply in which each body travels."""

EVENTS: Mapping[type, str] = {
    messages.Publication: "pub",
    messages.Join: "join",
    messages.Leave: "leave",
    messages.UnsubscribePush: "unsubscribe",
    messages.MessagePush: "message",
    messages.SubscribePush: "subscribe",
    messages.DisconnectPush: "disconnect",
}
"""The field of a push in which each event travels."""

FIELDS: Mapping[type, tuple[Field, ...]] = _tables(
    [*REQUESTS.values(), *(one for one in BODIES if one is not messages.Push), *EVENTS]
)
"""The fields of every message but `Command`, `Reply` and `Push`, which the codecs know."""

_ORDER = {name: place for place, name in enumerate(REQUESTS)}

_R = TypeVar("_R")


def first_request(requests: Mapping[str, _R]) -> _R | None:
    """Return the request of a command, given its fields by name: the first in the order of the definition."""
    if not requests:
        return None
    return requests[min(requests, key=_ORDER.__getitem__)]


def too_many_commands() -> CentrifugeError:
    """Return the error for a frame of more than `MAX_COMMANDS`."""
    return CentrifugeError(f"more than {MAX_COMMANDS} commands in one frame")


def too_deep() -> CentrifugeError:
    """Return the error for more than `MAX_NESTED_MESSAGES` inside each other."""
    return CentrifugeError(f"messages nested deeper than {MAX_NESTED_MESSAGES} levels")
