"""A listener is found by its name, its declared address or its place."""

from __future__ import annotations

import pytest

from portcast import Gateway
from portcast.errors import ConfigurationError
from portcast.testing import in_memory, running
from portcast.testing.listeners import find_listener

pytestmark = pytest.mark.anyio


def two() -> Gateway:
    gateway = Gateway()
    gateway.relay("tcp://127.0.0.1:8001", topic="one", name="first")
    gateway.relay("unix:///run/two.sock", topic="two")
    return gateway


@pytest.mark.parametrize(
    ("wanted", "place"),
    [("first", 0), ("8001", 0), ("tcp://127.0.0.1:8001", 0), (0, 0), ("unix:///run/two.sock", 1), (1, 1)],
    ids=str,
)
async def test_by_what_users_call_it(wanted: str | int, place: int) -> None:
    """The same on free ports, where it is bound elsewhere."""
    async with in_memory(two()) as gateway:
        assert find_listener(gateway, wanted) is gateway.listeners[place]
    async with running(two()) as it:
        assert find_listener(it.gateway, wanted) is it.gateway.listeners[place]


@pytest.mark.parametrize("wanted", [None, "second", "8002", 2, -1], ids=str)
async def test_none_is_guessed(wanted: str | int | None) -> None:
    """The error names those that there are."""
    async with in_memory(two()) as gateway:
        with pytest.raises(ConfigurationError, match="the gateway has 0: first, 1: unix:///run/two"):
            find_listener(gateway, wanted)


async def test_the_only_one_needs_no_name() -> None:
    """Where there is none, that is said."""
    gateway = Gateway()
    async with in_memory(gateway):
        with pytest.raises(ConfigurationError, match="the gateway has none"):
            find_listener(gateway, None)
    gateway.relay("8001")
    async with in_memory(gateway):
        assert find_listener(gateway, None) is gateway.listeners[0]
