"""Who may do what: each rule with its code, with real tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from starlette.requests import HTTPConnection

from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.centrifuge.deadlines import FOREVER, Lifetime
from portcast.centrifuge.messages import (
    ConnectRequest,
    PublishRequest,
    RefreshRequest,
    RpcRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
)
from portcast.centrifuge_options import CentrifugeOptions
from portcast.permissions import ChannelPermissions, MayUse, PermissionTable
from portcast.web.sdk_access import Access, Admission, Answer, Caller, Grant, Question, Verdict
from portcast.web.sdk_basis import Basis, Hooks
from portcast.web.sdk_rules import NOT_CONFIGURED, Rules
from portcast.web.sdk_tokens import NOT_YET_VALID, Tokens
from token_kit import SECRET, sign

pytestmark = pytest.mark.anyio

T = TypeVar("T")

NOW = 1_000_000
WITH_KEYS = CentrifugeOptions(token_hmac_secrets=(SECRET,))


def rules(
    options: CentrifugeOptions = WITH_KEYS,
    permissions: dict[str, ChannelPermissions] | None = None,
    hooks: Hooks | None = None,
    *,
    is_retained: Callable[[str], bool] = lambda topic: True,
) -> Rules:
    """Rules whose tokens are read at `NOW`."""
    tokens = Tokens(options, lambda: NOW + 0.5) if options.has_keys else None
    return Rules(Basis(options, PermissionTable(permissions or {}), hooks or Hooks(), is_retained), tokens)


def http(server: str | None = "127.0.0.1") -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [], "server": None if server is None else (server, 8000)})


def caller(user: str = "42", client: str = "c1") -> Caller:
    return Caller(client, user, b"", {}, http())


def at_once(answer: Answer[T]) -> Verdict[T]:
    assert not isinstance(answer, Awaitable)
    return answer


async def settled(answer: Answer[T]) -> Verdict[T]:
    return await answer if isinstance(answer, Awaitable) else answer


def connect(the: Rules, token: str = "", server: str | None = "127.0.0.1") -> Verdict[Admission]:
    return at_once(the.connect("c1", http(server), ConnectRequest(token=token)))


def subscribe(the: Rules, channel: str, token: str = "", user: str = "42", client: str = "c1") -> Verdict[Grant]:
    return at_once(the.subscribe(caller(user, client), SubscribeRequest(channel=channel, token=token)))


def admission(verdict: Verdict[Admission]) -> Admission:
    assert isinstance(verdict, Admission), verdict
    return verdict


def granted(verdict: Verdict[Grant]) -> Grant:
    assert isinstance(verdict, Grant), verdict
    return verdict


def test_it_is_an_access() -> None:
    """The interface that connections ask."""
    access: Access = rules()
    assert access.accepts_messages is False


# Connecting


def test_a_token_says_who_it_is() -> None:
    """Its claims become what the connection is; what is for the server only stays there."""
    token = sign({"sub": "42", "exp": NOW + 60, "info": {"name": "Ann"}, "meta": {"role": "admin"}})
    seen = admission(connect(rules(), token))
    assert seen == Admission(
        user="42", lifetime=Lifetime(60, True), info=b'{"name":"Ann"}', meta={"role": "admin"}, expires_at=NOW + 60
    )


@pytest.mark.parametrize(
    ("claims", "key", "code"),
    [
        pytest.param({"sub": "42"}, "wrong", codes.INVALID_TOKEN, id="signature"),
        pytest.param({"sub": "42", "exp": NOW - 60}, "wrong", codes.INVALID_TOKEN, id="expired, by a stranger"),
        pytest.param({"sub": "42", "exp": NOW}, SECRET, codes.TOKEN_EXPIRED, id="expired"),
        pytest.param({"sub": "42", "nbf": NOW + 60}, SECRET, NOT_YET_VALID, id="not yet"),
        pytest.param({"sub": 42}, SECRET, codes.INVALID_TOKEN, id="malformed"),
        pytest.param({"sub": "42", "channel": "a"}, SECRET, codes.INVALID_TOKEN, id="of a subscription"),
        pytest.param({"sub": "42", "channels": ["a/#/b"]}, SECRET, codes.BAD_REQUEST, id="channel that is none"),
    ],
)
def test_tokens_that_do_not_do(claims: dict[str, object], key: str, code: ReplyError | Disconnect) -> None:
    """Only what a new token can cure is an error that asks for one."""
    assert connect(rules(), sign(claims, key)) == code


@pytest.mark.parametrize(("expire_at", "ttl_s"), [(NOW + 10, 10), (NOW - 10, -10)])
def test_the_end_of_a_connection_is_not_that_of_its_token(expire_at: int, ttl_s: int) -> None:
    """``expire_at`` counts; when it is past the session answers with 110."""
    token = sign({"sub": "42", "exp": NOW + 60, "expire_at": expire_at})
    assert admission(connect(rules(), token)).lifetime == Lifetime(ttl_s, True)


def test_a_token_without_an_end() -> None:
    """It lives for ever, and is not refreshed."""
    assert admission(connect(rules(), sign({"sub": "42"}))).lifetime is FOREVER


def test_channels_of_a_token() -> None:
    """The server subscribes to them, whatever clients may do by themselves; ``subs`` go before ``channels``."""
    the = rules(permissions={"a": ChannelPermissions(subscribe="nobody", recover="cache"), "#": ChannelPermissions()})
    assert admission(connect(the, sign({"sub": "42", "channels": ["a", "b/+"]}))).subs == {
        "a": Grant(mode="cache"),
        "b/+": Grant(mode="none"),
    }
    override = {"presence": {"value": False}, "join_leave": {"value": True}, "force_push_join_leave": {"value": True}}
    subs = {"b": {"info": 1, "data": [2], "override": override}}
    assert admission(connect(the, sign({"sub": "42", "channels": ["a"], "subs": subs}))).subs == {
        "b": Grant(info=b"1", data=b"[2]", has_presence=False, sends_join_leave=True, gets_join_leave=True)
    }


@pytest.mark.parametrize(
    ("options", "hooks", "is_admitted"),
    [
        pytest.param(CentrifugeOptions(), Hooks(), True, id="nothing verifies"),
        pytest.param(CentrifugeOptions(anonymous="refuse"), Hooks(), False, id="refused"),
        pytest.param(WITH_KEYS, Hooks(), False, id="keys"),
        pytest.param(replace(WITH_KEYS, anonymous="allow"), Hooks(), True, id="keys, allowed"),
    ],
)
def test_without_a_token(options: CentrifugeOptions, hooks: Hooks, is_admitted: bool) -> None:
    """Nobody is anonymous where somebody could have proven who it is, unless that is said."""
    verdict = connect(rules(options, hooks=hooks))
    assert verdict == (Admission() if is_admitted else codes.INVALID_TOKEN)


def test_a_token_that_nobody_can_verify() -> None:
    """To take its bearer for nobody would hide the mistake."""
    assert connect(rules(CentrifugeOptions()), sign({"sub": "42"})) == codes.INVALID_TOKEN


@pytest.mark.parametrize(
    ("user", "subs"),
    [
        ("42", {"#42": Grant(mode="cache", sends_join_leave=True, gets_join_leave=True)}),
        ("", {}),
    ],
)
def test_personal_channels(user: str, subs: dict[str, Grant]) -> None:
    """Each user with an id gets its own, as the permissions say of it."""
    line = ChannelPermissions(subscribe="nobody", recover="cache", join_leave=True)
    the = rules(replace(WITH_KEYS, personal_channel=True), {"#": line})
    assert admission(connect(the, sign({"sub": user}))).subs == subs


def test_a_personal_channel_that_the_token_names() -> None:
    """What the token says of it is not overwritten."""
    the = rules(replace(WITH_KEYS, personal_channel=True))
    assert admission(connect(the, sign({"sub": "42", "subs": {"#42": {"info": 1}}}))).subs == {"#42": Grant(info=b"1")}


@pytest.mark.parametrize("user", ["/x", "a/+", "a/#", "x" * 255, "a\n"])
def test_a_user_who_cannot_have_one(user: str) -> None:
    """An id that makes no topic is told, instead of leaving the user without messages."""
    assert connect(rules(replace(WITH_KEYS, personal_channel=True)), sign({"sub": user})) == codes.BAD_REQUEST


# What nothing is configured for


@pytest.mark.parametrize(
    ("server", "is_admitted"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("testserver", True),
        ("/run/portcast.sock", True),
        (None, True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
    ],
)
@pytest.mark.parametrize("is_insecure", [False, True])
def test_from_where_clients_may_come(server: str | None, is_admitted: bool, is_insecure: bool) -> None:
    """Under a server of the app's own the bound address is not known: each client's way in is looked at."""
    the = rules(CentrifugeOptions(insecure=is_insecure))
    verdict = connect(the, server=server)
    assert verdict == connect(the, server=server) == (Admission() if is_admitted or is_insecure else NOT_CONFIGURED)


def test_clients_may_come_from_everywhere_where_something_is_configured() -> None:
    """The rules judge them then."""
    assert admission(connect(rules(), sign({"sub": "42"}), "192.0.2.1")).user == "42"


async def _nothing(*_: object) -> Any: ...


@pytest.mark.parametrize(
    ("basis", "is_configured"),
    [
        pytest.param(Basis(), False, id="nothing"),
        pytest.param(Basis(CentrifugeOptions(insecure=True, personal_channel=True)), False, id="who may not"),
        pytest.param(Basis(WITH_KEYS), True, id="keys"),
        pytest.param(Basis(permissions=PermissionTable({"#": ChannelPermissions()})), True, id="permissions"),
        pytest.param(Basis(hooks=Hooks(connect=_nothing)), True, id="on_connect"),
        pytest.param(Basis(hooks=Hooks(subscribe=_nothing)), True, id="on_subscribe"),
        pytest.param(Basis(hooks=Hooks(rpc=_nothing, publish=_nothing)), False, id="rpc says nothing of it"),
    ],
)
def test_what_says_who_may_subscribe(basis: Basis, is_configured: bool) -> None:
    """An app that only adds a call must not find its subscribers locked out, nor its address open."""
    assert basis.is_configured is is_configured


@pytest.mark.parametrize(
    ("channel", "verdict"),
    [
        ("a", Grant()),
        ("a/#", Grant(mode="none")),
        ("#", Grant(mode="none")),
        ("$SYS/x", codes.PERMISSION_DENIED),
        ("$SYS/#", codes.PERMISSION_DENIED),
        ("$devices/+/status", Grant(mode="none")),
        ("$devices/a/commands", Grant()),
        ("$devices/+/+", codes.PERMISSION_DENIED),
        ("$devices/#", codes.PERMISSION_DENIED),
        ("#42", codes.PERMISSION_DENIED),
    ],
)
def test_open_subscriptions(channel: str, verdict: Verdict[Grant]) -> None:
    """Everybody may follow everything but what belongs to a user, and of the server's own topics only what the live
    page shows: presence and commands of devices."""
    assert subscribe(rules(CentrifugeOptions()), channel, user="") == verdict
    assert subscribe(rules(CentrifugeOptions()), channel, token="ignored", user="") == verdict


async def test_what_else_is_open() -> None:
    """History is; publishing, calls and messages are not."""
    the = rules(CentrifugeOptions())
    nobody = caller("")
    assert the.ask(nobody, "history", "a", False) is None
    assert the.ask(nobody, "presence", "a", False) == codes.PERMISSION_DENIED
    assert the.ask(nobody, "presence", "a", True) is None
    assert at_once(the.publish(nobody, PublishRequest("a"), True)) == codes.PERMISSION_DENIED
    assert await the.rpc(nobody, RpcRequest()) == codes.NOT_AVAILABLE
    assert at_once(the.refresh(nobody, RefreshRequest("x"))) == codes.NOT_AVAILABLE
    assert at_once(the.sub_refresh(nobody, SubRefreshRequest("x"))) == codes.NOT_AVAILABLE


# Subscribing


def sub_token(channel: str = "a", user: str = "42", key: str = SECRET, **claims: object) -> str:
    return sign({"sub": user, "channel": channel, **claims}, key)


@pytest.mark.parametrize(
    ("token", "verdict"),
    [
        pytest.param(sub_token(), Grant(), id="good"),
        pytest.param(sub_token(exp=NOW + 60), Grant(lifetime=Lifetime(60, True)), id="with an end"),
        pytest.param(sub_token(info=1, data=2), Grant(info=b"1", data=b"2"), id="with info and data"),
        pytest.param(sub_token(override={"presence": {}}), Grant(has_presence=False), id="with an override"),
        pytest.param(sub_token(client="c1"), Grant(), id="for this client"),
        pytest.param("", codes.PERMISSION_DENIED, id="none"),
        pytest.param("x.y.z", codes.PERMISSION_DENIED, id="malformed"),
        pytest.param(sub_token(key="wrong"), codes.PERMISSION_DENIED, id="signature"),
        pytest.param(sign({"sub": "42"}), codes.PERMISSION_DENIED, id="of a connection"),
        pytest.param(sub_token(exp=NOW), codes.TOKEN_EXPIRED, id="expired"),
        pytest.param(sub_token("b"), codes.INVALID_TOKEN, id="another channel"),
        pytest.param(sub_token(user="43"), codes.INVALID_TOKEN, id="another user"),
        pytest.param(sub_token(client="c2"), codes.INVALID_TOKEN, id="another client"),
    ],
)
def test_subscription_tokens(token: str, verdict: Verdict[Grant]) -> None:
    """Where nothing else is said a token opens its channel to its user, and to nobody else."""
    assert subscribe(rules(), "a", token) == verdict


LINES = {
    "open/#": ChannelPermissions(subscribe="anyone"),
    "users/#": ChannelPermissions(subscribe="user"),
    "tokens/#": ChannelPermissions(subscribe="token"),
    "closed/#": ChannelPermissions(subscribe="nobody"),
    "ns:": ChannelPermissions(subscribe="anyone", recover="none", join_leave=True, delta=False, presence="nobody"),
    "$SYS/load": ChannelPermissions(subscribe="anyone"),
    "open2/#": ChannelPermissions(subscribe="anyone", recover="cache"),
}


@pytest.mark.parametrize(
    ("channel", "who"),
    [
        ("open/x", {"nobody", "user", "token"}),
        ("users/x", {"user", "token"}),
        ("tokens/x", {"token"}),
        ("closed/x", set()),
        ("ns:x", {"nobody", "user", "token"}),
        ("$SYS/load", {"nobody", "user", "token"}),
        ("$SYS/other", set()),
        ("other", {"token"}),
        ("open/+", {"nobody", "user", "token"}),
        ("+/x", set()),
        ("#", set()),
    ],
)
def test_permissions_of_subscribing(channel: str, who: set[str]) -> None:
    """The line of the channel decides; a wildcard needs all the lines that its topics would meet."""
    the = rules(permissions=LINES)
    asked = {
        "nobody": subscribe(the, channel, user=""),
        "user": subscribe(the, channel),
        "token": subscribe(the, channel, sub_token(channel)),
    }
    assert {name for name, verdict in asked.items() if isinstance(verdict, Grant)} == who
    assert {v for v in asked.values() if not isinstance(v, Grant)} <= {codes.PERMISSION_DENIED}


@pytest.mark.parametrize(
    ("channel", "grant"),
    [
        ("open/x", Grant()),
        (
            "ns:x",
            Grant(mode="none", has_presence=False, sends_join_leave=True, gets_join_leave=True, has_delta=False),
        ),
        ("open2/x", Grant(mode="cache")),
        ("open2/+", Grant(mode="none")),
    ],
)
def test_what_a_subscription_gets(channel: str, grant: Grant) -> None:
    """The line of the channel says so."""
    assert subscribe(rules(permissions=LINES), channel) == grant


def test_nothing_recovers_without_history() -> None:
    """A position would promise what is not kept."""
    the = rules(is_retained=lambda topic: topic != "a")
    token = sub_token(override={"force_recovery": {"value": True}})
    assert granted(subscribe(the, "a", token)).mode == "none"
    assert granted(subscribe(the, "b", sub_token("b"))).mode == "stream"


def test_a_token_can_ask_for_recovery() -> None:
    """``force_recovery`` opens history to its bearer."""
    the = rules(permissions={"a": ChannelPermissions(recover="none")})
    assert granted(subscribe(the, "a", sub_token())).mode == "none"
    assert granted(subscribe(the, "a", sub_token(override={"force_recovery": {"value": True}}))).mode == "stream"


@pytest.mark.parametrize(
    ("channel", "user", "token", "is_granted"),
    [
        pytest.param("#42", "42", "", True, id="owner"),
        pytest.param("#42", "43", "", False, id="another"),
        pytest.param("#42", "", "", False, id="nobody"),
        pytest.param("#42", "43", sub_token("#42", "43"), False, id="another, with a token"),
        pytest.param("#42/+", "42", "", False, id="wildcard"),
        pytest.param("#", "42", "", False, id="all"),
        pytest.param("+", "42", "", False, id="all of one level"),
        pytest.param("#", "42", sub_token("#"), True, id="all, with a token"),
        pytest.param("a/#", "42", "", True, id="a wildcard beside"),
    ],
)
def test_whose_personal_channel(channel: str, user: str, token: str, is_granted: bool) -> None:
    """Even where everybody may subscribe, it is its user's; wildcards do not show it either."""
    the = rules(replace(WITH_KEYS, personal_channel=True), {"#": ChannelPermissions(subscribe="anyone")})
    verdict = subscribe(the, channel, token, user)
    assert isinstance(verdict, Grant) if is_granted else verdict == codes.PERMISSION_DENIED


def test_a_personal_channel_can_be_closed_to_its_owner() -> None:
    """Then only the server subscribes to it."""
    the = rules(permissions={"#": ChannelPermissions(subscribe="nobody")})
    assert subscribe(the, "#42") == codes.PERMISSION_DENIED


# Refreshing


@pytest.mark.parametrize(
    ("claims", "verdict"),
    [
        pytest.param({"sub": "42", "exp": NOW + 60}, Lifetime(60, True), id="good"),
        pytest.param({"sub": "42"}, FOREVER, id="without an end"),
        pytest.param({"sub": "43", "exp": NOW + 60}, codes.INVALID_TOKEN, id="another user"),
        pytest.param({"sub": "42", "exp": NOW}, codes.CONNECTION_EXPIRED, id="expired"),
        pytest.param({"sub": 42}, codes.INVALID_TOKEN, id="malformed"),
    ],
)
def test_refresh(claims: dict[str, object], verdict: Verdict[Lifetime]) -> None:
    """An expired token lets the client connect again, where an error would end it for good."""
    assert at_once(rules().refresh(caller(), RefreshRequest(sign(claims)))) == verdict


@pytest.mark.parametrize("channel", ["a", ""], ids=["named", "in the token alone"])
@pytest.mark.parametrize(
    ("token", "verdict"),
    [
        pytest.param(sub_token(exp=NOW + 60), ("a", Lifetime(60, True)), id="good"),
        pytest.param(sub_token(user="43"), codes.INVALID_TOKEN, id="another user"),
        pytest.param(sub_token(client="c2"), codes.INVALID_TOKEN, id="another client"),
        pytest.param(sub_token(exp=NOW), codes.TOKEN_EXPIRED, id="expired"),
        pytest.param(sub_token(key="wrong"), codes.PERMISSION_DENIED, id="signature"),
    ],
)
def test_sub_refresh(channel: str, token: str, verdict: Verdict[tuple[str, Lifetime]]) -> None:
    """Its channel is the token's: centrifuge-python sends none."""
    assert at_once(rules().sub_refresh(caller(), SubRefreshRequest(channel, token))) == verdict


def test_sub_refresh_of_another_channel() -> None:
    """A token for one channel prolongs no other."""
    assert at_once(rules().sub_refresh(caller(), SubRefreshRequest("b", sub_token()))) == codes.INVALID_TOKEN


# Publishing and looking


@pytest.mark.parametrize(
    ("right", "who"),
    [
        ("anyone", {"nobody", "user", "subscriber"}),
        ("user", {"user"}),
        ("subscriber", {"subscriber"}),
        ("nobody", set()),
    ],
)
def test_permissions_of_use(right: MayUse, who: set[str]) -> None:
    """Publishing, history and presence are judged alike; nothing else is looked at."""
    the = rules(permissions={"a": ChannelPermissions(publish=right, history=right, presence=right)})
    asked = {"nobody": ("", False), "user": ("42", False), "subscriber": ("", True)}
    questions: list[Question] = ["history", "presence"]
    calls: list[Callable[[str, bool], Verdict[None]]] = [
        lambda user, is_subscribed: at_once(the.publish(caller(user), PublishRequest("a"), is_subscribed)),
        *(lambda user, is_subscribed, q=q: the.ask(caller(user), q, "a", is_subscribed) for q in questions),
    ]
    for call in calls:
        answers = {name: call(*arguments) for name, arguments in asked.items()}
        assert {name for name, answer in answers.items() if answer is None} == who
        assert set(answers.values()) <= {None, codes.PERMISSION_DENIED}


def test_what_is_open_where_nothing_is_said() -> None:
    """Subscribers see history and presence, nobody publishes."""
    the = rules()
    assert the.ask(caller(), "history", "a", True) is None
    assert the.ask(caller(), "history", "a", False) == codes.PERMISSION_DENIED
    assert at_once(the.publish(caller(), PublishRequest("a"), True)) == codes.PERMISSION_DENIED


def test_nobody_publishes_what_the_server_says_of_devices() -> None:
    """Not even where only the app's function decides on publications."""
    the = rules(CentrifugeOptions(), hooks=Hooks(publish=_nothing))
    assert at_once(the.publish(caller(), PublishRequest("$devices/a/status"), True)) == codes.PERMISSION_DENIED


def test_personal_channels_are_not_used_by_others() -> None:
    """Neither to write into them nor to look; whom the server subscribed may look."""
    everyone = ChannelPermissions(publish="anyone", history="anyone")
    the = rules(permissions={"#": everyone})
    assert at_once(the.publish(caller("42"), PublishRequest("#42"), False)) is None
    assert at_once(the.publish(caller("43"), PublishRequest("#42"), True)) == codes.PERMISSION_DENIED
    assert the.ask(caller("43"), "history", "#42", False) == codes.PERMISSION_DENIED
    assert the.ask(caller("43"), "history", "#42", True) is None


# Hooks


def hook(verdict: object, seen: list[Any] | None = None) -> Callable[..., Awaitable[Any]]:
    async def call(*arguments: object) -> object:
        if seen is not None:
            seen.append(arguments)
        return verdict

    return call


@pytest.mark.parametrize(
    ("options", "token", "said", "verdict"),
    [
        pytest.param(CentrifugeOptions(), "", Admission("7"), Admission("7"), id="it knows the user"),
        pytest.param(CentrifugeOptions(), "", Admission(), Admission(), id="it wants nobody"),
        pytest.param(CentrifugeOptions(), "", None, codes.INVALID_TOKEN, id="it knows nothing"),
        pytest.param(CentrifugeOptions(anonymous="allow"), "", None, Admission(), id="it need not know"),
        pytest.param(CentrifugeOptions(), "its own", Admission("7"), Admission("7"), id="it reads tokens of its own"),
        pytest.param(CentrifugeOptions(), "its own", None, codes.INVALID_TOKEN, id="and does not like this one"),
        pytest.param(CentrifugeOptions(), "", codes.DENIED, codes.DENIED, id="it refuses"),
        pytest.param(WITH_KEYS, "", Admission("7"), Admission("7"), id="keys, and a cookie"),
        pytest.param(WITH_KEYS, "", None, codes.INVALID_TOKEN, id="keys, and nothing"),
        pytest.param(WITH_KEYS, sign({"sub": "42"}), None, Admission("42"), id="it leaves it at the token"),
        pytest.param(WITH_KEYS, sign({"sub": "42"}), Admission("7"), Admission("7"), id="it knows better"),
    ],
)
async def test_on_connect(options: CentrifugeOptions, token: str, said: object, verdict: Verdict[Admission]) -> None:
    """It comes after the token, and what it says takes its place; by saying nothing it lets nobody in."""
    the = rules(options, hooks=Hooks(connect=hook(said)))
    assert await settled(the.connect("c1", http(), ConnectRequest(token=token))) == verdict


async def test_on_connect_is_not_asked_about_bad_tokens() -> None:
    """What the keys refuse is refused."""
    seen: list[Any] = []
    the = rules(hooks=Hooks(connect=hook(Admission(), seen)))
    assert await settled(the.connect("c1", http(), ConnectRequest(token="x.y.z"))) == codes.INVALID_TOKEN
    token = sign({"sub": "42", "channels": ["a/#/b"]})
    assert await settled(the.connect("c1", http(), ConnectRequest(token=token))) == codes.BAD_REQUEST
    assert seen == []


async def test_what_on_connect_is_given() -> None:
    """Who it is by the token, the request, and the HTTP request."""
    seen: list[Any] = []
    the = rules(hooks=Hooks(connect=hook(None, seen)))
    request, way = ConnectRequest(token=sign({"sub": "42", "meta": {"a": 1}})), http()
    known = admission(await settled(the.connect("c1", way, request)))
    assert seen == [(Caller("c1", "42", b"", {"a": 1}, way), request, known)]


async def test_an_admission_gets_the_personal_channel_too() -> None:
    """Whoever says who the user is."""
    the = rules(CentrifugeOptions(personal_channel=True), hooks=Hooks(connect=hook(Admission("7"))))
    assert admission(await settled(the.connect("c1", http(), ConnectRequest()))).subs == {"#7": Grant()}


async def test_lifetimes_without_keys_are_not_refreshed() -> None:
    """Nothing could judge the newer token; so they end, and the client comes again."""
    with_end = Lifetime(60, True)
    hooks = Hooks(connect=hook(Admission("7", with_end)), subscribe=hook(Grant(lifetime=with_end)))
    the = rules(CentrifugeOptions(), hooks=hooks)
    assert admission(await settled(the.connect("c1", http(), ConnectRequest()))).lifetime == Lifetime(60)
    grant = granted(await settled(the.subscribe(caller(), SubscribeRequest("a"))))
    assert grant.lifetime == Lifetime(60)


@pytest.mark.parametrize(
    ("channel", "said", "verdict"),
    [
        pytest.param("other", None, Grant(), id="nothing said, not refused"),
        pytest.param("other", Grant(info=b"1"), Grant(info=b"1"), id="nothing said, granted"),
        pytest.param("other", codes.DENIED, codes.DENIED, id="nothing said, refused"),
        pytest.param("open/x", codes.PERMISSION_DENIED, codes.PERMISSION_DENIED, id="open, refused"),
        pytest.param("open2/x", None, Grant(mode="cache"), id="open, left as it is"),
        pytest.param("closed/x", Grant(), codes.PERMISSION_DENIED, id="closed"),
        pytest.param("$SYS/x", Grant(), codes.PERMISSION_DENIED, id="the server's own"),
        pytest.param("#43", Grant(), codes.PERMISSION_DENIED, id="another user's"),
        pytest.param("other/+", Grant(), Grant(mode="none"), id="wildcard, not recoverable"),
        pytest.param("#", Grant(), codes.PERMISSION_DENIED, id="wildcard over what is closed"),
    ],
)
async def test_on_subscribe(channel: str, said: object, verdict: Verdict[Grant]) -> None:
    """It decides where the permissions say nothing, and can only narrow what they say."""
    the = rules(permissions=LINES, hooks=Hooks(subscribe=hook(said)))
    assert await settled(the.subscribe(caller(), SubscribeRequest(channel))) == verdict


async def test_what_on_subscribe_is_given() -> None:
    """Who asks, the request, and what it would get."""
    seen: list[Any] = []
    the = rules(hooks=Hooks(subscribe=hook(None, seen)))
    request, who = SubscribeRequest("a", token=sub_token(exp=NOW + 60)), caller()
    grant = await settled(the.subscribe(who, request))
    assert seen == [(who, request, grant)]
    assert grant == Grant(lifetime=Lifetime(60, True))


@pytest.mark.parametrize(
    ("channel", "said", "verdict"),
    [
        pytest.param("other", None, None, id="nothing said, not refused"),
        pytest.param("other", codes.DENIED, codes.DENIED, id="nothing said, refused"),
        pytest.param("open/x", None, codes.PERMISSION_DENIED, id="closed to clients"),
        pytest.param("$SYS/x", None, codes.PERMISSION_DENIED, id="the server's own"),
        pytest.param("#43", None, codes.PERMISSION_DENIED, id="another user's"),
    ],
)
async def test_on_publish(channel: str, said: object, verdict: Verdict[None]) -> None:
    """As on_subscribe."""
    the = rules(permissions=LINES, hooks=Hooks(publish=hook(said)))
    assert await settled(the.publish(caller(), PublishRequest(channel), True)) == verdict


async def test_calls_and_messages() -> None:
    """They go to their functions."""
    seen: list[Any] = []
    the = rules(hooks=Hooks(rpc=hook(b"1"), message=hook(None, seen)))
    assert the.accepts_messages
    assert await the.rpc(caller(), RpcRequest(b"", "x")) == b"1"
    who = caller()
    await the.message(who, SendRequest(b"2"))
    assert seen == [(who, SendRequest(b"2"))]


async def test_closing() -> None:
    """There may be nothing to close."""
    await rules(CentrifugeOptions()).close()
    await rules().close()
