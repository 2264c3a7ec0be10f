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
from urllib.parse import quote, urlsplit, urlunsplit

import click
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from portcast.cli.backoff import Backoff
from portcast.cli.tail_view import Gap, Received, gap_sentence, json_line, parse_message, text_line
from portcast.config import Address
from portcast.errors import ConfigurationError, PortcastError, TopicError
from portcast.observability import escape
from portcast.topics import validate_filter

MOST_HISTORY = 300
"""What a gateway replays at most in one go."""

OPEN_S = 5.0
"""For a gateway to answer; one that is there does within milliseconds."""

BAD_REQUEST = 4400
"""The gateway's close code for a request that would be refused again."""


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
    type=click.IntRange(0, MOST_HISTORY),
    metavar="N",
    help="Begin with the newest N publications that the gateway still has.",
)
@click.option("--wait", "waits", is_flag=True, help="Wait for a gateway that is not there yet, instead of giving up.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object per publication instead of text.")
def tail(topic_filter: str, url: str, history: int, waits: bool, is_json: bool) -> int:
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
        websocket_url(url, topic_filter), url, history, json_line if is_json else text_line, waits=waits
    )
    # A topic may hold characters that this terminal's encoding has not.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    with suppress(KeyboardInterrupt):
        asyncio.run(follower.run())
    if follower.is_pipe_closed:
        raise BrokenPipeError
    return 0


def websocket_url(url: str, topic_filter: str) -> str:
    """Return the URL of a WebSocket that gives envelopes for a filter; more of its query may follow.

    Args:
        url: ``http://HOST:PORT``, with the prefix under which the gateway is embedded, if any; ``https`` and a bare
            ``HOST:PORT`` will do.
        topic_filter: any valid filter.

    Raises:
        ConfigurationError: ``url`` is not such a URL.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError(f"--url {url}", f"is not a URL ({error})", "write http://HOST:PORT") from error
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"--url {url}", "is not the URL of a gateway", "write http://HOST:PORT")
    # Not in the path, where a trailing slash means something else.
    query = f"format=json&filter={quote(topic_filter, safe='/')}"
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/ws", query, ""))


class Follower:
    """Connects, prints, connects again.

    Attributes:
        is_pipe_closed: True when it ended because nobody reads its output any more.
    """

    def __init__(
        self,
        websocket: str,
        url: str,
        history: int,
        line: Callable[[Received], str],
        output: TextIO | None = None,
        *,
        waits: bool = False,
    ) -> None:
        """Prepare.

        Args:
            websocket: as `websocket_url` gives it.
            url: what the user calls the gateway.
            history: publications to begin with.
            line: makes a line of a publication.
            output: standard output if None.
            waits: try again also when the very first try fails.
        """
        self.is_pipe_closed = False
        self._websocket = websocket
        self._url = url
        self._history = history
        self._line = line
        self._output = output or sys.stdout
        self._is_loopback = Address("tcp", urlsplit(websocket).hostname or "").is_loopback
        self._resume_id = ""
        self._is_away = False
        self._gives_up = not waits
        """Until it was connected once: what fails then is a mistake, and later an interruption."""
        self._has_reached = False
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
                await self._follow_once(backoff)
            except InvalidStatus as error:
                status = error.response.status_code
                if status < 500:
                    hint = "does its http.allowed_hosts name it?" if status == 403 else "is this a gateway's address?"
                    raise PortcastError(f"{self._url}: answered {status} to a WebSocket; {hint}") from error
                reason = f"it answered {status}"
            except ConnectionClosed as error:
                if error.rcvd is not None and error.rcvd.code == BAD_REQUEST:
                    raise PortcastError(f"{self._url}: {error.rcvd.reason}") from error
                reason = _close_text(error)
            except (OSError, InvalidHandshake, TimeoutError) as error:
                reason = self._problem(error)
                if self._gives_up:
                    raise PortcastError(f"{self._url}: {reason}") from error
            self._is_away = True
            delay = backoff.next_s()
            _say(f"{self._url}: {reason}; trying again in {delay:.1f} s")
            await asyncio.sleep(delay)

    async def _follow_once(self, backoff: Backoff) -> None:
        self._has_reached = False
        place = f"since={quote(self._resume_id)}" if self._resume_id else f"history={self._history}"
        async with connect(
            f"{self._websocket}&{place}",
            compression=None,
            open_timeout=OPEN_S,
            create_connection=self._reached,  # type: ignore[arg-type]  # documented: a class or what makes one
            proxy=None if self._is_loopback else True,  # a proxy of the environment does not reach this machine
            max_size=64 * 2**20,  # the largest frame that a gateway may be told to accept, and then some
            user_agent_header="portcast tail",
        ) as websocket:
            self._gives_up = False
            if self._is_away:
                self._is_away = False
                _say(f"{self._url}: connected again")
            async for message in websocket:
                received = parse_message(message)
                if isinstance(received, Gap):
                    _say(gap_sentence(received))
                elif received is not None:
                    backoff.reset()
                    self._take(received)
            raise ConnectionClosed(websocket.protocol.close_rcvd, None)

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
