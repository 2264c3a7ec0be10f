"""``portcast check``: is this configuration file right, what does it amount to, and what could a stranger do?"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict

import click

from portcast.cli.summary import Limits, posture_report, settings_report
from portcast.observability import escape
from portcast.posture import posture, worst
from portcast.posture_view import Finding
from portcast.runtime.certificates import Certificates
from portcast.runtime.limits import connection_budget, http_connections, raise_descriptor_limit
from portcast.settings import Settings, load_settings

DANGEROUS = 3
"""Exit status: the file is valid, and what it says is dangerous."""


@click.command(
    epilog="Example: portcast check gateway.toml && portcast serve gateway.toml",
)
@click.argument("file", metavar="FILE")
@click.option(
    "--json", "is_json", is_flag=True, help="Print the security posture as one JSON object, and nothing else."
)
def check(file: str, is_json: bool) -> int:
    """Check a configuration FILE and print what it amounts to, and how safe that is.

    Nothing is bound and nothing is started. The environment (PORTCAST_…) counts, as it does for serve. Settings that
    differ from the default are marked with a star. The exit status is 0 if the file is valid, 1 and one line if it is
    not, and 3 if it is valid and dangerous: then a stranger could read everything, publish, or hold what others need.
    """
    settings = load_settings(file, os.environ)
    check_files(settings)
    limits = effective_limits(settings)
    http = http_connections(limits.descriptors, settings.http_options.max_connections)
    findings = posture(settings, os.environ, connections=limits.connections, http_connections=http)
    is_dangerous = worst(findings) == "danger"
    if is_json:
        click.echo(_as_json(findings, is_dangerous=is_dangerous))
    else:
        click.echo(f"{escape(file)} is valid.\n")
        click.echo(settings_report(settings, limits))
        click.echo("\n" + posture_report(findings))
    return DANGEROUS if is_dangerous else 0


def _as_json(findings: Sequence[Finding], *, is_dangerous: bool) -> str:
    return json.dumps({"dangerous": is_dangerous, "findings": [asdict(one) for one in findings]})


def check_files(settings: Settings) -> None:
    """Read the certificates as a start would.

    Raises:
        ConfigurationError: a file of TLS cannot be used.
    """
    for options in (settings.http_tls, *(listener.tls for listener in settings.listeners)):
        if options.is_enabled:
            Certificates(options, "", lambda event: None)


def effective_limits(settings: Settings) -> Limits:
    """Return what a gateway with these settings may use on this machine; raises the limit of open files."""
    descriptors = raise_descriptor_limit()
    budget = connection_budget(descriptors, settings.gateway.max_connections)
    return Limits(descriptors, budget, settings.gateway.drain_timeout_s)
