"""``portcast record``: what a device really sends, live."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from portcast.cli.api_client import call, token_option
from portcast.cli.numbers import FiniteRange
from portcast.config import MOST_SECONDS
from portcast.devices import validate_device_pattern
from portcast.errors import DeviceIdError
from portcast.observability import escape
from portcast.recorder import parse_rule

EVERY_S = 0.5
"""Between two looks for new frames."""
PAGE = 1000
"""Frames asked for at a time, as many as the API gives."""
MOST_SHOWN = 64
"""Bytes of a frame that are shown in a line; ``--json`` shows all that is kept."""
_KINDS = ("device", "connection", "listener", "peer")
_HINTS = {404: "`portcast devices` lists the devices that are"}
_ARROWS = {"in": "<", "out": ">", "refused": "!"}


@click.command(
    epilog="""
\b
Examples:
  portcast record boiler-1
  portcast record "boiler-*" --for 3600 --on
  portcast record listener:tcp://127.0.0.1:8001 --show
  portcast record peer:192.0.2.7 --off"""
)
@click.argument("what", metavar="WHAT")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, metavar="URL", help="Where the gateway is.")
@token_option
@click.option(
    "--for",
    "for_s",
    default=600.0,
    show_default=True,
    type=FiniteRange(0.001, MOST_SECONDS),
    metavar="S",
    help="Seconds after which it ends by itself.",
)
@click.option("--on", "is_on", is_flag=True, help="Turn it on and return.")
@click.option("--off", "is_off", is_flag=True, help="Turn it off and return; what was recorded stays for a while.")
@click.option("--show", "is_shown", is_flag=True, help="Print what is recorded and return; turn nothing on.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON instead of text.")
def record(
    what: str, url: str, token: str, for_s: float, is_on: bool, is_off: bool, is_shown: bool, is_json: bool
) -> None:
    """Record the raw frames of WHAT and print them as they come, until Ctrl-C, which ends the recording.

    WHAT is the id of a device, or device:ID, connection:ID, listener:NAME or peer:ADDRESS; a final * stands for any
    rest. In a line, < came from the device, > went to it, and ! was refused by the framing. Payloads may be sensitive:
    the gateway's options and listeners say what is left out of them.
    """
    rule = _rule(what)
    path = f"/api/recorder/rules/{quote(rule, safe='')}"
    frames = _frames_path(rule)
    if is_on + is_off + is_shown > 1:
        raise click.UsageError("only one of --on, --off and --show can be given", click.get_current_context())
    if is_off:
        call(url, "DELETE", path, token=token)
    elif is_shown:
        for one in _frames(url, token, frames, 0):
            _print(one, is_json=is_json)
    elif is_on:
        call(url, "PUT", f"{path}?for={for_s:g}", token=token)
    else:
        _follow(url, token, rule, for_s, is_json=is_json)


def _rule(what: str) -> str:
    """Return the rule that is meant; raise `click.BadParameter` if it can never match."""
    text = what if what.partition(":")[0] in _KINDS and ":" in what else f"device:{what}"
    try:
        rule = parse_rule(text)
        if rule.kind == "device":
            validate_device_pattern(rule.pattern)
    except DeviceIdError as error:
        raise click.BadParameter(
            f"no device can have this id: {error.problem}; {error.hint}", param_hint="WHAT"
        ) from error
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="WHAT") from error
    return text


def _follow(url: str, token: str, rule: str, for_s: float, *, is_json: bool) -> None:
    """Record, print what comes, and turn the recording off in the end; Ctrl-C goes on to the caller then."""
    path = f"/api/recorder/rules/{quote(rule, safe='')}"
    last = call(url, "GET", "/api/recorder?limit=1", token=token)["last_number"]
    call(url, "PUT", f"{path}?for={for_s:g}", token=token)
    end = time.monotonic() + for_s
    click.echo(f"recording {escape(rule)} for {for_s:g} s; Ctrl-C ends it", err=True)

    def show_new() -> None:
        nonlocal last
        for one in _frames(url, token, _frames_path(rule), last):
            _print(one, is_json=is_json)
            last = one["number"]

    try:
        while time.monotonic() < end:
            show_new()
            time.sleep(EVERY_S)
    except KeyboardInterrupt:
        call(url, "DELETE", path, token=token)
        show_new()  # what came since the last look
        raise
    except BaseException:
        # Nobody reads what is printed any more, or the gateway is gone.
        call(url, "DELETE", path, token=token)
        raise
    show_new()  # it has ended by itself


def _frames_path(rule: str) -> str:
    """Return where the frames of a rule are; those of everything that is recorded, if it may mean several."""
    kind, _, pattern = rule.partition(":")
    if kind == "device" and not pattern.endswith("*"):
        return f"/api/devices/{quote(pattern, safe='')}/frames"
    return "/api/recorder/frames"


def _frames(url: str, token: str, path: str, after: int) -> Iterator[dict[str, Any]]:
    while True:
        page = call(url, "GET", f"{path}?limit={PAGE}&after={after}", token=token, hints=_HINTS)
        yield from page["frames"]
        if page["next"] is None:
            return
        after = page["next"]


def _print(one: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps(one))
        return
    at = datetime.fromtimestamp(one["at"], UTC).strftime("%H:%M:%S.%f")[:-3]
    who = one["device"] if one["device"] is not None else one["connection"]
    if one["skipped"]:
        click.echo(escape(f"{at} {who:20} ... {one['skipped']} frames were too fast to be recorded"))
    if one["kind"] in _ARROWS:
        shown = bytes.fromhex(one["hex"])[:MOST_SHOWN]
        rest = " ..." if len(shown) * 2 < len(one["hex"]) or one["is_truncated"] else ""
        text = shown.decode("utf-8", "backslashreplace")
        line = f"{_ARROWS[one['kind']]} {one['size']} B  {shown.hex(' ')}{rest}  |{text}|"
        line += " (redacted)" if one["is_redacted"] else ""
        line += f"  {one['detail']}" if one["detail"] else ""
    else:
        line = f"- {one['kind']} {one['detail']}".rstrip()
    click.echo(escape(f"{at} {who:20} {line}"))
