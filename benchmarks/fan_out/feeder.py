"""The devices, in a process of its own: ``python -m benchmarks.fan_out.feeder``.

Blocks of messages are made beforehand. In bulk one thread per device passes them to ``sendall``, which releases the
interpreter lock and waits in the kernel.
"""

from __future__ import annotations

import gc
import socket
import threading
import time
from typing import Any

from benchmarks.commands import answer_commands
from benchmarks.fan_out.messages import LAST, message
from benchmarks.fan_out.wires import WIRES, Wire, connect

SEND = 128 * 1024
"""Bytes per ``sendall``."""

blocks: list[bytes] = []


def prepare(wire: str, devices: int, messages: int) -> dict[str, Any]:
    """Make what the next `burst` sends; no message is sent twice.

    Args:
        wire: in whose form.
        devices: connections.
        messages: altogether, a multiple of ``devices``.
    """
    encode = WIRES[wire].encode
    each = messages // devices
    blocks[:] = [b"".join(encode(message(device, number)) for number in range(each)) for device in range(devices)]
    gc.collect()
    return {"bytes": sum(map(len, blocks))}


def _open(wire: Wire, port: int) -> socket.socket:
    sock = connect(port)
    wire.hello(sock, port)
    return sock


def burst(ports: list[int], wire: str, most_s: float) -> dict[str, Any]:
    """Send what was prepared as fast as the server takes it, and wait until it has handled all of it."""
    speech = WIRES[wire]
    errors: list[str] = []

    def send(sock: socket.socket, block: bytes) -> None:
        try:
            sock.settimeout(most_s)
            data = memoryview(block)
            for start in range(0, len(data), SEND):
                sock.sendall(data[start : start + SEND])
            speech.settle(sock)
        except OSError as error:
            errors.append(f"{type(error).__name__}: {error}")

    sockets = [_open(speech, ports[device % len(ports)]) for device in range(len(blocks))]
    started = time.monotonic()
    threads = [threading.Thread(target=send, args=pair, daemon=True) for pair in zip(sockets, blocks, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    if errors:
        return {"error": errors[0]}
    _say_last(speech, ports[0])
    return {"seconds": seconds}


def _say_last(wire: Wire, port: int) -> None:
    if not wire.frame:
        sock = _open(wire, port)
        sock.sendall(wire.encode(message(LAST, 0)))
        wire.settle(sock)


def steady(ports: list[int], wire: str, devices: int, rate: int, seconds: float) -> dict[str, Any]:
    """Send one message per write, from one device after the other, ``rate`` a second altogether.

    Each message says when it was due, and not when it could be sent: a server that stops reading makes those that wait
    older, as it would for a device that has something to say.

    Returns:
        ``sent``, ``late_ms`` (the 99th percentile of how late a write was begun), and whether the server was so slow
        that not everything could be written: ``is_stuck``.
    """
    speech = WIRES[wire]
    sockets = [_open(speech, ports[device % len(ports)]) for device in range(devices)]
    total = int(rate * seconds) // devices * devices
    late: list[float] = []
    is_stuck = False
    gc.disable()
    started = time.monotonic() + 0.05
    until = started + seconds + 0.5
    for sent in range(total):
        due = started + sent / rate
        if (ahead := due - time.monotonic()) > 0:
            time.sleep(ahead)
        now = time.monotonic()
        late.append(now - due)
        device = sent % devices
        try:
            sockets[device].settimeout(max(0.01, until - now))
            sockets[device].sendall(speech.encode(message(device, sent // devices, int(due * 1e9))))
        except TimeoutError:
            is_stuck = True
            break
    else:
        sent = total
    gc.enable()
    elapsed = time.monotonic() - started
    if not is_stuck:
        is_stuck = not _settle(speech, sockets)
    if not is_stuck:
        _say_last(speech, ports[0])
    late.sort()
    return {
        "sent": sent,
        "seconds": elapsed,
        "late_ms": round(late[len(late) * 99 // 100] * 1e3, 3),
        "is_stuck": is_stuck,
    }


SETTLE_S = 3.0


def _settle(wire: Wire, sockets: list[socket.socket]) -> bool:
    """End the devices' connections; return False if the server does not get that far in time."""
    until = time.monotonic() + SETTLE_S
    try:
        for sock in sockets:
            sock.settimeout(max(0.01, until - time.monotonic()))
            wire.settle(sock)
    except TimeoutError:
        return False
    return True


if __name__ == "__main__":
    answer_commands({"prepare": prepare, "burst": burst, "steady": steady})
