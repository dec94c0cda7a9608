"""Standard output for tables."""

from __future__ import annotations

from rich.console import Console


def output_console(width: int = 160) -> Console:
    """As wide as the terminal; where there is none, `width` columns, for which no table is broken."""
    console = Console()
    return console if console.is_terminal else Console(width=width)
