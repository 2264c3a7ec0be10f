from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portcast.web.websocket_reading import PIECE_BYTES, PacedProtocol
from runtime_kit import turns

pytestmark = pytest.mark.anyio


class Transport(asyncio.Transport):
    """Notes whether it reads; after its end it raises, as uvloop's do."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reading_ = True
        self.is_over = False

    def pause_reading(self) -> None:
        assert not self.is_over
        assert self.is_reading_
        self.is_reading_ = False

    def resume_reading(self) -> None:
        assert not self.is_over
        assert not self.is_reading_
        self.is_reading_ = True

    def is_closing(self) -> bool:
        return self.is_over


class Paced(PacedProtocol):
    """Keeps its pieces; holds at those that say so."""

    def __init__(self) -> None:
        super().__init__()
        self.transport = self.seen_transport = Transport()
        self.pieces: list[bytes] = []

    def take(self, data: bytes) -> None:
        self.pieces.append(data)
        if data.endswith(b"!"):
            self.hold_reading()

    @property
    def is_reading(self) -> bool:
        return self.seen_transport.is_reading_


def long(pieces: int, end: bytes = b"") -> bytes:
    size = pieces * PIECE_BYTES - len(end)
    return bytes(index % 251 for index in range(size)) + end


async def test_a_piece_is_taken_at_once() -> None:
    """As is what nearly everybody sends; nothing is paused for it."""
    it = Paced()
    it.data_received(b"x" * PIECE_BYTES)
    it.data_received(b"y")
    assert it.pieces == [b"x" * PIECE_BYTES, b"y"]
    assert (it.is_reading, it.is_behind) == (True, False)


async def test_more_is_taken_turn_by_turn() -> None:
    """The loop runs others between two pieces, and the transport reads on when all is taken."""
    it = Paced()
    it.data_received(data := long(3) + b"z")
    assert (len(it.pieces), it.is_reading, it.is_behind) == (1, False, True)
    await turns(1)
    assert len(it.pieces) == 2
    await turns(2)
    assert (b"".join(it.pieces), len(it.pieces)) == (data, 4)
    assert (it.is_reading, it.is_behind) == (True, False)


async def test_what_comes_although_it_is_paused_waits_its_turn() -> None:
    """A transport over TLS hands over what it has deciphered."""
    it = Paced()
    it.data_received(long(2))
    it.data_received(b"more")
    assert it.pieces == [long(2)[:PIECE_BYTES]]
    await turns()
    assert b"".join(it.pieces) == long(2) + b"more"


async def test_held_nothing_is_taken() -> None:
    """Until it is let go; holding twice is holding once, and so is letting go."""
    it = Paced()
    it.hold_reading()
    it.hold_reading()
    assert (it.is_reading, it.is_behind) == (False, True)
    assert it.can_be_held_long, "for whoever looks at `is_behind` before it gives a peer up"
    it.data_received(b"a")
    await turns()
    assert it.pieces == []
    it.read_on()
    it.read_on()
    await turns()
    assert (it.pieces, it.is_reading) == ([b"a"], True)
    it.read_on()
    assert it.is_reading


async def test_held_for_nothing() -> None:
    """Where nothing came meanwhile it reads on at once."""
    it = Paced()
    it.hold_reading()
    it.read_on()
    assert (it.is_reading, it.is_behind) == (True, False)


async def test_held_between_two_pieces() -> None:
    """By what the first of them said, and by others."""
    it = Paced()
    it.data_received(long(1, b"!") + long(2))
    await turns()
    assert (len(it.pieces), it.is_reading) == (1, False)
    it.read_on()
    it.hold_reading()
    it.read_on()
    await turns(1)
    it.hold_reading()
    await turns()
    assert len(it.pieces) == 2
    it.read_on()
    await turns()
    assert (b"".join(it.pieces), it.is_reading) == (long(1, b"!") + long(2), True)


@pytest.mark.parametrize("is_held", [False, True])
async def test_the_end(is_held: bool) -> None:
    """Nothing more is taken, and the transport is left alone."""
    it = Paced()
    it.data_received(long(3))
    if is_held:
        it.hold_reading()
    it.seen_transport.is_over = True
    it.reading_lost()
    it.read_on()
    it.hold_reading()
    await turns()
    assert len(it.pieces) == 1


async def test_a_transport_that_is_closing() -> None:
    """It may still bring the peer's goodbye, and is neither paused nor resumed."""
    it = Paced()
    it.seen_transport.is_over = True
    it.data_received(long(2))
    await turns()
    assert b"".join(it.pieces) == long(2)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(1, 3 * PIECE_BYTES).map(lambda size: ("data", size)),
            st.sampled_from([("hold", 0), ("read on", 0), ("turn", 0)]),
        ),
        max_size=30,
    )
)
def test_everything_is_taken_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in between; and it reads exactly while nothing waits and nothing holds it."""

    async def run() -> None:
        it = Paced()
        sent, is_held = b"", False
        for number, (what, size) in enumerate(steps):
            if what == "data":
                data = bytes([number]) * size
                sent += data
                it.data_received(data)
            elif what == "turn":
                await turns(1)
            else:
                is_held = what == "hold"
                it.hold_reading() if is_held else it.read_on()
            assert it.is_reading is not it.is_behind
            assert sent.startswith(b"".join(it.pieces))
            assert all(len(piece) <= PIECE_BYTES for piece in it.pieces)
            assert it.is_behind or not is_held
        it.read_on()
        await turns(4 * len(steps) + 1)
        assert b"".join(it.pieces) == sent
        assert it.is_reading

    asyncio.run(run())


def test_who_inherits_takes() -> None:
    """The class alone does nothing."""
    with pytest.raises(NotImplementedError):
        PacedProtocol().take(b"")
