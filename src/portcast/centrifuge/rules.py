"""What is wrong with a command by itself, whatever the state of the connection.

=====================================================  ===============================================
command                                                answer
=====================================================  ===============================================
no request, or one that is not known                   3501
no id, or one of more than 32 bits, where one belongs  3501
``ping``                                               108
``send`` that nobody takes                             3508
subscription of type 1 to 4 (maps, shared polls)       108; also a publication or refresh of such a type
unknown ``delta``                                      3501
channel empty, too long or malformed                   107; ``unsubscribe`` takes any name
``refresh`` without a token                            3501
``sub_refresh`` without a token                        107; 3501 if it has no channel either
=====================================================  ===============================================

Sources: centrifugal/centrifuge ``client.go``, ``dispatchCommand`` and the handlers. It differs in one place: there an
empty channel closes the connection for good, here it fails the one call that made the mistake. An ``unsubscribe`` never
fails, because centrifuge-js answers an error by connecting anew.
"""

from __future__ import annotations

from portcast.centrifuge.codes import (
    BAD_COMMAND,
    BAD_REQUEST,
    NO_MESSAGE_HANDLER,
    NOT_AVAILABLE,
    Disconnect,
    ReplyError,
)
from portcast.centrifuge.messages import (
    Command,
    HistoryRequest,
    PingRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
)
from portcast.centrifuge.options import SessionOptions, Validate
from portcast.errors import TopicError

MAX_ID = 2**32 - 1
"""The largest id of a command: ``uint32`` on the wire."""

DELTAS = ("", "fossil")
"""The kinds of delta that a client may ask for."""


def is_pong(command: Command) -> bool:
    """Return True for the answer to a ping, an empty command. It has no place in the order of the others."""
    return command.request is None and command.id == 0


def refusal(command: Command, options: SessionOptions) -> ReplyError | Disconnect | None:
    """Return what is wrong with a command that is not a pong; None if it is good as far as it goes."""
    request = command.request
    if isinstance(request, SendRequest):
        return None if options.accepts_messages else NO_MESSAGE_HANDLER
    if request is None or not 1 <= command.id <= MAX_ID:
        return BAD_COMMAND
    match request:
        case PingRequest():
            return NOT_AVAILABLE
        case SubscribeRequest():
            if request.type:
                return NOT_AVAILABLE
            if request.delta not in DELTAS:
                return BAD_COMMAND
            return _bad_name(request.channel, options.validate_channel)
        case PublishRequest():
            return NOT_AVAILABLE if request.type else _bad_name(request.channel, options.validate_topic)
        case HistoryRequest():
            return _bad_name(request.channel, options.validate_topic)
        case PresenceRequest() | PresenceStatsRequest():
            return _bad_name(request.channel, options.validate_channel)
        case RefreshRequest():
            return None if request.token else BAD_COMMAND
        case SubRefreshRequest():
            return _bad_sub_refresh(request)
        case _:
            return None


def _bad_name(channel: str, validate: Validate) -> ReplyError | None:
    try:
        validate(channel)
    except TopicError:
        return BAD_REQUEST
    return None


def _bad_sub_refresh(request: SubRefreshRequest) -> ReplyError | Disconnect | None:
    if request.type:
        return NOT_AVAILABLE
    if request.token:
        return None
    return BAD_REQUEST if request.channel else BAD_COMMAND
