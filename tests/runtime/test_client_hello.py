"""Tests of `portcast.runtime.client_hello`."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.runtime.client_hello import MOST_BYTES, server_name
from tls_kit import ClientTls


def hello(name: str | None) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    return ClientTls(context, name).step()


HELLO = hello("Gate.Example")


def in_records(data: bytes, size: int) -> bytes:
    """The same message, in records of so many bytes."""
    body = data[5:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(data[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def test_a_client_says_whom_it_wants() -> None:
    """OpenSSL's own message; in lower case, as names in certificates are compared."""
    assert server_name(HELLO) == "gate.example"
    assert server_name(HELLO + b"more") == "gate.example"


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_the_message_may_be_in_pieces(size: int) -> None:
    """Of records, and of packets: nothing is known until all of it is there."""
    data = in_records(HELLO, size)
    assert server_name(data) == "gate.example"
    assert {server_name(data[:cut]) for cut in range(len(data))} == {None}


def test_a_client_may_say_nothing() -> None:
    assert server_name(hello(None)) == ""


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n", id="HTTP"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x00", id="an alert"),
        pytest.param(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", id="another handshake message"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="an empty record"),
        pytest.param(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", id="an empty hello"),
        pytest.param(HELLO.replace(b"Gate", b"Gat\xff"), id="a name that is not ASCII"),
        pytest.param(HELLO[:43] + b"\xff" + HELLO[44:], id="a session id longer than the message"),
        pytest.param(HELLO.replace(b"\0\0\x0cGate", b"\x07\0\x0cGate"), id="another kind of name"),
    ],
)
def test_what_is_wrong_has_no_name(data: bytes) -> None:
    """And is not waited for: OpenSSL says what is wrong with it."""
    assert server_name(data) == ""


def test_it_is_not_waited_for_without_end() -> None:
    """A stranger cannot make us keep more than a message may have."""
    endless = b"\x16\x03\x01\xff\xff\x01\xff\xff\xff"
    assert server_name(endless.ljust(MOST_BYTES - 1, b"\0")) is None
    assert server_name(endless.ljust(MOST_BYTES, b"\0")) == ""


@given(st.sampled_from([0, 5, 9, 43, 44, 46, len(HELLO) - 1]), st.binary(max_size=200))
def test_anything_has_a_name_or_none(cut: int, data: bytes) -> None:
    """Never an exception, whatever a stranger sends."""
    found = server_name(HELLO[:cut] + data)
    assert found is None or isinstance(found, str)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_any_byte_may_be_wrong(at: int, byte: int) -> None:
    changed = bytearray(HELLO)
    changed[at] = byte
    found = server_name(bytes(changed))
    assert found is None or found.isascii()
