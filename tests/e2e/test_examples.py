"""The examples that have a page do in a real Chromium what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from e2e.examples import example, opened
from e2e.serving import Example, wait_until
from e2e.watching import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


def test_a_page_with_the_sdk(context: BrowserContext, tmp_path: Path) -> None:
    """Sensors live; notes with history, for everybody; and how many are there."""
    with example(tmp_path, "browser_sdk") as serve:
        page, watch = opened(context, serve)
        expect(page.locator("#present")).to_have_text("1")
        serve.send(b'{"sensor": "boiler-1", "celsius": 81.5}\nno json\n{"sensor": "boiler-2", "celsius": 7}\n')
        expect(page.locator("#sensors dd")).to_have_text(["81.5 °C", "7.0 °C"])
        for note in ("one", "<b>two</b>"):
            page.get_by_label("Note").fill(note)
            page.get_by_role("button", name="Send").click()
            expect(page.locator("#notes li").first).to_have_text(note)
        late, _ = opened(context, serve)
        expect(late.locator("#notes li")).to_have_text(["<b>two</b>", "one"])
        expect(page.locator("#present")).to_have_text("2")
        assert watch.problems == []


def _positions(serve: Example, places: range) -> None:
    before = serve.listeners()[0]["frames"]
    lines = [{"tracker": name, "x": at / 100, "y": 0.5} for at in places for name in ("t-1", "t-2")]
    serve.send(b"".join(json.dumps(one).encode() + b"\n" for one in lines))
    wait_until(lambda: serve.listeners()[0]["frames"] == before + len(lines), "the positions")


def _tracks(page: Page, points: int) -> None:
    """All trackers have so many points, in one piece."""
    expect(page.locator("#map g")).to_have_count(2)
    for track in page.locator("#map g").all():
        expect(track).to_have_attribute("data-points", str(points))
        expect(track.locator("path")).to_have_attribute("d", re.compile(r"^M[\d. ]+(L[\d. ]+)*$"))


def test_a_map_keeps_its_tracks(context: BrowserContext, tmp_path: Path) -> None:
    """Over a broken connection by recovery, over a reload by history."""
    with example(tmp_path, "trackers_map") as serve:
        _positions(serve, range(10, 20))
        page, watch = context.new_page(), Watch(serve.url)
        watch.follow(page)
        routes: list[WebSocketRoute] = []

        def connect(route: WebSocketRoute) -> None:
            routes.append(route)
            if len(routes) == 2:
                _positions(serve, range(30, 40))  # while the page is away
            route.connect_to_server()

        page.route_web_socket(lambda url: True, connect)
        page.goto(serve.url)
        _tracks(page, 10)
        _positions(serve, range(20, 30))
        _tracks(page, 20)
        routes[0].close(code=3000, reason="cut")
        _tracks(page, 30)
        page.reload()
        _tracks(page, 30)
        _positions(serve, range(40, 41))
        _tracks(page, 31)
        assert watch.problems == []
