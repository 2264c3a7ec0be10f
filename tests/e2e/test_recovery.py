"""A page whose connection breaks loses nothing that the history still holds, and says what it lost otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from e2e.serving import Serve, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

SLOW = 3008


class Breaker:
    """Stands between the page and the server and breaks the first connection."""

    def __init__(self, page: Page, meanwhile: Callable[[], None]) -> None:
        """Prepare; ``meanwhile`` runs while the page is cut off, before its second connection is let through."""
        self._routes: list[WebSocketRoute] = []
        self._meanwhile = meanwhile
        self.addresses: list[str] = []
        page.route_web_socket(lambda url: True, self._connect)

    def _connect(self, route: WebSocketRoute) -> None:
        self._routes.append(route)
        self.addresses.append(route.url)
        if len(self._routes) == 2:
            self._meanwhile()
        route.connect_to_server()

    def cut(self) -> None:
        """Break the connection as a server does that finds the client too slow."""
        self._routes[0].close(code=SLOW, reason="too slow: 1024 messages were waiting")


def _publish(serve: Serve, lines: range) -> None:
    """Send numbered lines and return when the gateway has taken them."""
    already = serve.listeners()[0]["frames"]
    serve.send(b"".join(b"line %d\n" % number for number in lines))
    wait_until(lambda: serve.listeners()[0]["frames"] == already + len(lines), "the lines")


def test_what_passed_meanwhile_is_made_up(context: BrowserContext, serve: Serve) -> None:
    """The page asks from the last id that it saw: all lines, each once, in order, and why it was cut off."""
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    breaker = Breaker(page, lambda: _publish(serve, range(3, 6)))
    page.goto(serve.url)
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
    _publish(serve, range(3))
    expect(page.locator("#rows .text")).to_have_count(3)
    breaker.cut()
    expect(page.locator("#rows .text")).to_have_text([f"line {number}" for number in reversed(range(6))])
    expect(page.locator("#rows .note")).to_have_text(["disconnected: too slow: 1024 messages were waiting"])
    assert {address.rpartition("/")[2] for address in breaker.addresses} == {"websocket"}
    first, second = (url for url in asked if "/api/history" in url)
    assert "limit=100" in first
    assert "since=" in second


def test_what_the_history_no_longer_holds_is_a_gap(context: BrowserContext, serve: Serve) -> None:
    """More than the history holds: the number that is lost stands in the table."""
    page = context.new_page()
    breaker = Breaker(page, lambda: _publish(serve, range(1, 151)))
    page.goto(f"{serve.url}?filter={serve.topic()}")
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
    _publish(serve, range(1))
    expect(page.locator("#rows .text")).to_have_text(["line 0"])
    breaker.cut()
    expect(page.locator("#rows .text")).to_have_count(101)
    expect(page.locator("#rows .note").first).to_have_text("50 publications were missed while disconnected")


def test_what_history_told_is_not_shown_again(context: BrowserContext, serve: Serve) -> None:
    """A publication may be kept, and told by history, before it has come live: the server pushes a moment later."""
    page = context.new_page()
    held: list[str | bytes] = []
    routes: list[WebSocketRoute] = []

    def connect(route: WebSocketRoute) -> None:
        def arrived(message: str | bytes) -> None:
            # From the answer to `subscribe` on, until it is let go.
            if held or (not routes and '"subscribe"' in str(message)):
                held.append(message)
            else:
                route.send(message)
            if held and not routes:
                routes.append(route)

        route.connect_to_server().on_message(arrived)

    page.route_web_socket(lambda url: True, connect)
    page.goto(serve.url)
    while not held:
        page.wait_for_timeout(20)
    _publish(serve, range(1))
    while "line 0" not in str(held[-1]):
        page.wait_for_timeout(20)
    answer, *late = held
    routes[0].send(answer)
    expect(page.locator("#rows .text")).to_have_text(["line 0"])
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
    for message in late:
        routes[0].send(message)
    held.clear()
    _publish(serve, range(1, 2))
    expect(page.locator("#rows .text")).to_have_text(["line 1", "line 0"])
