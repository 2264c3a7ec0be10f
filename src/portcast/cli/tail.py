"""``portcast tail``: live publications of a running gateway, one per line."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from socket import gaierror
from typing import Any, TextIO
from urllib.parse import urlsplit, urlunsplit

import click
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from portcast.cli import tail_protocol as protocol
from portcast.cli.api_client import token_option
from portcast.cli.backoff import Backoff
from portcast.cli.tail_history import MOST, History, NoHistory
from portcast.cli.tail_view import Received, gap_sentence, json_line, received, text_line
from portcast.config import Address
from portcast.errors import ConfigurationError, PortcastError, TopicError
from portcast.observability import escape
from portcast.topics import validate_filter

OPEN_S = 5.0
"""For a gateway to answer; one that is there does within milliseconds."""


CLOSE_S = 0.5
"""For the goodbye: in a flood it stands behind all that was not read yet, and Ctrl-C must not wait for that."""


@click.command(
    epilog="""
\b
Examples:
  portcast tail
  portcast tail "sensors/+/temperature" --history 10
  portcast tail logs --json | jq .data
In FILTER, + stands for one level of a topic and a final # for the rest; quote them in a shell."""
)
@click.argument("topic_filter", metavar="[FILTER]", default="#")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, metavar="URL", help="Where the gateway is.")
@click.option(
    "--history",
    default=0,
    show_default=True,
    type=click.IntRange(0, MOST),
    metavar="N",
    help="Begin with the newest N publications that the gateway still has.",
)
@token_option
@click.option("--wait", "waits", is_flag=True, help="Wait for a gateway that is not there yet, instead of giving up.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object per publication instead of text.")
def tail(topic_filter: str, url: str, history: int, token: str, waits: bool, is_json: bool) -> int:
    """Print what is published on the topics that match FILTER, live.

    Each line is a time, a topic and what the device sent; control characters are shown escaped. When the gateway goes
    away, tail connects again by itself and catches up from history; if something was lost for good it says how much,
    on standard error. Stop it with Ctrl-C. If there is no gateway to begin with, the exit status is 1.
    """
    try:
        validate_filter(topic_filter)
    except TopicError as error:
        raise ConfigurationError(f"FILTER {topic_filter!r}", error.problem) from error
    follower = Follower(
        http_url(url), topic_filter, history, json_line if is_json else text_line, name=url, token=token, waits=waits
    )
    # A topic may hold characters that this terminal's encoding has not.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    with suppress(KeyboardInterrupt):
        asyncio.run(follower.run())
    if follower.is_pipe_closed:
        raise BrokenPipeError
    return 0


def http_url(url: str) -> str:
    """Return the URL of a gateway as ``http://HOST:PORT``, with the prefix under which it is embedded, if any.

    Args:
        url: such a URL; ``https``, ``ws``, ``wss`` and a bare ``HOST:PORT`` will do.

    Raises:
        ConfigurationError: ``url`` is not such a URL.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError(f"--url {url}", f"is not a URL ({error})", "write http://HOST:PORT") from error
    scheme = {"http": "http", "https": "https", "ws": "http", "wss": "https"}.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"--url {url}", "is not the URL of a gateway", "write http://HOST:PORT")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


class Follower:
    """Connects, prints, connects again.

    Attributes:
        is_pipe_closed: True when it ended because nobody reads its output any more.
    """

    def __init__(
        self,
        url: str,
        topic_filter: str,
        history: int,
        line: Callable[[Received], str],
        output: TextIO | None = None,
        *,
        name: str = "",
        token: str = "",
        waits: bool = False,
    ) -> None:
        """Prepare.

        Args:
            url: as `http_url` gives it.
            topic_filter: a valid one.
            history: publications to begin with.
            line: makes a line of a publication.
            output: standard output if None.
            name: what the user calls the gateway; ``url`` if empty.
            token: an API key, or a token of the connection; empty for none.
            waits: try again also when the very first try fails.
        """
        self.is_pipe_closed = False
        # How to get there.
        self._websocket = f"ws{url.removeprefix('http')}/connection/websocket"
        self._name = name or url
        self._filter = topic_filter
        self._token = token
        self._is_loopback = Address("tcp", urlsplit(url).hostname or "").is_loopback
        self._history = History(url, topic_filter, is_loopback=self._is_loopback, token=token)
        # Where we are.
        self._wanted = history
        self._resume_id = ""
        self._has_begun = False
        self._printed: set[str] = set()
        """Ids that were printed from history and may come live, too."""
        self._is_away = False
        self._gives_up = not waits
        """Until it was connected once: what fails then is a mistake, and later an interruption."""
        self._has_reached = False
        # What goes out.
        self._line = line
        self._output = output or sys.stdout
        self._lines: list[str] = []
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Follow until the output is closed.

        Raises:
            PortcastError: the gateway refuses, and would refuse again.
        """
        loop = asyncio.get_running_loop()
        watched = self._watch_pipe(loop)
        follow = asyncio.create_task(self._follow())
        closed = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait({follow, closed}, return_when=asyncio.FIRST_COMPLETED)
            if follow.done():
                await follow
        finally:
            for task in (follow, closed):
                task.cancel()
            await asyncio.gather(follow, closed, return_exceptions=True)
            if watched is not None:
                loop.remove_reader(watched)

    def _watch_pipe(self, loop: asyncio.AbstractEventLoop) -> int | None:
        """Notice a reader that leaves although nothing is being written, as `tail | head -1` on a quiet topic."""
        try:
            descriptor = self._output.fileno()
            if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                return None
            loop.add_reader(descriptor, self._close)
        except (OSError, ValueError, NotImplementedError):
            return None
        return descriptor

    def _close(self) -> None:
        self.is_pipe_closed = True
        self._closed.set()

    async def _follow(self) -> None:
        backoff = Backoff()
        while True:
            try:
                reason = await self._follow_once(backoff)
            except InvalidStatus as error:
                status = error.response.status_code
                if status < 500:
                    hint = "does its http.allowed_hosts name it?" if status == 403 else "is this a gateway's address?"
                    raise PortcastError(f"{self._name}: answered {status} to a WebSocket; {hint}") from error
                reason = f"it answered {status}"
            except ConnectionClosed as error:
                if error.rcvd is not None and protocol.is_final(error.rcvd.code):
                    said = protocol.words(error.rcvd.code, escape(error.rcvd.reason))
                    raise PortcastError(f"{self._name}: {said}") from error
                reason = _close_text(error)
            except (OSError, InvalidHandshake, TimeoutError) as error:
                reason = self._problem(error)
                if self._gives_up:
                    raise PortcastError(f"{self._name}: {reason}") from error
            self._is_away = True
            delay = backoff.next_s()
            _say(f"{self._name}: {reason}; trying again in {delay:.1f} s")
            await asyncio.sleep(delay)

    async def _follow_once(self, backoff: Backoff) -> str:
        """Follow until the connection ends; return why, if nothing is raised."""
        self._has_reached = False
        async with connect(
            self._websocket,
            compression=None,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            create_connection=self._reached,  # type: ignore[arg-type]  # documented: a class or what makes one
            proxy=None if self._is_loopback else True,  # a proxy of the environment does not reach this machine
            max_size=64 * 2**20,  # the largest frame that a gateway may be told to accept, and then some
            user_agent_header="portcast tail",
            ping_interval=None,  # the gateway pings, and its silence tells
        ) as websocket:
            self._has_reached = False  # what fails from here on is no handshake
            await websocket.send(protocol.hello(self._filter, self._token))
            silence_s = OPEN_S
            while True:
                async with asyncio.timeout(silence_s or None):
                    frame = await websocket.recv()
                for said in protocol.read(frame):
                    match said:
                        case protocol.Published(envelope):
                            self._live(envelope)
                        case protocol.Ping():
                            await websocket.send(protocol.PONG)
                        case protocol.Connected(silence_s):
                            pass
                        case protocol.Subscribed():
                            await self._subscribed()
                            backoff.reset()
                        case protocol.Behind():
                            await websocket.send(protocol.subscribe(self._filter))
                        case protocol.Refused(reason, is_final=True):
                            raise PortcastError(f"{self._name}: {reason}")
                        case protocol.Refused(reason):
                            return reason

    async def _subscribed(self) -> None:
        """Print what was published before or meanwhile; live publications wait unread."""
        self._gives_up = False
        if self._is_away:
            self._is_away = False
            _say(f"{self._name}: connected again")
        self._printed.clear()
        refused = await (self._catch_up() if self._has_begun else self._begin())
        if refused is not None and (self._has_begun or self._wanted):
            _say(f"{self._name}: history cannot be read ({refused.reason}): what came before is unknown")
        self._has_begun = True

    async def _begin(self) -> NoHistory | None:
        # At least one, so that there is a place to go on from.
        page = await self._history.ask("", max(1, self._wanted))
        if isinstance(page, NoHistory):
            return page
        if page.publications:
            self._resume_id = page.publications[-1].resume_id
        for one in page.publications if self._wanted else ():
            self._past(one)
        return None

    async def _catch_up(self) -> NoHistory | None:
        more = 1
        while more:
            # Without an id nothing had been published, so all that there is was missed.
            page = await self._history.ask(self._resume_id)
            if isinstance(page, NoHistory):
                return page
            if page.gap is not None:
                _say(gap_sentence(page.gap))
            for one in page.publications:
                self._past(one)
            more = page.more if page.publications else 0
        return None

    def _past(self, publication: Received) -> None:
        self._printed.add(publication.resume_id)
        self._take(publication)

    def _live(self, envelope: object) -> None:
        publication = received(envelope)
        if publication is None:
            return
        if publication.resume_id in self._printed:
            self._printed.discard(publication.resume_id)
        else:
            self._take(publication)

    def _reached(self, *arguments: Any, **options: Any) -> ClientConnection:
        self._has_reached = True  # somebody accepted; what fails now is the handshake
        return ClientConnection(*arguments, **options)

    def _problem(self, error: Exception) -> str:
        if isinstance(error, gaierror):
            return "the host is not known"
        if self._has_reached and isinstance(error, (TimeoutError, InvalidMessage, ConnectionResetError)):
            return "it does not speak HTTP; is it a device port?"
        if isinstance(error, ConnectionRefusedError) and self._gives_up:
            return "nothing listens there; is `portcast serve` running? (--wait waits for it)"
        return _reason_text(error)

    def _take(self, publication: Received) -> None:
        self._resume_id = publication.resume_id
        # One write per turn of the loop, so that a flood is not a system call per line.
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._flush)
        self._lines.append(self._line(publication))

    def _flush(self) -> None:
        text = "\n".join([*self._lines, ""])
        self._lines.clear()
        try:
            self._output.write(text)
            self._output.flush()
        except BrokenPipeError:
            self._close()


def _close_text(error: ConnectionClosed) -> str:
    if error.rcvd is None:
        return "the connection broke"
    reason = f" ({escape(error.rcvd.reason)})" if error.rcvd.reason else ""
    return f"closed the connection with {error.rcvd.code}{reason}"


def _reason_text(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; is `portcast serve` running?"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return escape(str(error)) or type(error).__name__


def _say(sentence: str) -> None:
    click.echo(f"portcast tail: {sentence}", err=True)
