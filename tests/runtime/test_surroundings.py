"""What a gateway finds around it, and who says so."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from manual_clock import ManualClock
from portcast import Gateway
from portcast.address import Address
from portcast.runtime import Surroundings, surroundings
from portcast.runtime.surroundings import anywhere, as_declared
from runtime_kit import free_port

pytestmark = pytest.mark.anyio


def app_with(gateway: Gateway) -> FastAPI:
    app = FastAPI()
    app.include_router(gateway)
    return app


async def test_outside_of_tests_it_is_the_loop_and_the_declared_address() -> None:
    """Nothing is set there."""
    with pytest.raises(LookupError):
        surroundings.get()
    address = Address("tcp", host="127.0.0.1", port=1)
    assert as_declared(address) is address
    assert Surroundings().clock is None


def test_numbers_of_commands_begin_anywhere() -> None:
    """Each time elsewhere: a device may still answer what was asked before this process."""
    numbers = {anywhere() for _ in range(100)}
    assert len(numbers) > 90
    assert all(1 <= one < 1 << 31 for one in numbers)
    assert Surroundings().first_number is anywhere


async def test_a_gateway_takes_what_its_start_finds() -> None:
    """The clock, and for each listener another place or none; what starts later does not find it."""
    gateway, port = Gateway(), free_port()
    gateway.relay(f"tcp://127.0.0.1:{port}", topic="one")
    gateway.relay("tcp://203.0.113.1:2", topic="two")  # not an address of this machine (RFC 5737)
    app = app_with(gateway)

    def place(address: Address) -> Address | None:
        return None if address.port == 2 else address.with_port(0)

    token = surroundings.set(Surroundings(ManualClock(17.0), place))
    try:
        lifespan = app.router.lifespan_context(app)
        await lifespan.__aenter__()
    finally:
        surroundings.reset(token)
    try:
        first, second = gateway.listeners
        assert first.address.port not in (0, port)
        assert str(second.address) == "tcp://203.0.113.1:2"
        assert [one.state for one in gateway.listeners] == ["accepting", "accepting"]
        assert gateway.node.now() == 17.0
    finally:
        await lifespan.__aexit__(None, None, None)
    assert [first.state, second.state] == ["stopped", "stopped"]
