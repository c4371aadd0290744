"""The text by which a page is recognised: what it is about, without what surrounds that on every page of the site."""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser

#: Never text of the page.
_UNSEEN = ["script", "style", "noscript", "template", "iframe", "object", "svg", "head"]
_SURROUNDINGS = ["nav", "footer", "aside"]


def main_text(parser: LexborHTMLParser) -> str:
    """The text of `<main>` (or what has that role); where there is none, of the body without `<nav>`, `<footer>` and
    `<aside>`. The tree of `parser` is left as it is."""
    tree = parser.clone()
    tree.strip_tags(_UNSEEN, recursive=True)
    main = tree.css_first("main, [role=main]")
    if main is None:
        tree.strip_tags(_SURROUNDINGS, recursive=True)
        main = tree.body
    # Separated, so that the last word of one paragraph and the first of the next stay two.
    return "" if main is None else main.text(separator=" ")
