"""Puts the ways in for SDK clients on a router, and keeps one `SdkNode` for the node that runs."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from portcast.centrifuge.options import SessionOptions
from portcast.config import HttpOptions
from portcast.events import Emit
from portcast.runtime import Node
from portcast.topics import validate_filter, validate_topic
from portcast.web.sdk_access import Access
from portcast.web.sdk_http import add_sdk_http
from portcast.web.sdk_node import SdkNode
from portcast.web.sdk_websocket import SdkWebSocketEndpoint
from portcast.web.subscribe import NodeOf, ready_node, running_node

AccessOf = Callable[[], Access]
"""Returns the rules of the running app."""


def session_options(version: str, http: HttpOptions, *, accepts_messages: bool = False) -> SessionOptions:
    """Return the options of every session: pings as for WebSockets, names as for topics."""
    return SessionOptions(
        f"portcast {version}",
        validate_filter,
        validate_topic,
        ping_s=max(1, round(http.ping_interval_s)),
        pong_s=min(http.ping_timeout_s, max(1, round(http.ping_interval_s)) * 0.9),
        accepts_messages=accepts_messages,
    )


class _SdkNodes:
    """Makes the `SdkNode` of each node that runs, one after the other."""

    def __init__(self, node: NodeOf, access: AccessOf, options: SessionOptions, http: HttpOptions, emit: Emit) -> None:
        self._node = node
        self._access = access
        self._options = options
        self._http = http
        self._emit = emit
        self._current: SdkNode | None = None

    def ready(self) -> SdkNode | None:
        """Return the running node's, if it takes new clients."""
        node = ready_node(self._node)
        return self._of(node) if node is not None else None

    def serving(self) -> SdkNode | None:
        """Return the running node's, also while it takes no new clients because memory is short."""
        node = running_node(self._node)
        return self._of(node) if node is not None and node.state == "ready" else None

    def _of(self, node: Node) -> SdkNode:
        if self._current is None or self._current.hub is not node.hub:
            self._current = SdkNode(
                node,
                self._access(),
                self._options,
                self._emit,
                max_message_bytes=self._http.max_message_bytes,
                rates=self._http.rates,
            )
        return self._current


def add_sdk_routes(
    router: APIRouter, node: NodeOf, access: AccessOf, session: SessionOptions, http: HttpOptions, emit: Emit
) -> None:
    """Add ``/connection/websocket``, ``/connection/http_stream``, ``/connection/sse`` and ``/emulation``."""
    nodes = _SdkNodes(node, access, session, http, emit)
    websocket = SdkWebSocketEndpoint(nodes.ready, session, http)
    router.add_api_websocket_route("/connection/websocket", websocket.serve, name="centrifuge")
    add_sdk_http(router, nodes.ready, nodes.serving, http)
