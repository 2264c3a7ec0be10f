"""The state machine: a table for each rule, and a model that fires whatever may come."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import Enum
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError, Unsubscribe
from portcast.centrifuge.deadlines import FOREVER, NEVER, Lifetime
from portcast.centrifuge.decisions import Ask, Decision, Detach
from portcast.centrifuge.life import State
from portcast.centrifuge.messages import (
    PING,
    ClientInfo,
    Command,
    ConnectRequest,
    ConnectResult,
    HistoryRequest,
    HistoryResult,
    PingRequest,
    PresenceRequest,
    PresenceResult,
    PresenceStatsRequest,
    PresenceStatsResult,
    PublishRequest,
    PublishResult,
    Push,
    RefreshRequest,
    RefreshResult,
    Reply,
    Request,
    RpcRequest,
    RpcResult,
    SendRequest,
    SubRefreshRequest,
    SubRefreshResult,
    SubscribePush,
    SubscribeRequest,
    SubscribeResult,
    UnsubscribePush,
    UnsubscribeRequest,
    UnsubscribeResult,
)
from portcast.centrifuge.options import SessionOptions
from portcast.centrifuge.session import PlainResult, Session
from portcast.topics import validate_filter, validate_topic

START = 100.0
CONNECT = Command(1, ConnectRequest())
PONG = Command()
KICKED = Unsubscribe(2100, "kicked")
ROOM = SubscribeRequest("room")


def options(**changes: Any) -> SessionOptions:
    return SessionOptions("portcast 1", validate_filter, validate_topic, **changes)


def waiting(**changes: Any) -> Session:
    return Session(options(**changes), client="c1", now=START, first_ping_s=13.0)


def ask(session: Session, request: Request, number: int = 2, now: float = START) -> Ask:
    """Send a command that must be carried out."""
    got = session.receive(Command(number, request), now)
    assert isinstance(got, Ask)
    return got


def connected(lifetime: Lifetime | None = None, **changes: Any) -> Session:
    session = waiting(**changes)
    session.connected(ask(session, ConnectRequest(), 1), ConnectResult(), START, lifetime=lifetime or FOREVER)
    return session


def subscribed(channel: str = "room", lifetime: Lifetime | None = None, **changes: Any) -> Session:
    session = connected(**changes)
    one = ask(session, SubscribeRequest(channel))
    session.subscribed(one, SubscribeResult(), START, lifetime=lifetime or FOREVER)
    return session


def ended(channel: str, why: Unsubscribe) -> list[Decision]:
    return [Detach(channel, why), Reply(0, Push(UnsubscribePush(why.code, why.reason), channel))]


# Connecting


def test_connect_is_answered_with_all_that_the_client_must_know() -> None:
    """The session fills in what it decides, the shell what it knows."""
    session = waiting()
    assert (session.state, session.is_connected) == (State.WAITING, False)
    one = ask(session, ConnectRequest(token="t"), 1)
    assert one.command.request == ConnectRequest(token="t")
    assert (session.state, session.is_busy) == (State.CONNECTING, True)
    subs = {"#42": (SubscribeResult(recoverable=True, offset=3), Lifetime())}
    got = session.connected(
        one, ConnectResult(data=b"{}", session="s", node="n", time=5), START, lifetime=Lifetime(60, True), subs=subs
    )
    expected = ConnectResult(
        client="c1",
        version="portcast 1",
        expires=True,
        ttl=60,
        data=b"{}",
        subs={"#42": SubscribeResult(recoverable=True, offset=3)},
        ping=25,
        pong=True,
        session="s",
        node="n",
        time=5,
    )
    assert got == [Reply(1, expected)]
    assert (session.state, session.is_busy, session.is_connected) == (State.CONNECTED, False, True)
    assert list(session.channels()) == ["#42"]
    assert session.is_subscribed("#42")
    assert session.is_server_side("#42")


@pytest.mark.parametrize(
    ("changes", "ping", "pong"),
    [({}, 25, True), ({"ping_s": 5, "pong_s": 2}, 5, True), ({"ping_s": 0}, 0, False), ({"pong_s": 0}, 25, False)],
    ids=["default", "short", "native pings", "no pongs"],
)
def test_the_client_is_told_how_it_is_pinged(changes: dict[str, int], ping: int, pong: bool) -> None:
    """With pings of the transport the session sends none and says so."""
    session = waiting(**changes)
    (reply,) = session.connected(ask(session, ConnectRequest(), 1), ConnectResult(), START)
    assert isinstance(reply, Reply)
    assert isinstance(reply.body, ConnectResult)
    assert (reply.body.ping, reply.body.pong) == (ping, pong)


@pytest.mark.parametrize(
    "command",
    [
        Command(1, ROOM),
        Command(1, PingRequest()),
        Command(0, SendRequest()),
        Command(1),
        PONG,
        Command(0, ConnectRequest()),
        Command(2**32, ConnectRequest()),
    ],
    ids=["subscribe", "ping", "send", "unknown", "pong", "connect without id", "connect with a huge id"],
)
def test_only_a_connect_may_come_first(command: Command) -> None:
    """3501, and nothing follows."""
    session = waiting(accepts_messages=True)
    assert session.receive(command, START) is codes.BAD_COMMAND
    assert session.is_ended
    assert session.receive(CONNECT, START) is None


def test_connect_may_not_come_twice() -> None:
    """3501."""
    assert connected().receive(CONNECT, START) is codes.BAD_COMMAND


def test_a_pong_while_connecting_was_not_asked_for() -> None:
    """It is taken at any time, and none is outstanding then."""
    session = waiting()
    one = ask(session, ConnectRequest(), 1)
    assert session.receive(PONG, START) is codes.BAD_COMMAND
    assert session.connected(one, ConnectResult(), START) == []


@pytest.mark.parametrize("command", [CONNECT, Command(2, ROOM), PONG], ids=["connect", "subscribe", "pong"])
def test_a_refused_client_can_do_nothing_more(command: Command) -> None:
    """The error is its answer; the next command is 3501 (centrifuge ``client.go``: unusable)."""
    session = waiting()
    one = ask(session, ConnectRequest(), 1)
    assert session.failed(one, codes.TOKEN_EXPIRED, START) == [Reply(1, codes.TOKEN_EXPIRED)]
    assert (session.state, session.is_busy) == (State.REFUSED, False)
    assert session.receive(command, START) is codes.BAD_COMMAND


def test_a_refused_client_that_stays_is_stale() -> None:
    """3502."""
    session = waiting()
    session.failed(ask(session, ConnectRequest(), 1), codes.TOKEN_EXPIRED, START)
    assert session.next_deadline() == 110.0
    assert session.expire(110.0) == [codes.STALE]


def test_an_invalid_token_ends_the_connection() -> None:
    """A disconnect may complete any ask."""
    session = waiting()
    one = ask(session, ConnectRequest(), 1)
    assert session.failed(one, codes.INVALID_TOKEN, START) == [codes.INVALID_TOKEN]
    assert session.is_ended
    assert session.failed(one, codes.INTERNAL, START) == []


def test_no_connect_within_ten_seconds_is_stale() -> None:
    """3502, absolute."""
    session = waiting()
    assert session.next_deadline() == 110.0
    assert session.expire(109.9) == []
    assert session.expire(110.0) == [codes.STALE]
    assert session.expire(110.0) == []
    assert session.next_deadline() is None


def test_an_app_that_does_not_decide_ends_the_connection_and_its_late_answer_is_void() -> None:
    """3004, so that the client comes back."""
    session = waiting()
    one = ask(session, ConnectRequest(), 1, now=105.0)
    assert session.expire(114.9) == []
    assert session.expire(115.0) == [codes.SERVER_ERROR]
    assert session.connected(one, ConnectResult(), 116.0) == []
    assert session.is_ended


def test_lifetimes_that_are_over_are_an_error() -> None:
    """110, for the connection and for a server-side subscription; the client is refused."""
    for own, sub in (Lifetime(0, True), FOREVER), (FOREVER, Lifetime(-1)):
        session = waiting()
        one = ask(session, ConnectRequest(), 1)
        got = session.connected(one, ConnectResult(), START, lifetime=own, subs={"a": (SubscribeResult(), sub)})
        assert got == [Reply(1, codes.EXPIRED)]
        assert session.state is State.REFUSED


def test_more_server_side_subscriptions_than_allowed_close() -> None:
    """3505, with 129 of them."""
    subs = {f"a{number}": (SubscribeResult(), Lifetime()) for number in range(129)}
    session = waiting()
    one = ask(session, ConnectRequest(), 1)
    assert session.connected(one, ConnectResult(), START, subs=subs) == [codes.CHANNEL_LIMIT]
    del subs["a0"]
    session = waiting()
    session.connected(ask(session, ConnectRequest(), 1), ConnectResult(), START, subs=subs)
    assert len(list(session.channels())) == 128


# Commands


@pytest.mark.parametrize(
    ("request_", "result"),
    [
        (PublishRequest("room", b"1"), PublishResult()),
        (PresenceRequest("room"), PresenceResult({"c1": ClientInfo()})),
        (PresenceStatsRequest("room"), PresenceStatsResult(1, 1)),
        (HistoryRequest("room"), HistoryResult()),
        (RpcRequest(b"1", "reboot"), RpcResult(b"2")),
    ],
    ids=["publish", "presence", "presence_stats", "history", "rpc"],
)
def test_plain_commands_are_asked_and_answered(request_: Request, result: PlainResult) -> None:
    """With their result, or with the error that the shell decides on."""
    session = connected()
    assert session.done(ask(session, request_, 7), result, START) == [Reply(7, result)]
    one = ask(session, request_, 8)
    assert session.failed(one, codes.PERMISSION_DENIED, START) == [Reply(8, codes.PERMISSION_DENIED)]
    assert not session.is_busy


def test_the_next_command_waits() -> None:
    """Handing it over is a mistake of the shell's, not the client's; a pong is not a command."""
    session = connected()
    session.expire(113.0)
    one = ask(session, PublishRequest("room"), now=113.0)
    assert session.is_busy
    with pytest.raises(AssertionError, match="busy"):
        session.receive(Command(3, ROOM), 113.0)
    assert session.receive(PONG, 113.0) is None
    session.done(one, PublishResult(), 113.0)
    ask(session, ROOM, 3, 113.0)
    assert session.is_busy


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Command(5), codes.BAD_COMMAND),
        (Command(0, ROOM), codes.BAD_COMMAND),
        (Command(5, PingRequest()), Reply(5, codes.NOT_AVAILABLE)),
        (Command(5, SubscribeRequest("a", type=1)), Reply(5, codes.NOT_AVAILABLE)),
        (Command(5, SubscribeRequest("")), Reply(5, codes.BAD_REQUEST)),
        (Command(5, SubscribeRequest("a" * 256)), Reply(5, codes.BAD_REQUEST)),
        (Command(5, UnsubscribeRequest("a")), Reply(5, UnsubscribeResult())),
        (Command(5, UnsubscribeRequest("")), Reply(5, UnsubscribeResult())),
        (Command(5, RefreshRequest("t")), codes.BAD_COMMAND),
        (Command(5, SubRefreshRequest("a", "t")), Reply(5, codes.PERMISSION_DENIED)),
        (Command(0, SendRequest()), codes.NO_MESSAGE_HANDLER),
        (PONG, codes.BAD_COMMAND),
    ],
    ids=[
        "unknown",
        "no id",
        "ping",
        "map",
        "empty channel",
        "long channel",
        "unsubscribe from the unknown",
        "unsubscribe from nothing",
        "refresh of what does not expire",
        "sub_refresh of the unknown",
        "message",
        "pong that nobody asked for",
    ],
)
def test_what_is_answered_at_once(command: Command, expected: Reply | Disconnect) -> None:
    """Without asking anybody."""
    session = connected()
    assert session.receive(command, START) == expected
    assert session.is_ended is isinstance(expected, Disconnect)
    assert not session.is_busy


def test_sixteen_calls_run_at_once() -> None:
    """The seventeenth is 111, temporary; other commands do not wait for calls, and calls end in any order."""
    session = connected()
    calls = [ask(session, RpcRequest(), number) for number in range(2, 18)]
    assert not session.is_busy
    assert session.receive(Command(18, RpcRequest()), START) == Reply(18, codes.TOO_MANY_REQUESTS)
    subscribe = ask(session, ROOM, 19)
    assert session.done(calls[5], RpcResult(), START) == [Reply(7, RpcResult())]
    assert session.is_busy
    session.subscribed(subscribe, SubscribeResult(), START)
    ask(session, RpcRequest(), 20)


def test_messages_are_in_order_and_have_no_answer() -> None:
    """One at a time; what becomes of it the client does not learn, unless it is the end."""
    session = connected(accepts_messages=True)
    one = ask(session, SendRequest(b"1"), 0)
    assert session.is_busy
    assert session.done(one, None, START) == []
    assert session.failed(ask(session, SendRequest(b"2"), 0), codes.INTERNAL, START) == []
    assert not session.is_busy
    assert session.failed(ask(session, SendRequest(b"3"), 0), codes.SERVER_ERROR, START) == [codes.SERVER_ERROR]


# Subscriptions


def test_a_subscription_begins_with_its_reply() -> None:
    """Before that its publications must not be written."""
    session = connected()
    one = ask(session, ROOM)
    assert not session.is_subscribed("room")
    assert list(session.channels()) == []
    got = session.subscribed(one, SubscribeResult(offset=3), START, lifetime=Lifetime(60, True))
    assert got == [Reply(2, SubscribeResult(offset=3, expires=True, ttl=60))]
    assert session.is_subscribed("room")
    assert not session.is_server_side("room")


def test_a_lifetime_that_the_client_cannot_refresh_is_not_told() -> None:
    """Its result says nothing of expiry, whatever the shell put there."""
    session = connected()
    got = session.subscribed(
        ask(session, ROOM), SubscribeResult(expires=True, ttl=9), START, lifetime=Lifetime(60, False)
    )
    assert got == [Reply(2, SubscribeResult())]


def test_a_second_subscription_is_an_error() -> None:
    """105."""
    assert subscribed().receive(Command(3, ROOM), START) == Reply(3, codes.ALREADY_SUBSCRIBED)


def test_a_refused_subscription_leaves_the_channel_free() -> None:
    """By the app, or because its lifetime is over: 110."""
    session = connected()
    assert session.failed(ask(session, ROOM), codes.PERMISSION_DENIED, START) == [Reply(2, codes.PERMISSION_DENIED)]
    one = ask(session, ROOM)
    assert session.subscribed(one, SubscribeResult(), START, lifetime=Lifetime(0)) == [Reply(2, codes.EXPIRED)]
    ask(session, ROOM)


def test_the_hundred_and_twenty_ninth_subscription_is_an_error() -> None:
    """106; one that ended makes room."""
    session = connected()
    for number in range(128):
        session.subscribed(ask(session, SubscribeRequest(f"a{number}")), SubscribeResult(), START)
    assert session.receive(Command(3, ROOM), START) == Reply(3, codes.LIMIT_EXCEEDED)
    session.unsubscribed(ask(session, UnsubscribeRequest("a5")), START)
    ask(session, ROOM)


def test_an_unsubscribe_is_carried_out() -> None:
    """From the command on nothing is written; both sides' subscriptions can be left."""
    session = subscribed()
    session.subscribe("#42", SubscribePush(), START)
    for channel in "room", "#42":
        one = ask(session, UnsubscribeRequest(channel), 3)
        assert not session.is_subscribed(channel)
        assert session.unsubscribed(one, START) == [Reply(3, UnsubscribeResult())]


def test_the_server_may_end_a_subscription_while_it_begins() -> None:
    """The reply comes first, then the end: the client must know what it is that ended."""
    session = connected()
    one = ask(session, ROOM)
    assert session.unsubscribe("room", KICKED) == []
    got = session.subscribed(one, SubscribeResult(), START)
    assert got == [Reply(2, SubscribeResult()), *ended("room", KICKED)]
    assert not session.is_subscribed("room")


def test_a_gap_while_a_subscription_begins_follows_its_reply() -> None:
    """2500, so that the client subscribes again."""
    session = connected()
    one = ask(session, ROOM)
    assert session.insufficient("room", START) == []
    assert session.subscribed(one, SubscribeResult(), START)[1:] == ended("room", codes.INSUFFICIENT_STATE)


# The server's own subscriptions


def test_the_server_subscribes_and_unsubscribes() -> None:
    """With a push each."""
    session = connected()
    push = SubscribePush(recoverable=True, epoch="ab", offset=3, positioned=True)
    assert session.subscribe("#42", push, START) == Reply(0, Push(push, "#42"))
    assert session.is_server_side("#42")
    assert session.unsubscribe("#42") == ended("#42", codes.UNSUBSCRIBED_BY_SERVER)
    assert session.unsubscribe("#42") == []


def test_the_server_subscribes_only_where_that_changes_something() -> None:
    """Not twice, not while the client does, and not outside a connection."""
    session = waiting()
    assert session.subscribe("a", SubscribePush(), START) is None
    session = subscribed()
    assert session.subscribe("room", SubscribePush(), START) is None
    ask(session, SubscribeRequest("b"))
    assert session.subscribe("b", SubscribePush(), START) is None
    session.end()
    assert session.subscribe("c", SubscribePush(), START) is None


def test_too_many_server_side_subscriptions_close() -> None:
    """3505: there is nobody to give an error to."""
    session = subscribed(max_subscriptions=1)
    assert session.subscribe("#42", SubscribePush(), START) is codes.CHANNEL_LIMIT
    assert session.is_ended


def test_a_gap_on_the_servers_side_closes() -> None:
    """3010: only a new connection recovers it."""
    session = connected()
    session.subscribe("#42", SubscribePush(), START)
    assert session.insufficient("#42", START) == [codes.INSUFFICIENT]
    assert session.is_ended


def test_six_gaps_within_a_minute_close_as_slow() -> None:
    """5 are told with 2500; the next is 3008; one that comes later is told again."""
    session = subscribed()
    for number in range(5):
        assert session.insufficient("room", START + number) == ended("room", codes.INSUFFICIENT_STATE)
        session.subscribed(ask(session, ROOM), SubscribeResult(), START)
    assert session.insufficient("unknown", START) == []
    assert session.insufficient("room", START + 59) == [codes.SLOW]
    assert session.is_ended


# Lifetimes


def test_a_connection_that_is_not_refreshed_expires() -> None:
    """3005 at ttl + 25 s."""
    session = connected(Lifetime(60, True), ping_s=0)
    assert session.next_deadline() == 185.0
    assert session.expire(184.9) == []
    assert session.expire(185.0) == [codes.CONNECTION_EXPIRED]


def test_a_refresh_begins_a_new_lifetime() -> None:
    """Told in the result; it counts from the completion."""
    session = connected(Lifetime(60, True), ping_s=0)
    one = ask(session, RefreshRequest("t"), 9)
    assert session.refreshed(one, Lifetime(30), 150.0) == [Reply(9, RefreshResult("c1", "portcast 1", True, 30))]
    assert session.next_deadline() == 205.0
    one = ask(session, RefreshRequest("t"), 10)
    assert session.refreshed(one, Lifetime(), 150.0) == [Reply(10, RefreshResult("c1", "portcast 1"))]
    assert session.next_deadline() is None
    ask(session, RefreshRequest("t"), 11)


def test_a_refresh_that_is_over_already_is_an_error() -> None:
    """110; the old lifetime goes on."""
    session = connected(Lifetime(60, True), ping_s=0)
    assert session.refreshed(ask(session, RefreshRequest("t")), Lifetime(0), 150.0) == [Reply(2, codes.EXPIRED)]
    assert session.next_deadline() == 185.0


def test_a_subscription_that_is_not_refreshed_expires() -> None:
    """2501 at ttl + 25 s; the connection goes on."""
    session = subscribed(lifetime=Lifetime(60, True), ping_s=0)
    assert session.next_deadline() == 185.0
    assert session.expire(185.0) == ended("room", codes.SUBSCRIPTION_EXPIRED)
    assert session.next_deadline() is None
    assert session.is_connected


def test_an_expired_server_side_subscription_closes() -> None:
    """3006; no ping follows."""
    session = connected()
    session.subscribe("#42", SubscribePush(), START, lifetime=Lifetime(13))
    assert session.expire(113.0) == [codes.SUB_EXPIRED]
    assert session.is_ended


@pytest.mark.parametrize("named", ["room", ""], ids=["channel in the command", "channel in the token"])
def test_a_sub_refresh_begins_a_new_lifetime(named: str) -> None:
    """centrifuge-python leaves the channel to the token."""
    session = subscribed(lifetime=Lifetime(60, True), ping_s=0)
    one = ask(session, SubRefreshRequest(named, "t"), 3)
    assert session.sub_refreshed(one, "room", Lifetime(30), 150.0) == [Reply(3, SubRefreshResult(True, 30))]
    assert session.next_deadline() == 205.0
    one = ask(session, SubRefreshRequest(named, "t"), 4)
    assert session.sub_refreshed(one, "room", Lifetime(), 150.0) == [Reply(4, SubRefreshResult())]
    assert session.next_deadline() is None


def test_a_sub_refresh_that_is_over_already_is_an_error() -> None:
    """110."""
    session = subscribed(lifetime=Lifetime(60, True))
    one = ask(session, SubRefreshRequest("room", "t"))
    assert session.sub_refreshed(one, "room", Lifetime(0), START) == [Reply(2, codes.EXPIRED)]


def test_a_token_for_a_channel_that_the_client_does_not_refresh_is_denied() -> None:
    """103, when only the token names it; 3501, when the command does and nobody expects it."""
    session = subscribed()
    one = ask(session, SubRefreshRequest("", "t"))
    assert session.sub_refreshed(one, "other", Lifetime(60), START) == [Reply(2, codes.PERMISSION_DENIED)]
    one = ask(session, SubRefreshRequest("", "t"))
    assert session.sub_refreshed(one, "room", Lifetime(60), START) == [Reply(2, codes.PERMISSION_DENIED)]
    assert session.receive(Command(3, SubRefreshRequest("room", "t")), START) is codes.BAD_COMMAND


def test_a_sub_refresh_of_what_the_server_ended_meanwhile_changes_nothing() -> None:
    """The push has told the client; an error could end the subscription that it makes next."""
    session = subscribed(lifetime=Lifetime(60, True), ping_s=0)
    one = ask(session, SubRefreshRequest("room", "t"))
    session.unsubscribe("room", codes.INSUFFICIENT_STATE)
    assert session.sub_refreshed(one, "room", Lifetime(60), START) == [Reply(2, SubRefreshResult(True, 60))]
    assert not session.is_subscribed("room")
    assert session.next_deadline() is None


# Heartbeat


def test_pings_and_pongs() -> None:
    """The first ping at its drawn time, then every 25 s; each is answered within 8 s."""
    session = connected()
    assert session.next_deadline() == 113.0
    assert session.expire(112.9) == []
    assert session.expire(113.0) == [PING]
    assert session.next_deadline() == 121.0
    assert session.receive(PONG, 114.0) is None
    assert session.next_deadline() == 138.0
    assert session.expire(138.0) == [PING]
    assert session.expire(146.0) == [codes.NO_PONG]


def test_a_second_pong_closes() -> None:
    """3501."""
    session = connected()
    session.expire(113.0)
    session.receive(PONG, 114.0)
    assert session.receive(PONG, 114.0) is codes.BAD_COMMAND


def test_other_traffic_does_not_replace_a_pong() -> None:
    """Commands that are answered at once give no time."""
    session = connected()
    session.expire(113.0)
    for number in range(2, 10):
        session.done(ask(session, PublishRequest("room"), number, 113.0), PublishResult(), 113.0)
    assert session.expire(121.0) == [codes.NO_PONG]


def test_a_pong_may_wait_behind_a_command() -> None:
    """While one is carried out the clock of the pong stands still; a call beside does not stop it."""
    session = connected()
    call = ask(session, RpcRequest(), 9)
    session.expire(113.0)
    one = ask(session, PublishRequest("room"), now=115.0)
    assert session.expire(137.0) == []
    assert session.next_deadline() == 138.0
    session.done(call, RpcResult(), 137.0)
    assert session.next_deadline() == 138.0
    session.done(one, PublishResult(), 137.5)
    assert session.expire(138.0) == [PING]
    assert session.next_deadline() == 146.0


def test_without_pings_of_its_own_nothing_is_due() -> None:
    """The transport pings; an empty command is a mistake then."""
    session = connected(ping_s=0)
    assert session.next_deadline() is None
    assert session.expire(1e9) == []
    assert session.receive(PONG, 1e9) is codes.BAD_COMMAND


# The end


def test_the_end_is_final() -> None:
    """3001 by default; afterwards there is nothing but the channels that the shell has to detach."""
    session = subscribed(lifetime=Lifetime(60, True))
    call = ask(session, RpcRequest(), 3)
    one = ask(session, PublishRequest("room"))
    assert session.end() == [codes.SHUTDOWN]
    assert session.end() == []
    assert (session.is_ended, session.is_busy, session.next_deadline()) == (True, False, None)
    assert session.receive(Command(4, ROOM), START) is None
    assert session.expire(1e9) == []
    assert session.unsubscribe("room") == []
    assert session.insufficient("room", START) == []
    assert session.failed(one, codes.INTERNAL, START) == session.done(call, RpcResult(), START) == []
    assert list(session.channels()) == ["room"]


@pytest.mark.parametrize("kind", ["connect", "subscribe", "unsubscribe", "refresh", "sub_refresh", "rpc"])
def test_a_completion_after_the_end_gives_nothing(kind: str) -> None:
    """The app may be slow; its answer has nowhere to go."""
    session = waiting() if kind == "connect" else subscribed(lifetime=Lifetime(60, True))
    if kind == "refresh":
        session = connected(Lifetime(60, True))
    requests: dict[str, Request] = {
        "connect": ConnectRequest(),
        "subscribe": SubscribeRequest("b"),
        "unsubscribe": UnsubscribeRequest("room"),
        "refresh": RefreshRequest("t"),
        "sub_refresh": SubRefreshRequest("room", "t"),
        "rpc": RpcRequest(),
    }
    one = ask(session, requests[kind])
    assert session.end(codes.CONNECTION_CLOSED) == [codes.CONNECTION_CLOSED]
    assert complete(session, one, "room", Lifetime(), START) == []


def complete(session: Session, one: Ask, channel: str, lifetime: Lifetime, now: float) -> list[Decision]:
    """Complete an ask as the shell would, with success."""
    match one.command.request:
        case ConnectRequest():
            return session.connected(one, ConnectResult(), now, lifetime=lifetime)
        case SubscribeRequest():
            return session.subscribed(one, SubscribeResult(), now, lifetime=lifetime)
        case UnsubscribeRequest():
            return session.unsubscribed(one, now)
        case RefreshRequest():
            return session.refreshed(one, lifetime, now)
        case SubRefreshRequest():
            return session.sub_refreshed(one, one.command.request.channel or channel, lifetime, now)
        case SendRequest():
            return session.done(one, None, now)
        case _:
            return session.done(one, RpcResult(), now)


# Memory


def size(thing: object, seen: set[int]) -> int:
    """Return the bytes of an object and of all that it holds and does not share."""
    is_shared = thing is NEVER or isinstance(thing, type(None) | bool | int | SessionOptions | Enum)
    if is_shared or id(thing) in seen:
        return 0
    seen.add(id(thing))
    inside: Iterable[object] = ()
    if isinstance(thing, dict):
        inside = [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set):
        inside = thing
    else:
        inside = [getattr(thing, name) for name in getattr(type(thing), "__slots__", ())]
    return sys.getsizeof(thing) + sum(size(one, seen) for one in inside)


def test_a_connected_session_is_small() -> None:
    """Below 1 KiB with one subscription, names included: ten thousand of them are ten megabytes."""
    session = Session(options(), client="0123456789abcdef" * 2, now=START, first_ping_s=13.5)
    session.connected(ask(session, ConnectRequest(), 1), ConnectResult(), START)
    session.subscribed(ask(session, SubscribeRequest("sensors/boiler-1")), SubscribeResult(), START)
    assert 500 < size(session, set()) <= 1024


# Whatever comes

CHANNELS = st.sampled_from(["a", "b", "c", "d", "a/+", ""])
IDS = st.sampled_from([0, 1, 2, 3, 2**32])
TOKENS = st.sampled_from(["", "t"])
REQUESTS: st.SearchStrategy[Request | None] = st.one_of(
    st.builds(SubscribeRequest, CHANNELS, type=st.sampled_from([0, 0, 0, 1]), delta=st.sampled_from(["", "", "x"])),
    st.builds(SubscribeRequest, CHANNELS),
    st.builds(UnsubscribeRequest, CHANNELS),
    st.builds(PublishRequest, CHANNELS),
    st.builds(PresenceRequest, CHANNELS),
    st.builds(PresenceStatsRequest, CHANNELS),
    st.builds(HistoryRequest, CHANNELS),
    st.builds(RpcRequest),
    st.builds(SendRequest),
    st.builds(RefreshRequest, TOKENS),
    st.builds(SubRefreshRequest, CHANNELS, TOKENS),
    st.builds(PingRequest),
    st.builds(ConnectRequest),
    st.none(),
)
LIKELY: st.SearchStrategy[Request] = st.one_of(
    st.builds(SubscribeRequest, st.sampled_from("abcde")),
    st.builds(UnsubscribeRequest, st.sampled_from("abcde")),
    st.builds(PublishRequest, CHANNELS),
    st.builds(HistoryRequest, CHANNELS),
    st.builds(RpcRequest),
    st.builds(SubRefreshRequest, st.sampled_from(["", "a", "b"]), st.just("t")),
)
"""What does not end the connection, mostly."""
RARELY = st.sampled_from([False] * 5 + [True])
LIFETIMES = st.builds(Lifetime, st.sampled_from([None, None, 60, 60, 5, 0]), st.booleans())
CALL_ID = 2**20
"""Calls have ids from this one on, and are answered in any order."""
DOCUMENTED = {value for value in vars(codes).values() if isinstance(value, ReplyError | Unsubscribe | Disconnect)}


class Anything(RuleBasedStateMachine):
    """Fires commands, completions, events and time at a session, and plays the shell and the client."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.session = waiting()
        self.asks: list[Ask] = []
        # Ids of commands that have no reply yet: in order, and calls.
        self.unanswered: list[int] = []
        self.uncalled: list[int] = []
        # What the hub has, and what the client knows of.
        self.attached: set[str] = set()
        self.known: set[str] = set()
        self.pings = 0
        self.is_over = False

    @initialize(
        is_connected=st.sampled_from([True, True, True, False]),
        lifetime=st.builds(Lifetime, st.sampled_from([None, 60]), st.booleans()),
        accepts_messages=st.booleans(),
        ping_s=st.sampled_from([0, 25]),
    )
    def begin(self, is_connected: bool, lifetime: Lifetime, accepts_messages: bool, ping_s: int) -> None:
        self.session = waiting(
            max_subscriptions=3, max_rpcs=2, max_gaps_per_minute=2, accepts_messages=accepts_messages, ping_s=ping_s
        )
        if is_connected:
            self.command(CONNECT)
            (one,) = self.asks
            self.take(self.finish(one, lifetime, ""))

    def take(self, decisions: list[Decision]) -> None:
        """Do what the shell does, and check what the client would."""
        for decision in decisions:
            assert not self.is_over, "nothing follows a disconnect"
            match decision:
                case Disconnect():
                    assert decision in DOCUMENTED
                    self.is_over = True
                case Detach():
                    self.attached.remove(decision.channel)
                case Reply():
                    self.read(decision)

    def read(self, reply: Reply) -> None:
        if reply == PING:
            self.pings += 1
        elif isinstance(reply.body, Push):
            event = reply.body.event
            assert isinstance(event, SubscribePush | UnsubscribePush)
            if isinstance(event, SubscribePush):
                assert reply.body.channel not in self.known
                self.known.add(reply.body.channel)
            else:
                assert (event.code, event.reason) in DOCUMENTED
                self.known.remove(reply.body.channel)
        else:
            self.answered(reply)

    def answered(self, reply: Reply) -> None:
        if isinstance(reply.body, ReplyError):
            assert reply.body in DOCUMENTED
        if reply.id >= CALL_ID:
            self.uncalled.remove(reply.id)
        else:
            assert self.unanswered.pop(0) == reply.id

    def command(self, command: Command) -> None:
        is_call = isinstance(command.request, RpcRequest)
        if is_call:
            command = Command(CALL_ID + command.id, command.request)
        if command.request is not None and not isinstance(command.request, SendRequest):
            (self.uncalled if is_call else self.unanswered).append(command.id)
        got = self.session.receive(command, self.now)
        if isinstance(got, Ask):
            self.asks.append(got)
            if isinstance(command.request, UnsubscribeRequest):
                self.attached.remove(command.request.channel)
                self.known.remove(command.request.channel)
        elif got is not None:
            self.take([got])

    @rule(number=IDS, request=REQUESTS, is_rare=RARELY)
    def any_command(self, number: int, request: Request | None, is_rare: bool) -> None:
        if is_rare and not self.session.is_busy and not self.is_over:
            self.command(Command(number, request))

    @rule(request=LIKELY)
    @precondition(lambda self: self.session.is_connected and not self.session.is_busy)
    def likely_command(self, request: Request) -> None:
        self.command(Command(1, request))

    @rule(channel=st.sampled_from("abcde"), lifetime=LIFETIMES)
    @precondition(lambda self: self.session.is_connected and not self.session.is_busy)
    def subscribe_at_once(self, channel: str, lifetime: Lifetime) -> None:
        self.command(Command(2, SubscribeRequest(channel)))
        if self.session.is_busy:
            self.take(self.finish(self.asks[-1], lifetime, channel))

    @rule()
    @precondition(lambda self: self.pings)
    def pong(self) -> None:
        self.pings -= 1
        if self.is_over:
            return
        assert self.session.receive(PONG, self.now) is None

    def finish(self, one: Ask, lifetime: Lifetime, channel: str) -> list[Decision]:
        self.asks.remove(one)
        request = one.command.request
        if self.session.is_ended:
            assert complete(self.session, one, channel, lifetime, self.now) == []
            return []
        if isinstance(request, SubscribeRequest) and not lifetime.is_over:
            assert request.channel not in self.attached
            self.attached.add(request.channel)
            self.known.add(request.channel)
        return complete(self.session, one, channel, lifetime, self.now)

    @rule(data=st.data(), lifetime=LIFETIMES, channel=CHANNELS)
    @precondition(lambda self: self.asks)
    def succeed(self, data: st.DataObject, lifetime: Lifetime, channel: str) -> None:
        self.take(self.finish(data.draw(st.sampled_from(self.asks)), lifetime, channel))

    @rule(data=st.data(), is_rare=RARELY)
    @precondition(lambda self: self.asks)
    def fail(self, data: st.DataObject, is_rare: bool) -> None:
        error = codes.INVALID_TOKEN if is_rare else codes.PERMISSION_DENIED
        one = data.draw(st.sampled_from(self.asks))
        self.asks.remove(one)
        if isinstance(one.command.request, UnsubscribeRequest) and isinstance(error, ReplyError):
            self.take(self.session.unsubscribed(one, self.now))  # the shell never refuses that
        else:
            self.take(self.session.failed(one, error, self.now))

    @rule(channel=st.sampled_from("aef"), lifetime=LIFETIMES, is_rare=RARELY)
    def server_subscribes(self, channel: str, lifetime: Lifetime, is_rare: bool) -> None:
        if not is_rare and (len(self.attached) >= 3 or lifetime.ttl_s is not None):
            return
        got = self.session.subscribe(channel, SubscribePush(), self.now, lifetime=lifetime)
        if got is not None:
            self.take([got])
        if isinstance(got, Reply):
            self.attached.add(channel)

    @rule(channel=CHANNELS)
    def server_unsubscribes(self, channel: str) -> None:
        self.take(self.session.unsubscribe(channel))

    @rule(channel=CHANNELS, is_rare=RARELY)
    def gap(self, channel: str, is_rare: bool) -> None:
        if is_rare or not self.session.is_server_side(channel):
            self.take(self.session.insufficient(channel, self.now))

    @rule(is_rare=RARELY, is_shutdown=st.booleans())
    def server_ends(self, is_rare: bool, is_shutdown: bool) -> None:
        if is_rare and is_shutdown:
            self.take(self.session.end())

    @rule(passed=st.sampled_from([0.0, 0.5, 3.0, 7.0, 7.0, 20.0]), is_prompt=st.booleans())
    def time_passes(self, passed: float, is_prompt: bool) -> None:
        """A prompt shell wakes up at the deadline, a slow one when it can."""
        until = self.now + passed
        at = self.session.next_deadline()
        while is_prompt and at is not None and at <= until:
            self.now = max(self.now, at)
            self.expire()
            at = self.session.next_deadline()
        self.now = until
        self.expire()

    def expire(self) -> None:
        self.take(self.session.expire(self.now))
        at = self.session.next_deadline()
        assert at is None or at > self.now

    @invariant()
    def books_agree(self) -> None:
        session = self.session
        assert session.is_ended is self.is_over
        assert set(session.channels()) == self.attached == self.known
        if self.is_over:
            assert not session.is_busy
            assert session.next_deadline() is None
            return
        assert session.state in State
        open_calls = [one for one in self.asks if isinstance(one.command.request, RpcRequest)]
        in_order = [one for one in self.asks if one not in open_calls]
        assert session.is_busy is bool(in_order)
        assert sorted(self.uncalled) == sorted(one.command.id for one in open_calls)
        assert self.unanswered == [
            one.command.id for one in in_order if not isinstance(one.command.request, SendRequest)
        ]


Anything.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnything = Anything.TestCase
