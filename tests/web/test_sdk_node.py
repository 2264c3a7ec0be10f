from __future__ import annotations

import pytest

from sdk_kit import World, options

pytestmark = pytest.mark.anyio


async def test_pings_are_sent_in_time() -> None:
    """By one ticker for all."""
    world = World(session=options(ping_s=10, pong_s=5.0))
    client = world.connected()
    world.advance(10)
    assert client.read() == [{}]
