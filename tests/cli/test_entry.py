"""Tests of `portcast.cli.entry`: how commands end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli.processes import environment, run
from portcast import __version__
from portcast.cli import entry
from portcast.cli.entry import main
from portcast.errors import PortcastError


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert status(*arguments) == 0
    assert capsys.readouterr().out == f"portcast {__version__}\n"


def test_help_is_for_newcomers(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--help") == 0
    text = capsys.readouterr().out
    for command in ("check", "send", "serve", "simulate", "tail", "version"):
        assert f"\n  {command} " in text


@pytest.mark.parametrize("command", ["check", "send", "serve", "simulate", "tail"])
def test_every_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(command, "--help") == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"portcast {command}" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serve", "--htp", "1"], "portcast: error: No such option '--htp'"),
        (["srve"], "portcast: error: No such command 'srve'"),
        (["check"], "portcast: error: Missing argument 'FILE'; see portcast check --help"),
        (["serve", "--listen"], "portcast: error: Option '--listen' requires an argument; see portcast serve --help"),
        (["--nope"], "portcast: error: No such option '--nope'; see portcast --help"),
        (["simulate", "--devices", "0"], "portcast: error: Invalid value for '--devices'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(*arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith(line)
    assert text.count("\n") == 1


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert status() == 2
    assert "Usage: portcast" in capsys.readouterr().err


def test_our_errors_are_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("check", str(tmp_path / "none\x1b.toml")) == 1
    text = capsys.readouterr().err
    assert text.startswith("portcast: error: ")
    assert "none\\x1b.toml: there is no such file" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PortcastError("no\nway"), 1),
        (click.ClickException("no"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
)
def test_how_commands_fail(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(context: click.Context) -> None:
        raise error

    monkeypatch.setattr(entry.portcast, "invoke", fail)
    assert status("version") == code


def test_a_status_that_a_command_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry.portcast, "invoke", lambda context: 7)
    assert status("version") == 7


def test_a_shell_can_ask_for_completions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_PORTCAST_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "portcast si")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert status() == 0
    assert "simulate" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["serve", "--help"], ["version"]])
def test_a_reader_that_leaves_is_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "portcast", *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment(), timeout=15, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_module_is_the_command() -> None:
    done = run("version")
    assert (done.returncode, done.stdout) == (0, f"portcast {__version__}\n")
