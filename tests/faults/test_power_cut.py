"""A device that vanishes without a word, on a network of its own whose only interface is switched off.

No FIN and no RST comes then, as when a device loses its power, its radio, or its place in a NAT's table.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
import time

import pytest

from portcast import Gateway
from portcast.events import ConnectionClosed, DeviceDetached, Event
from portcast.testing import running

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
"""netdevice(7)."""
PROBES = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 2000}
"""In place of 60 s, 15 s, 4 and 30 s, on the listening socket; that keepalive is on at all is the listener's own."""
IDLE_S = 1.5


def switch(*, is_up: bool) -> None:
    """Switch the loopback interface of this network on or off."""
    with socket.socket() as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))
        flags = flags | IFF_UP if is_up else flags & ~IFF_UP
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))


async def cut() -> dict[str, tuple[str, float, bool]]:
    """Return of each device how it ended, after how many seconds, and whether it is offline."""
    events: list[tuple[float, Event]] = []
    gateway = Gateway(on_event=lambda event: events.append((time.monotonic(), event)))
    for options in ({"idle_timeout_s": IDLE_S}, {"idle_timeout_s": 0}):

        @gateway.listen("tcp://127.0.0.1:0", identify=str, **options)
        async def on_line(line: str) -> None: ...

    async with running(gateway) as it:
        for listener in gateway.listeners:
            assert listener._socket is not None
            for name, value in PROBES.items():
                listener._socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        names = {"idle": 0, "silent": 1, "commanded": 1}
        devices = []
        for name, listener_number in names.items():
            device = socket.create_connection(("127.0.0.1", it.ports[listener_number]))
            device.sendall(name.encode() + b"\n")
            devices.append(device)
        roster = gateway.node.devices.roster
        while roster.statistics().online < len(names):  # noqa: ASYNC110 - nobody could set an event
            await asyncio.sleep(0.01)
        connections = {name: gateway.device(name).connections[0].id for name in names}
        switch(is_up=False)
        began = time.monotonic()
        await gateway.device("commanded").send("reboot")
        while roster.statistics().online and time.monotonic() - began < 12:  # noqa: ASYNC110 - as before
            await asyncio.sleep(0.01)
        ends = {one.connection_id: (one.reason, at - began) for at, one in events if isinstance(one, ConnectionClosed)}
        gone = {one.device_id for _, one in events if isinstance(one, DeviceDetached)}
        switch(is_up=True)
        for device in devices:
            device.close()
        return {name: (*ends.get(one, ("open", 0.0)), name in gone) for name, one in connections.items()}


@pytest.mark.row(3)
def test_it_is_noticed() -> None:
    """By the idle deadline; without one by keepalive; sooner if something was written to it. Then it is offline."""
    own_network = [shutil.which("unshare") or "", "--map-root-user", "--net"]
    if not own_network[0] or subprocess.run([*own_network, "true"], capture_output=True).returncode:
        pytest.skip("no network of its own can be made here: unshare --map-root-user --net")
    child = subprocess.run([*own_network, sys.executable, __file__], capture_output=True, text=True, timeout=30)
    assert child.returncode == 0, child.stderr
    ends = json.loads(child.stdout)
    assert {name: [reason, is_offline] for name, (reason, _, is_offline) in ends.items()} == {
        "idle": ["idle_timeout", True],
        "silent": ["reset", True],
        "commanded": ["reset", True],
    }, child.stderr
    assert all(IDLE_S <= seconds < 10 for _, seconds, _ in ends.values()), ends


if __name__ == "__main__":
    switch(is_up=True)
    print(json.dumps(asyncio.run(cut())))
