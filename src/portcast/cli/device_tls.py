"""TLS as a device speaks it: options of `portcast send` and `portcast simulate`, and a socket with TLS behind it."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import click

from portcast.address import parse_listen_url
from portcast.cli.summary import connectable
from portcast.config import Address
from portcast.errors import ConfigurationError
from portcast.observability import escape

F = TypeVar("F", bound=Callable[..., Any])

CHUNK_BYTES = 65_536


def tls_options(command: F) -> F:
    """Give a command ``--tls``, ``--ca``, ``--cert`` and ``--key``."""
    for flag, text in (
        ("--key", "PEM file with the key of --cert; without it, it is in the same file."),
        ("--cert", "PEM file with the certificate that is shown, for a listener with client_ca."),
        ("--ca", "PEM file with the authorities that are trusted; without it, the system's."),
    ):
        command = click.option(flag, metavar="FILE", help=text)(command)
    return click.option("--tls", "is_tls", is_flag=True, help="Speak TLS; the same as tls:// in ADDRESS.")(command)


def device_target(
    text: str, *, ca: str | None, cert: str | None, key: str | None, is_tls: bool
) -> tuple[Address, ssl.SSLContext | None]:
    """Return where a device connects, and what it speaks TLS with; None if it does not.

    Raises:
        ConfigurationError: the address is wrong, a file cannot be used, or files are given without TLS.
    """
    address, options = parse_listen_url(text)
    if options:
        raise ConfigurationError(text, "options are not allowed here")
    address = connectable(address)
    if is_tls and address.scheme == "unix":
        raise ConfigurationError(text, "a Unix socket does not speak TLS")
    address = replace(address, is_tls=address.is_tls or is_tls)
    if not address.is_tls:
        if given := [f"--{name}" for name, file in (("ca", ca), ("cert", cert), ("key", key)) if file]:
            raise ConfigurationError(given[0], "is for TLS", "add --tls, or write tls://HOST:PORT")
        return address, None
    if key and not cert:
        raise ConfigurationError("--key", "is the key of a certificate", "add --cert FILE")
    context = ssl.create_default_context()
    if ca:
        context = _reading("--ca", ca, lambda: ssl.create_default_context(cafile=ca))
    if cert:
        _reading("--cert", cert, lambda: context.load_cert_chain(cert, key, password=_no_password))
    return address, context


T = TypeVar("T")


def _no_password() -> str:
    return ""  # without it OpenSSL would ask the terminal


def _reading(flag: str, file: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ssl.SSLError as error:
        raise ConfigurationError(f"{flag} {file}", f"cannot be used ({error.reason or 'no PEM'})") from error
    except OSError as error:
        raise ConfigurationError(f"{flag} {file}", f"cannot be read ({error.strerror})") from error


def tls_problem(error: ssl.SSLError) -> str:
    """Return in words why TLS failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {escape(error.verify_message)}; --ca FILE names whom to trust"
    if error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        return "it does not speak TLS"
    return f"TLS failed: {escape((error.reason or 'the other side left').lower().replace('_', ' '))}"


def behind_tls(net: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
    """Return a plain socket whose bytes, and whose end, cross a connected socket in TLS.

    A thread moves them, because a socket of `ssl` may not be read by one thread and written by another, and cannot end
    its one side (RFC 8446 §6.1) and go on reading.

    Raises:
        OSError: the handshake failed, within the time-out that the socket has.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            net.sendall(outgoing.read())
            data = net.recv(CHUNK_BYTES)
            if not data:
                raise ConnectionResetError(0, "it closed the connection") from None
            incoming.write(data)
        else:
            break
    net.settimeout(None)
    ours, theirs = socket.socketpair()
    threading.Thread(target=_pump, args=(tls, incoming, outgoing, net, theirs), daemon=True).start()
    return ours


def _pump(
    tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, net: socket.socket, plain: socket.socket
) -> None:
    """Move bytes until the other side has ended; what is broken ends both."""
    waiting, is_over = outgoing.read(), False
    with net, plain, suppress(OSError):
        while True:
            # What could not be sent yet is never added to.
            readers = [net] if waiting or is_over else [net, plain]
            ready, writable, _ = select.select(readers, [net] if waiting else [], [])
            if writable:
                waiting = waiting[net.send(waiting) :]
            if plain in ready:
                if data := plain.recv(CHUNK_BYTES):
                    tls.write(data)
                else:
                    is_over = True
                    with suppress(ssl.SSLWantReadError):
                        tls.unwrap()
            if net in ready:
                data = net.recv(CHUNK_BYTES)
                incoming.write(data) if data else incoming.write_eof()
                with suppress(ssl.SSLWantReadError):
                    while piece := tls.read(CHUNK_BYTES):
                        plain.sendall(piece)
                    return
            waiting += outgoing.read()
