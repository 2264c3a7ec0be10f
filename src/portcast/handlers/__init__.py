"""Handlers: users' functions, compiled with their dependencies."""

from portcast.handlers.compile import CompiledHandler, Overrides, Providers, compile_handler
from portcast.handlers.declared import Declaration, DeclaredListener
from portcast.handlers.listener import asks_for, listener_plan
from portcast.handlers.markers import InThread, PerConnection, in_thread
from portcast.handlers.router import DeviceRouter
from portcast.handlers.signature import Signatures, read_signatures

__all__ = [
    "CompiledHandler",
    "Declaration",
    "DeclaredListener",
    "DeviceRouter",
    "InThread",
    "Overrides",
    "PerConnection",
    "Providers",
    "Signatures",
    "asks_for",
    "compile_handler",
    "in_thread",
    "listener_plan",
    "read_signatures",
]
