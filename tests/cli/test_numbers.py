"""Tests of `portcast.cli.numbers`, and that the commands use it."""

from __future__ import annotations

import click
import pytest

from portcast.cli import main
from portcast.cli.numbers import FiniteRange


def test_numbers_in_the_range() -> None:
    """Both ends are in it."""
    assert [FiniteRange(0.5, 2).convert(text, None, None) for text in ("0.5", "1e0", "2")] == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0.4", "1e300", "x"])
def test_everything_else(text: str) -> None:
    """``nan`` is neither below nor above anything, so a range alone lets it pass."""
    with pytest.raises(click.BadParameter):
        FiniteRange(0.5, 2).convert(text, None, None)


@pytest.mark.parametrize("text", ["nan", "inf", "1e-300", "1e300", "0", "-1"])
@pytest.mark.parametrize("command", [["simulate", "--rate"], ["simulate", "--duration"], ["send", "1", "--rate"]])
def test_commands_refuse_what_they_cannot_keep(
    command: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line and status 2, instead of a traceback or an endless sleep."""
    with pytest.raises(SystemExit) as ended:
        main([*command, text])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
