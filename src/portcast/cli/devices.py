"""``portcast devices`` and ``portcast command``: who the devices of a running gateway are, and asking one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from portcast.cli.api_client import call, token_option
from portcast.cli.numbers import FiniteRange
from portcast.devices import validate_device_id
from portcast.errors import DeviceIdError
from portcast.observability import escape

PAGE = 1000
"""Devices asked for at a time, as many as the API gives."""
MOST_WAIT_S = 60.0
"""As long as the API waits."""

_GOOD = frozenset({"answered", "delivered", "queued", "written"})
"""States of a command after which the exit status is 0."""

_HINTS = {
    404: "`portcast devices` lists those that are",
    503: "try again later",
}
"""What to do about a refused command, where the gateway's own reason does not say it."""

_MEANINGS = {
    "timed_out": "the device did not answer in time; perhaps it did it all the same, so look before you ask again",
    "unknown": "the connection was lost before the device answered; perhaps it did it, so look before you ask again",
    "expired": "the device did not come in time, and has not got it; send it again once `portcast devices` shows it",
    "displaced": "a newer command took its place, and the device has not got this one",
    "cancelled": "somebody cancelled it, and the device has not got it",
}
"""What an end that is not the device's own answer says about the device."""

_url = click.option(
    "--url", default="http://127.0.0.1:8000", show_default=True, metavar="URL", help="Where the gateway is."
)
_json = click.option("--json", "is_json", is_flag=True, help="Print JSON instead of text.")


@click.command(epilog="Example: portcast devices --status quarantined --search 192.0.2.")
@_url
@token_option
@click.option("--status", type=click.Choice(["online", "offline", "quarantined"]), help="Only those of this status.")
@click.option(
    "--search", default="", metavar="TEXT", help="Only those whose id, address or tags contain it, in any case."
)
@_json
def devices(url: str, token: str, status: str | None, search: str, is_json: bool) -> None:
    """List the devices of a running gateway.

    Each line is an id, a status, the address and the number of messages; a device that is away is listed, too.
    """
    for one in _devices(url, status, search, token):
        if is_json:
            click.echo(json.dumps(one))
        else:
            address = one["address"] or "-"
            click.echo(escape(f"{one['id']:20} {one['status']:11} {address:22} {one['frames']} messages"))


def _devices(url: str, status: str | None, search: str, token: str) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        query = f"limit={PAGE}&after={quote(after, safe='')}" + (f"&status={status}" if status else "")
        query += f"&search={quote(search, safe='')}" if search else ""
        page = call(url, "GET", f"/api/devices?{query}", token=token)
        yield from page["devices"]
        if page["next"] is None:
            return
        after = page["next"]


@click.command(
    epilog="""
\b
Examples:
  portcast command 356938035643809 reboot
  portcast command boiler-1 "SET 80" --wait 0"""
)
@click.argument("device", metavar="ID")
@click.argument("text", metavar="TEXT")
@_url
@token_option
@click.option(
    "--wait",
    default=10.0,
    show_default=True,
    type=FiniteRange(0, MOST_WAIT_S),
    metavar="S",
    help="Seconds to wait for the end of the command; 0 does not wait.",
)
@_json
def command(device: str, text: str, url: str, token: str, wait: float, is_json: bool) -> int:
    """Send the command TEXT to the device ID and print its answer.

    A device that is away gets it when it is back. The exit status is 1 if the command was refused, timed out, expired,
    or was lost on the way.
    """
    try:
        validate_device_id(device)
    except DeviceIdError as error:
        raise click.BadParameter(f"{error.problem}; {error.hint}", param_hint="ID") from error
    path = f"/api/devices/{quote(device, safe='')}/commands?wait={wait:g}"
    done = call(url, "POST", path, {"command": text}, token=token, patience_s=wait, hints=_HINTS)
    if is_json:
        click.echo(json.dumps(done))
    elif done["answer"] is None:
        click.echo(escape(done["state"].replace("_", " ")))
    else:
        answer = done["answer"]
        click.echo(f"{done['state']}: {escape(answer if isinstance(answer, str) else json.dumps(answer))}")
    if done["state"] in _MEANINGS:
        click.echo(f"portcast command: {_MEANINGS[done['state']]}", err=True)
    return 0 if done["state"] in _GOOD else 1
