"""Finds the listener that a test means."""

from __future__ import annotations

from portcast.address import parse_address
from portcast.errors import ConfigurationError
from portcast.gateway import Gateway
from portcast.runtime import Listener


def find_listener(gateway: Gateway, wanted: str | int | None) -> Listener:
    """Return a listener of a running gateway.

    Args:
        gateway: runs.
        wanted: see `TestDevice`.

    Raises:
        ConfigurationError: there is no such listener, or several where none was named.
    """
    listeners = gateway.listeners
    declared = [one.config.address for one in gateway.devices.declarations]
    known = ", ".join(f"{index}: {one.name}" for index, one in enumerate(listeners)) or "none"
    if wanted is None:
        if len(listeners) != 1:
            raise ConfigurationError("listener", "say which", f"the gateway has {known}")
        return listeners[0]
    if isinstance(wanted, int):
        if 0 <= wanted < len(listeners):
            return listeners[wanted]
    else:
        for one in listeners:
            if one.name == wanted:
                return one
        try:
            address = parse_address(wanted)
        except ConfigurationError:
            address = None
        for one, where in zip(listeners, declared, strict=False):
            if where == address:
                return one
    raise ConfigurationError("listener", f"there is no {wanted!r}", f"the gateway has {known}")
