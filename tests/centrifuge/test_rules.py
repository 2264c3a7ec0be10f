"""What is wrong with a command by itself, and with which code it is answered."""

from __future__ import annotations

import pytest

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
    ConnectRequest,
    HistoryRequest,
    PingRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    Request,
    RpcRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from portcast.centrifuge.options import SessionOptions
from portcast.centrifuge.rules import is_pong, refusal
from portcast.topics import validate_filter, validate_topic

OPTIONS = SessionOptions("portcast", validate_filter, validate_topic)
LONG = "x" * 256


def test_only_an_empty_command_is_a_pong() -> None:
    """The reference server takes any command without an id for one; here that is an error of its own."""
    assert is_pong(Command())
    assert not is_pong(Command(1))
    assert not is_pong(Command(0, SubscribeRequest("a")))
    assert not is_pong(Command(0, SendRequest()))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (None, BAD_COMMAND),
        (PingRequest(), NOT_AVAILABLE),
        *((SubscribeRequest("a", type=number), NOT_AVAILABLE) for number in (1, 2, 3, 4)),
        (SubscribeRequest("a", delta="vcdiff"), BAD_COMMAND),
        (SubscribeRequest(""), BAD_REQUEST),
        (SubscribeRequest(LONG), BAD_REQUEST),
        (SubscribeRequest("ä" * 128), BAD_REQUEST),
        (SubscribeRequest("a/#/b"), BAD_REQUEST),
        (SubscribeRequest("a\n"), BAD_REQUEST),
        (PublishRequest("a", type=1), NOT_AVAILABLE),
        (PublishRequest(""), BAD_REQUEST),
        (PublishRequest("a/+"), BAD_REQUEST),
        (HistoryRequest(""), BAD_REQUEST),
        (HistoryRequest("a/#"), BAD_REQUEST),
        (PresenceRequest(LONG), BAD_REQUEST),
        (PresenceStatsRequest(""), BAD_REQUEST),
        (RefreshRequest(), BAD_COMMAND),
        (SubRefreshRequest("a", "token", type=1), NOT_AVAILABLE),
        (SubRefreshRequest("a"), BAD_REQUEST),
        (SubRefreshRequest(), BAD_COMMAND),
        (SendRequest(), NO_MESSAGE_HANDLER),
    ],
    ids=str,
)
def test_what_is_refused(request_: Request | None, expected: ReplyError | Disconnect) -> None:
    """See the table on top of the module."""
    assert refusal(Command(7, request_), OPTIONS) == expected


@pytest.mark.parametrize(
    "request_",
    [
        ConnectRequest(),
        SubscribeRequest("a/+/b", delta="fossil"),
        SubscribeRequest("x" * 255),
        SubscribeRequest("#42"),
        UnsubscribeRequest(""),
        UnsubscribeRequest(LONG),
        PublishRequest("a"),
        HistoryRequest("a"),
        PresenceRequest("a/+"),
        PresenceStatsRequest("a"),
        RpcRequest(),
        RefreshRequest("token"),
        SubRefreshRequest("a", "token"),
        SubRefreshRequest("", "token"),
    ],
    ids=str,
)
def test_what_is_let_through(request_: Request) -> None:
    """An unsubscribe never fails, and a refresh may leave its channel to the token."""
    assert refusal(Command(7, request_), OPTIONS) is None


@pytest.mark.parametrize("number", [0, -1, 2**32, 10**30])
def test_an_id_has_32_bits_where_one_belongs(number: int) -> None:
    """The reply would have no place to go."""
    assert refusal(Command(number, SubscribeRequest("a")), OPTIONS) is BAD_COMMAND
    assert refusal(Command(2**32 - 1, SubscribeRequest("a")), OPTIONS) is None


@pytest.mark.parametrize("number", [0, 7])
def test_a_message_needs_no_id_but_somebody_who_takes_it(number: int) -> None:
    """Without a handler the client would never learn that nobody listens: 3508."""
    accepting = SessionOptions("portcast", validate_filter, validate_topic, accepts_messages=True)
    assert refusal(Command(number, SendRequest(b"1")), accepting) is None
    assert refusal(Command(number, SendRequest(b"1")), OPTIONS) is NO_MESSAGE_HANDLER
