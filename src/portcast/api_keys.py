"""Who a client of the HTTP side is, and what its role gives it beside the permissions; API keys, which give roles.

============  =========================================================================================================
role          may, beside what `portcast.permissions` give its user
============  =========================================================================================================
``client``    nothing
``reader``    follow topics and read their history; see devices, connections, listeners and slow consumers
``operator``  the same; publish, command and approve devices, close connections
============  =========================================================================================================

A role can be limited to topics. Then it counts for these alone, and gives nothing that is not a topic: neither devices
nor connections.

Keys are kept as SHA-256 digests. Without salt and stretching: they are random and long, and not a person's password.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, get_args

from portcast.errors import ConfigurationError
from portcast.permissions import check_key, key_covers, key_matches
from portcast.topics import is_wildcard

Role = Literal["client", "reader", "operator"]

_ROLES: tuple[Role, ...] = get_args(Role)

LEAST_CHARS = 20
"""Of a key that is read from the environment: 120 bits in base64."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")


RECORDER_LEVEL = "$recorder"
"""First level of the topics that show raw frames of devices."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a role gives.

    Attributes:
        role: which.
        topics: topic filters and namespaces to which it is limited; empty: everything.
    """

    role: Role = "client"
    topics: tuple[str, ...] = ()

    def may_read(self, channel: str) -> bool:
        """Return True if the role is enough to follow a topic or wildcard and to read its history.

        What the flight recorder publishes is for operators, as its routes are, unless ``topics`` names it.
        """
        if not self.topics and channel.partition("/")[0] == RECORDER_LEVEL:
            return self.may_change
        return self.role != "client" and self._reaches(channel)

    def may_publish(self, topic: str) -> bool:
        """Return True if the role is enough to publish."""
        return self.role == "operator" and self._reaches(topic)

    @property
    def may_look(self) -> bool:
        """True if the role shows devices, connections and listeners."""
        return self.role != "client" and not self.topics

    @property
    def may_change(self) -> bool:
        """True if the role commands and approves devices, and closes connections."""
        return self.role == "operator" and not self.topics

    def _reaches(self, channel: str) -> bool:
        reaches = key_covers if is_wildcard(channel) else key_matches
        return not self.topics or any(reaches(one, channel) for one in self.topics)


NO_RIGHTS = Rights()
ALL_RIGHTS = Rights("operator")


def claimed_rights(claims: Mapping[str, object]) -> Rights:
    """Return what the claim ``portcast`` of a token gives: ``{"role": "reader", "topics": ["fleet/#"]}``.

    Raises:
        ValueError: it is not of this form, so nobody can say what was meant.
    """
    # A misspelt "topics" would otherwise be no limit at all.
    if unknown := claims.keys() - {"role", "topics"}:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    role = next((one for one in _ROLES if one == claims.get("role", "client")), None)
    topics = claims.get("topics", [])
    # An empty list is no limit where we write it, but may be meant as "none" where the token was made.
    if role is None or not isinstance(topics, list) or (not topics and "topics" in claims):
        raise ValueError("no role, or no topics")
    for one in topics:
        check_key(str(one), "topics")
    return Rights(role, tuple(map(str, topics)))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is.

    An application's dependency says so in ``request.state.portcast_identity``.

    Attributes:
        user: for `portcast.permissions` and hooks; empty for nobody in particular.
        role: what it may beside that.
        topics: topic filters and namespaces to which the role is limited; empty: everything.
        expires_at: until when, Unix seconds; 0 is for ever.
    """

    user: str = ""
    role: Role = "client"
    topics: tuple[str, ...] = ()
    expires_at: int = 0

    @property
    def rights(self) -> Rights:
        """What the role gives."""
        return Rights(self.role, self.topics)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key by which programs and people show who they are."""

    secret: str = field(
        default="",
        metadata={
            "help": "the key as sha256:HEX (portcast key prints one), or env:NAME, a variable that holds the key",
        },
    )
    role: Role = field(
        default="reader",
        metadata={
            "help": "what it may: reader sees, operator also publishes and commands, client has permissions only"
        },
    )
    topics: tuple[str, ...] = field(
        default=(),
        metadata={"help": "topic filters and namespaces to which the role is limited; none = everything"},
    )

    def __post_init__(self) -> None:
        if not (_DIGEST.fullmatch(self.secret) or _VARIABLE.fullmatch(self.secret)):
            # Without the value: it may be the key itself.
            raise ConfigurationError("ApiKey.secret", "it is neither sha256:HEX nor env:NAME", "see `portcast key`")
        if self.role not in _ROLES:
            raise ConfigurationError("ApiKey.role", f"{self.role!r} is no role", "use client, reader or operator")
        for one in self.topics:
            check_key(one, "ApiKey.topics")


class KeyTable:
    """API keys by name; immutable."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, ApiKey], environment: Mapping[str, str]) -> None:
        """Make a table.

        Args:
            keys: by name, which is also the user's.
            environment: variables that hold keys.

        Raises:
            ConfigurationError: a name cannot be used, a variable is not set or too short, or two keys are one.
        """
        found: dict[bytes, Identity] = {}
        for name, key in keys.items():
            if not _NAME.fullmatch(name):
                raise ConfigurationError(f"keys.{name}", "it is not a name", "use letters, digits, dots, - and _")
            digest = _digest(key.secret, environment, f"keys.{name}")
            if digest in found:
                raise ConfigurationError(f"keys.{name}", f"it is the same key as {found[digest].user}")
            found[digest] = Identity(name, key.role, key.topics)
        self._keys = tuple(found.items())

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, shown: str) -> Identity | None:
        """Return whose key it is. Takes as long whichever it is, and for a wrong one."""
        digest = sha256(shown.encode("utf-8", "surrogatepass")).digest()
        found = None
        for known, identity in self._keys:
            if hmac.compare_digest(known, digest):
                found = identity
        return found


def digests_of(secrets: Sequence[str], environment: Mapping[str, str], where: str) -> tuple[bytes, ...]:
    """Return the digests of secrets.

    Args:
        secrets: ``sha256:HEX``, or ``env:NAME`` for a variable that holds the key itself.
        environment: the variables.
        where: names them in errors.

    Raises:
        ConfigurationError: one is neither, or its variable is not set or too short.
    """
    return tuple(_digest(one, environment, where) for one in secrets)


def is_one_of(known: Sequence[bytes], shown: bytes) -> bool:
    """Return True if what was shown hashes to a digest. Takes as long whichever it is, and for a wrong one."""
    digest = sha256(shown).digest()
    return sum(hmac.compare_digest(one, digest) for one in known) > 0


def _digest(secret: str, environment: Mapping[str, str], where: str) -> bytes:
    if not (_DIGEST.fullmatch(secret) or _VARIABLE.fullmatch(secret)):
        # Without the value: it may be the key itself.
        raise ConfigurationError(where, "a secret is neither sha256:HEX nor env:NAME", "see `portcast key`")
    kind, _, value = secret.partition(":")
    if kind == "sha256":
        return bytes.fromhex(value)
    key = environment.get(value, "")
    if len(key) < LEAST_CHARS:
        problem = f"the variable {value} is not set" if not key else f"the variable {value} holds a key that is short"
        raise ConfigurationError(where, problem, f"a key has {LEAST_CHARS} characters or more: `portcast key`")
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
