from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from portcast.web.websocket_frames import (
    BINARY,
    DEFLATE_MIN_BYTES,
    PING,
    TEXT,
    WINDOW_BITS,
    close_reason,
    deflated,
    deflated_frames,
    frame,
    frames,
    head,
    is_text,
    joined,
)

BAD = b"\xff\x00"
"""Not UTF-8."""

payloads = st.lists(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)), max_size=8)


def read(data: bytes, extension: Extension | None = None, pieces: Iterable[int] = ()) -> list[Frame]:
    """What a client makes of the bytes, which arrive in pieces of these sizes."""
    client = Protocol(Side.CLIENT, max_size=None)
    client.extensions = [extension] if extension is not None else []
    for size in pieces:
        client.receive_data(data[:size])
        data = data[size:]
    client.receive_data(data)
    assert client.parser_exc is None
    return [one for one in client.events_received() if isinstance(one, Frame)]


def inflater() -> PerMessageDeflate:
    """The client's side of the only form of permessage-deflate that we negotiate."""
    return PerMessageDeflate(True, True, WINDOW_BITS, WINDOW_BITS)


def as_sent(data: bytes) -> tuple[Opcode, bytes]:
    return (Opcode.TEXT if is_text(data) else Opcode.BINARY), data


def as_read(one: Frame) -> tuple[Opcode, bytes]:
    return one.opcode, bytes(one.data)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "81 00"),
        (125, "81 7d"),
        (126, "81 7e 00 7e"),
        (65_535, "81 7e ff ff"),
        (65_536, "81 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_header(size: int, expected: str) -> None:
    """The shortest of the three forms of length is used, as RFC 6455 §5.2 demands."""
    assert head(TEXT, size) == bytes.fromhex(expected)


def test_header_of_a_compressed_message() -> None:
    """RSV1 marks it (RFC 7692 §6)."""
    assert head(BINARY, 5, is_compressed=True) == bytes.fromhex("c2 05")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_frame_is_read_back(opcode: int, size: int) -> None:
    """Another implementation reads the same message."""
    (one,) = read(frame(opcode, b"x" * size))
    assert (one.opcode, bytes(one.data), one.fin) == (opcode, b"x" * size, True)


def test_a_control_frame_is_read_back() -> None:
    """Pings are made here too."""
    (one,) = read(frame(PING, b"ping"))
    assert as_read(one) == (Opcode.PING, b"ping")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("", ""),
        ("slow consumer", "slow consumer"),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("é" * 100, "é" * 61),
        ("x" + "€" * 50, "x" + "€" * 40),
    ],
    ids=["empty", "short", "fits", "long", "two bytes", "three bytes"],
)
def test_a_close_reason_is_cut_to_what_fits(reason: str, expected: str) -> None:
    """A control frame holds 125 bytes (RFC 6455 §5.5), and the reason must be whole characters (§5.5.1)."""
    assert close_reason(reason) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(b"", True), (b"plain", True), ("Grüße".encode(), True), (BAD, False), ("é".encode()[:1], False)],
    ids=["empty", "ASCII", "UTF-8", "binary", "half a character"],
)
def test_text_is_what_is_valid_utf_8(payload: bytes, expected: bool) -> None:
    """A client fails the connection for a text message that is not (RFC 6455 §8.1)."""
    assert is_text(payload) is expected


@given(payloads, st.lists(st.integers(1, 40), max_size=5))
def test_frames_are_read_back(given_payloads: list[bytes], pieces: list[int]) -> None:
    """Each payload is one message, in order, text where it can be, however the bytes arrive."""
    read_back = read(frames(given_payloads), pieces=pieces)
    assert [as_read(one) for one in read_back] == [as_sent(one) for one in given_payloads]


@pytest.mark.parametrize("size", [125, 126, 70_000])
@pytest.mark.parametrize("unit", [b"a", "é".encode(), BAD], ids=["ASCII", "UTF-8", "binary"])
def test_frames_of_every_kind_and_size(unit: bytes, size: int) -> None:
    """Headers made in advance and headers made on the spot agree."""
    payload = unit * (size // len(unit)) + b"a" * (size % len(unit))
    assert [as_read(one) for one in read(frames([payload, payload]))] == [as_sent(payload)] * 2


@given(payloads)
def test_compressed_frames_are_read_back(given_payloads: list[bytes]) -> None:
    """One compressed result is good for every client that negotiated it: none depends on what came before."""
    data = deflated_frames(given_payloads)
    for _ in range(2):
        assert [as_read(one) for one in read(data, inflater())] == [as_sent(one) for one in given_payloads]


def test_a_compressed_message_needs_no_larger_window_than_was_negotiated() -> None:
    """Repetitions farther apart than the client's window must not be used."""
    payload = (bytes(range(256)) * 3 + b"x" * 5000) * 4
    (one,) = read(deflated(BINARY, payload), inflater())
    assert bytes(one.data) == payload


def test_a_message_that_shrinks_is_compressed() -> None:
    """That is what it is for."""
    payload = b'{"celsius": 21.5}' * 20
    data = deflated(TEXT, payload)
    assert data[0] == 0xC1
    assert len(data) < len(payload) / 5


@pytest.mark.parametrize(
    "payload",
    [b"x" * (DEFLATE_MIN_BYTES - 1), bytes((i * 167 + i // 7 * 31) % 256 for i in range(100))],
    ids=["small", "does not shrink"],
)
def test_a_message_that_does_not_shrink_is_sent_as_it_is(payload: bytes) -> None:
    """RFC 7692 §6 leaves it to the sender, message by message."""
    assert deflated(BINARY, payload) == frame(BINARY, payload)


def test_what_is_written_in_one_go_is_one_object() -> None:
    """And the very one that was made for all, if there is no more: nothing is copied."""
    one = frame(TEXT, b"x")
    assert joined([one]) is one
    assert joined([one, one]) == one + one
    assert joined([]) == b""
