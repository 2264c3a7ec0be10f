"""``portcast send``: standard input to a listener, as a device would send it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

import click

from portcast.cli.device_tls import behind_tls, device_target, tls_options, tls_problem
from portcast.cli.numbers import FiniteRange
from portcast.config import Address
from portcast.errors import PortcastError
from portcast.observability import escape
from portcast.settings import DEVICE_TOKEN_VARIABLE

CONNECT_S = 10.0
CHUNK_BYTES = 65_536
GOODBYE_S = 10.0
"""How long to wait, after the last byte, for the gateway to have read everything and to close its side."""


device_token_option = click.option(
    "--token",
    default="",
    envvar=DEVICE_TOKEN_VARIABLE,
    show_envvar=True,
    metavar="TOKEN",
    help="Sent as a first line, for a listener with device_tokens.",
)


@click.command(
    short_help="Send standard input to a listener.",
    epilog="""
\b
Examples:
  echo hello | portcast send 8001
  portcast send 8001 --rate 10 < readings.log
  tail -f app.log | portcast send unix:///run/portcast.sock
  portcast send tls://gate.example:8443 --ca devices-ca.pem < readings.log""",
)
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--rate",
    type=FiniteRange(0.001, 1_000_000),
    metavar="N",
    help="Send N lines a second. Without it, bytes go out as they come and as fast as the gateway takes them.",
)
@device_token_option
@tls_options
def send(
    address: str, rate: float | None, token: str, ca: str | None, cert: str | None, key: str | None, is_tls: bool
) -> int:
    """Send standard input to the listener at ADDRESS and print what comes back.

    ADDRESS is a port, HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH. The bytes are sent as they are, so
    any protocol will do. The command ends when the input has ended and the gateway has taken everything.
    """
    target, tls = device_target(address, ca=ca, cert=cert, key=key, is_tls=is_tls)
    source = sys.stdin.buffer
    chunks: Iterable[bytes] = _paced(source, rate) if rate else _chunks(source)
    if token:
        chunks = chain([f"{token}\n".encode()], chunks)
    with connect_to(target, tls) as connection:
        sent, seconds = _transfer(target, connection, chunks)
    click.echo(f"portcast send: {sent} bytes in {seconds:.1f} s", err=True)
    return 0


def connect_to(address: Address, tls: ssl.SSLContext | None = None) -> socket.socket:
    """Return a connected, blocking socket.

    Args:
        address: of a listener.
        tls: to speak TLS with; None: do not.

    Raises:
        PortcastError: nobody answers; the message says what to do.
    """
    try:
        if address.scheme == "tcp":
            connection = socket.create_connection((address.host, address.port), timeout=CONNECT_S)
        else:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(CONNECT_S)
                connection.connect(address.path)
            except OSError:
                connection.close()
                raise
        if tls is not None:
            connection = _with_tls(connection, tls, address)
    except OSError as error:
        raise PortcastError(f"{address}: {connect_problem(error)}") from error
    connection.settimeout(None)
    return connection


def _with_tls(connection: socket.socket, tls: ssl.SSLContext, address: Address) -> socket.socket:
    try:
        return behind_tls(connection, tls, address.host)
    except TimeoutError as error:
        connection.close()
        raise PortcastError(f"{address}: it does not answer to TLS; is the listener one with a certificate?") from error
    except BaseException:
        connection.close()
        raise


def connect_problem(error: OSError) -> str:
    """Return in words why a connection could not be made."""
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return "nothing listens there; is `portcast serve` running?"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, ssl.SSLError):
        return tls_problem(error)
    return escape(error.strerror or str(error)).lower()


def _transfer(target: Address, connection: socket.socket, chunks: Iterable[bytes]) -> tuple[int, float]:
    """Send everything and wait until the gateway has closed; return the bytes sent and the seconds it took."""
    begun = time.monotonic()
    # Replies are read all the while: a gateway whose answers nobody takes would stop reading from us.
    replies = threading.Thread(target=_print_replies, args=(connection,), daemon=True)
    replies.start()
    sent = 0
    try:
        for chunk in chunks:
            connection.sendall(chunk)
            sent += len(chunk)
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        raise PortcastError(
            f"{target}: the gateway closed the connection after about {sent} bytes; its log says why"
        ) from error
    replies.join(GOODBYE_S)
    if replies.is_alive():
        click.echo(f"portcast send: {target} has not closed its side within {GOODBYE_S:g} s", err=True)
    return sent, time.monotonic() - begun


def _print_replies(connection: socket.socket) -> None:
    # Ends with the connection; a broken one is reported by the sending side.
    with contextlib.suppress(OSError):
        while data := connection.recv(CHUNK_BYTES):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    read = getattr(source, "read1", source.read)
    while chunk := read(CHUNK_BYTES):
        yield chunk


def _paced(source: BinaryIO, rate: float) -> Iterator[bytes]:
    """Yield lines, each when it is due; a source that was late is not made up for."""
    due = time.monotonic()
    for line in iter(lambda: source.readline(CHUNK_BYTES), b""):
        now = time.monotonic()
        if due > now:
            time.sleep(due - now)
        due = max(due, now) + 1 / rate
        yield line
