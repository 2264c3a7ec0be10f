"""Who has shown too much that is not valid: the bound itself, and what it means for each way in."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection
from websockets.exceptions import ConnectionClosed

from access_kit import key
from gateway_serving import app_with, http, running, serving
from portcast import CentrifugeOptions, Gateway, HttpOptions
from portcast.api_keys import KeyTable
from portcast.centrifuge import codes
from portcast.centrifuge.messages import ConnectRequest
from portcast.events import CredentialsRefused, Event
from portcast.web.failed_logins import FailedLogins
from portcast.web.sdk_access import Admission, Caller
from portcast.web.sdk_answers import Refusal
from portcast.web.sdk_basis import Basis, Hooks
from portcast.web.sdk_rules import Rules
from token_kit import SECRET, sign

pytestmark = pytest.mark.row(55)

KEY = "operator-key-0123456789"
TWO = HttpOptions(max_failed_logins=2, failed_login_window_s=10)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def of(host: str | None = "192.0.2.1", **headers: str) -> HTTPConnection:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    client = None if host is None else (host, 5)
    return HTTPConnection({"type": "http", "headers": raw, "server": ("192.0.2.9", 80), "client": client, "state": {}})


def fail(logins: FailedLogins, http: HTTPConnection, times: int = 1) -> list[Refusal]:
    return [logins.failed(http, codes.INVALID_TOKEN, is_by_app=False) for _ in range(times)]


class TestBound:
    def test_failures_are_forgotten_one_by_one(self) -> None:
        """So many at once, and on average so many per window; what is refused meanwhile prolongs nothing."""
        clock = Clock()
        logins = FailedLogins(TWO, clock)
        assert fail(logins, of(), 4) == [codes.INVALID_TOKEN] * 2 + [codes.TOO_MANY_REQUESTS] * 2
        assert logins.refuses_unseen(of())
        assert logins.wait_s(of()) == 5
        clock.now += 5
        assert not logins.refuses_unseen(of())
        assert fail(logins, of(), 2) == [codes.INVALID_TOKEN, codes.TOO_MANY_REQUESTS]
        clock.now += 1000
        assert fail(logins, of(), 3) == [codes.INVALID_TOKEN] * 2 + [codes.TOO_MANY_REQUESTS]

    @pytest.mark.parametrize(
        ("first", "second", "is_one"),
        [
            ("192.0.2.1", "192.0.2.2", False),
            ("192.0.2.1", "::ffff:192.0.2.1", True),
            ("2001:db8::1", "2001:db8::2:3:4:5", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
        ],
    )
    def test_an_address_is_what_listeners_count_as_one(self, first: str, second: str, is_one: bool) -> None:
        logins = FailedLogins(TWO, Clock())
        fail(logins, of(first), 2)
        assert logins.refuses_unseen(of(second)) is is_one

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.1.2.3", None, "/run/proxy.sock"])
    def test_who_may_stand_for_many_is_always_looked_at(self, host: str | None) -> None:
        """Otherwise one client behind a proxy that names nobody could keep all others out."""
        logins = FailedLogins(HttpOptions(max_failed_logins=1, forwarded_from=("10.0.0.0/8",)), Clock())
        assert fail(logins, of(host), 2) == [codes.INVALID_TOKEN, codes.TOO_MANY_REQUESTS]
        assert not logins.refuses_unseen(of(host))

    def test_it_can_be_turned_off(self) -> None:
        logins = FailedLogins(HttpOptions(max_failed_logins=0), Clock())
        assert fail(logins, of(), 1000) == [codes.INVALID_TOKEN] * 1000
        assert not logins.refuses_unseen(of())
        assert (logins.wait_s(of()), len(logins)) == (0, 0)

    def test_only_who_fails_is_remembered_and_not_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The table is bounded; the address that was not seen for longest is forgotten."""
        monkeypatch.setattr("portcast.web.failed_logins.MOST_ADDRESSES", 3)
        logins = FailedLogins(TWO, Clock())
        assert [logins.refuses_unseen(of()), len(logins)] == [False, 0]
        for number in range(4):
            fail(logins, of(f"192.0.2.{number}"), 2)
        assert len(logins) == 3
        assert [logins.refuses_unseen(of(f"192.0.2.{number}")) for number in range(4)] == [False, True, True, True]

    @pytest.mark.parametrize(
        ("refusal", "by_app", "counts"),
        [
            pytest.param(codes.INVALID_TOKEN, False, True, id="invalid"),
            pytest.param(codes.TOKEN_EXPIRED, False, False, id="expired"),
            pytest.param(codes.PERMISSION_DENIED, False, False, id="a user's, by a function"),
            pytest.param(codes.PERMISSION_DENIED, True, True, id="a token's, by a function"),
            pytest.param(codes.DENIED, True, True, id="a disconnect of a function"),
            pytest.param(codes.TOKEN_EXPIRED, True, False, id="expired, by a function"),
            pytest.param(codes.INTERNAL, True, False, id="nobody knows"),
            pytest.param(codes.ReplyError(503, "later"), True, False, id="an application that cannot tell"),
            pytest.param(codes.ReplyError(401, "who?"), True, True, id="an application's 401"),
        ],
    )
    def test_what_counts(self, refusal: Refusal, by_app: bool, counts: bool) -> None:
        """A guess, and nothing that an honest client with a genuine token may see."""
        logins = FailedLogins(HttpOptions(max_failed_logins=1), Clock())
        assert logins.failed(of(), refusal, is_by_app=by_app) == refusal
        assert logins.refuses_unseen(of()) is counts


class TestRules:
    def rules(self, **basis: Any) -> Rules:
        options = CentrifugeOptions(token_hmac_secrets=(SECRET,))
        keys = KeyTable({"boss": key(KEY, "operator")}, {})
        return Rules(Basis(**{"options": options, "keys": keys, "failed_logins": FailedLogins(TWO, Clock()), **basis}))

    def test_a_key_and_a_login_pass_whatever_a_neighbour_does(self) -> None:
        """Nobody is locked out from behind the same NAT; a token is, for a while, without a look at it."""
        the, token = self.rules(), ConnectRequest(token=sign({"sub": "42"}))
        assert isinstance(the.connect("c", of(), token), Admission)
        wrong = [the.connect("c", of(), ConnectRequest(token="wrong")) for _ in range(3)]
        assert wrong == [codes.INVALID_TOKEN] * 2 + [codes.TOO_MANY_REQUESTS]
        assert the.connect("c", of(), token) is codes.TOO_MANY_REQUESTS
        assert isinstance(the.connect("c", of(), ConnectRequest(token=KEY)), Admission)
        assert isinstance(the.connect("c", of(x_api_key=KEY), ConnectRequest()), Admission)
        identity = the.identify(of(), KEY)
        assert identity is not None
        cookie = f"portcast_session={the.sessions.open(identity)[0]}"
        assert isinstance(the.connect("c", of(cookie=cookie), ConnectRequest()), Admission)
        assert isinstance(the.connect("c", of("192.0.2.2"), token), Admission)
        assert isinstance(the.connect("c", of("127.0.0.1"), token), Admission)

    def test_who_shows_nothing_or_an_old_login_is_not_counted(self) -> None:
        """After a restart every page sends its old cookie."""
        the = self.rules()
        for _ in range(5):
            assert the.connect("c", of(), ConnectRequest()) is codes.INVALID_TOKEN
            assert the.connect("c", of(cookie="portcast_session=old"), ConnectRequest()) is codes.INVALID_TOKEN
        assert len(the.failed_logins) == 0

    def test_a_key_in_a_header_of_the_handshake_counts(self) -> None:
        the = self.rules()
        answers = [the.connect("c", of(x_api_key="wrong"), ConnectRequest()) for _ in range(3)]
        assert answers[-1] is codes.TOO_MANY_REQUESTS

    @pytest.mark.anyio
    async def test_functions_of_the_application_are_not_asked_then(self) -> None:
        """They may be slow: look a user up, or hash a password."""
        asked: list[str] = []

        async def connect(caller: Caller, request: ConnectRequest, known: Admission) -> Any:
            asked.append(request.token)
            return codes.UNAUTHORIZED

        the = self.rules(options=CentrifugeOptions(), keys=KeyTable({}, {}), hooks=Hooks(connect=connect))
        for _ in range(5):
            answer = the.connect("c", of(), ConnectRequest(token="x"))
            last = await answer if not isinstance(answer, tuple | Admission) else answer
        assert last is codes.TOO_MANY_REQUESTS
        assert len(asked) == 2


def _guessing(events: list[Event]) -> Gateway:
    return Gateway(keys={"boss": key(KEY, "operator")}, http=TWO, on_event=events.append)


@pytest.mark.anyio
async def test_over_http_it_is_a_429_that_says_when_to_come_back() -> None:
    events: list[Event] = []
    async with running(_guessing(events)) as app, http(app) as client:
        wrong = {"x-api-key": "wrong"}
        answers = [await client.get("/api/topics", headers=wrong) for _ in range(3)]
        answers.append(await client.post("/session", json={"key": "wrong"}))
        assert [one.status_code for one in answers] == [401, 401, 429, 429]
        assert all(1 <= int(one.headers["retry-after"]) <= 5 for one in answers[2:])
        assert "wait" in answers[3].json()["detail"]
        assert (await client.get("/api/topics", headers={"x-api-key": KEY})).status_code == 200
        assert (await client.post("/session", json={"key": KEY})).status_code == 204
        assert (await client.get("/api/topics")).status_code == 200, "the cookie"
        transport = httpx.ASGITransport(app=app, client=("192.0.2.2", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as other:
            assert (await other.get("/api/topics", headers=wrong)).status_code == 401
    reasons = [one.reason for one in events if isinstance(one, CredentialsRefused)]
    assert reasons == ["request", "request", "throttled", "throttled", "request"]


@pytest.mark.anyio
async def test_over_a_real_server_by_each_way_in() -> None:
    """HTTP, a plain WebSocket and an SDK client share what an address has left."""
    events: list[Event] = []
    async with serving(app_with(_guessing(events))) as served:

        async def answered(path: str, said: str = "") -> int:
            """Return the close code, or 111 if that is the answer."""
            async with served.websocket(path, additional_headers={"x-api-key": "wrong"}) as client:
                if said:
                    await client.send(said)
                try:
                    reply = str(await client.recv())
                except ConnectionClosed as gone:
                    return gone.rcvd.code if gone.rcvd is not None else 0
                assert '"code":111' in reply
                assert '"temporary":true' in reply, "SDKs come back later"
                return 111

        connect = '{"id":1,"connect":{"token":"wrong"}}'
        assert await answered("/connection/websocket", connect) == 3500
        assert await answered("/ws") == 4401
        assert (await served.http.get("/api/topics", headers={"x-api-key": "wrong"})).status_code == 429
        assert await answered("/ws") == 4429
        assert await answered("/connection/websocket", connect) == 111
        assert (await served.http.get("/api/topics", headers={"x-api-key": KEY})).status_code == 200
    reasons = [one.reason for one in events if isinstance(one, CredentialsRefused)]
    assert reasons == ["connect", "request", "throttled", "throttled", "throttled"]
