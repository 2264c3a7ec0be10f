"""Handlers: users' functions, compiled with their dependencies."""

from portcast.handlers.compile import CompiledHandler, Overrides, Providers, compile_handler
from portcast.handlers.markers import InThread, PerConnection, in_thread
from portcast.handlers.router import Declaration, DeviceRouter
from portcast.handlers.signature import Signatures, read_signatures

__all__ = [
    "CompiledHandler",
    "Declaration",
    "DeviceRouter",
    "InThread",
    "Overrides",
    "PerConnection",
    "Providers",
    "Signatures",
    "compile_handler",
    "in_thread",
    "read_signatures",
]
