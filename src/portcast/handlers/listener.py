"""From a declared listener to the handler that the runtime serves its connections with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portcast.codecs import Codec, codec_for
from portcast.errors import ConfigurationError
from portcast.events import Emit
from portcast.handlers.compile import CompiledHandler, Overrides, Providers, check_kind
from portcast.handlers.declared import Declaration, Declared
from portcast.handlers.device_options import check_protocol, device_check
from portcast.handlers.listener_hooks import HookedHandler, ListenerHook
from portcast.handlers.plan import Environment, plan_all
from portcast.handlers.typed import TypedHandler
from portcast.runtime import Device, Handler, ListenerPlan
from portcast.runtime.connection import Connection


def listener_plan(
    declaration: Declaration,
    *,
    providers: Providers,
    overrides: Overrides,
    environment: Mapping[str, str],
    emit: Emit,
) -> ListenerPlan:
    """Return what the runtime is told of a declared listener.

    Args:
        declaration: of a relay, or of handlers.
        providers: types that parameters may ask for, besides the `Device` of a message.
        overrides: dependencies to be replaced.
        environment: has the variables that ``env:`` names.
        emit: is told of hooks that fail.

    Raises:
        ConfigurationError: as `compile_listener` says, or what is said of devices cannot work.
    """
    check = device_check(declaration.config, declaration.authenticate, environment)
    if declaration.function is None:
        return ListenerPlan(declaration.config, check=check)
    handler = compile_listener(
        declaration,
        providers={**providers, Device: lambda connection: connection.device},
        overrides=overrides,
        hook_providers=providers,
        emit=emit,
    )
    protocol, needs_device = declaration.protocol, asks_for(declaration, Device)
    check_protocol(protocol, handler.name, is_per_connection=handler.is_per_connection, needs_device=needs_device)
    return ListenerPlan(declaration.config, handler, protocol, needs_device, check)


def compile_listener(
    declaration: Declaration, *, providers: Providers, overrides: Overrides, hook_providers: Providers, emit: Emit
) -> Handler:
    """Return the handler of a listener: one function, or one for each model, with the hooks around.

    Args:
        declaration: with at least one function.
        providers: types that parameters of handlers may ask for.
        overrides: dependencies to be replaced.
        hook_providers: the same for hooks.
        emit: is told of hooks that fail.

    Raises:
        ConfigurationError: as `portcast.handlers.compile_handler` says; two handlers take one model, or one takes none
            of the union; a hook asks for what it is not told, or is never called.
    """
    for function, _ in declaration.handlers:
        check_kind(function)
    asked = [(one, _environment(one, providers, overrides, is_hook=False)) for one in declaration.handlers]
    hooks = declaration.hooks.items()
    hooked = [(one, _environment(one, hook_providers, overrides, is_hook=True)) for _, one in hooks]
    plans = plan_all([(function, environment) for (function, _), environment in (*asked, *hooked)])
    handler: Handler
    if declaration.message is None:
        ((function, _), environment), plan = asked[0], plans[0]
        handler = CompiledHandler(function, declaration.codec, environment, plan)
    else:
        functions = [function for function, _ in declaration.handlers]
        codec: Codec[Any] = declaration.codec or codec_for(declaration.message)
        handler = TypedHandler(declaration.message, list(zip(functions, plans, strict=False)), codec)
    if not hooks:
        return handler
    if "on_idle" in declaration.hooks and not declaration.config.options.idle_timeout_s:
        raise ConfigurationError(
            f"listener {declaration.config.address.url}", "on_idle is never called", "set idle_timeout= above 0"
        )
    compiled = {
        name: ListenerHook(name, function, plan)
        for (name, (function, _)), plan in zip(hooks, plans[len(asked) :], strict=True)
    }
    return HookedHandler(handler, compiled, emit)


def _environment(one: Declared, providers: Providers, overrides: Overrides, *, is_hook: bool) -> Environment:
    return Environment(
        connection_type=Connection,
        providers=dict(providers),
        overrides=dict(overrides),
        signatures=one[1],
        is_hook=is_hook,
    )


def asks_for(declaration: Declaration, kind: type[Any]) -> bool:
    """Return True if a handler of a listener, or one of its dependencies, has a parameter of this type."""
    return any(signatures.asks_for(kind) for _, signatures in declaration.handlers)
