from __future__ import annotations

from dataclasses import fields

import pytest

from portcast.delivery import OutboxLimits


def test_defaults_are_the_designs() -> None:
    """Soft 256 KiB or 512 messages for 2 s, hard 1 MiB or 1024 messages or 10 s (design: defaults)."""
    limits = OutboxLimits()
    assert (limits.soft_bytes, limits.soft_messages, limits.soft_for_s) == (256 * 1024, 512, 2.0)
    assert (limits.hard_bytes, limits.hard_messages, limits.hard_age_s) == (1024**2, 1024, 10.0)


@pytest.mark.parametrize("name", [one.name for one in fields(OutboxLimits)])
def test_each_option_says_what_it_is_and_its_least_value(name: str) -> None:
    """Command line, TOML, environment and reference are generated from the fields' metadata."""
    (option,) = (one for one in fields(OutboxLimits) if one.name == name)
    assert option.metadata["help"]
    assert option.metadata["minimum"] == (0 if name.endswith("_s") else 1)
