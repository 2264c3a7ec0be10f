"""docs/internet.md against a real HAProxy and a real nginx: its files run as they stand, on other paths and ports.

Needs the programs ``haproxy`` and ``nginx`` (Debian: ``apt-get install haproxy nginx-light``); what lacks one is
skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from random import SystemRandom
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from cli.processes import Running, run, running, wait_until
from gateway_serving import is_open
from tls_kit import Authority

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "internet.md").read_text("utf-8")
FILES = dict(re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
PORTS = {"8000": "http", "8001": "tokens", "8002": "certificates", "8883": "tls here", "8884": "tls through"}
SECRETS = {"DEVICE_TOKEN": "device-" + "d" * 32, "PAGE_KEY": "page-" + "p" * 32, "APP_KEY": "app-" + "a" * 32}
OURS = "127.0.0.9"
"""Where clients and devices come from: an address of loopback that is not the proxy's."""

SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin:/usr/sbin:/sbin"])
HAPROXY, NGINX = (shutil.which(name, path=SYSTEM_PATH) for name in ("haproxy", "nginx"))

NGINX_AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
{user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {site};
}}
"""


class World:
    """The files of the page in a folder, and what runs of them."""

    command: Running

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.devices = count(1)
        self.ports = {name: quiet_port() for name in (*PORTS.values(), "haproxy", "nginx")}
        for name in ("etc/portcast", "etc/haproxy", "etc/nginx/sites-available", "var/lib/portcast"):
            (folder / name).mkdir(parents=True)
        self.authority = Authority(folder)
        cert, key = self.authority.issue("server", "gate.example", "127.0.0.1")
        pem, secret = Path(cert).read_bytes(), Path(key).read_bytes()
        (folder / "etc/portcast/gate.pem").write_bytes(pem)
        (folder / "etc/portcast/gate.key").write_bytes(secret)
        (folder / "etc/haproxy/gate.pem").write_bytes(pem + secret)
        (folder / "etc/portcast/devices-ca.pem").write_bytes(Path(self.authority.file).read_bytes())
        for path, text in FILES.items():
            if "systemd" not in path:
                web = "nginx" if "nginx" in path else "haproxy"
                (folder / path[1:]).write_text(self.moved(text, web), "utf-8")
        self.toml = str(folder / "etc/portcast/gateway.toml")

    def moved(self, text: str, web: str) -> str:
        """Return a file of the page with the paths and ports of this folder."""
        for number, name in (PORTS | {"443": web}).items():
            text = re.sub(rf"(?<=[: ]){number}\b", str(self.ports[name]), text)
        # Only on this machine, and so that a port is free if it is free there.
        text = text.replace("bind :", "bind 127.0.0.1:").replace("listen ", "listen 127.0.0.1:")
        return re.sub(r"(?<=[\s\"])/(etc|var)/", rf"{self.folder}/\1/", text)

    def moved_back(self, text: str) -> str:
        """Return what was printed as the page has it."""
        for number, name in PORTS.items():
            text = text.replace(f":{self.ports[name]}", f":{number}")
        return text.replace(str(self.folder), "")

    def certificate(self) -> tuple[str, str]:
        """Return a device's."""
        return self.authority.issue("boiler-1", "boiler-1.example", common_name="boiler-1")

    def origin(self, proxy: str) -> str:
        """Where browsers find it."""
        return f"https://gate.example:{self.ports[proxy]}"

    def web(self, proxy: str, key: str = "PAGE_KEY") -> httpx.Client:
        """Return an HTTP client that comes from elsewhere and lies about it."""
        headers = {"Host": f"gate.example:{self.ports[proxy]}", "X-Forwarded-For": "203.0.113.7"}
        if key:
            headers["Authorization"] = f"Bearer {SECRETS[key]}"
        transport = httpx.HTTPTransport(verify=self.authority.client(), local_address=OURS)
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.ports[proxy]}", headers=headers, transport=transport, timeout=10
        )

    def websocket(self, proxy: str, path: str, **options: Any) -> ClientConnection:
        """Open a WebSocket as a page of a browser does."""
        sock = socket.create_connection(("127.0.0.1", self.ports[proxy]), 10, (OURS, 0))
        options = {"origin": self.origin(proxy), **options}
        url = f"wss://gate.example:{self.ports[proxy]}{path}"
        client: ClientConnection = connect(url, sock=sock, ssl=self.authority.client(), proxy=None, **options)
        return client

    def device(self, port: str, certificate: tuple[str, str] | None = None, source: str = "") -> ssl.SSLSocket:
        """Connect a device, from an address of its own unless one is given."""
        source = source or f"127.0.2.{next(self.devices)}"
        sock = socket.create_connection(("127.0.0.1", self.ports[port]), 10, (source, 0))
        return self.authority.client(certificate).wrap_socket(sock, server_hostname="gate.example")


def quiet_port() -> int:
    """Return a free port that no client is given by the system until the proxy has bound it, unlike `free_port`."""
    while True:
        port = SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def program(*command: str, port: int, log: Path) -> Iterator[None]:
    """Run a proxy for the time of a block, once it listens."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: is_open(port) or process.poll() is not None, command[0])
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


@contextmanager
def proxies(world: World) -> Iterator[None]:
    """Run those that are installed."""
    with ExitStack() as stack:
        if HAPROXY:
            own = world.folder / "global.cfg"
            own.write_text("global\n    log stderr format raw local0\n", "utf-8")
            files = ["-f", str(own), "-f", str(world.folder / "etc/haproxy/haproxy.cfg")]
            stack.enter_context(
                program(HAPROXY, "-db", *files, port=world.ports["haproxy"], log=world.folder / "haproxy.log")
            )
        if NGINX:
            around = world.folder / "nginx.conf"
            user = "user root;" if os.geteuid() == 0 else ""
            site = world.folder / "etc/nginx/sites-available/portcast"
            around.write_text(NGINX_AROUND.format(folder=world.folder, user=user, site=site), "utf-8")
            command = [NGINX, "-p", str(world.folder), "-c", str(around), "-e", str(world.folder / "nginx.log")]
            stack.enter_context(program(*command, port=world.ports["nginx"], log=world.folder / "nginx.out"))
        yield


@contextmanager
def gateway(world: World) -> Iterator[Running]:
    """Run the gateway."""
    with running("serve", world.toml, env=SECRETS) as command:
        command.out.wait("Press Ctrl-C")
        yield command


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("internet"))
    with gateway(made) as command, proxies(made):
        made.command = command
        yield made


behind = pytest.mark.parametrize(
    "proxy",
    [
        pytest.param("haproxy", marks=pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed")),
        pytest.param("nginx", marks=pytest.mark.skipif(not NGINX, reason="nginx is not installed")),
    ],
)
with_haproxy = pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed")


def test_every_file_is_on_other_ports_and_paths(tmp_path: Path) -> None:
    """Nothing of this machine is touched, and each port of the page is somewhere."""
    World(tmp_path)
    assert len(FILES) == 4
    for path, text in FILES.items():
        if "systemd" not in path:
            moved = (tmp_path / path[1:]).read_text("utf-8")
            assert not re.search(r"(?<![\w/])/(etc|var)/", moved)
            assert not re.findall(rf"[: ]({'|'.join(PORTS)}|443)\b", moved)
            assert "/etc/" in text


def test_the_check_says_what_the_page_says(tmp_path: Path) -> None:
    """How many connections there may be, and how much memory, depends on the machine."""
    world = World(tmp_path)
    done = run("check", world.toml, env=SECRETS)
    assert done.returncode == 0, done.stderr
    posture = world.moved_back(done.stdout).strip().split("\n\n")[-1]
    found = re.search(r"^```text check\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    several = r"at most \d+ connections(, \d+ of them)?|above \d+ bytes"
    assert re.sub(several, "", found[1].strip()) == re.sub(several, "", posture)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_right(tmp_path: Path) -> None:
    """As systemd reads it, but that its program is elsewhere."""
    unit = tmp_path / "portcast.service"
    text = FILES["/etc/systemd/system/portcast.service"]
    unit.write_text(text.replace("/opt/portcast/bin/portcast", shutil.which("true") or "/bin/true"), "utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=10)
    assert "portcast.service" not in done.stderr


@behind
def test_the_page_and_the_api(world: World, proxy: str) -> None:
    """The live page, what a key may, and what nobody may."""
    with world.web(proxy) as web, world.web(proxy, key="") as nobody:
        page = web.get("/")
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert web.get("/api/listeners").status_code == 200
        assert nobody.get("/api/listeners").status_code == 401
        assert nobody.get("/", headers={"Host": "evil.example"}).status_code == 421
        # A login from the page: `Origin` and `Host` agree behind the proxy, too.
        own = nobody.post("/session", json={"key": SECRETS["PAGE_KEY"]}, headers={"Origin": world.origin(proxy)})
        assert own.status_code < 300, own.text
        assert "secure" in own.headers["set-cookie"].lower()
        foreign = {"Origin": "https://evil.example"}
        assert nobody.post("/session", json={"key": SECRETS["PAGE_KEY"]}, headers=foreign).status_code == 403


@behind
def test_who_failed_stands_in_the_log(world: World, proxy: str) -> None:
    """With the address that the proxy saw, not with the one that it claims."""
    with world.web(proxy, key="") as nobody:
        assert nobody.get("/api/listeners", headers={"Authorization": "Bearer wrong"}).status_code == 401
    peer = world.command.err.wait(r"credentials refused.* peer=(\S+)")[1]
    assert peer.startswith(OURS)


@behind
def test_a_websocket(world: World, proxy: str) -> None:
    """Live, with a key; not from the page of somebody else."""
    bearer = ["portcast", "portcast.bearer." + SECRETS["PAGE_KEY"]]
    for origin in (world.origin(proxy), "https://app.example"):
        with world.websocket(proxy, "/ws/readings", origin=origin, subprotocols=bearer) as client:
            assert client.subprotocol == "portcast"
            say(world, b"21.5\n")
            assert client.recv(10) == "21.5"
    with pytest.raises(InvalidStatus) as refused:
        world.websocket(proxy, "/ws/readings", origin="https://evil.example", subprotocols=bearer)
    assert refused.value.response.status_code == 403


@behind
def test_an_event_stream(world: World, proxy: str) -> None:
    """Each event comes at once, and who comes back misses nothing."""
    with world.web(proxy) as web:
        with web.stream("GET", "/events/readings") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith(":")
            say(world, b"first\n")
            last = event(lines, "first")
        say(world, b"second\nthird\n")
        with web.stream("GET", "/events/readings", headers={"Last-Event-ID": last}) as stream:
            lines = stream.iter_lines()
            event(lines, "second")
            event(lines, "third")


@behind
def test_an_sdk_over_websocket(world: World, proxy: str) -> None:
    with world.websocket(proxy, "/connection/websocket") as client:
        client.send(command(1, connect={"token": SECRETS["APP_KEY"]}))
        assert "connect" in json.loads(client.recv(10))
        client.send(command(2, subscribe={"channel": "readings"}))
        assert "subscribe" in json.loads(client.recv(10))
        say(world, b"22\n")
        assert json.loads(client.recv(10))["push"]["pub"]["data"] == 22
    with world.websocket(proxy, "/connection/websocket") as client:
        client.send(command(1, connect={"token": "wrong"}))
        with pytest.raises(ConnectionClosed, match="invalid token"):
            client.recv(10)


@behind
def test_an_sdk_over_http_stream(world: World, proxy: str) -> None:
    """Not buffered: the first answer comes while the stream goes on."""
    content = command(1, connect={"token": SECRETS["APP_KEY"], "subs": {}}).encode()
    with world.web(proxy, key="") as web:
        stream = web.stream("POST", "/connection/http_stream", content=content)
        with stream as response:
            assert response.status_code == 200
            first = json.loads(next(response.iter_lines()))
            assert first["id"] == 1
            assert "connect" in first


@with_haproxy
def test_a_device_whose_tls_the_proxy_takes_off(world: World) -> None:
    """Its own address is in the log; without the token nothing of it counts."""
    with closing(world.device("tls here")) as device:
        device.sendall(f"{SECRETS['DEVICE_TOKEN']}\n23\n".encode())
        name = ":".join(map(str, device.getsockname()))
        world.command.err.wait(rf"connection opened .*listener=tokens peer={name}\b")
    with closing(world.device("tls here")) as device:
        device.sendall(b"guess\n")
        name = ":".join(map(str, device.getsockname()))
        world.command.err.wait(rf"connection closed .*peer={name} reason=unauthenticated")
        assert device.recv(1) == b""


@with_haproxy
def test_a_device_whose_tls_is_passed_through(world: World) -> None:
    """Its certificate reaches Portcast, and so does its address."""
    with closing(world.device("tls through", world.certificate())) as device:
        device.sendall(b"24\n")
        name = ":".join(map(str, device.getsockname()))
        world.command.err.wait(rf"connection opened .*listener=certificates peer={name}\b")
    with closing(world.device("tls through")) as device:
        name = ":".join(map(str, device.getsockname()))
        world.command.err.wait(rf"connection refused .*peer={name} reason=client_certificate")


@with_haproxy
def test_the_limits_count_the_addresses_of_devices(world: World) -> None:
    """One that connects too often is refused, while another comes in by the same proxy."""
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(
                closing(socket.create_connection(("127.0.0.1", world.ports["tls through"]), 10, (OURS, 0)))
            )
        world.command.err.wait(rf"connection refused listener=certificates peer={OURS}:\d+ reason=connect_rate")
    with closing(world.device("tls through", world.certificate())) as device:
        device.sendall(b"25\n")
        world.command.err.wait("connection opened .*listener=certificates")


@with_haproxy
def test_only_the_proxy_gets_in(world: World) -> None:
    """The limits count the devices' addresses, and past the proxy nobody comes to them."""
    with closing(socket.create_connection(("127.0.0.1", world.ports["tokens"]), 10, (OURS, 0))) as direct:
        world.command.err.wait(rf"connection refused .*peer={OURS}:\d+ reason=proxy_untrusted")
        assert gone(direct)


@behind
@pytest.mark.timeout(60)
def test_a_drain(proxy: str, tmp_path: Path) -> None:
    """Everybody is told, in the way that makes them come back."""
    world = World(tmp_path)
    bearer = ["portcast", "portcast.bearer." + SECRETS["PAGE_KEY"]]
    with gateway(world) as world.command, proxies(world), ExitStack() as stack:
        client = stack.enter_context(world.websocket(proxy, "/ws/readings", subprotocols=bearer))
        web = stack.enter_context(world.web(proxy))
        stream = stack.enter_context(web.stream("GET", "/events/readings"))
        lines = stream.iter_lines()
        next(lines)
        device = stack.enter_context(closing(world.device("tls here"))) if HAPROXY else None
        if device is not None:
            device.sendall(f"{SECRETS['DEVICE_TOKEN']}\nlast\n".encode())
            assert client.recv(10) == "last"
            event(lines, "last")
        assert world.command.stop() == 0
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert client.close_code == 1012
        assert list(lines)[-1:] in ([], [""])
        if device is not None:
            assert device.recv(1) == b""
        with world.web(proxy) as late:
            assert late.get("/health/ready").status_code in {502, 503}


def say(world: World, lines: bytes) -> None:
    """Send as a device: through HAProxy, or with the header that it would send."""
    if HAPROXY:
        device: socket.socket = world.device("tls here")
    else:
        device = socket.create_connection(("127.0.0.1", world.ports["tokens"]), 10)
        device.sendall(b"PROXY TCP4 127.0.2.1 127.0.0.1 5000 8883\r\n")
    with closing(device):
        device.sendall(f"{SECRETS['DEVICE_TOKEN']}\n".encode() + lines)
        world.command.err.wait("connection opened")


def event(lines: Iterator[str], data: str) -> str:
    """Read until an event with this data; return its id."""
    last = ""
    for line in lines:
        if line.startswith("id:"):
            last = line.partition(":")[2].strip()
        if line == f"data: {data}":
            return last
    raise AssertionError(f"the stream ended before {data!r}")


def command(number: int, **what: object) -> str:
    """Return a command of the Centrifuge protocol."""
    return json.dumps({"id": number, **what})


def gone(sock: socket.socket) -> bool:
    """Return True once the other side has closed."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
