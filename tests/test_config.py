"""Tests of `portcast.config`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from portcast import config
from portcast.config import (
    GatewayOptions,
    HttpOptions,
    ListenerOptions,
    LogOptions,
    TopicOptions,
    default_of,
)
from portcast.errors import ConfigurationError


@pytest.mark.parametrize("text", ["4", "a:b", "in:1"])
def test_what_is_redacted_is_checked(text: str) -> None:
    """A mistake must not be found when the password is recorded already."""
    with pytest.raises(ConfigurationError, match=r"ListenerOptions.redact: .* is no range of bytes"):
        ListenerOptions(redact=(text,))
    assert ListenerOptions(redact=("in:4:12", "-2:")).redact == ("in:4:12", "-2:")


DATACLASSES = [ListenerOptions, TopicOptions, GatewayOptions, HttpOptions, LogOptions]


@pytest.mark.parametrize("cls", DATACLASSES)
def test_every_option_has_a_help_text_and_a_default(cls: type[Any]) -> None:
    """The command line and the reference page are made of nothing else."""
    for f in fields(cls):
        assert f.metadata["help"], f.name
        assert default_of(f) == getattr(cls(), f.name)


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        (ListenerOptions, {"backlog": 0}),
        (ListenerOptions, {"backlog": 99_999_999_999_999}),
        (ListenerOptions, {"idle_timeout_s": float("nan")}),
        (TopicOptions, {"patience_s": -1}),
        (GatewayOptions, {"flush_duty": 1.5}),
        (HttpOptions, {"ping_interval_s": 0}),
    ],
)
def test_options_built_in_python_are_checked_too(cls: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{cls.__name__}.{next(iter(values))}"):
        cls(**values)


def test_the_addresses_are_reachable_from_here() -> None:
    """Callers know one module for everything that is configured."""
    assert config.parse_address("8001") == config.Address("tcp", "127.0.0.1", 8001)
    assert config.parse_listen_url("8001?a=b")[1] == {"a": "b"}
