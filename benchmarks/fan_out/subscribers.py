"""The browsers, in processes of their own: ``python -m benchmarks.fan_out.subscribers``.

Two kinds. Most only count bytes: the kernel throws them away without copying (``MSG_TRUNC``, tcp(7)), so that a
thousand subscribers cost a small part of a core. A few are read whole, in another process, so that the many do not
delay them: they say what arrived, and how old it was.
"""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.commands import answer_commands
from benchmarks.fan_out.messages import LAST, LAST_MARK, PATTERN, SIZE
from benchmarks.fan_out.wires import PONG, WIRES, Wire, ask_upgrade, check_upgrade, connect, until

ROOM = 8 * 1024 * 1024
"""Bytes per read of those that count; the memory is never touched."""
WAIT_S = 0.05
STUCK_BUFFER = 16 * 1024
"""Bytes that the kernel takes for a subscriber that does not read; twice that, socket(7)."""

TOGETHER = 100
"""Handshakes at once; the smallest backlog of a server here is 1024."""

subscribers: list[socket.socket] = []
stuck: list[socket.socket] = []


def _open(wire: Wire, port: int, count: int, receive_buffer: int = 0) -> list[socket.socket]:
    """Open subscribers, each step for all of them at once: a server may take a tenth of a second for every answer."""
    socks = []
    for _ in range(count):
        socks.append(connect(port, receive_buffer))
        ask_upgrade(socks[-1], port, wire.path, wire.subprotocol)
    for sock in socks:
        check_upgrade(sock)
    for say, end in wire.join:
        for sock in socks:
            sock.sendall(say())
        for sock in socks:
            until(sock, end)
    for sock in socks:
        sock.setblocking(False)
    return socks


def subscribe(port: int, wire: str, count: int) -> dict[str, Any]:
    while count > 0:
        subscribers.extend(_open(WIRES[wire], port, min(count, TOGETHER)))
        count -= TOGETHER
    return {"open": len(subscribers)}


def subscribe_stuck(port: int, wire: str, count: int) -> dict[str, Any]:
    """Open subscribers that will never read."""
    stuck.extend(_open(WIRES[wire], port, count, STUCK_BUFFER))
    return {"open": len(stuck)}


class _Ends:
    """When to stop: everybody is ready, or nothing comes any more, or it has taken too long."""

    def __init__(self, quiet_s: float, most_s: float) -> None:
        self._quiet_s = quiet_s
        self._started = self.last = time.monotonic()
        self._until = self._started + most_s
        self.is_begun = False

    def saw(self, events: int) -> bool:
        """Take note of what a poll brought; return False when it is time to stop."""
        now = time.monotonic()
        if events:
            self.last = now
            self.is_begun = True
        return now < self._until and (not self.is_begun or now - self.last < self._quiet_s)

    @property
    def seconds(self) -> float:
        return self.last - self._started


class _Pongs:
    """Sends pongs that nobody asked for (RFC 6455 §5.5.3): a ping cannot be seen without reading."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next = time.monotonic() + every_s

    def send_if_due(self) -> None:
        if self._every_s and time.monotonic() > self._next:
            self._next = time.monotonic() + self._every_s
            for sock in subscribers:
                with suppress(OSError):  # it is closed, and reading will say so
                    sock.send(PONG)


def count(messages: int, wire: str, quiet_s: float, most_s: float, pong_s: float = 0.0) -> dict[str, Any]:
    """Count until every subscriber has ``messages``, or is closed, or until `_Ends`.

    Where the number of bytes is not known before, the last message says where the end is: the servers keep the order
    of what was published before it.

    Returns:
        ``seconds`` to the last byte, ``delivered`` per subscriber, and how many were ``closed``.
    """
    size = WIRES[wire].frame
    if size:
        return _count(messages, size, messages * size, quiet_s, most_s, pong_s)
    return _count_to_mark(messages, WIRES[wire].least, quiet_s, most_s, pong_s)


def _count(messages: int, size: int, wanted: int, quiet_s: float, most_s: float, pong_s: float) -> dict[str, Any]:
    buffer = bytearray(ROOM)
    poll = select.epoll()
    receive = {sock.fileno(): sock.recv_into for sock in subscribers}
    got = dict.fromkeys(receive, 0)
    for fd in receive:
        poll.register(fd, select.EPOLLIN)
    left, closed = len(receive), 0
    ends, pongs = _Ends(quiet_s, most_s), _Pongs(pong_s)
    events: list[tuple[int, int]] = []
    while ends.saw(len(events)) and left:
        pongs.send_if_due()
        events = poll.poll(WAIT_S)
        for fd, _ in events:
            try:
                read = receive[fd](buffer, ROOM, socket.MSG_TRUNC)
            except BlockingIOError:
                continue
            except OSError:
                read = 0
            before = got[fd]
            got[fd] = after = before + read
            if not read:
                poll.unregister(fd)
                closed += 1
                left -= before < wanted
            elif after >= wanted > before:
                left -= 1
    poll.close()
    delivered = [min(messages, bytes_ // size) for bytes_ in got.values()]
    return {"seconds": ends.seconds, "delivered": delivered, "closed": closed}


def _count_to_mark(messages: int, least: int, quiet_s: float, most_s: float, pong_s: float) -> dict[str, Any]:
    buffer = bytearray(ROOM)
    poll = select.epoll()
    socks = {sock.fileno(): sock for sock in subscribers}
    got = dict.fromkeys(socks, 0)
    tails = dict.fromkeys(socks, b"")
    for fd in socks:
        poll.register(fd, select.EPOLLIN)
    whole: set[int] = set()
    closed = 0
    blind = messages * least
    ends, pongs = _Ends(quiet_s, most_s), _Pongs(pong_s)
    events: list[tuple[int, int]] = []
    while ends.saw(len(events)) and len(whole) + closed < len(socks):
        pongs.send_if_due()
        events = poll.poll(WAIT_S)
        for fd, _ in events:
            room = min(ROOM, blind - got[fd])
            try:
                if room > 0:
                    # The last message cannot be among these.
                    read = socks[fd].recv_into(buffer, room, socket.MSG_TRUNC)
                else:
                    data = socks[fd].recv(65536)
                    read = len(data)
                    tails[fd] = (tails[fd] + data)[-read - SIZE :]
                    if LAST_MARK in tails[fd]:
                        whole.add(fd)
            except BlockingIOError:
                continue
            except OSError:
                read = 0
            got[fd] += read
            if not read:
                poll.unregister(fd)
                closed += fd not in whole
    poll.close()
    delivered = [messages if fd in whole else min(messages - 1, bytes_ // least) for fd, bytes_ in got.items()]
    return {"seconds": ends.seconds, "delivered": delivered, "closed": closed}


class _Sample:
    """What one subscriber that is read whole has got."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.held = b""
        self.seen: dict[bytes, int] = {}  # the newest number of each device
        self.messages = 0
        self.is_in_order = True

    def take(self, data: bytes) -> list[int]:
        """Look at what came; return when each message was due, in nanoseconds."""
        due: list[int] = []
        end = 0
        held = self.held + data
        for found in PATTERN.finditer(held):
            device, number, nanoseconds = found.groups()
            end = found.end()
            if int(device) == LAST:
                continue
            # Every device counts from 0 without a gap, so order and completeness are one question.
            self.is_in_order &= int(number) == self.seen.get(device, -1) + 1
            self.seen[device] = int(number)
            self.messages += 1
            due.append(int(nanoseconds))
        self.held = held[end:][-2 * SIZE :] if end or len(held) > 4096 else held
        return due


def sample(messages: int, quiet_s: float, most_s: float, pong_s: float = 0.0) -> dict[str, Any]:
    """Read every message of all subscribers of this process, and how old each was.

    The clock is the machine's monotonic one, by which the feeder says when each message is due.

    Returns:
        ``delivered`` per subscriber, ``is_exact``: each got every message once and in order; and the percentiles of
        age in ms for the whole run and for each quarter of it.
    """
    poll = select.epoll()
    samples = {sock.fileno(): _Sample(sock) for sock in subscribers}
    for fd in samples:
        poll.register(fd, select.EPOLLIN)
    ages: list[int] = []
    left, closed = len(samples), 0
    ends, pongs = _Ends(quiet_s, most_s), _Pongs(pong_s)
    events: list[tuple[int, int]] = []
    while ends.saw(len(events)) and left:
        pongs.send_if_due()
        events = poll.poll(WAIT_S)
        for fd, _ in events:
            one = samples[fd]
            try:
                data = one.sock.recv(1024 * 1024)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            now = time.monotonic_ns()
            before = one.messages
            ages += [now - due for due in one.take(data)]
            if not data:
                poll.unregister(fd)
                closed += 1
                left -= before < messages
            elif one.messages >= messages > before:
                left -= 1
    poll.close()
    return {
        "seconds": ends.seconds,
        "delivered": [one.messages for one in samples.values()],
        "is_exact": all(one.messages == messages and one.is_in_order for one in samples.values()),
        "is_in_order": all(one.is_in_order for one in samples.values()),
        "closed": closed,
        **_percentiles(ages),
        "quarters": [_percentiles(ages[i * len(ages) // 4 : (i + 1) * len(ages) // 4]) for i in range(4)],
    }


def _percentiles(ages: list[int]) -> dict[str, float]:
    ordered = sorted(ages)
    if not ordered:
        return {}
    last = len(ordered) - 1
    shares = {"p50_ms": last // 2, "p99_ms": last * 99 // 100, "max_ms": last}
    return {name: round(ordered[index] / 1e6, 3) for name, index in shares.items()}


ESTABLISHED = "01"


def watch_stuck(server_port: int, most_s: float) -> dict[str, Any]:
    """Watch the server's ends of the stuck connections in the kernel's table until they are gone.

    Returns:
        ``gone``: for each that went, the seconds since its socket took its last byte.
    """
    ports = {sock.getsockname()[1] for sock in stuck}
    queued: dict[int, tuple[int, float]] = {}
    gone: list[float] = []
    deadline = time.monotonic() + most_s
    while ports and time.monotonic() < deadline:
        now = time.monotonic()
        here = _server_ends(server_port)
        for port in list(ports):
            size = here.get(port)
            before, since = queued.get(port, (-1, now))
            if size is None:
                gone.append(round(now - since, 2))
                ports.discard(port)
            elif size > before:
                queued[port] = (size, now)
        time.sleep(0.1)
    return {"gone": gone, "left": len(ports)}


def _server_ends(server_port: int) -> dict[int, int]:
    """Return the bytes in the send queue by the client's port (proc(5), ``/proc/net/tcp``)."""
    local, found = f":{server_port:04X}", {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=5)
        if fields[1].endswith(local) and fields[3] == ESTABLISHED:
            found[int(fields[2].rpartition(":")[2], 16)] = int(fields[4].partition(":")[0], 16)
    return found


def leave() -> dict[str, Any]:
    """Close every subscriber without a goodbye, as a browser that is killed."""
    for sock in subscribers + stuck:
        sock.close()
    subscribers.clear()
    stuck.clear()
    return {"open": 0}


def be_nice(by: int) -> dict[str, Any]:
    """Let others go first on this core."""
    return {"niceness": os.nice(by)}


if __name__ == "__main__":
    answer_commands(
        {
            "subscribe": subscribe,
            "subscribe_stuck": subscribe_stuck,
            "count": count,
            "sample": sample,
            "watch_stuck": watch_stuck,
            "leave": leave,
            "be_nice": be_nice,
        }
    )
