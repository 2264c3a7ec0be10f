"""The options of a session, one frozen object for all connections that share them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from portcast.errors import ConfigurationError

Validate = Callable[[str], None]
"""Returns for a good name; raises `portcast.errors.TopicError` for one that breaks the rules."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How sessions behave. The defaults are those of Centrifugo, unless a reason is given.

    Attributes:
        version: what the server calls itself in a connect result.
        validate_channel: the rules for what can be subscribed to, wildcards included (`portcast.topics`).
        validate_topic: the rules for what can be published to and has history.
        connect_timeout_s: seconds for the client to send ``connect``, and once more for the app to decide on it.
        ping_s: whole seconds between pings; 0 if the session sends none, because the transport has pings of its own.
        pong_s: seconds for the answer, less than ``ping_s``; 0 if the client need not answer.
        refresh_grace_s: seconds after the end of a lifetime in which the client can still refresh it.
        max_subscriptions: of one connection, both sides' together.
        max_rpcs: calls of one connection that run at once. The next one fails with 111 and does not wait: commands
            are in order, so everything behind it would wait for the slowest device, pongs included. 16 is our choice,
            far above what a page does at once and far below what a loop of calls would start.
        max_gaps_per_minute: insufficient-state pushes of one connection; one more closes it as slow.
        accepts_messages: whether the app takes ``send``; otherwise that closes with 3508.
    """

    version: str
    validate_channel: Validate
    validate_topic: Validate
    connect_timeout_s: float = 10.0
    ping_s: int = 25
    pong_s: float = 8.0
    refresh_grace_s: float = 25.0
    max_subscriptions: int = 128
    max_rpcs: int = 16
    max_gaps_per_minute: int = 5
    accepts_messages: bool = False

    def __post_init__(self) -> None:
        """Check what would make a session misbehave.

        Raises:
            ConfigurationError: a number is out of range.
        """
        for key in ("ping_s", "pong_s", "refresh_grace_s", "max_subscriptions", "max_rpcs", "max_gaps_per_minute"):
            if getattr(self, key) < 0:
                raise ConfigurationError(key, "it is negative")
        if self.connect_timeout_s <= 0:
            raise ConfigurationError("connect_timeout_s", "no client could connect in time", "give it a few seconds")
        if 0 < self.ping_s <= self.pong_s:
            raise ConfigurationError(
                "pong_s", "the answer to a ping must be due before the next ping", f"set it below {self.ping_s}"
            )

    @property
    def wants_pongs(self) -> bool:
        """True if clients are told to answer pings."""
        return self.ping_s > 0 and self.pong_s > 0
