from __future__ import annotations

import pytest

from sdk_kit import World

pytestmark = pytest.mark.anyio


async def test_a_channel_comes_and_goes() -> None:
    """In the hub, and for those who ask who is there."""
    world = World()
    client = world.connected()
    client.subscribe("t")
    assert (world.hub.count("t"), len(world.node.presence)) == (1, 1)
    client.unsubscribe("t")
    assert (world.hub.count("t"), len(world.node.presence)) == (0, 0)
