"""What a server says to whoever started it."""

from __future__ import annotations

from contextlib import suppress

import click


def tell(text: str) -> None:
    """Print a line to standard error. A disk that is full behind it does not end a server."""
    with suppress(OSError):
        click.echo(text, err=True)
