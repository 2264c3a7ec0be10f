"""`slowhttptest` against `portcast serve`: nobody holds a connection by being slow."""

from __future__ import annotations

import re
import shutil
import subprocess
import time

import psutil
import pytest

from cli.processes import running

ATTACKS = {
    "head": ["-H", "-i", "5"],
    "body": ["-B", "-i", "5", "-s", "8192", "-t", "POST"],
    "read": ["-X", "-w", "1", "-y", "10", "-n", "5", "-z", "1"],
}
CONNECTIONS, OPENING_S, HELD_S = 500, 5, 15


@pytest.mark.hostile
@pytest.mark.row(5)
@pytest.mark.timeout(120)
@pytest.mark.parametrize("attack", ATTACKS)
def test_slow_clients_hold_nothing(attack: str) -> None:
    """15 s after the last of 500 was opened the server has none; the kernel may still send what it was given."""
    tool = shutil.which("slowhttptest")
    if tool is None:
        pytest.skip("slowhttptest is not installed")
    with running("serve", "--http", "127.0.0.1:0", "--listen", "0") as gateway:
        gateway.out.wait("Press Ctrl-C")
        url = re.search(r"http://127\.0\.0\.1:(\d+)", "".join(gateway.out.seen))
        assert url is not None
        server, port = psutil.Process(gateway.process.pid), int(url[1])

        def held() -> int:
            return sum(one.laddr.port == port and bool(one.raddr) for one in server.net_connections("tcp"))

        path = "/api/topics/t" if attack == "body" else "/"
        rate = ["-c", str(CONNECTIONS), "-r", str(CONNECTIONS // OPENING_S), "-l", "60", "-p", "3"]
        attacker = subprocess.Popen(
            [tool, *ATTACKS[attack], *rate, "-u", f"{url[0]}{path}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            began, most = time.monotonic(), 0
            while time.monotonic() - began < OPENING_S + HELD_S:
                most = max(most, held())
                time.sleep(0.2)
            assert most > CONNECTIONS // 2, "the attack did not happen"
            assert held() == 0
        finally:
            attacker.kill()
            attacker.wait(10)
