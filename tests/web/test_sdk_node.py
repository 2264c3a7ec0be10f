from __future__ import annotations

import pytest

from portcast.centrifuge.messages import SendRequest
from sdk_kit import Rules, World, options

pytestmark = pytest.mark.anyio


async def test_pings_are_sent_in_time() -> None:
    """By one ticker for all."""
    world = World(session=options(ping_s=10, pong_s=5.0))
    client = world.connected()
    world.advance(10)
    assert client.read() == [{}]


@pytest.mark.parametrize(("accepts", "code"), [(True, 0), (False, 3508)])
async def test_whether_messages_are_taken_is_the_rules_to_say(accepts: bool, code: int) -> None:
    """An app declares its functions after the options were made."""
    rules = Rules()
    rules.accepts_messages = accepts
    client = World(rules).connected()
    client.say(SendRequest(b"1"))
    assert client.code == code
