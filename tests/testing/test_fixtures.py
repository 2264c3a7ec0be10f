"""The fixtures, named as a user's conftest would name them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from portcast import Connection, Gateway
from portcast.testing import ManualClock, SyncDevice, SyncSubscription, TestGateway

pytest_plugins = ["portcast.testing.fixtures"]


@pytest.fixture
def portcast_app() -> Gateway:
    gateway = Gateway()

    @gateway.listen("tcp://127.0.0.1:8001")
    async def on_line(line: str, connection: Connection) -> None:
        await gateway.publish("lines", line)
        await connection.send(b"OK")

    return gateway


def test_a_device_and_a_subscription(portcast_device: SyncDevice, portcast_live: SyncSubscription) -> None:
    """Both belong to one running app."""
    portcast_device.send(b"a\n")
    portcast_device.expect(b"OK\n")
    portcast_live.expect("lines", "a")


def test_time_stands_still_for_who_asks_for_the_clock(
    portcast_clock: ManualClock, portcast_gateway: TestGateway, portcast_device: SyncDevice
) -> None:
    """The app runs on the clock of the test."""
    portcast_gateway.advance(31)
    assert portcast_device.wait_closed() == "first_frame_timeout"
    assert portcast_clock.time() == 1031.0


@pytest.mark.parametrize(
    ("options", "said"),
    [((), "fixture 'portcast_device' not found"), (("-p", "portcast.testing.fixtures"), "named portcast_app")],
    ids=["not named", "without an app"],
)
def test_it_is_loaded_by_name_only(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """A project that does not name it has none of its fixtures; one that names it must say which app."""
    (tmp_path / "test_it.py").write_text("def test_it(portcast_device): ...", "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_it.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=15, check=False)
    assert result.returncode == 1
    assert said in result.stdout
