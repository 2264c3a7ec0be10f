"""The live page inside somebody else's app, under a prefix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.serving import Embedded, Serve, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """In place of the standalone gateway: the page fixture opens this one."""
    with running(Embedded(tmp_path / "uvicorn.log")) as serve:
        yield serve


def test_the_page_works_under_a_prefix(page: Page, serve: Serve) -> None:
    """All addresses are relative; the fixture checks that nothing outside the prefix was asked for."""
    serve.send(b"hello\n")
    expect(page.locator("#rows .topic")).to_have_text(["logs"])
    expect(page.locator("#listeners .card")).to_have_count(1)
    sockets = serve.url.replace("http", "ws", 1)
    expect(page.locator("#hint-sdk")).to_have_text(f"{sockets}connection/websocket")
    expect(page.locator("#hint-ws")).to_have_text(f"{sockets}ws/%23")


def test_the_slash_may_be_forgotten(context: BrowserContext, serve: Serve) -> None:
    """The address without its final slash leads to the page."""
    page = context.new_page()
    page.goto(serve.url.rstrip("/"))
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
