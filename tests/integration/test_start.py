"""The start under plain ``uvicorn app:app``."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil

from gateway_serving import Uvicorn, is_open, uvicorn_process, wait_until

APP = """
from fastapi import FastAPI
from portcast import Gateway

gateway = Gateway()
gateway.relay("{first}", topic="a")
gateway.relay("{second}", topic="b")
app = FastAPI()
app.include_router(gateway)
"""


def test_listeners_accept_before_http_is_served(tmp_path: Path) -> None:
    """Who asks over HTTP must find the devices' ports open."""
    local = "tcp://127.0.0.1:0"
    with uvicorn_process(tmp_path, APP.format(first=local, second=local)) as server:
        listening = [one for one in psutil.Process(server.process.pid).net_connections("tcp") if one.status == "LISTEN"]
        assert len(listening) == 3
        assert all(map(is_open, server.listener_ports))
        assert server.get("/health/ready").json()["status"] == "ready"


def test_a_port_in_use_stops_the_server(tmp_path: Path) -> None:
    """With a status that is not 0 and the address in the message, soon, and with nothing left behind."""
    path = tmp_path / "first.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        server = Uvicorn(tmp_path, APP.format(first=f"unix://{path}", second=second))
        wait_until(lambda: server.process.poll() is not None, "the end")
        assert server.process.returncode != 0
        assert f"{second}: the address is in use" in server.log
        assert not path.exists()


def test_listeners_are_shown_beside_uvicorns_own_line(tmp_path: Path) -> None:
    """Nobody has configured logging there, and a user must see where devices may connect."""
    source = """
    from fastapi import FastAPI
    from portcast import Gateway

    gateway = Gateway()
    gateway.relay("tcp://127.0.0.1:0", topic="logs")
    app = FastAPI()
    app.include_router(gateway)
    """
    with uvicorn_process(tmp_path, source) as server:
        lines = [line for line in server.log.splitlines() if "listener started" in line]
        assert len(lines) == 1
        assert f"listener=tcp://127.0.0.1:{server.listener_ports[0]} " in lines[0]
        assert lines[0].startswith("INFO: ")
        assert 'target="topic logs"' in lines[0]
