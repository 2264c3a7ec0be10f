"""Records what a page does that the live page must not do."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Dialog, Error, Page


@dataclass
class Watch:
    """What a page did that it must not do."""

    origin: str
    problems: list[str] = field(default_factory=list)
    is_offline_expected: bool = False
    """True in tests that stop the server: Chromium itself then logs refused connections."""

    def follow(self, page: Page) -> None:
        """Record from now on."""
        page.on("console", self._on_console)
        page.on("pageerror", self._on_page_error)
        page.on("dialog", self._on_dialog)
        page.on("request", lambda request: self._on_request(request.url))
        page.on("websocket", lambda socket_: self._on_request(socket_.url.replace("ws", "http", 1)))

    def _on_console(self, message: ConsoleMessage) -> None:
        is_network = "ERR_CONNECTION_REFUSED" in message.text or "WebSocket connection to" in message.text
        if message.type in {"error", "warning"} and not (is_network and self.is_offline_expected):
            self.problems.append(f"console {message.type}: {message.text}")

    def _on_page_error(self, error: Error) -> None:
        self.problems.append(f"exception: {error}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, url: str) -> None:
        if not url.startswith(self.origin):
            self.problems.append(f"foreign request: {url}")
