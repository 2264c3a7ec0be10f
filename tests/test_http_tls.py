"""Tests of `portcast.http_tls`, in our runner: HTTP and WebSockets over TLS, on both loops."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from websockets.sync.client import connect

from gateway_serving import wait_until
from portcast.config import Address, HttpOptions, TlsOptions
from portcast.errors import ConfigurationError
from portcast.events import CertificatesRefused, CertificatesReloaded, ConnectionRefused
from portcast.http_tls import HttpTls, reload_all
from portcast.server import serve
from runtime_kit import Events
from tls_kit import Authority

LOOPBACK = Address("tcp", "127.0.0.1", 0, is_tls=True)

app = FastAPI()


@app.get("/who")
async def who(request: Request) -> dict[str, Any]:
    """Say how one was called."""
    return {"scheme": request.url.scheme, "client": request.client.host if request.client else None}


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    """Answer one message."""
    await websocket.accept()
    await websocket.send_text(websocket.url.scheme + " " + await websocket.receive_text())
    await websocket.close()


class Gateway:
    """Has nothing to drain."""

    async def drain(self) -> None:
        """See `portcast.server.Drainable`."""


class Client:
    """What a test does while the server runs, in a thread, since `serve` wants the main one."""

    def __init__(self, authority: Authority, events: Events) -> None:
        self.authority = authority
        self.events = events
        self.port = 0
        self.late: socket.socket | None = None
        """Closed when the server has stopped."""

    def connect(self, certificate: tuple[str, str] | None = None) -> ssl.SSLSocket:
        """Connect with TLS."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        try:
            return self.authority.client(certificate).wrap_socket(plain, server_hostname="gate.example")
        except BaseException:
            plain.close()
            raise

    def get(self, path: str = "/who", *headers: str, certificate: tuple[str, str] | None = None) -> bytes:
        """Return the body of an answer."""
        with self.connect(certificate) as sock:
            lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
            sock.sendall("\r\n".join(lines).encode())
            answer = b""
            while data := sock.recv(65_536):
                answer += data
        return answer.partition(b"\r\n\r\n")[2]


def running(
    authority: Authority,
    work: Callable[[Client], None],
    *,
    options: TlsOptions | None = None,
    http: HttpOptions | None = None,
    reload: Callable[[], object] | None = None,
) -> Events:
    """Serve while ``work`` runs; return what happened."""
    events = Events()
    client = Client(authority, events)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work(client)
        except BaseException as error:
            failures.append(error)
        finally:
            signal.raise_signal(signal.SIGTERM)

    thread = threading.Thread(target=run)

    def ready(address: Address) -> None:
        assert address.is_tls
        client.port = address.port
        thread.start()

    status = serve(
        app,
        Gateway(),
        http=LOOPBACK,
        options=http,
        tls=HttpTls.of(options or authority.options(), events),
        emit=events,
        reload=reload,
        on_ready=ready,
    )
    thread.join()
    if client.late is not None:
        client.late.close()
    if failures:
        raise failures[0]
    assert status == 0
    return events


@pytest.fixture(params=["asyncio", "uvloop"], autouse=True)
def loop_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything on both loops."""
    Config = uvicorn.Config
    monkeypatch.setattr(
        "portcast.server.uvicorn.Config", lambda *args, **options: Config(*args, **{**options, "loop": request.param})
    )


@pytest.fixture(autouse=True)
def handlers_stay() -> Iterator[None]:
    """The signal handlers of the test run are its own again afterwards."""
    before = {sig: signal.getsignal(sig) for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    assert {sig: signal.getsignal(sig) for sig in before} == before


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_requests_and_websockets(authority: Authority) -> None:
    """The app sees https and wss, so that links and cookies are right."""

    def work(client: Client) -> None:
        assert client.get() == b'{"scheme":"https","client":"127.0.0.1"}'
        with connect(
            f"wss://127.0.0.1:{client.port}/ws", ssl=authority.client(), server_hostname="gate.example", proxy=None
        ) as websocket:
            websocket.send("hello")
            assert websocket.recv() == "wss hello"

    assert running(authority, work).all == []


def test_only_http_1_is_negotiated(authority: Authority) -> None:
    def work(client: Client) -> None:
        context = authority.client()
        context.set_alpn_protocols(["h2", "http/1.1"])
        plain = socket.create_connection(("127.0.0.1", client.port), timeout=10)
        with context.wrap_socket(plain, server_hostname="gate.example") as sock:
            assert sock.selected_alpn_protocol() == "http/1.1"

    running(authority, work)


def test_strangers_have_a_deadline_and_delay_nobody(authority: Authority) -> None:
    """uvicorn's would be 60 s; the stop does not wait for them either."""

    def work(client: Client) -> None:
        silent = [socket.create_connection(("127.0.0.1", client.port), timeout=10) for _ in range(30)]
        begun = time.monotonic()
        assert client.get().startswith(b"{")
        assert time.monotonic() - begun < 0.4
        for sock in silent:
            assert sock.recv(1) == b""
            sock.close()
        assert 0.4 < time.monotonic() - begun < 3
        client.late = socket.create_connection(("127.0.0.1", client.port), timeout=10)
        client.get()  # was accepted after it; asyncio forgets one that it accepts while its server closes (gh-109564)

    begun = time.monotonic()
    events = running(authority, work, options=authority.options(handshake_timeout_s=0.5))
    assert time.monotonic() - begun < 5
    refusals = events.of(ConnectionRefused)
    assert {(one.listener, one.reason) for one in refusals} == {("http", "tls_timeout")}
    assert len(refusals) == 30
    assert all(one.peer.startswith("127.0.0.1:") for one in refusals)


def test_whoever_shakes_no_hands_keeps_nobody_out(authority: Authority) -> None:
    """Strangers and those that came through without a request make room, the larger crowd first."""

    def work(client: Client) -> None:
        silent = [socket.create_connection(("127.0.0.1", client.port), timeout=10) for _ in range(3)]
        assert b"https" in client.get()
        assert silent[0].recv(1) == b""
        shaken = [client.connect() for _ in range(4)]
        assert [silent[1].recv(1), shaken[0].recv(1)] == [b"", b""]
        assert b"https" in client.get()
        for one in [*silent, *shaken]:
            one.close()

    events = running(authority, work, http=HttpOptions(max_connections=3))
    # The last silent one leaves by itself.
    assert sorted({one.reason for one in events.of(ConnectionRefused)}) == ["crowded", "gone"]


def test_clients_may_have_to_show_a_certificate(authority: Authority) -> None:
    def work(client: Client) -> None:
        certificate = authority.issue("client", "me@mail.example")
        assert client.get(certificate=certificate).startswith(b"{")
        with suppress(ssl.SSLError, ConnectionResetError):  # TLS 1.3 tells a client of this when it reads
            assert client.get() == b""
        wait_until(lambda: bool(client.events.all), "the refusal")

    events = running(authority, work, options=authority.options(client_ca=authority.file))
    assert [one.reason for one in events.of(ConnectionRefused)] == ["client_certificate"]


def serial(client: Client) -> str:
    with client.connect() as sock:
        found = sock.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


def test_a_hangup_reads_certificates_anew_and_stops_nothing(authority: Authority) -> None:
    """Those of HTTP and of listeners; a connection that is open goes on; a broken pair changes nothing."""
    reloads: list[bool] = []

    def work(client: Client) -> None:
        before = serial(client)
        with client.connect() as kept:
            authority.issue("server", "gate.example")
            signal.raise_signal(signal.SIGHUP)
            wait_until(lambda: bool(client.events.of(CertificatesReloaded)), "the reload")
            after = serial(client)
            assert after != before
            kept.sendall(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert kept.recv(12) == b"HTTP/1.1 200"
        Path(options.cert[0]).write_text("broken")
        signal.raise_signal(signal.SIGHUP)
        wait_until(lambda: bool(client.events.of(CertificatesRefused)), "the refusal")
        assert serial(client) == after
        assert reloads == [True, True]

    options = authority.options()
    running(authority, work, options=options, reload=lambda: reloads.append(True))


def test_a_hangup_reads_those_of_listeners_where_http_has_none() -> None:
    """And without any TLS it is a stop: see the tests of `portcast.server`."""
    calls: list[int] = []

    def ready(address: Address) -> None:
        signal.raise_signal(signal.SIGHUP)
        threading.Timer(0.2, signal.raise_signal, [signal.SIGTERM]).start()

    assert (
        serve(app, Gateway(), http=replace(LOOPBACK, is_tls=False), reload=lambda: calls.append(1), on_ready=ready) == 0
    )
    assert calls == [1]
    assert reload_all(None, None) is None


def test_files_that_cannot_be_used_are_said_before_anything_is_bound(authority: Authority) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        HttpTls.of(TlsOptions(cert=("/none.pem",)), Events())
    assert HttpTls.of(TlsOptions(), Events()) is None


@pytest.mark.parametrize(
    ("networks", "client", "scheme"),
    [((), "127.0.0.1", "https"), (("127.0.0.0/8",), "192.0.2.7", "http"), (("10.0.0.0/8",), "127.0.0.1", "https")],
)
def test_forwarded_headers_are_believed_from_named_proxies_only(
    authority: Authority, networks: tuple[str, ...], client: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From nobody as installed, whatever uvicorn's own variable says."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")

    def work(one: Client) -> None:
        headers = ("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "Forwarded: for=192.0.2.8")
        assert one.get("/who", *headers) == f'{{"scheme":"{scheme}","client":"{client}"}}'.encode()

    running(authority, work, http=HttpOptions(forwarded_from=networks))
