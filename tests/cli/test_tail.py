"""Tests of `portcast.cli.tail`: the follower against a gateway that does what the test says."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Any

import pytest
from click.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from cli.waiting import until
from portcast.cli.tail import Follower, http_url, tail
from portcast.cli.tail_history import MOST
from portcast.cli.tail_view import Received
from portcast.errors import ConfigurationError, PortcastError

pytestmark = pytest.mark.anyio

Behave = Callable[[ServerConnection], Awaitable[None]]
READY = '{"id":1,"connect":{"client":"c","ping":25}}\n{"id":2,"subscribe":{}}'


def envelope(number: int, data: str = "x") -> dict[str, object]:
    return {"topic": "a", "epoch": "e", "offset": number, "id": f"e:{number}", "time": 1.0, "data": data}


def push(*numbers: int) -> str:
    return "\n".join(json.dumps({"push": {"channel": "a", "pub": {"data": envelope(one)}}}) for one in numbers)


def line(publication: Received) -> str:
    return f"{publication.offset} {publication.data.decode()}"


class Output(io.StringIO):
    """Standard output that can be waited for."""

    async def has(self, text: str) -> None:
        await until(lambda: text in self.getvalue())


class FakeGateway:
    """Says over a WebSocket what the test says, and gives pages of history, then empty ones."""

    def __init__(self, behave: Behave) -> None:
        self.heard: list[Any] = []
        self.asked: list[str] = []
        self.pages: list[dict[str, object] | HTTPStatus] = []
        self.url = ""
        self._behave = behave

    async def handle(self, connection: ServerConnection) -> None:
        self.heard.append([json.loads(one) for one in str(await connection.recv()).split("\n")])
        await self._behave(connection)

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if not request.path.startswith("/api/history"):
            return None
        self.asked.append(request.path.partition("?")[2])
        page = self.pages.pop(0) if self.pages else {}
        if isinstance(page, HTTPStatus):
            return connection.respond(page, "no")
        return connection.respond(
            HTTPStatus.OK, json.dumps({"publications": [], "missed": 0, "exact": True, "more": 0, **page})
        )


def page(*numbers: int, **said: object) -> dict[str, object]:
    return {"publications": [envelope(one) for one in numbers], **said}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long before the next try."""
    monkeypatch.setattr("portcast.cli.backoff.FIRST_S", 0.01)


@asynccontextmanager
async def following(
    behave: Behave, output: Output, history: int = 0, pages: Sequence[Any] = (), token: str = ""
) -> AsyncIterator[tuple[FakeGateway, asyncio.Task[None]]]:
    """A follower of a gateway."""
    fake = FakeGateway(behave)
    fake.pages.extend(pages)
    async with serve(fake.handle, "127.0.0.1", 0, process_request=fake.answer) as server:
        fake.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        task = asyncio.create_task(Follower(fake.url, "a", history, line, output, token=token).run())
        try:
            yield fake, task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, PortcastError):
                await task


async def until_gone(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def test_publications_are_printed_as_they_come() -> None:
    """A ping is answered; what nobody understands costs nothing."""
    output = Output()
    ponged = asyncio.Event()

    async def behave(connection: ServerConnection) -> None:
        await connection.send(READY)
        await connection.send(push(1, 2))
        await connection.send('something of a newer gateway\n{"push":{"channel":"a","pub":{"data":7}}}\n{}')
        assert await connection.recv() == "{}"
        ponged.set()
        await connection.send(push(3))
        await until_gone(connection)

    async with following(behave, output, token="secret") as (fake, _):
        await output.has("1 x\n2 x\n3 x\n")
    assert ponged.is_set()
    ((connect, subscribe),) = fake.heard
    assert connect["connect"]["token"] == "secret"
    assert subscribe["subscribe"]["channel"] == "a"
    assert fake.asked == ["filter=a&limit=1"]  # to have a place to go on from


async def test_it_begins_with_history_each_once() -> None:
    """What is published between the subscription and the look at history comes twice, and is printed once."""
    output = Output()

    async def behave(connection: ServerConnection) -> None:
        await connection.send(READY)
        await connection.send(push(6, 7))
        await until_gone(connection)

    async with following(behave, output, history=3, pages=[page(4, 5, 6)]) as (fake, _):
        await output.has("7 x\n")
    assert output.getvalue() == "4 x\n5 x\n6 x\n7 x\n"
    assert fake.asked == ["filter=a&limit=3"]


@pytest.mark.parametrize("code", [1000, 1012, 3001, 3008])
async def test_it_connects_again_and_resumes(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was published while it was away is asked for by the position of the last line, in pages."""
    output = Output()
    connections = 0

    async def behave(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await connection.send(READY)
        if connections == 1:
            await connection.send(push(1))
            await output.has("1 x\n")
            await connection.close(code, "bye\x1b")
        else:
            await connection.send(push(8, 9))
            await until_gone(connection)

    pages = [page(), page(6, 7, missed=4, more=1), page(8)]
    async with following(behave, output, pages=pages) as (fake, _):
        await output.has("9 x\n")
    assert output.getvalue() == "1 x\n6 x\n7 x\n8 x\n9 x\n"
    assert fake.asked[1:] == ["filter=a&limit=300&since=e%3A1", "filter=a&limit=300&since=e%3A7"]
    said = capsys.readouterr().err
    assert f"closed the connection with {code} (bye\\x1b); trying again in" in said
    assert "connected again" in said
    assert "4 publications are lost" in said


async def test_one_that_fell_behind_subscribes_again() -> None:
    """And asks for what it missed."""
    output = Output()

    async def behave(connection: ServerConnection) -> None:
        await connection.send(READY)
        await connection.send('{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}')
        assert json.loads(await connection.recv())["subscribe"]["channel"] == "a"
        await connection.send('{"id":2,"subscribe":{}}')
        await until_gone(connection)

    async with following(behave, output, pages=[page(1), page(2)]) as (fake, _):
        await output.has("2 x\n")
    assert output.getvalue() == "2 x\n"
    assert fake.asked == ["filter=a&limit=1", "filter=a&limit=300&since=e%3A1"]


async def test_a_gateway_without_history_is_followed_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """That something may be missing is said, never passed over."""
    output = Output()

    async def behave(connection: ServerConnection) -> None:
        await connection.send(READY)
        await connection.send(push(1))
        await until_gone(connection)

    async with following(behave, output, history=5, pages=[HTTPStatus.FORBIDDEN]):
        await output.has("1 x\n")
    assert "history cannot be read (it answered 403): what came before is unknown" in capsys.readouterr().err


async def test_history_that_fails_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A gateway that is not ready yet has history in a moment."""
    output = Output()

    async def behave(connection: ServerConnection) -> None:
        await connection.send(READY)
        await until_gone(connection)

    async with following(behave, output, history=1, pages=[HTTPStatus.SERVICE_UNAVAILABLE, page(1)]):
        await output.has("1 x\n")
    assert "it answered 503; trying again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('{"id":1,"error":{"code":109,"message":"token expired"}}', "the token has expired"),
        ('{"id":2,"error":{"code":103,"message":"permission denied"}}', "these topics are not for you"),
        ('{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}', "server unsubscribe"),
        (3500, "no connection without a good token"),
        (4567, "bye"),
    ],
)
async def test_a_refusal_is_not_repeated(said: str | int, words: str) -> None:
    """In words, and at once."""

    async def behave(connection: ServerConnection) -> None:
        if isinstance(said, int):
            await connection.close(said, "bye")
        else:
            await connection.send(said)
            await until_gone(connection)

    async with following(behave, Output()) as (fake, task):
        with pytest.raises(PortcastError, match=words):
            await task
    assert len(fake.heard) == 1


async def test_a_temporary_error_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    async def behave(connection: ServerConnection) -> None:
        await connection.send('{"id":2,"error":{"code":111,"message":"too many requests"}}')
        await until_gone(connection)

    async with following(behave, Output()) as (fake, _):
        await until(lambda: len(fake.heard) > 1)
    assert "too many requests (111); trying again" in capsys.readouterr().err


async def test_silence_is_a_broken_connection(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway pings; one that does not is gone, though no packet said so."""
    monkeypatch.setattr("portcast.cli.tail_protocol.GRACE_S", 0.01)

    async def behave(connection: ServerConnection) -> None:
        await connection.send('{"id":1,"connect":{"client":"c","ping":0.01}}\n{"id":2,"subscribe":{}}')
        await until_gone(connection)

    async with following(behave, Output()) as (fake, _):
        await until(lambda: len(fake.heard) > 1)
    assert "it does not answer; trying again" in capsys.readouterr().err


async def test_a_gateway_that_is_not_there_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Only when told to wait: otherwise a mistyped port would look like a quiet gateway."""
    follower = Follower("http://127.0.0.1:1", "a", 0, line, Output(), waits=True)
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
            await Follower(url, "a", 0, line, Output()).run()
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
        await connection.send(READY)
        await connection.send(push(1))
        connection.transport.abort()

    async with following(behave, output):
        await output.has("1 x\n1 x\n")
    assert "the connection broke" in capsys.readouterr().err


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
        task = asyncio.create_task(Follower(url, "a", 0, line, Output()).run())
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
        await connection.send(READY)
        connected.set()
        while not is_quiet:
            await connection.send(push(1))
            # Not as fast as it can: with full buffers the server of this test does not always see its client go.
            await asyncio.sleep(0.001)
        await until_gone(connection)

    with pipe() as (reading, file):
        fake = FakeGateway(behave)
        async with serve(fake.handle, "127.0.0.1", 0, process_request=fake.answer) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            follower = Follower(f"http://127.0.0.1:{port}", "a", 0, line, file)
            task = asyncio.create_task(follower.run())
            await connected.wait()
            await until(lambda: follower._has_begun)  # nothing is left in its thread
            os.close(reading)
            async with asyncio.timeout(5):
                await task
    assert follower.is_pipe_closed


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("wss://example.test/live/", "https://example.test/live"),
    ],
)
def test_the_address_of_a_gateway(url: str, meant: str) -> None:
    assert http_url(url) == meant


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://[::1", "http://x:y", "http://x/?a=b", "http://x/#a"])
def test_what_is_not_the_address_of_a_gateway(url: str) -> None:
    with pytest.raises(ConfigurationError, match="--url"):
        http_url(url)


def test_a_wrong_filter_is_found_before_connecting() -> None:
    result = CliRunner().invoke(tail, ["a/#/b"])
    assert isinstance(result.exception, ConfigurationError)
    assert "FILTER 'a/#/b'" in str(result.exception)


def test_no_more_history_is_asked_for_than_there_can_be() -> None:
    assert CliRunner().invoke(tail, ["--history", str(MOST + 1)]).exit_code == 2
