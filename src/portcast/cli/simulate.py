"""``portcast simulate``: a small fleet of devices, so that a newcomer sees life."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import click

from portcast.cli.backoff import Backoff
from portcast.cli.device_tls import device_target, tls_options
from portcast.cli.fleet import Thermometer
from portcast.cli.numbers import FiniteRange
from portcast.cli.send import connect_problem, device_token_option
from portcast.config import MOST_SECONDS, Address
from portcast.errors import PortcastError

TICK_S = 0.01
"""Shortest sleep of a device; at higher rates several readings go out at once."""

PROGRESS_S = 5.0
GOODBYE_S = 1.0


@click.command(
    short_help="Play a small fleet of devices into a listener.",
    epilog="""
\b
Examples:
  portcast simulate
  portcast simulate 8002 --devices 20 --rate 5
  portcast simulate tls://gate.example:8443 --ca ca.pem --token TOKEN
  portcast simulate --duration 10 --seed 7""",
)
@click.argument("address", metavar="[ADDRESS]", default="8001")
@click.option("--devices", default=5, show_default=True, type=click.IntRange(1, 10_000), metavar="N", help="How many.")
@click.option(
    "--rate",
    default=1.0,
    show_default=True,
    type=FiniteRange(0.001, 10_000),
    metavar="R",
    help="Readings per second of each device.",
)
@click.option(
    "--seed", default=1, show_default=True, metavar="S", type=int, help="The same seed gives the same readings."
)
@click.option(
    "--duration",
    type=FiniteRange(0.001, int(MOST_SECONDS)),
    metavar="SECONDS",
    help="Stop after so long. Without it, go on until Ctrl-C.",
)
@device_token_option
@tls_options
def simulate(
    address: str,
    devices: int,
    rate: float,
    seed: int,
    duration: float | None,
    token: str,
    ca: str | None,
    cert: str | None,
    key: str | None,
    is_tls: bool,
) -> int:
    """Play a small fleet of thermometers into the listener at ADDRESS (port 8001 unless given).

    Each device has a connection of its own and sends lines such as {"sensor":"boiler-1","celsius":81.2}. Devices
    connect again when the gateway goes away. The exit status is 1 if not a single reading could be sent.
    """
    target, tls = device_target(address, ca=ca, cert=cert, key=key, is_tls=is_tls)
    fleet = Fleet(target, [Thermometer(number, seed) for number in range(devices)], rate, token=token, tls=tls)
    _say(f"{devices} devices, {rate:g} readings/s each, to {target}")
    with suppress(KeyboardInterrupt):
        asyncio.run(fleet.run(duration))
    counts = fleet.counts
    _say(f"sent {counts.readings} readings, connected {counts.connects} times")
    if counts.readings == 0 and counts.problem:
        raise PortcastError(f"{target}: {counts.problem}")
    return 0


@dataclass(slots=True)
class Counts:
    """What the fleet has done so far.

    Attributes:
        readings: written to a socket.
        connected: devices connected now.
        connects: connections made.
        problem: why the latest connection could not be made; empty if none failed.
    """

    readings: int = 0
    connected: int = 0
    connects: int = 0
    problem: str = ""


class Fleet:
    """Devices that send at their own pace, each in a task."""

    def __init__(
        self,
        target: Address,
        devices: list[Thermometer],
        rate: float,
        say: Callable[[str], None] | None = None,
        *,
        token: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare a fleet.

        Args:
            target: the listener.
            devices: at least one.
            rate: readings per second of each device.
            say: takes sentences for the user; standard error if None.
            token: sent by each device as its first line; empty: nothing is.
            tls: to speak TLS with; None: do not.
        """
        self._hello = f"{token}\n".encode() if token else b""
        self._tls = tls
        self.counts = Counts()
        self._target = target
        self._devices = devices
        self._rate = rate
        self._say = say or _say
        self._is_away = False

    async def run(self, duration_s: float | None) -> None:
        """Play until ``duration_s`` has passed, or for ever if None. Cancelling closes all connections."""
        with suppress(TimeoutError):
            async with asyncio.timeout(duration_s), asyncio.TaskGroup() as group:
                for device in self._devices:
                    group.create_task(self._play(device))
                group.create_task(self._report())

    async def _play(self, device: Thermometer) -> None:
        backoff = Backoff()
        await asyncio.sleep(device.offset * min(1.0, 1 / self._rate))
        while True:
            try:
                await self._play_once(device, backoff)
                problem = "the gateway closed the connection"
            except OSError as error:
                problem = connect_problem(error)
            delay = backoff.next_s()
            self._note(problem, delay)
            await asyncio.sleep(delay)

    async def _play_once(self, device: Thermometer, backoff: Backoff) -> None:
        """Connect and send until the gateway closes; whatever it sends is thrown away."""
        reader, writer = await _open(self._target, self._tls)
        writer.write(self._hello)
        self.counts.connects += 1
        self.counts.connected += 1
        if self._is_away:
            self._is_away = False
            self._say("connected again")
        closed = asyncio.create_task(_read_to_the_end(reader))
        try:
            await self._send_until(closed, device, writer, backoff)
        finally:
            self.counts.connected -= 1
            closed.cancel()
            writer.close()
            with suppress(OSError):
                async with asyncio.timeout(GOODBYE_S):  # the last readings leave, unless the gateway does not read
                    await writer.wait_closed()
            writer.transport.abort()

    async def _send_until(
        self, closed: asyncio.Task[None], device: Thermometer, writer: asyncio.StreamWriter, backoff: Backoff
    ) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        sent = 0
        while not closed.done():
            due = int((loop.time() - begun) * self._rate) + 1 - sent
            if due > 0:
                writer.write(b"".join(device.reading() for _ in range(due)))
                await writer.drain()
                sent += due
                self.counts.readings += due
                backoff.reset()
            pause = max(TICK_S, begun + sent / self._rate - loop.time())
            await asyncio.wait({closed}, timeout=pause)

    def _note(self, problem: str, delay: float) -> None:
        """Tell once, not once per device, that the gateway is away."""
        self.counts.problem = problem
        if not self._is_away:
            self._is_away = True
            self._say(f"{self._target}: {problem}; trying again in {delay:.1f} s")

    async def _report(self) -> None:
        before = 0
        while True:
            await asyncio.sleep(PROGRESS_S)
            counts = self.counts
            pace = (counts.readings - before) / PROGRESS_S
            before = counts.readings
            self._say(f"{counts.connected} of {len(self._devices)} connected, {before} readings, {pace:.1f}/s")


async def _open(target: Address, tls: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(10):
        if target.scheme == "unix":
            return await asyncio.open_unix_connection(target.path)
        return await asyncio.open_connection(target.host, target.port, ssl=tls)


async def _read_to_the_end(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(65_536):
            pass


def _say(sentence: str) -> None:
    print(f"portcast simulate: {sentence}", file=sys.stderr, flush=True)
