"""Declarative shadow trees: `<template shadowrootmode=open>`, which a browser shows in its host (HTML Standard 4.12.3).

A template keeps its content apart, so that no selector and no walk finds it. Rendered pages come with all their open
shadow trees written so.
"""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser

_TEMPLATES = "template[shadowrootmode=open i]"
_START, _END = "<template", "</template>"
#: Shadow trees in shadow trees, and so on: each level is parsed once more. What is deeper is not shown.
_MAX_LEVELS = 8


def parse_tree(html: str) -> LexborHTMLParser:
    """The tree of a page, in which a `<span>` with the content stands for each open declarative shadow tree."""
    return _parse(html, _MAX_LEVELS)


def _parse(html: str, levels: int) -> LexborHTMLParser:
    tree = LexborHTMLParser(html)
    if levels and "shadowrootmode" in html:
        for template in tree.css(_TEMPLATES):
            written = template.html or ""
            # The innermost first: a node that comes from another tree leaves the content of its templates there.
            shown = _parse(f"<span{written[len(_START) : -len(_END)]}</span>", levels - 1).css_first("span")
            if shown is not None:
                template.replace_with(shown)
    return tree
