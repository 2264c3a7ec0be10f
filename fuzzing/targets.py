"""What is fuzzed: functions of bytes that return, whatever the bytes, and raise for a promise that is broken.

`make fuzz` runs them with atheris, guided by coverage; ``tests/faults/test_fuzzing.py`` with hypothesis, in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fuzzing import configuration, framings, sessions, websockets


@dataclass(frozen=True, slots=True)
class Target:
    """One function and inputs to begin with, taken from real traffic."""

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]


TARGETS: Mapping[str, Target] = {
    **{
        name: Target(framings.runner(variants), [bytes((index, 0)) + seed for index, seed in framings.seeds(name)])
        for name, variants in framings.VARIANTS.items()
    },
    "websocket": Target(websockets.run, websockets.SEEDS),
    "session_json": Target(sessions.run_json, sessions.JSON_SEEDS),
    "session_protobuf": Target(sessions.run_protobuf, sessions.PROTOBUF_SEEDS),
    "toml": Target(configuration.run_toml, configuration.TOML_SEEDS),
    "listen_url": Target(configuration.run_url, configuration.URL_SEEDS),
    **({"proxy": Target(configuration.run_proxy, configuration.PROXY_SEEDS)} if configuration.HAS_PROXY else {}),
}
