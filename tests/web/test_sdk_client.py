from __future__ import annotations

import pytest

from portcast.centrifuge.format import Format
from sdk_kit import World

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", list(Format))
async def test_connect_subscribe_receive(kind: Format) -> None:
    """The life of most clients."""
    world = World()
    client = world.client(kind)
    assert client.connect()["version"] == "portcast"
    world.send("t", b"1")
    assert client.subscribe("t")["offset"] == 1
    world.send("t", b"2", b"3")
    assert client.pushes() == [{"channel": "t", "pub": {"data": n, "offset": n}} for n in (2, 3)]
