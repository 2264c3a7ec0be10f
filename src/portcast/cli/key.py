"""``portcast key``: a new API key, and what of it goes into the configuration."""

from __future__ import annotations

import sys
from hashlib import sha256
from secrets import token_urlsafe

import click

KEY_BYTES = 32
"""256 bits: nobody guesses one, so its digest needs neither salt nor stretching."""


@click.command(epilog='Example: portcast key, then secret = "sha256:..." in [keys.NAME] of the file')
@click.option("--stdin", "reads", is_flag=True, help="Take the key from standard input instead of making one.")
def key(reads: bool) -> None:
    """Print a new API key, and the digest by which the configuration knows it.

    The key is for whoever is to use it and is printed this once. The digest is the secret of [keys.NAME], or one of a
    listener's device_tokens.
    """
    made = sys.stdin.readline().rstrip("\r\n") if reads else token_urlsafe(KEY_BYTES)
    if not made:
        raise click.ClickException("there is no key on standard input")
    if not reads:
        click.echo(f"key     {made}")
    click.echo(f"secret  sha256:{sha256(made.encode('utf-8', 'surrogateescape')).hexdigest()}")
