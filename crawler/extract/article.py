"""The article of a page that does not say where it is: what readability takes for it."""

from __future__ import annotations


def find_article(html: str) -> str:
    """HTML of what looks like the article, empty if nothing does."""
    # Only here: lxml would double the memory of a process that reads pages whole.
    from lxml.etree import LxmlError  # noqa: PLC0415
    from readability import Document  # noqa: PLC0415
    from readability.readability import Unparseable  # noqa: PLC0415

    try:
        return str(Document(html).summary(html_partial=True))
    except (Unparseable, LxmlError, ValueError):
        return ""
