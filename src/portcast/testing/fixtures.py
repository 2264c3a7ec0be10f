"""Fixtures for pytest, loaded only when a conftest names them: ``pytest_plugins = ["portcast.testing.fixtures"]``.

Say in your conftest which app they are for::

    @pytest.fixture
    def portcast_app():
        from yours import app

        return app

They are synchronous, so they work with every async plugin and with none. Coroutines enter `TestDevice` and
`Subscription` themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portcast.testing.clock import ManualClock
from portcast.testing.lifespan import App
from portcast.testing.sync import SyncDevice, SyncSubscription, TestGateway


@pytest.fixture
def portcast_app() -> App:
    """The app under test, or its gateway: to be overridden by yours."""
    raise pytest.UsageError("define a fixture named portcast_app that returns your app or your gateway")


@pytest.fixture
def portcast_clock() -> ManualClock:
    """A manual clock. A test that asks for it has its app run on it; all others run on real time."""
    return ManualClock()


@pytest.fixture
def portcast_gateway(request: pytest.FixtureRequest, portcast_app: App) -> Iterator[TestGateway]:
    """The app in memory, for plain functions; stopped after the test."""
    is_manual = "portcast_clock" in request.fixturenames
    clock = request.getfixturevalue("portcast_clock") if is_manual else None
    with TestGateway(portcast_app, clock=clock) as gateway:
        yield gateway


@pytest.fixture
def portcast_device(portcast_gateway: TestGateway) -> SyncDevice:
    """A device, connected to the app's only listener."""
    return portcast_gateway.device()


@pytest.fixture
def portcast_live(portcast_gateway: TestGateway) -> SyncSubscription:
    """A subscription to everything that the app publishes."""
    return portcast_gateway.subscribe()
