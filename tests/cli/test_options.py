"""Tests of `portcast.cli.options`."""

from __future__ import annotations

import ast

import click
import pytest
from click.testing import CliRunner

from portcast.cli.options import SettingsCommand, default_text, help_text, settings_options, shown_text, value_text
from portcast.settings import OPTIONS


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("drain_timeout_s", 15.0, "15s"),
        ("patience_s", 0.5, "0.5s"),
        ("idle_s", 86_400.0, "24h"),
        ("idle_s", 5_000.0, "5000s"),
        ("age_s", 0.0, "0s"),
        ("size_bytes", 65_536, "64KiB"),
        ("size_bytes", 1_048_576, "1MiB"),
        ("size_bytes", 1000, "1000"),
        ("size_bytes", 0, "0"),
        ("count", 12, "12"),
        ("share", 0.5, "0.5"),
        ("is_on", True, "true"),
        ("names", ("a", "b"), "a,b"),
        ("names", (), "none"),
        ("level", "info", "info"),
    ],
)
def test_values_are_shown_as_they_are_written(name: str, value: object, text: str) -> None:
    assert value_text(name, value) == text


def test_help_begins_with_a_capital_and_has_no_full_stop() -> None:
    assert help_text({"help": "so it is."}) == "So it is"
    assert help_text({}) == ""


@pytest.fixture
def command() -> click.Command:
    @click.command(cls=SettingsCommand)
    @click.option("--own", help="Mine.")
    @click.argument("file", required=False)
    @settings_options
    def show(own: str | None, file: str | None, **arguments: str | None) -> None:
        """Show."""
        click.echo(str({name: value for name, value in arguments.items() if value is not None}))

    return show


def test_every_option_has_a_flag_with_its_help_and_default(command: click.Command) -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"], terminal_width=500).output.split())
    for option in OPTIONS:
        assert option.flag in text
        assert f"{help_text(option.field.metadata)} [default: {default_text(option)}]" in text


def test_help_is_grouped_by_section(command: click.Command) -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    assert text.index("--own") < text.index("Options of [gateway]") < text.index("Options of [history]")
    assert "DURATION" in text
    assert "[text|json]" in text


def test_what_is_given_arrives_as_text(command: click.Command) -> None:
    """Conversion is the settings' work, so that a mistake reads the same wherever it was made."""
    result = CliRunner().invoke(command, ["--drain-timeout", "5x", "--log-level", "loud"])
    assert result.output.strip() == "{'drain_timeout': '5x', 'log_level': 'loud'}"


def test_what_is_true_or_false_is_a_flag(command: click.Command) -> None:
    """Without a value, which would swallow the name of the file behind it."""
    result = CliRunner().invoke(command, ["--insecure", "gateway.toml", "--no-personal-channel"])
    assert ast.literal_eval(result.output) == {"personal_channel": False, "insecure": True}


def test_secrets_are_not_shown() -> None:
    """Only how many there are, and the default as ever."""
    secrets = next(one for one in OPTIONS if one.parameter == "token_hmac_secrets").field
    assert shown_text(secrets, ("hunter2", "x")) == "2 set"
    assert shown_text(secrets, ()) == "none"
    keys = next(one for one in OPTIONS if one.parameter == "token_public_keys").field
    assert shown_text(keys, ("a.pem",)) == "a.pem"
