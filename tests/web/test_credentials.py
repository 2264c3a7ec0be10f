from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from portcast.api_keys import Identity
from portcast.web import credentials
from portcast.web.credentials import (
    MAX_BYTES,
    MOST_SESSIONS,
    SESSION_S,
    Sessions,
    answered_subprotocol,
    is_foreign_page,
    shown_token,
    shows_cookie_only,
)

ANN = Identity("ann", "reader")


def request(headers: dict[str, str] | None = None, subprotocols: tuple[str, ...] = ()) -> HTTPConnection:
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope: dict[str, Any] = {"type": "websocket", "headers": raw, "subprotocols": list(subprotocols)}
    return HTTPConnection(scope)


@pytest.mark.parametrize(
    ("headers", "subprotocols", "token"),
    [
        pytest.param({}, (), "", id="nothing"),
        pytest.param({"x-api-key": "k"}, (), "k", id="key"),
        pytest.param({"authorization": "Bearer  t "}, (), "t", id="bearer"),
        pytest.param({"authorization": "bearer t"}, (), "t", id="the scheme has no case"),
        pytest.param({"authorization": "Basic dDp0"}, (), "", id="another scheme"),
        pytest.param({"authorization": "Bearer"}, (), "", id="no token"),
        pytest.param({}, ("portcast", "portcast.bearer.a.b-c_d"), "a.b-c_d", id="subprotocol"),
        pytest.param({"cookie": "portcast_session=x"}, (), "", id="a cookie is no token"),
        pytest.param({"x-api-key": "k" * 9000}, (), "k" * MAX_BYTES, id="cut"),
    ],
)
def test_where_a_token_may_be_shown(headers: dict[str, str], subprotocols: tuple[str, ...], token: str) -> None:
    assert shown_token(request(headers, subprotocols)) == token


def test_the_answer_never_holds_the_token() -> None:
    """A server may pick any offered subprotocol; picking the token would send it back, past whatever logs answers."""
    assert answered_subprotocol(request({}, ("portcast.bearer.t", "portcast"))) == {"subprotocol": "portcast"}
    assert answered_subprotocol(request({}, ("portcast.bearer.t",))) == answered_subprotocol(request()) == {}


def test_a_cookie_alone_is_told_from_a_token_beside_it() -> None:
    assert shows_cookie_only(request({"cookie": "portcast_session=x"}))
    assert not shows_cookie_only(request({"cookie": "portcast_session=x", "x-api-key": "k"}))
    assert not shows_cookie_only(request({"cookie": "other=x"}))


@pytest.mark.parametrize(
    ("said", "is_foreign"),
    [(None, False), ("none", False), ("same-origin", False), ("same-site", True), ("cross-site", True)],
)
def test_what_browsers_say_of_a_page(said: str | None, is_foreign: bool) -> None:
    """Another port of the same host is ``same-site``, and gets the host's cookies."""
    assert is_foreign_page(Headers({} if said is None else {"sec-fetch-site": said})) == is_foreign


class TestSessions:
    now = 1_000_000.0

    def sessions(self) -> Sessions:
        return Sessions(lambda: self.now)

    def test_a_session_lasts_a_working_day(self) -> None:
        sessions = self.sessions()
        value, seconds = sessions.open(ANN)
        assert seconds == SESSION_S
        assert sessions.find(value) == (ANN, 1_000_000 + SESSION_S)
        self.now += SESSION_S
        assert sessions.find(value) is None
        assert len(sessions) == 0

    def test_a_session_ends_with_its_token(self) -> None:
        sessions = self.sessions()
        value, seconds = sessions.open(Identity("ann", expires_at=1_000_060))
        assert seconds == 60
        self.now += 60
        assert sessions.find(value) is None

    def test_a_session_can_be_ended(self) -> None:
        sessions = self.sessions()
        value, _ = sessions.open(ANN)
        sessions.close("another")
        assert sessions.find(value)
        sessions.close(value)
        assert sessions.find(value) is None

    def test_the_oldest_goes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However often somebody logs in, memory has an end."""
        monkeypatch.setattr(credentials, "MOST_SESSIONS", 2)
        assert MOST_SESSIONS == 1000
        sessions = self.sessions()
        first, second, third = (sessions.open(ANN)[0] for _ in range(3))
        assert sessions.find(first) is None
        assert sessions.find(second)
        assert sessions.find(third)

    def test_values_are_not_kept(self) -> None:
        sessions = self.sessions()
        value, _ = sessions.open(ANN)
        assert value not in repr(vars(sessions))
        assert len(value) >= 43, "256 bits"
        assert sessions.find("") is sessions.find("\ud800") is None
