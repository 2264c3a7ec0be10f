"""The parts of the documentation that are made of the code: option tables and help texts.

A page holds them between ``<!-- generated: NAME -->`` and ``<!-- end -->``; ``python -m portcast.cli.reference PAGE…``
writes them anew, and a test fails while a page is not up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args, get_origin

import click

from portcast.api_keys import ApiKey
from portcast.cli.entry import portcast
from portcast.cli.http_reference import COLUMNS, route_rows
from portcast.cli.options import default_text, help_text, value_text
from portcast.config import ListenerOptions, TlsOptions, TopicOptions, default_of, option_names, type_of
from portcast.framing import FRAMING_NAMES, FramingOption, framing_options
from portcast.framing.describe import bytes_text
from portcast.framing.registry import CLASSES, PRESETS
from portcast.permissions import ChannelPermissions
from portcast.settings import OPTIONS, SECTIONS

HELP_WIDTH = 100

_PART = re.compile(r"(<!-- generated: (?P<name>[^>]*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def generated_parts() -> dict[str, str]:
    """Return every part by its name, each ending in a line break."""
    parts = {
        "listener": _plain_table(ListenerOptions),
        "tls": _plain_table(TlsOptions),
        "topic": _plain_table(TopicOptions),
        "permissions": _plain_table(ChannelPermissions),
        "keys": _plain_table(ApiKey),
        "framings": _framings_table(),
        "checksum": _checksum_table(),
        "routes": _table(COLUMNS, route_rows()),
        "help": _help(portcast, "portcast"),
    }
    parts |= {section.table: _section_table(section.table) for section in SECTIONS}
    parts |= {f"help {name}": _help(command, f"portcast {name}") for name, command in portcast.commands.items()}
    return parts


def renewed(page: str, parts: Mapping[str, str] | None = None) -> str:
    """Return the text of a page with its generated parts as they should be.

    Args:
        page: its text.
        parts: by name; those of this version if None.

    Raises:
        KeyError: the page names a part that does not exist.
    """
    known = generated_parts() if parts is None else parts
    return _PART.sub(lambda match: f"{match[1]}\n{known[match['name']]}\n{match[3]}", page)


def write_pages(paths: Iterable[Path]) -> None:
    """Renew pages in place."""
    for path in paths:
        path.write_text(renewed(path.read_text("utf-8")), "utf-8")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _code(text: str) -> str:
    # Two backticks without anything between them are not code in Markdown.
    return f"`{text}`" if text else "empty"


def _plain_table(cls: type[Any]) -> str:
    rows = [
        (_code(name), _code(value_text(f.name, default_of(f))), f"{help_text(f.metadata)}{_choices(cls, f)}.")
        for name, f in option_names(cls).items()
    ]
    return _table(("key", "default", "meaning"), rows)


def _choices(cls: type[Any], f: Field[Any]) -> str:
    hint = type_of(cls, f)
    choices = get_args(hint) if get_origin(hint) is not tuple else ()
    return f": {', '.join(_code(str(choice)) for choice in choices)}" if choices else ""


def _section_table(table: str) -> str:
    rows = [
        (
            _code(option.name),
            _code(option.variable),
            _code(option.flag),
            _code(default_text(option)),
            f"{help_text(option.field.metadata)}{_choices(option.section.cls, option.field)}.",
        )
        for option in OPTIONS
        if option.section.table == table
    ]
    return _table((f"key in `[{table}]`", "environment", "command line", "default", "meaning"), rows)


def _framings_table() -> str:
    checksum = {option.name for option in _checksum_options()}
    rows = []
    for name in FRAMING_NAMES:
        own = [option for option in framing_options(name) if option.name not in checksum]
        rows.append((_code(name), ", ".join(_framing_option(name, option) for option in own)))
    return _table(("framing", "its options, with their defaults"), rows)


def _framing_option(framing: str, option: FramingOption) -> str:
    if option.is_required:
        return f"{_code(option.name)} (required)"
    if framing in PRESETS:
        default: object = getattr(PRESETS[framing], option.name)
    else:
        default = next(f.default for f in fields(CLASSES[framing]) if f.name == option.name)
    text = _framing_value(option.name, default)
    return _code(f"{option.name}={text}" if text else option.name) + _alternatives(option)


def _alternatives(option: FramingOption) -> str:
    choices = get_args(option.type) if get_origin(option.type) is not tuple else ()
    words = [choice for choice in choices if isinstance(choice, str)]
    return f" ({', '.join(words)})" if words else ""


def _framing_value(name: str, value: object) -> str:
    """Return a default as a URL writes it; empty if there is none."""
    if isinstance(value, bytes):
        return bytes_text(value).replace(" ", r"\x20")
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value_text("bytes" if name == "max_frame" else name, value)


def _checksum_options() -> list[FramingOption]:
    return [option for option in framing_options(FRAMING_NAMES[0]) if option.name.startswith("checksum")]


def _checksum_table() -> str:
    rows = [(_code(option.name), _alternatives(option).strip(" ()") or "") for option in _checksum_options()]
    return _table(("key", "choices"), rows)


def _help(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name, terminal_width=HELP_WIDTH, max_content_width=HELP_WIDTH)
    return f"```text\n{command.get_help(context).rstrip()}\n```\n"


if __name__ == "__main__":
    write_pages(map(Path, sys.argv[1:]))
