from __future__ import annotations

from typing import Any, cast

import pytest

from portcast.runtime.session import Session
from portcast.runtime.session_wrapper import SessionWrapper

pytestmark = pytest.mark.anyio


class Inner:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    async def open(self) -> None:
        self.asked.append(("open", None))

    async def run(self) -> None:
        self.asked.append(("run", None))

    async def failed(self, error: Exception) -> None:
        self.asked.append(("failed", error))

    async def idle(self) -> None:
        self.asked.append(("idle", None))

    async def close(self, error: BaseException | None) -> None:
        self.asked.append(("close", error))

    def decode(self, frame: bytes) -> object:
        self.asked.append(("decode", frame))
        return "message"

    async def handle(self, message: object) -> object:
        self.asked.append(("handle", message))
        return "result"


async def test_everything_is_passed_on() -> None:
    """With its argument and its result; each method of the interface."""
    inner, error = Inner(), ValueError()
    wrapper = SessionWrapper(cast("Session", inner))
    await wrapper.open()
    await wrapper.run()
    assert wrapper.decode(b"frame") == "message"
    assert await wrapper.handle("message") == "result"
    await wrapper.failed(error)
    await wrapper.idle()
    await wrapper.close(error)
    assert inner.asked == [
        ("open", None),
        ("run", None),
        ("decode", b"frame"),
        ("handle", "message"),
        ("failed", error),
        ("idle", None),
        ("close", error),
    ]
    assert {name for name, _ in inner.asked} == {name for name in vars(Session) if not name.startswith("_")}
