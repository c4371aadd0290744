"""`markdownOptions`: which part of a page its Markdown shows, and in what form. Not Cloudflare's, but ours; the
defaults give what Cloudflare gives."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from crawler.options.wire import Closed

MAX_SELECTOR_CHARS = 1_000
MAX_SELECTORS = 50


def _check_selector(text: str) -> str:
    """Only read, with nothing to match against, so no selector takes long; matching has the limits of a page."""
    try:
        LexborHTMLParser("").css(text)
    except (SelectolaxError, UnicodeError) as error:
        raise ValueError("is not a CSS selector that is understood here") from error
    return text


Selector = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_SELECTOR_CHARS, pattern=r"\S"),
    AfterValidator(_check_selector),
]


class MarkdownOptions(Closed):
    """What a crawl wants of the Markdown of its pages."""

    content: Annotated[
        Literal["full", "main"], Field(description="the whole page, or without what surrounds its content")
    ] = "full"
    css_selector: Annotated[
        Selector | None, Field(description="only what matches; not together with content main")
    ] = None
    exclude_selectors: Annotated[
        tuple[Selector, ...], Field(max_length=MAX_SELECTORS, description="nothing that matches")
    ] = ()
    links: Annotated[bool, Field(description="false: only the text of links")] = True
    images: Annotated[bool, Field(description="false: no images")] = True
    front_matter: Annotated[
        bool, Field(description="begin with title and description as YAML, where the page has them")
    ] = True

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.css_selector is not None and self.content == "main":
            raise ValueError("takes either cssSelector or content main")
        return self
