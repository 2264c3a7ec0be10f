"""Tests of `portcast.cli.tail`: the follower against a gateway that does what the test says."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Any

import pytest
from click.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from cli.waiting import until
from portcast.cli import tail as module
from portcast.cli.tail import Follower, tail, websocket_url
from portcast.cli.tail_view import Received
from portcast.errors import ConfigurationError, PortcastError

pytestmark = pytest.mark.anyio

Behave = Callable[[ServerConnection], Awaitable[None]]


def envelope(number: int, data: str = "x") -> str:
    return json.dumps({"topic": "a", "epoch": "e", "offset": number, "id": f"e:{number}", "time": 1.0, "data": data})


def line(publication: Received) -> str:
    return f"{publication.offset} {publication.data.decode()}"


class Output(io.StringIO):
    """Standard output that can be waited for."""

    async def has(self, text: str) -> None:
        await until(lambda: text in self.getvalue())


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long before the next try."""
    monkeypatch.setattr("portcast.cli.backoff.FIRST_S", 0.01)


@asynccontextmanager
async def following(behave: Behave, output: Output, history: int = 0) -> Any:
    """A follower of a gateway; gives the requests that it made."""
    seen: list[str] = []

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request.path)
        await behave(connection)

    async with serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        task = asyncio.create_task(Follower(websocket_url(url, "a"), url, history, line, output).run())
        try:
            yield seen, task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, PortcastError):
                await task


async def until_gone(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def test_publications_are_printed_as_they_come() -> None:
    output = Output()

    async def behave(connection: ServerConnection) -> None:
        for number in (1, 2):
            await connection.send(envelope(number))
        await connection.send("something of a newer gateway")
        await connection.send(envelope(3))
        await until_gone(connection)

    async with following(behave, output, history=7) as (seen, _):
        await output.has("1 x\n2 x\n3 x\n")
    assert seen == ["/ws?format=json&filter=a&history=7"]


@pytest.mark.parametrize("code", [1000, 1012, 3008])
async def test_it_connects_again_and_resumes(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was published while it was away is asked for by the position of the last line."""
    output = Output()
    connections = 0

    async def behave(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await connection.send(envelope(connections))
        if connections == 1:
            await connection.close(code, "bye\x1b")
        else:
            await connection.send('{"gap":{"missed":4,"exact":true}}')
            await connection.send(envelope(9))
            await until_gone(connection)

    async with following(behave, output) as (seen, _):
        await output.has("1 x\n2 x\n9 x\n")
    assert seen == ["/ws?format=json&filter=a&history=0", "/ws?format=json&filter=a&since=e%3A1"]
    said = capsys.readouterr().err
    assert f"closed the connection with {code} (bye\\x1b); trying again in" in said
    assert "connected again" in said
    assert "4 publications are lost" in said


async def test_a_gateway_that_is_not_there_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Only when told to wait: otherwise a mistyped port would look like a quiet gateway."""
    follower = Follower("ws://127.0.0.1:1/ws?format=json&filter=a", "http://127.0.0.1:1", 0, line, Output(), waits=True)
    task = asyncio.create_task(follower.run())
    said: list[str] = []

    def has_tried_twice() -> bool:
        said.append(capsys.readouterr().err)
        return "".join(said).count("nothing listens there; is `portcast serve` running?; trying again") >= 2

    await until(has_tried_twice)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _fails(port: int, host: str = "127.0.0.1") -> str:
    url = f"http://{host}:{port}"
    async with asyncio.timeout(5):
        with pytest.raises(PortcastError) as failed:
            await Follower(websocket_url(url, "a"), url, 0, line, Output()).run()
    return str(failed.value)


async def test_nobody_there_is_said_at_once() -> None:
    """Status 1, as for every command that has nobody to talk to."""
    assert await _fails(1) == (
        "http://127.0.0.1:1: nothing listens there; is `portcast serve` running? (--wait waits for it)"
    )
    assert await _fails(1, "nobody.invalid") == "http://nobody.invalid:1: the host is not known"


@pytest.mark.parametrize("how", ["silent", "closes", "answers"])
async def test_a_device_port_is_told(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The likeliest wrong port accepts and waits for more, or closes, or sends what is not HTTP."""
    monkeypatch.setattr("portcast.cli.tail.OPEN_S", 0.2)

    async def device_port(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if how == "silent":
            await reader.read()
        if how == "answers":
            writer.write(b"$GPGGA,1\r\n")
        writer.close()

    async with await asyncio.start_server(device_port, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await _fails(port) == f"http://127.0.0.1:{port}: it does not speak HTTP; is it a device port?"


async def test_a_broken_connection_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()

    async def behave(connection: ServerConnection) -> None:
        await connection.send(envelope(1))
        connection.transport.abort()

    async with following(behave, output):
        await output.has("1 x\n1 x\n")
    assert "the connection broke" in capsys.readouterr().err


async def test_a_request_that_is_wrong_is_not_repeated() -> None:
    async def behave(connection: ServerConnection) -> None:
        await connection.close(4400, "no such filter")

    async with following(behave, Output()) as (seen, task):
        with pytest.raises(PortcastError, match=r"http://127\.0\.0\.1:\d+: no such filter"):
            await task
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(HTTPStatus.NOT_FOUND, True), (HTTPStatus.FORBIDDEN, True), (HTTPStatus.BAD_GATEWAY, False)],
)
async def test_an_answer_that_is_no_websocket(
    status: HTTPStatus, is_final: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another server's 404 stays one; a proxy's 502 passes."""
    answers = 0

    def answer(connection: ServerConnection, request: Request) -> Response:
        nonlocal answers
        answers += 1
        return connection.respond(status, "no\n")

    async with serve(until_gone, "127.0.0.1", 0, process_request=answer) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        task = asyncio.create_task(Follower(websocket_url(url, "a"), url, 0, line, Output()).run())
        await until(lambda: task.done() or answers >= 2)
        task.cancel()
        with suppress(asyncio.CancelledError):
            if is_final:
                with pytest.raises(
                    PortcastError, match="allowed_hosts" if status == 403 else "is this a gateway's address"
                ):
                    await task
            else:
                await task
    assert answers == (1 if is_final else 2)


@contextmanager
def pipe() -> Iterator[tuple[int, Any]]:
    """The reading end as a descriptor, the writing end as a text file."""
    reading, writing = os.pipe()
    file = os.fdopen(writing, "w")
    try:
        yield reading, file
    finally:
        with suppress(OSError):
            os.close(reading)
        with suppress(BrokenPipeError):
            file.close()


@pytest.mark.parametrize("is_quiet", [True, False], ids=["nothing comes", "lines come"])
async def test_it_ends_when_nobody_reads_any_more(is_quiet: bool) -> None:
    """`portcast tail | head -1` ends, also on a topic on which nothing happens for hours."""
    connected = asyncio.Event()

    async def behave(connection: ServerConnection) -> None:
        connected.set()
        while not is_quiet:
            await connection.send(envelope(1))
            await asyncio.sleep(0)
        await until_gone(connection)

    with pipe() as (reading, file):
        async with serve(behave, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            follower = Follower(websocket_url(f"127.0.0.1:{port}", "a"), "", 0, line, file)
            task = asyncio.create_task(follower.run())
            await connected.wait()
            os.close(reading)
            async with asyncio.timeout(5):
                await task
    assert follower.is_pipe_closed


@pytest.mark.parametrize(
    ("url", "topic_filter", "websocket"),
    [
        ("http://127.0.0.1:8000", "#", "ws://127.0.0.1:8000/ws?format=json&filter=%23"),
        ("127.0.0.1:8000/", "a/+/b&c", "ws://127.0.0.1:8000/ws?format=json&filter=a/%2B/b%26c"),
        ("https://example.test/live/", "ä", "wss://example.test/live/ws?format=json&filter=%C3%A4"),
    ],
)
def test_the_address_of_a_filter(url: str, topic_filter: str, websocket: str) -> None:
    assert websocket_url(url, topic_filter) == websocket


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://[::1", "http://x:y", "http://x/?a=b", "http://x/#a"])
def test_what_is_not_the_address_of_a_gateway(url: str) -> None:
    with pytest.raises(ConfigurationError, match="--url"):
        websocket_url(url, "a")


def test_a_wrong_filter_is_found_before_connecting() -> None:
    result = CliRunner().invoke(tail, ["a/#/b"])
    assert isinstance(result.exception, ConfigurationError)
    assert "FILTER 'a/#/b'" in str(result.exception)


def test_no_more_history_is_asked_for_than_there_can_be() -> None:
    assert CliRunner().invoke(tail, ["--history", str(module.MOST_HISTORY + 1)]).exit_code == 2
