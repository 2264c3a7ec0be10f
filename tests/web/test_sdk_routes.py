from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter

from asgi_fakes import started_node
from portcast.config import HttpOptions
from portcast.errors import TopicError
from portcast.runtime import Node
from portcast.web import sdk_routes
from portcast.web.sdk_routes import add_sdk_routes, session_options
from runtime_kit import Events
from sdk_kit import Rules, options

pytestmark = pytest.mark.anyio


class TestSessionOptions:
    @pytest.mark.parametrize(
        ("http", "ping", "pong"),
        [
            pytest.param(HttpOptions(), 25, 8.0, id="default"),
            pytest.param(HttpOptions(ping_interval_s=20.4, ping_timeout_s=5), 20, 5.0, id="rounded"),
            pytest.param(HttpOptions(ping_interval_s=0.1, ping_timeout_s=5), 1, 0.9, id="a second at least"),
            pytest.param(HttpOptions(ping_interval_s=5, ping_timeout_s=60), 5, 4.5, id="pong before the next"),
        ],
    )
    async def test_sessions_ping_like_websockets(self, http: HttpOptions, ping: int, pong: float) -> None:
        """In whole seconds, as the protocol tells them."""
        made = session_options("1.2", http)
        assert (made.version, made.ping_s, made.pong_s) == ("portcast 1.2", ping, pong)

    async def test_names_are_topics_and_filters(self) -> None:
        """Wildcards can be subscribed to and not published on."""
        made = session_options("1", HttpOptions(), accepts_messages=True)
        made.validate_channel("a/+")
        with pytest.raises(TopicError):
            made.validate_topic("a/+")
        assert made.accepts_messages


class Nodes:
    """What `add_sdk_routes` gives its endpoints: the node that runs, if one does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node: Node | None = None
        self.made = 0
        self.ready: Callable[[], Any] = lambda: None
        self.serving: Callable[[], Any] = self.ready
        monkeypatch.setattr(sdk_routes, "add_sdk_http", self._note)
        self.router = APIRouter()
        add_sdk_routes(self.router, self._running, self._rules, options(), HttpOptions(), Events())

    def _note(self, router: APIRouter, ready: Callable[[], Any], serving: Callable[[], Any], http: HttpOptions) -> None:
        self.ready, self.serving = ready, serving

    def _running(self) -> Node:
        if self.node is None:
            raise RuntimeError("not running")
        return self.node

    def _rules(self) -> Rules:
        self.made += 1
        return Rules()


async def test_the_ways_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the paths that SDKs expect."""
    assert [getattr(route, "path", "") for route in Nodes(monkeypatch).router.routes] == ["/connection/websocket"]


async def test_one_node_for_clients_of_all_ways_and_a_new_one_for_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presence and sessions are shared; the rules are made when the first client comes."""
    nodes = Nodes(monkeypatch)
    assert (nodes.ready(), nodes.serving(), nodes.made) == (None, None, 0)
    async with started_node() as nodes.node:
        first = nodes.ready()
        assert first is not None
        assert first is nodes.ready()
        assert (first.hub, nodes.made) == (nodes.node.hub, 1)
        nodes.node.memory.is_short = True
        assert nodes.ready() is None, "it lets nobody in"
        assert nodes.serving() is first
        nodes.node.memory.is_short = False
    assert (nodes.ready(), nodes.serving()) == (None, None), "it is stopped"
    async with started_node() as nodes.node:
        assert nodes.ready().hub is nodes.node.hub is not first.hub
        assert nodes.made == 2
