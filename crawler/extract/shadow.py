"""Declarative shadow trees: `<template shadowrootmode=open>`, which a browser shows in its host (HTML Standard 4.12.3).

A template keeps its content apart, so that no selector and no walk finds it. Rendered pages come with all their open
shadow trees written so.
"""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser

from crawler.extract.head import move_noscript

_TEMPLATES = "template[shadowrootmode=open i]"
_START, _END = "<template", "</template>"
#: A custom element: like those that hold shadow trees it may be the main content, which no `<span>` can.
_SHOWN = "shadow-root"
#: Shadow trees in shadow trees, and so on: each level is parsed once more. What is deeper is not shown.
_MAX_LEVELS = 8


def parse_tree(html: str) -> LexborHTMLParser:
    """The tree of a page, in which a `<shadow-root>` stands for each open declarative shadow tree, with its content."""
    return _parse(move_noscript(html), _MAX_LEVELS)


def _parse(html: str, levels: int) -> LexborHTMLParser:
    tree = LexborHTMLParser(html)
    if levels and "shadowrootmode" in html:
        for template in tree.css(_TEMPLATES):
            written = template.html or ""
            # The innermost first: a node that comes from another tree leaves the content of its templates there.
            content = f"<{_SHOWN}{written[len(_START) : -len(_END)]}</{_SHOWN}>"
            shown = _parse(content, levels - 1).css_first(_SHOWN)
            if shown is not None:
                template.replace_with(shown)
    return tree
