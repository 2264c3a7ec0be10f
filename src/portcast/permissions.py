"""Who may do what with a channel of the Centrifuge protocol, as it is configured: by topic filter or namespace.

A table is looked at from its first line on, and the first that matches counts. Keys are those of
`portcast.topic_table`: topic filters, or *namespaces*, which end with ``:`` and match topics that begin with them.
Wildcards match no topic that begins with ``$`` (`portcast.topics`), so those are open only by a key that begins so.

A client may subscribe to a wildcard, which stands for many topics. Then every line that some of these topics would
meet must allow it; otherwise ``#`` would show what a stricter line hides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from portcast.centrifuge.recovery import Mode
from portcast.errors import ConfigurationError, TopicError
from portcast.topic_table import is_namespace
from portcast.topics import covers, is_wildcard, matches, overlaps, validate_filter

MaySubscribe = Literal["anyone", "user", "token", "nobody"]
"""Everybody; who has a user's id, or a token for the channel; who has such a token; no client by its own wish."""

MayUse = Literal["anyone", "user", "subscriber", "nobody"]
"""Everybody; who has a user's id; who is subscribed to the channel; no client."""


@dataclass(frozen=True, slots=True)
class ChannelPermissions:
    """Who may do what with the channels of one topic filter or namespace, and what its subscribers get."""

    # As narrow as Centrifugo's: what nobody has opened is closed.
    subscribe: MaySubscribe = field(
        default="token",
        metadata={"help": "who may subscribe; a subscription token is enough for everything but nobody"},
    )
    publish: MayUse = field(default="nobody", metadata={"help": "who may publish from a client"})
    history: MayUse = field(default="subscriber", metadata={"help": "who may ask for history"})
    presence: MayUse = field(
        default="subscriber", metadata={"help": "who may ask who is subscribed; nobody also keeps no list"}
    )
    recover: Mode = field(
        default="stream",
        metadata={"help": "what a subscriber gets that comes back: all that it missed, only the newest, or nothing"},
    )
    join_leave: bool = field(
        default=False, metadata={"help": "tell subscribers when another comes or goes, asked for or not"}
    )
    delta: bool = field(default=True, metadata={"help": "send only what changed to those who ask for it"})


OPEN = ChannelPermissions(subscribe="anyone", history="anyone")
"""What holds while nothing is configured and only this machine can connect."""

CLOSED = ChannelPermissions(subscribe="nobody", history="nobody", presence="nobody")
"""What holds for topics that begin with ``$`` and that no key names."""


class Match(NamedTuple):
    """What a table says of a channel.

    Attributes:
        permissions: all of them must allow what is asked; one for a topic, perhaps several for a wildcard.
        is_complete: False if the table says nothing of the topic, or of some topics that the wildcard stands for.
    """

    permissions: tuple[ChannelPermissions, ...]
    is_complete: bool


class PermissionTable:
    """Permissions by topic filter and namespace; immutable. Looking up is linear in the number of lines."""

    __slots__ = ("_lines",)

    def __init__(self, permissions: Mapping[str, ChannelPermissions]) -> None:
        """Make a table.

        Args:
            permissions: by topic filter, or by namespace with ``:`` at its end.

        Raises:
            ConfigurationError: a key is neither.
        """
        for key in permissions:
            check_key(key, f'permissions."{key}"')
        self._lines = tuple(permissions.items())

    def __len__(self) -> int:
        return len(self._lines)

    def match(self, channel: str) -> Match:
        """Return what the table says of a topic or a wildcard."""
        if not is_wildcard(channel):
            found = next((line for key, line in self._lines if key_matches(key, channel)), None)
            if found is not None:
                return Match((found,), True)
            return _unnamed(channel, ())
        met: list[ChannelPermissions] = []
        for key, line in self._lines:
            if _overlaps(key, channel):
                met.append(line)
                if key_covers(key, channel):
                    return Match(tuple(met), True)
        return _unnamed(channel, tuple(met))


def check_key(key: str, where: str) -> None:
    """Check that a key is a topic filter or a namespace.

    Args:
        key: what is checked.
        where: names it in the error.

    Raises:
        ConfigurationError: it is neither.
    """
    try:
        validate_filter(key)
    except TopicError as error:
        raise ConfigurationError(where, error.problem) from error


OPEN_DEVICES = PermissionTable({"$devices/+/status": OPEN, "$devices/+/commands": OPEN})
"""What holds besides, while nothing is configured: the live page shows what `/ws` and `/api` tell everybody."""


def _unnamed(channel: str, met: tuple[ChannelPermissions, ...]) -> Match:
    # No wildcard stands for both topics with "$" and without, so the whole channel is closed.
    return Match((*met, CLOSED), True) if channel[:1] == "$" else Match(met, False)


def key_matches(key: str, topic: str) -> bool:
    """Return True if a topic filter or namespace stands for a topic."""
    return topic.startswith(key) if is_namespace(key) else matches(key, topic)


def key_covers(key: str, wildcard: str) -> bool:
    """Return True if a topic filter or namespace stands for every topic of a wildcard."""
    return wildcard.startswith(key) if is_namespace(key) else covers(key, wildcard)


def _overlaps(key: str, wildcard: str) -> bool:
    if not is_namespace(key):
        return overlaps(key, wildcard)
    # It ends within a level: that level of the wildcard must begin with the rest, and what follows can be anything.
    size, rest = key.count("/") + 1, key.rpartition("/")[2]
    head = wildcard.split("/")[:size]
    if len(head) == size and head[-1].startswith(rest):
        head[-1] = rest
    return overlaps(key, "/".join(head))


# Judging one line


def may_subscribe(line: ChannelPermissions, user: str, channel: str, *, has_token: bool) -> bool:
    """Return True if the line lets a user subscribe.

    Args:
        line: what was configured.
        user: empty for an anonymous one.
        channel: what it wants.
        has_token: it brought a token of its own for the channel.
    """
    match line.subscribe:
        case "anyone":
            return True
        case "user":
            return has_token or user != ""
        case "token":
            # Whose channel it is was proven when the connection was.
            return has_token or (user != "" and channel == f"#{user}")
        case "nobody":
            return False


def may_use(right: MayUse, user: str, is_subscribed: bool) -> bool:
    """Return True if a right lets a user publish, or see history or presence."""
    match right:
        case "anyone":
            return True
        case "user":
            return user != ""
        case "subscriber":
            return is_subscribed
        case "nobody":
            return False


def is_left_to(user: str, channel: str) -> bool:
    """Return False for a personal channel ``#42`` of another user, and for wildcards among such channels.

    The filter ``#``, and those that begin with ``#/``, are not meant: nobody's channel begins with ``/``.
    """
    return channel[:1] != "#" or channel.split("/", 1)[0] == "#" or (channel[1:] == user and not is_wildcard(channel))


def shows_personal(channel: str) -> bool:
    """Return True for a wildcard that stands for personal channels, too: ``#``, ``+`` and what begins so."""
    return channel.split("/", 1)[0] in ("#", "+")
