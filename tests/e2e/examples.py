"""An example in a process of its own, and its page."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from e2e.serving import Example, running
from e2e.watching import Watch


def example(folder: Path, name: str) -> AbstractContextManager[Example]:
    """Serve an example until the end of the block."""
    return running(Example(folder / "log", name))


def opened(context: BrowserContext, serve: Example) -> tuple[Page, Watch]:
    """Return a page of it that is connected, and what watches it."""
    page, watch = context.new_page(), Watch(serve.url)
    watch.follow(page)
    page.goto(serve.url)
    expect(page.locator("#state")).to_have_text("connected")
    return page, watch
