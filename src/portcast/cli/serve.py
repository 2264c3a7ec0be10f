"""``portcast serve``: the ready-made gateway."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from portcast import __version__
from portcast.cli.check import effective_limits
from portcast.cli.options import SettingsCommand, settings_options
from portcast.cli.stdout import discard_stdout
from portcast.cli.summary import page_url, start_block
from portcast.config import Address
from portcast.observability import configure_logging
from portcast.settings import CONFIG_VARIABLE, Settings, load_settings

if TYPE_CHECKING:
    from portcast.gateway import Gateway


@click.command(
    cls=SettingsCommand,
    epilog="""
\b
Examples:
  portcast serve
  portcast serve --listen 9000 --listen "tcp://127.0.0.1:9001?framing=lines&topic=logs"
  portcast serve gateway.toml --http 127.0.0.1:8080
Every option can also be written in the file and in the environment (PORTCAST_HTTP, PORTCAST_LISTEN,
PORTCAST_DRAIN_TIMEOUT, ...); the command line wins. `portcast check` shows what a file amounts to.""",
)
@click.argument("config", required=False, envvar=CONFIG_VARIABLE, metavar="[CONFIG.toml]")
@click.option(
    "--http", metavar="HOST:PORT", help="Where the web page and the API are served.  [default: 127.0.0.1:8000]"
)
@click.option(
    "--listen",
    "-l",
    multiple=True,
    metavar="URL",
    help="Where devices connect: a port, tcp://HOST:PORT?key=value&... or unix:///PATH?key=value. May be repeated."
    "  [default: 8001, 8002, 8003]",
)
@settings_options
def serve(config: str | None, http: str | None, listen: tuple[str, ...], **arguments: str | bool | None) -> None:
    """Run the gateway.

    Without arguments it serves a live page on http://127.0.0.1:8000 and takes lines of text from devices on ports
    8001, 8002 and 8003. It stops in order on Ctrl-C or SIGTERM: what was received is still delivered, then everybody
    is told goodbye. A second Ctrl-C stops at once.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    run(load_settings(config, os.environ, http=http, listen=listen, arguments=given))


def run(settings: Settings) -> None:
    """Run a gateway until it is told to stop, then end the process.

    Raises:
        ListenError: an address cannot be bound.
    """
    # Imported here because it takes half a second, which `portcast tail` and its like need not wait for.
    from fastapi import FastAPI

    from portcast import server
    from portcast.http_tls import HttpTls
    from portcast.process_end import exit_process

    configure_logging(settings.log)
    gateway = make_gateway(settings)
    # The pages at /docs and /redoc load their scripts from other sites, and ours must work without.
    app = FastAPI(title="Portcast", version=__version__, docs_url=None, redoc_url=None)
    app.include_router(gateway)
    has_tls = settings.http_tls.is_enabled or any(listener.tls.is_enabled for listener in settings.listeners)
    status = server.serve(
        app,
        gateway,
        http=settings.http,
        options=settings.http_options,
        tls=HttpTls.of(settings.http_tls, gateway.emit),
        emit=gateway.emit,
        reload=(lambda: gateway.is_running and gateway.reload_certificates()) if has_tls else None,
        drain_timeout_s=settings.gateway.drain_timeout_s,
        on_ready=lambda http: announce(settings, gateway, http),
        ends_process=True,
    )
    exit_process(status)


def make_gateway(settings: Settings) -> Gateway:
    """Return a gateway with the listeners of ``settings``, each a relay to its topic."""
    from portcast.gateway import Gateway
    from portcast.runtime import RecorderSettings

    gateway = Gateway(
        options=settings.gateway,
        outbox=settings.outbox,
        history=settings.history,
        http=settings.http_options,
        topics=settings.topics,
        centrifuge=settings.centrifuge,
        permissions=settings.permissions,
        keys=settings.keys,
        devices=settings.devices,
        recorder=RecorderSettings(settings.recorder),
    )
    gateway.http_address = settings.http
    for listener in settings.listeners:
        gateway.add_relay(listener)
    return gateway


def announce(settings: Settings, gateway: Gateway, http: Address) -> None:
    """Say on standard output that the gateway serves; with JSON logs, in the log and as one line."""
    limits = replace(effective_limits(settings), connections=gateway.max_connections)
    if settings.log.format == "json":
        fields = {
            "page": page_url(http),
            "listeners": [listener.address.url for listener in gateway.listeners],
            "connections": limits.connections,
            "descriptors": limits.descriptors,
        }
        logging.getLogger("portcast").info("serving", extra={"event": "serving", "fields": fields})
        return
    try:
        click.echo(start_block(http, gateway.listeners, limits, asks_nobody=not settings.is_configured))
    except BrokenPipeError:
        discard_stdout()  # `portcast serve | head -1` has seen its line; the gateway goes on
