"""Text of others on the user's terminal: one line of it stays one line, and commands it holds are not obeyed."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with every character that prints nothing (controls, line breaks, direction marks) as its escape."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
