"""Every code of the protocol: reply errors, unsubscribe codes and disconnect codes, with what a client does on each.

==========================  ============  ========================================================================
what                        codes         what the SDK does
==========================  ============  ========================================================================
reply error                 100 to 113    fails the call; *temporary* ones are tried again with backoff
reply error of the app      400 to 1999   fails the call
unsubscribe, final          2000 to 2499  ends the subscription
unsubscribe, insufficient   2500 to 2999  subscribes again and recovers
disconnect, reconnect       3000 to 3499  connects again with backoff; 4000 to 4499 are the app's
disconnect, terminal        3500 to 3999  stays away; 4500 to 4999 are the app's
==========================  ============  ========================================================================

Texts are the protocol's own (centrifugal/centrifuge ``errors.go``, ``unsubscribe.go``, ``disconnect.go``). A reason
of a disconnect is never empty and never valid JSON: centrifuge-js looks at terminal codes only when there is a reason,
and parses one that is JSON as advice of an older protocol.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_REASON_BYTES = 123
"""RFC 6455 §5.5: a control frame holds 125 bytes, two of them the code."""


class ReplyError(NamedTuple):
    """Why a command failed; the connection goes on.

    Attributes:
        code: 100 to 113, or 400 to 1999 for those of an app.
        message: for people.
        temporary: True if the client may try again.
    """

    code: int
    message: str
    temporary: bool = False


class Unsubscribe(NamedTuple):
    """Why the server ended a subscription.

    Attributes:
        code: 2000 to 2999; from 2500 on the client subscribes again.
        reason: for people.
    """

    code: int
    reason: str


class Disconnect(NamedTuple):
    """Why the server ends the connection.

    Attributes:
        code: 3000 to 4999, see the top of the module.
        reason: for people; not empty, at most `MAX_REASON_BYTES`.
    """

    code: int
    reason: str

    @property
    def is_terminal(self) -> bool:
        """True if the client should not connect again."""
        return 3500 <= self.code < 4000 or 4500 <= self.code < 5000


INTERNAL = ReplyError(100, "internal server error", True)
UNAUTHORIZED = ReplyError(101, "unauthorized")
UNKNOWN_CHANNEL = ReplyError(102, "unknown channel")
PERMISSION_DENIED = ReplyError(103, "permission denied")
METHOD_NOT_FOUND = ReplyError(104, "method not found")
ALREADY_SUBSCRIBED = ReplyError(105, "already subscribed")
LIMIT_EXCEEDED = ReplyError(106, "limit exceeded")
BAD_REQUEST = ReplyError(107, "bad request")
NOT_AVAILABLE = ReplyError(108, "not available")
TOKEN_EXPIRED = ReplyError(109, "token expired")
EXPIRED = ReplyError(110, "expired")
TOO_MANY_REQUESTS = ReplyError(111, "too many requests", True)
UNRECOVERABLE_POSITION = ReplyError(112, "unrecoverable position")
CONCURRENT_PAGINATION = ReplyError(113, "concurrent pagination", True)

UNSUBSCRIBED_BY_SERVER = Unsubscribe(2000, "server unsubscribe")
INSUFFICIENT_STATE = Unsubscribe(2500, "insufficient state")
SUBSCRIPTION_EXPIRED = Unsubscribe(2501, "subscription expired")
STATE_INVALIDATED = Unsubscribe(2502, "state invalidated")

CONNECTION_CLOSED = Disconnect(3000, "connection closed")
SHUTDOWN = Disconnect(3001, "shutdown")
SERVER_ERROR = Disconnect(3004, "internal server error")
CONNECTION_EXPIRED = Disconnect(3005, "connection expired")
SUB_EXPIRED = Disconnect(3006, "subscription expired")
SLOW = Disconnect(3008, "slow")
WRITE_ERROR = Disconnect(3009, "write error")
INSUFFICIENT = Disconnect(3010, "insufficient state")
FORCE_RECONNECT = Disconnect(3011, "force reconnect")
NO_PONG = Disconnect(3012, "no pong")
TOO_MANY_COMMANDS = Disconnect(3013, "too many requests")
INVALID_TOKEN = Disconnect(3500, "invalid token")
BAD_COMMAND = Disconnect(3501, "bad request")
STALE = Disconnect(3502, "stale")
FORCE_DISCONNECT = Disconnect(3503, "force disconnect")
CONNECTION_LIMIT = Disconnect(3504, "connection limit")
CHANNEL_LIMIT = Disconnect(3505, "channel limit")
INAPPROPRIATE_PROTOCOL = Disconnect(3506, "inappropriate protocol")
DENIED = Disconnect(3507, "permission denied")
NO_MESSAGE_HANDLER = Disconnect(3508, "not available")
TOO_MANY_ERRORS = Disconnect(3509, "too many errors")
