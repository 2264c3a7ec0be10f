"""Tests of `portcast.cli.serve`: a real gateway in a process of its own, and the other commands against it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from cli.processes import LIMIT_S, environment, run, running, serving, wait_until
from portcast.cli.serve import make_gateway
from portcast.server import ONE_SIGNAL_S
from portcast.settings import load_settings
from tls_kit import Authority

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str) -> Any:
    with DIRECT.open(url, timeout=LIMIT_S) as answer:
        return json.load(answer)


def device(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


def test_from_the_first_line_to_an_orderly_end() -> None:
    """The whole life: block, a character in two packets, bytes that are not UTF-8, SIGTERM, 1012, status 0."""
    with serving() as gateway:
        assert any("lines, lf, max 64 KiB → topic a" in line for line in gateway.block)
        with (
            connect(f"{gateway.http.replace('http', 'ws')}/ws", proxy=None) as websocket,
            device(gateway.port) as connection,
        ):
            connection.sendall(b"gr\xc3")
            connection.sendall(b"\xbc\xc3\x9fe\n\xff\xfe\n")
            assert websocket.recv(LIMIT_S) == "grüße"
            assert websocket.recv(LIMIT_S) == b"\xff\xfe"
            connection.sendall(b"the last\n")
            assert websocket.recv(LIMIT_S) == "the last"
            assert gateway.command.stop() == 0
            with pytest.raises(Exception, match="1012"):
                websocket.recv(LIMIT_S)
            assert connection.recv(1) == b""
        log = gateway.command.err.rest()
    assert any("connection opened" in line for line in log)
    assert "drain finished" in log[-1]
    assert not any("Traceback" in line or " error " in line for line in log)


def test_lines_received_before_the_signal_are_delivered() -> None:
    """SIGTERM with clients connected: every frame already received is delivered."""
    with (
        serving() as gateway,
        connect(f"{gateway.http.replace('http', 'ws')}/ws", proxy=None) as websocket,
        device(gateway.port) as connection,
    ):
        connection.sendall(b"first\n")
        assert websocket.recv(LIMIT_S) == "first"
        connection.sendall(b"".join(b"%d\n" % number for number in range(1000)))
        wait_until(
            lambda: get(f"{gateway.http}/api/listeners")["listeners"][0]["frames"] == 1001, "the listener to read"
        )
        gateway.command.process.send_signal(signal.SIGTERM)
        assert [websocket.recv(LIMIT_S) for _ in range(1000)] == [str(number) for number in range(1000)]
        assert gateway.command.process.wait(LIMIT_S) == 0


def test_ctrl_c_ends_with_status_0_and_without_a_traceback() -> None:
    with serving() as gateway:
        assert gateway.command.stop(signal.SIGINT) == 0
        assert not any("Traceback" in line for line in gateway.command.err.rest())


def test_started_twice_the_second_says_what_is_in_the_way() -> None:
    with serving() as gateway:
        begun = time.monotonic()
        http = gateway.http.removeprefix("http://")
        second = run("serve", "--http", http, "--listen", "0")
        assert second.returncode == 1
        assert second.stdout == ""
        assert second.stderr.startswith(f"portcast: error: http://{http}: the HTTP port is already in use; ")
        assert second.stderr.count("\n") == 1
        assert time.monotonic() - begun < 6
        assert is_listening(gateway.port)


def test_a_listener_that_cannot_be_bound_leaves_nothing_behind() -> None:
    http, other = free_port(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as held:
        taken = held.getsockname()[1]
        done = run("serve", "--http", str(http), "--listen", str(other), "--listen", str(taken))
    assert done.returncode == 1
    assert f"portcast: error: tcp://127.0.0.1:{taken}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not is_listening(http)
    assert not is_listening(other)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--http", "8001"], ["tcp://127.0.0.1:8001", "http://127.0.0.1:8001"]),
        (["--listen", "9001", "--listen", "0.0.0.0:9001"], ["tcp://127.0.0.1:9001", "tcp://0.0.0.0:9001"]),
        (["--listen", "9001?framing=lins"], ["9001?framing=lins", "did you mean lines?"]),
        (["--drain-timeout", "soon"], ["--drain-timeout: 'soon' is not a number"]),
    ],
    ids=["http", "two listeners", "url", "flag"],
)
def test_wrong_settings_are_one_line_and_status_1(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from portcast.cli import main

    with pytest.raises(SystemExit) as caught:
        main(["serve", *arguments])
    assert caught.value.code == 1
    text = capsys.readouterr().err
    assert text.startswith("portcast: error: ")
    assert text.count("\n") == 1
    for word in words:
        assert word in text


def test_a_file_and_the_environment_are_read(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[[listener]]\nurl = "tcp://127.0.0.1:0"\nframing = "delimiter"\ndelimiter = ";"\ntopic = "scales"')
    variables = {"PORTCAST_CONFIG": str(file), "PORTCAST_HTTP": "127.0.0.1:0", "PORTCAST_LOG_FORMAT": "json"}
    with running("serve", env=variables) as command:
        command.err.wait('"event": "serving"')
        serving_line = json.loads(command.err.seen[-1])
        assert len(serving_line["listeners"]) == 1
        started = json.loads(command.err.seen[0])
        assert started["event"] == "listener_started"
        assert started["target"] == "topic scales"
        assert command.stop() == 0
        for line in command.err.rest():
            json.loads(line)
        assert command.out.rest() == []


def test_a_second_signal_stops_at_once() -> None:
    """A device that never stops sending and a long drain: the second Ctrl-C does not wait for them."""
    with serving("--drain-timeout", "60s") as gateway, closing(device(gateway.port)) as connection:
        connection.sendall(b"x\n")
        gateway.command.process.send_signal(signal.SIGINT)
        gateway.command.err.wait("drain started")
        time.sleep(ONE_SIGNAL_S)
        begun = time.monotonic()
        code = gateway.command.stop(signal.SIGINT)
        assert code in (0, 130)  # the drain may have been quicker
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("gap_s", [0.0005, 0.02, 0.1, 0.15, 0.25])
def test_two_signals_to_an_idle_gateway_end_in_order(gap_s: float) -> None:
    """Whatever comes after the drain, until the process is gone, changes nothing."""
    with serving() as gateway:
        gateway.command.process.send_signal(signal.SIGTERM)
        time.sleep(gap_s)
        assert gateway.command.stop(signal.SIGTERM) == 0


def test_tail_simulate_and_send_against_a_gateway() -> None:
    with serving() as gateway, running("tail", "--url", gateway.http, "--json", "--history", "10") as follower:
        sent = run("send", str(gateway.port), given="grüße\n\x1b[2J\n".encode())
        assert sent.returncode == 0
        played = run("simulate", str(gateway.port), "--devices", "2", "--rate", "50", "--duration", "1.5")
        assert played.returncode == 0
        follower.out.wait("celsius")
        seen = [json.loads(line) for line in follower.out.seen]
        assert [one["data"] for one in seen[:2]] == ["grüße", "\x1b[2J"]
        assert [one["topic"] for one in seen[:2]] == ["a", "a"]
        assert follower.stop(signal.SIGINT) == 0
        assert not any("Traceback" in line for line in follower.err.rest())


@pytest.mark.timeout(60)  # four processes start, one after the other
def test_tail_survives_a_restart() -> None:
    http, port = free_port(), free_port()
    where = ["--http", str(http), "--listen", f"{port}?topic=a"]
    with running("tail", "a", "--url", f"http://127.0.0.1:{http}", "--history", "5", "--wait") as follower:
        follower.err.wait("nothing listens there")
        for text in (b"one\n", b"two\n"):
            with running("serve", *where) as gateway:
                gateway.out.wait("Press Ctrl-C")
                assert run("send", str(port), given=text).returncode == 0
                follower.out.wait(text.decode().strip())
                assert gateway.stop() == 0
        follower.err.wait("closed the connection with 1012|nothing listens there")
        assert follower.stop(signal.SIGINT) == 0


def test_tail_ends_when_its_pipe_is_closed() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "portcast", "tail", "--wait", "--url", "http://127.0.0.1:1"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment(), timeout=15, check=False)
    os.close(writing)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_a_gateway_outlives_the_reader_of_its_start_block() -> None:
    """`portcast serve | head -1`."""
    http, port = free_port(), free_port()
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "portcast", "serve", "--http", str(http), "--listen", str(port)]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, env=environment()) as process:
        os.close(writing)
        wait_until(lambda: is_listening(http), "HTTP")
        assert get(f"http://127.0.0.1:{http}/api/listeners")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert b"Traceback" not in log


def test_settings_become_a_gateway() -> None:
    settings = load_settings(listen=["0?topic=a&name=x", "0?topic=b"], arguments={"max_connections": "9"})
    gateway = make_gateway(settings)
    assert gateway.http_address == settings.http
    assert [declaration.config for declaration in gateway.devices.declarations] == list(settings.listeners)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_as_the_documentation_has_it(tmp_path: Path) -> None:
    """A device with openssl, a page over https, and a renewal by signal that stops nothing."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "localhost")
    listen = f"tls://127.0.0.1:0?cert={cert}&cert_key={key}&topic=secure"
    with running(
        "serve", "--http", "127.0.0.1:0", "--http-cert", cert, "--http-cert-key", key, "--listen", listen
    ) as command:
        http = int(command.out.wait(r"live page +https://127\.0\.0\.1:(\d+)/")[1])
        port = command.out.wait(r"tls://127\.0\.0\.1:(\d+)")[1]
        command.out.wait("Press Ctrl-C")
        say = [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{port}",
            "-servername",
            "localhost",
            "-quiet",
            "-no_ign_eof",
        ]
        done = subprocess.run(
            [*say, "-CAfile", authority.file, "-verify_return_error"],
            input=b"hello\n",
            capture_output=True,
            timeout=15,
            check=False,
        )
        assert b"verify error" not in done.stderr

        def history() -> bytes:
            url = f"https://localhost:{http}/api/history?filter=secure"
            ours = urllib.request.HTTPSHandler(context=authority.client())
            with urllib.request.build_opener(urllib.request.ProxyHandler({}), ours).open(url, timeout=10) as answer:
                found: bytes = answer.read()
            return found

        wait_until(lambda: b"hello" in history(), "the publication")
        authority.issue("server", "localhost")
        command.process.send_signal(signal.SIGHUP)
        for owner in ("http", "tls://127"):
            command.err.wait(f"certificates reloaded listener={owner}")
        assert b"hello" in history()
        assert command.stop() == 0
