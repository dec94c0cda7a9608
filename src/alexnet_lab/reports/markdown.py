"""A table in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[str]) -> list[str]:
    """The lines of a table. left: the columns that are aligned to the left; the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" if name in left else "--:" for name in head) + "|"]
    for row in rows:
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |")
    return lines
