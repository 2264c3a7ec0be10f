"""Tests of `portcast.cli.check`."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from portcast.cli.check import check, effective_limits
from portcast.errors import ConfigurationError
from portcast.settings import load_settings
from tls_kit import Authority


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


def test_a_valid_file_and_what_it_amounts_to(file: Path) -> None:
    file.write_text('listen = ["8101?topic=logs"]\n[gateway]\nmax_connections = 50')
    result = CliRunner().invoke(check, [str(file)], env={"PORTCAST_DRAIN_TIMEOUT": "7"})
    assert result.exit_code == 0
    assert result.output.startswith(f"{file} is valid.\n")
    assert "listener   tcp://127.0.0.1:8101" in result.output
    assert "50 device connections" in result.output
    assert "* drain_timeout        7s" in result.output


def test_nothing_is_bound(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        file.write_text(f"listen = [{held.getsockname()[1]}]")
        assert CliRunner().invoke(check, [str(file)]).exit_code == 0


def test_a_mistake_is_an_error(file: Path) -> None:
    file.write_text("listn = []")
    result = CliRunner().invoke(check, [str(file)])
    assert isinstance(result.exception, ConfigurationError)


def test_certificates_are_read(file: Path, tmp_path: Path) -> None:
    """A file that a start would refuse is a mistake here, too."""
    cert, key = Authority(tmp_path).issue("server", "gate.example")
    pair = f'cert = ["{cert}"]\ncert_key = ["{key}"]'
    file.write_text(f'[[listener]]\nurl = "tls://127.0.0.1:8443"\n{pair}\n[http]\n{pair}')
    result = CliRunner().invoke(check, [str(file)])
    assert result.exit_code == 0
    assert "listener   tls://127.0.0.1:8443" in result.output
    assert "http       https://127.0.0.1:8000" in result.output
    assert f"* cert_key             {key}" in result.output
    Path(key).write_text("broken")
    result = CliRunner().invoke(check, [str(file)])
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.key == cert


def test_the_budget_follows_from_the_descriptors() -> None:
    limits = effective_limits(load_settings(arguments={"max_connections": "20", "drain_timeout": "2"}))
    assert (limits.connections, limits.drain_timeout_s) == (20, 2.0)
    assert limits.descriptors > 100


def test_the_posture_is_told_in_sentences(file: Path) -> None:
    file.write_text("")
    result = CliRunner().invoke(check, [str(file)], standalone_mode=False)
    assert (result.return_value, result.exit_code) == (0, 0)
    assert "  ok       http: everybody on this machine can connect to 127.0.0.1:8000" in result.output
    assert result.output.endswith("  no dangers\n")


def test_what_is_dangerous_has_a_status_of_its_own(file: Path) -> None:
    file.write_text('http = "0.0.0.0:8000"\n[centrifuge]\ninsecure = true')
    result = CliRunner().invoke(check, [str(file)], standalone_mode=False)
    assert result.return_value == 3
    assert "danger   http: a stranger may read every topic, publish" in result.output
    assert "1 danger\n" in result.output


def test_the_posture_as_json(file: Path) -> None:
    file.write_text('listen = ["tcp://0.0.0.0:8001?insecure=true"]')
    result = CliRunner().invoke(check, [str(file), "--json"], standalone_mode=False)
    assert result.return_value == 3
    said = json.loads(result.output)
    assert said["dangerous"]
    assert {"level", "subject", "sentence"} == set(said["findings"][0])


def test_tokens_are_not_shown(file: Path) -> None:
    file.write_text('listen = ["8001?device_tokens=env:A_TOKEN,env:B_TOKEN"]')
    result = CliRunner().invoke(check, [str(file)], env={"A_TOKEN": "a" * 20, "B_TOKEN": "b" * 20})
    assert "* device_tokens        2 set" in result.output
    assert "A_TOKEN" not in result.output
