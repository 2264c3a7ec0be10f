"""``portcast check``: is this configuration file right, and what does it amount to?"""

from __future__ import annotations

import os

import click

from portcast.cli.summary import Limits, settings_report
from portcast.observability import escape
from portcast.runtime.limits import connection_budget, raise_descriptor_limit
from portcast.settings import Settings, load_settings


@click.command(
    epilog="Example: portcast check gateway.toml && portcast serve gateway.toml",
)
@click.argument("file", metavar="FILE")
def check(file: str) -> None:
    """Check a configuration FILE and print what it amounts to.

    Nothing is bound and nothing is started. The environment (PORTCAST_…) counts, as it does for serve. Settings that
    differ from the default are marked with a star. The exit status is 0 if the file is valid, otherwise 1 and one
    line says what is wrong.
    """
    settings = load_settings(file, os.environ)
    click.echo(f"{escape(file)} is valid.\n")
    click.echo(settings_report(settings, effective_limits(settings)))


def effective_limits(settings: Settings) -> Limits:
    """Return what a gateway with these settings may use on this machine; raises the limit of open files."""
    descriptors = raise_descriptor_limit()
    budget = connection_budget(descriptors, settings.gateway.max_connections)
    return Limits(descriptors, budget, settings.gateway.drain_timeout_s)
