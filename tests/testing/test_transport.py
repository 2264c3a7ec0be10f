"""The network in memory behaves as a socket's transport does, seen from the protocol."""

from __future__ import annotations

import asyncio

import pytest

from portcast.testing.transport import MemoryTransport

pytestmark = pytest.mark.anyio


class Protocol(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self, *, keeps_open: bool = False) -> None:
        self.calls: list[object] = []
        self._keeps_open = keeps_open

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self._keeps_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(type(exc).__name__ if exc else "lost")

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


def connected(*, keeps_open: bool = False) -> tuple[MemoryTransport, Protocol]:
    protocol = Protocol(keeps_open=keeps_open)
    transport = MemoryTransport("192.0.2.1:4", lambda: None)
    transport.set_protocol(protocol)
    assert transport.get_protocol() is protocol
    assert transport.get_extra_info("peername") == "192.0.2.1:4"
    return transport, protocol


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_each_piece_is_a_read_of_its_own() -> None:
    """One per turn of the loop, in order; the end comes last, and closes what does not want to stay open."""
    transport, protocol = connected()
    for piece in (b"a", b"b", None):
        transport.deliver(piece)
    await turns(1)
    assert protocol.calls == [b"a"]
    assert not transport.is_read
    await turns()
    assert protocol.calls == [b"a", b"b", "eof", "lost"]
    assert transport.is_read
    assert transport.is_lost


async def test_a_pause_in_reading() -> None:
    """What comes meanwhile waits."""
    transport, protocol = connected()
    transport.deliver(b"a")
    transport.pause_reading()
    await turns()
    assert (protocol.calls, transport.is_reading()) == ([], False)
    transport.resume_reading()
    await turns()
    assert (protocol.calls, transport.is_reading()) == ([b"a"], True)


async def test_what_is_written_is_there_at_once() -> None:
    """Until the transport is closed."""
    transport, protocol = connected()
    transport.write(b"ab")
    transport.writelines([b"c", b"d"])
    assert transport.received == b"abcd"
    assert not transport.can_write_eof()
    transport.close()
    transport.close()
    assert transport.is_closing()
    transport.write(b"e")
    transport.deliver(b"x")
    await turns()
    assert transport.received == b"abcd"
    assert protocol.calls == ["lost"]
    transport.abort()
    await turns()
    assert protocol.calls == ["lost"]


async def test_a_device_that_does_not_read() -> None:
    """Above the mark the protocol pauses; once it reads everything comes, then the end."""
    transport, protocol = connected()
    transport.set_write_buffer_limits(high=3)
    transport.stop_reading()
    for data in (b"ab", b"cd", b"ef"):
        transport.write(data)
    assert (protocol.calls, transport.get_write_buffer_size()) == (["pause"], 6)
    transport.close()
    await turns()
    assert not transport.is_lost
    transport.read_again()
    await turns()
    assert protocol.calls == ["pause", "resume", "lost"]
    assert transport.received == b"abcdef"
    transport.set_write_buffer_limits()


async def test_a_device_that_leaves() -> None:
    """What was sent is read, then the end; what is written then goes nowhere."""
    transport, protocol = connected(keeps_open=True)
    transport.deliver(b"a")
    transport.leave()
    await turns()
    transport.write(b"x")
    assert protocol.calls == [b"a", "eof"]
    assert transport.received == b""
    transport.close()
    await turns()
    assert protocol.calls == [b"a", "eof", "lost"]


async def test_a_device_that_breaks_off() -> None:
    """What was on its way is lost in both directions."""
    transport, protocol = connected()
    transport.stop_reading()
    transport.write(b"x")
    transport.deliver(b"a")
    transport.break_off()
    await turns()
    assert protocol.calls == ["ConnectionResetError"]
    assert transport.received == b""
    transport.read_again()
