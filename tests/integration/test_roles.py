"""Keys and logins over the protocol of SDK clients: the same rules, by another way in."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from access_kit import key
from portcast.api_keys import Identity, KeyTable
from portcast.centrifuge import codes
from portcast.centrifuge.messages import ConnectRequest, PublishRequest, SubscribeRequest
from portcast.centrifuge_options import CentrifugeOptions
from portcast.permissions import ChannelPermissions, PermissionTable
from portcast.web.sdk_access import Admission, Caller, Grant
from portcast.web.sdk_basis import Basis, Hooks
from portcast.web.sdk_rules import NOT_CONFIGURED, Rules
from token_kit import SECRET

READER, OPERATOR = "reader-key-0123456789", "operator-key-0123456789"
KEYS = KeyTable(
    {"page": key(READER), "boss": key(OPERATOR, "operator"), "van": key("v" * 20, "reader", "fleet/#", "#7")}, {}
)


def http(server: str = "127.0.0.1", state: Identity | None = None, **headers: str) -> HTTPConnection:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    states = {} if state is None else {"portcast_identity": state}
    return HTTPConnection({"type": "http", "headers": raw, "server": (server, 8000), "state": states})


def rules(**basis: object) -> Rules:
    return Rules(Basis(**{"keys": KEYS, **basis}))  # type: ignore[arg-type]  # each test says what it means


def caller(the: Rules, request: HTTPConnection, token: str = "") -> Caller:
    admission = the.connect("c", request, ConnectRequest(token=token))
    assert isinstance(admission, Admission), admission
    return Caller("c", admission.user, b"", {}, request, admission.expires_at, admission.rights)


def test_a_key_is_taken_in_place_of_a_token() -> None:
    """So that `portcast tail --token KEY` and every SDK can show one."""
    the = rules()
    assert caller(the, http(), READER).user == "page"
    assert the.connect("c", http(), ConnectRequest(token="wrong")) is codes.INVALID_TOKEN
    assert the.connect("c", http(), ConnectRequest()) is codes.INVALID_TOKEN


def test_a_key_may_come_with_the_handshake() -> None:
    the = rules()
    assert caller(the, http(authorization=f"Bearer {OPERATOR}")).rights.may_change
    assert caller(the, http(x_api_key=READER)).user == "page"


def test_a_login_counts_until_it_ends() -> None:
    now = 1_000_000.0
    the = Rules(Basis(keys=KEYS), unix_now=lambda: now)
    value, seconds = the.sessions.open(Identity("page", "reader"))
    cookie = f"portcast_session={value}"
    admission = the.connect("c", http(cookie=cookie), ConnectRequest())
    assert isinstance(admission, Admission)
    assert admission.lifetime.ttl_s == seconds
    foreign = http(cookie=cookie, sec_fetch_site="same-site")
    assert the.connect("c", foreign, ConnectRequest()) is codes.INVALID_TOKEN


def test_a_role_is_enough_without_permissions() -> None:
    the = rules()
    reader, operator = caller(the, http(), READER), caller(the, http(), OPERATOR)
    for channel in ("#", "a", "$devices/x/commands"):
        assert isinstance(the.subscribe(reader, SubscribeRequest(channel=channel)), Grant)
        assert the.ask(reader, "history", channel, False) is None
    assert the.publish(reader, PublishRequest("a"), True) is codes.PERMISSION_DENIED
    assert the.publish(operator, PublishRequest("a"), False) is None


@pytest.mark.parametrize("channel", ["$devices/x/commands", "#42"])
def test_what_is_the_servers_or_a_users_own_is_not_published_on_by_a_role(channel: str) -> None:
    the = rules()
    assert the.publish(caller(the, http(), OPERATOR), PublishRequest(channel), False) is codes.PERMISSION_DENIED


def test_a_role_for_some_topics_reaches_no_other_users_channel() -> None:
    """Not even where its topics name one."""
    the = rules(options=CentrifugeOptions(personal_channel=True))
    van = caller(the, http(), "v" * 20)
    assert isinstance(the.subscribe(van, SubscribeRequest(channel="fleet/1")), Grant)
    for channel in ("#", "#7", "a"):
        assert the.subscribe(van, SubscribeRequest(channel=channel)) is codes.PERMISSION_DENIED
    assert isinstance(the.subscribe(caller(the, http(), READER), SubscribeRequest(channel="#")), Grant)


def test_who_has_a_key_is_not_asked_for_by_functions() -> None:
    async def never(*arguments: object) -> codes.ReplyError:
        raise AssertionError("it was asked")

    the = rules(hooks=Hooks(connect=never, subscribe=never, publish=never))
    boss = caller(the, http(), OPERATOR)
    assert isinstance(the.subscribe(boss, SubscribeRequest(channel="a")), Grant)
    assert the.publish(boss, PublishRequest("a"), False) is None


def test_an_application_says_who_it_is() -> None:
    the = rules(keys=KeyTable({}, {}), is_guarded=True)
    ann = caller(the, http("192.0.2.1", Identity("ann", "reader", ("a",))))
    assert (ann.user, ann.rights.topics) == ("ann", ("a",))


def test_behind_a_guard_the_network_is_no_stranger() -> None:
    """The dependencies of the application have looked at it before."""
    nothing = KeyTable({}, {})
    assert isinstance(rules(keys=nothing, is_guarded=True).connect("c", http("192.0.2.1"), ConnectRequest()), Admission)
    assert rules(keys=nothing).connect("c", http("192.0.2.1"), ConnectRequest()) is NOT_CONFIGURED


def test_keys_do_not_open_what_permissions_close_to_others() -> None:
    options = CentrifugeOptions(token_hmac_secrets=(SECRET,), anonymous="allow")
    the = rules(options=options, permissions=PermissionTable({"news": ChannelPermissions(subscribe="anyone")}))
    nobody = caller(the, http())
    assert isinstance(the.subscribe(nobody, SubscribeRequest(channel="news")), Grant)
    assert the.subscribe(nobody, SubscribeRequest(channel="other")) is codes.PERMISSION_DENIED
