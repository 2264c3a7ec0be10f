"""The keywords of ``listen`` that are about devices, told from those that are about the listener."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from portcast.errors import ConfigurationError
from portcast.listen_url import ListenerConfig, is_open
from portcast.runtime import Authenticate, DeviceProtocol, check_of

_logger = logging.getLogger("portcast")

_NAMES = frozenset(option.name for option in fields(DeviceProtocol))


def split_options(options: Mapping[str, Any]) -> tuple[DeviceProtocol | None, dict[str, Any]]:
    """Return what keywords say of devices, None if nothing, and the keywords that are left.

    Raises:
        ConfigurationError: a value cannot work.
    """
    ours = {name: value for name, value in options.items() if name in _NAMES}
    rest = {name: value for name, value in options.items() if name not in _NAMES}
    return (DeviceProtocol(**ours) if ours else None), rest


def check_protocol(
    protocol: DeviceProtocol | None, handler: str, *, is_per_connection: bool, needs_device: bool
) -> None:
    """Check that a handler and what its listener says of devices go together.

    Raises:
        ConfigurationError: the handler is called once per connection, so nothing can be read from its messages; or it
            asks for a `Device`, or a keyword needs to know it, and nothing says who that is.
    """
    if needs_device and (protocol is None or protocol.identify is None):
        raise ConfigurationError(
            f"handler {handler}", "it asks for a Device, and nothing says who that is", "add identify= to listen(…)"
        )
    if protocol is not None and protocol.identify is None:
        for name in ("redelivery_key", "replies", "write"):
            if getattr(protocol, name) is not None:
                raise ConfigurationError(name, "it needs to know the device", "say who it is: identify=…")
    if protocol is not None and is_per_connection:
        raise ConfigurationError(
            f"handler {handler}",
            "its listener reads who the device is from messages, but the handler is called once per connection",
            "add a parameter for the message",
        )


def device_check(
    config: ListenerConfig, authenticate: Authenticate | None, environment: Mapping[str, str]
) -> Authenticate | None:
    """Return what lets devices in on a listener, None if it lets everybody in; then warn if the network can reach it.

    Raises:
        ConfigurationError: both ``authenticate`` and tokens are given, or a token cannot be used.
    """
    check = check_of(authenticate, config.options.device_tokens, environment, str(config.address))
    if check is None and is_open(config) and not config.options.insecure:
        _logger.warning("listener %s asks nobody who they are, and the network can reach it", config.address)
    return check
