"""The devices, in a process of its own: ``python -m benchmarks.devices``.

Light enough not to be the bottleneck: blocks of lines are made beforehand, and one thread per busy device passes them
to ``sendall``, which releases the interpreter lock and waits in the kernel.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from benchmarks.commands import answer_commands
from benchmarks.lines import Kind, block

SEND = 128 * 1024
"""Bytes per ``sendall``."""
TIMEOUT_S = 60.0
"""For any one socket operation: a server that hangs is reported, not waited for."""

idle: list[socket.socket] = []


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def until_closed(sock: socket.socket) -> None:
    """Say that there is no more, and wait until the server has handled everything: then it closes, too."""
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass
    sock.close()


def burst(ports: list[int], devices: int, lines: int, kind: Kind, block_lines: int = 1300) -> dict[str, Any]:
    """Send as fast as the server takes it.

    Args:
        ports: the devices are spread over these.
        devices: connections.
        lines: altogether.
        kind: of line.
        block_lines: different lines per device; they are sent again and again. 0: no line is sent twice.
    """
    each = lines // devices
    different = min(block_lines or each, each)
    blocks = [memoryview(block(kind, device, different)) for device in range(devices)]
    sockets = [connect(ports[device % len(ports)]) for device in range(devices)]
    line_bytes = len(blocks[0]) // different
    errors: list[str] = []

    def send(sock: socket.socket, data: memoryview) -> None:
        try:
            left = each
            while left:
                piece = data[: min(left, different) * line_bytes]
                for start in range(0, len(piece), SEND):
                    sock.sendall(piece[start : start + SEND])
                left -= min(left, different)
            until_closed(sock)
        except OSError as error:
            errors.append(f"{type(error).__name__}: {error}")

    started = time.monotonic()
    threads = [threading.Thread(target=send, args=pair, daemon=True) for pair in zip(sockets, blocks, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        return {"error": errors[0]}
    return {"lines": each * devices, "seconds": time.monotonic() - started}


def steady(ports: list[int], devices: int, rate: int, seconds: float, kind: Kind = "text") -> dict[str, Any]:
    """Send one line per packet, from one device after the other, ``rate`` lines a second altogether.

    Args:
        ports: the devices are spread over these.
        devices: connections.
        rate: lines a second; a few are sent every millisecond.
        seconds: how long.
        kind: of line.
    """
    sockets = [connect(ports[device % len(ports)]) for device in range(devices)]
    ready = [block(kind, device, 1) for device in range(devices)]
    total = int(rate * seconds)
    sent = 0
    started = time.monotonic()
    while sent < total:
        due = min(total, int((time.monotonic() - started) * rate) + 1)
        while sent < due:
            device = sent % devices
            sockets[device].sendall(ready[device])
            sent += 1
        time.sleep(0.001)
    elapsed = time.monotonic() - started
    for sock in sockets:
        until_closed(sock)
    return {"lines": sent, "seconds": elapsed}


def open_idle(port: int, count: int) -> dict[str, Any]:
    """Open connections and leave them open. In small groups, because asyncio's own backlog is 100."""
    for number in range(count):
        if number % 50 == 0:
            time.sleep(0.02)
        idle.append(connect(port))
    return {"open": len(idle)}


def say_something(newest: int = 0, seconds: float = 0.0) -> dict[str, Any]:
    """Send one line from the newest idle devices, from all of them if 0, one after the other in so many seconds."""
    line = block("json", 1, 1)
    speakers = idle[-newest:]
    started = time.monotonic()
    for number, sock in enumerate(speakers):
        time.sleep(max(0.0, started + seconds * number / len(speakers) - time.monotonic()))
        sock.sendall(line)
    return {}


def close_idle(newest: int) -> dict[str, Any]:
    for _ in range(newest):
        idle.pop().close()
    return {"open": len(idle)}


if __name__ == "__main__":
    answer_commands(
        {
            "burst": burst,
            "steady": steady,
            "open_idle": open_idle,
            "say_something": say_something,
            "close_idle": close_idle,
        }
    )
