"""Command line flags made of the options dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import click

from portcast.config import default_of, units_of
from portcast.settings import OPTIONS, SECTIONS, Option

F = TypeVar("F", bound=Callable[..., Any])


def settings_options(command: F) -> F:
    """Give a command a flag for each of `portcast.settings.OPTIONS`; each arrives as text, or None if not given.

    Those that are true or false are two flags, and arrive as bool.
    """
    for option in reversed(OPTIONS):
        names, about = [option.flag], dict[str, Any](metavar=_metavar(option))
        if _hint(option) is bool:
            # A flag with a value would swallow the name of the file behind it.
            names, about = [f"{option.flag}/--no-{option.flag[2:]}"], {"default": None}
        text = f"{help_text(option.field.metadata)}  [default: {default_text(option)}]"
        command = click.option(*names, option.parameter, help=text, **about)(command)
    return command


def help_text(metadata: Mapping[Any, Any]) -> str:
    """Return what an option is for, as a sentence without its full stop."""
    text: str = metadata.get("help", "").rstrip(".")
    return text[:1].upper() + text[1:]


def default_text(option: Option) -> str:
    """Return an option's default as a user would write it."""
    return value_text(option.field.name, default_of(option.field)) or "none"


def shown_text(f: Field[Any], value: object) -> str:
    """Return the value of a field for people to look at: as a user would write it, but of secrets only how many."""
    if f.metadata.get("is_secret") and isinstance(value, tuple) and value:
        return f"{len(value)} set"
    return value_text(f.name, value)


def value_text(field_name: str, value: object) -> str:
    """Return the value of a field as a user would write it: ``15s``, ``64KiB``, ``500``.

    Args:
        field_name: with its unit: ``drain_timeout_s``.
        value: of the field's type; None, which nobody can write, is the empty text.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, (int, float)):
        if field_name.endswith("_s"):
            return f"{value:g}s" if value < 3600 or value % 3600 else f"{value / 3600:g}h"
        if field_name.endswith("bytes"):
            for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
                if value and value % size == 0:
                    return f"{value // size:g}{unit}"
        return f"{value:g}" if isinstance(value, float) else str(value)
    return str(value)


def _hint(option: Option) -> object:
    return get_type_hints(option.section.cls)[option.field.name]


def _metavar(option: Option) -> str:
    hint = _hint(option)
    if choices := get_args(hint) if get_origin(hint) is not tuple else ():
        return "[" + "|".join(map(str, choices)) + "]"
    if get_origin(hint) is tuple:
        return "A,B,…"
    if option.name.endswith("_dir"):
        return "DIR"
    units = units_of(option.field)
    return "DURATION" if "ms" in units else "SIZE" if "kib" in units else "NUMBER" if hint is not str else "TEXT"


class SettingsCommand(click.Command):
    """A command whose help shows generated flags by section, after its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags."""
        generated = {option.parameter: option for option in OPTIONS}
        groups: dict[str, list[tuple[str, str]]] = {"": []}
        groups |= {section.table: [] for section in SECTIONS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                option = generated.get(parameter.name or "")
                groups[option.section.table if option else ""].append(record)
        for table, records in groups.items():
            if records:
                with formatter.section(f"Options of [{table}]" if table else "Options"):
                    formatter.write_dl(records)
