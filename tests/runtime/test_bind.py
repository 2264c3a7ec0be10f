from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from portcast.address import Address
from portcast.errors import ListenError
from portcast.runtime.bind import bound_socket, close_listening
from runtime_kit import free_port


@contextmanager
def bound(address: Address) -> Iterator[socket.socket]:
    sock = bound_socket(address, 16)
    try:
        yield sock
    finally:
        close_listening(sock, address)


def tcp(host: str = "127.0.0.1", port: int = 0) -> Address:
    return Address("tcp", host=host, port=port)


def unix(path: Path) -> Address:
    return Address("unix", path=str(path))


def refused(address: Address) -> ListenError:
    with pytest.raises(ListenError) as caught:
        bound_socket(address, 16)
    assert caught.value.address == address.url
    return caught.value


@pytest.fixture
def path() -> Iterator[Path]:
    """A short path: a Unix socket's name has at most 107 bytes."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="pc") as folder:
        yield Path(folder) / "s"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1", "::"])
def test_listens(host: str) -> None:
    """On a port that the system chooses; ready to be used on a loop."""
    with bound(tcp(host)) as sock:
        port = sock.getsockname()[1]
        assert port
        assert not sock.getblocking()
        to = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        socket.create_connection((to, port)).close()


def test_ipv6_binds_ipv6_alone() -> None:
    """`::` and `0.0.0.0` are two listeners, which may be bound beside each other."""
    with bound(tcp("::")) as six, bound(tcp("0.0.0.0", six.getsockname()[1])) as four:
        assert four.getsockname()[1] == six.getsockname()[1]


@pytest.mark.row(3)
def test_accepted_sockets_notice_a_peer_that_vanished() -> None:
    """Keepalive 60 s, 4 probes 15 s apart, unacknowledged data 30 s: inherited from the listening socket."""
    with bound(tcp()) as sock:
        sock.setblocking(True)
        with closing(socket.create_connection(sock.getsockname())), closing(sock.accept()[0]) as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}
            found = {
                name: accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in options
                if hasattr(socket, name)
            }
            assert found == {name: options[name] for name in found}


@pytest.mark.row(29)
def test_a_port_in_use() -> None:
    """Another process that listens there is not joined by accident."""
    with bound(tcp()) as sock:
        error = refused(tcp(port=sock.getsockname()[1]))
    assert str(error).endswith("the address is in use; stop the process that listens there, or choose another port")


def test_a_port_of_a_connection_that_is_over_can_be_bound_again() -> None:
    """A restart need not wait for TIME_WAIT."""
    port = free_port()
    with bound(tcp(port=port)) as sock:
        sock.setblocking(True)
        client = socket.create_connection(("127.0.0.1", port))
        sock.accept()[0].close()
        client.close()
    with bound(tcp(port=port)):
        pass


@pytest.mark.parametrize(
    "host", [pytest.param("no-such-host.invalid", id="unknown"), pytest.param("x" * 64 + ".example", id="no host name")]
)
def test_an_unknown_host(host: str) -> None:
    """In words, whatever the resolver raises."""
    error = refused(tcp(host))
    assert (error.problem, error.hint) == (f"the host {host!r} is unknown", "write an address of this machine")


def test_an_address_of_another_machine() -> None:
    """192.0.2.0/24 is for documentation, RFC 5737: no machine has it."""
    assert refused(tcp("192.0.2.1")).problem == "this machine has no such address"


def test_a_privileged_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names both ways out. The kernel's answer is made up: tests may run as root."""

    def bind(self: socket.socket, where: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind)
    error = refused(tcp(port=80))
    assert (error.problem, error.hint) == (
        "ports below 1024 need privileges",
        "choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE",
    )


def test_another_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has foreseen is told as the system says it."""

    def bind(self: socket.socket, where: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "x")

    monkeypatch.setattr(socket.socket, "bind", bind)
    error = refused(tcp())
    assert (error.problem, error.hint) == (os.strerror(errno.EAFNOSUPPORT), "")


def test_a_failure_to_listen_leaves_nothing(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Two processes may both bind on some systems; the second fails in listen."""

    def listen(self: socket.socket, backlog: int) -> None:
        raise OSError(errno.EADDRINUSE, "x")

    monkeypatch.setattr(socket.socket, "listen", listen)
    assert refused(tcp()).problem == "the address is in use"
    refused(unix(path))
    assert not path.exists()


def test_one_of_several_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """``uvicorn --workers 2`` is the likeliest cause of a port in use that nobody else has."""
    with bound(tcp()) as taken:
        address = tcp(port=taken.getsockname()[1])
        assert "worker" not in refused(address).hint
        monkeypatch.setattr("multiprocessing.parent_process", object)
        assert refused(address).hint.endswith("only one can have it: run the app with one")


def test_a_unix_socket(path: Path) -> None:
    """It takes connections, and its file goes with it."""
    with bound(unix(path)), closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(path))
    assert not path.exists()


def test_closing_twice_or_after_the_file_is_gone(path: Path) -> None:
    """Somebody may have tidied up."""
    sock = bound_socket(unix(path), 16)
    path.unlink()
    close_listening(sock, unix(path))
    close_listening(sock, unix(path))


def test_a_stale_unix_socket_is_replaced(path: Path) -> None:
    """A process that was killed leaves its file; nobody listens there."""
    with closing(socket.socket(socket.AF_UNIX)) as killed:
        killed.bind(str(path))
    assert path.exists()
    with bound(unix(path)), closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(path))


@pytest.mark.parametrize("is_full", [False, True], ids=["idle", "its backlog is full"])
def test_a_live_unix_socket_is_refused(path: Path, is_full: bool) -> None:
    """Also one that is too busy to answer: looking must not block."""
    with closing(socket.socket(socket.AF_UNIX)) as live, closing(socket.socket(socket.AF_UNIX)) as waiting:
        live.bind(str(path))
        live.listen(0)
        if is_full:
            waiting.connect(str(path))
        error = refused(unix(path))
    assert str(error).endswith("the address is in use; stop the process that listens there, or choose another path")


def test_a_file_in_the_way_is_left_alone(path: Path) -> None:
    """It may be somebody's data."""
    path.write_text("data")
    error = refused(unix(path))
    assert (error.problem, error.hint) == (
        "a file that is not a socket is there",
        "move it away, or choose another path",
    )
    assert path.read_text() == "data"


def test_a_missing_folder(path: Path) -> None:
    """The error names the path and what to do."""
    error = refused(unix(path.parent / "missing" / "s"))
    assert (error.problem, error.hint) == (
        "No such file or directory",
        "choose a path in a directory that exists and is yours to write",
    )


@pytest.mark.parametrize("name", [pytest.param("x" * 200, id="too long"), pytest.param("x\0y", id="null byte")])
def test_an_impossible_path(path: Path, name: str) -> None:
    """An error with a sentence, not a traceback."""
    error = refused(unix(path.parent / name))
    assert error.problem
    assert not list(path.parent.iterdir())
