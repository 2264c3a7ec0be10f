"""Runs an example on free ports: the file as it is, only its listeners' ports replaced by ones that are free."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from gateway_serving import Served, port_of, serving
from portcast import Gateway


@dataclass(frozen=True)
class Example:
    """A served example."""

    module: Any
    served: Served
    ports: list[int]


@asynccontextmanager
async def example(name: str) -> AsyncIterator[Example]:
    """Serve ``examples/<name>.py``, freshly imported."""
    module = importlib.reload(importlib.import_module(f"examples.{name}"))
    gateway: Gateway = module.gateway
    gateway.devices.declarations[:] = [
        replace(one, config=replace(one.config, address=one.config.address.with_port(0)))
        for one in gateway.devices.declarations
    ]
    async with serving(module.app) as served:
        yield Example(module, served, [port_of(gateway, index) for index in range(len(gateway.listeners))])
