"""Which part of a page its Markdown shows, and in what form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ContentChoice = Literal["full", "main"]


@dataclass(frozen=True, slots=True)
class View:
    """`markdownOptions` of a crawl. Selectors are CSS and have been checked."""

    content: ContentChoice = "full"
    #: Only what matches; empty: the whole body. Not together with `content="main"`.
    selector: str = ""
    excluded: tuple[str, ...] = ()
    links: bool = True
    images: bool = True

    @property
    def is_partial(self) -> bool:
        """Whether text of the page is left out on purpose: then nothing less than this view will do."""
        return self.content != "full" or bool(self.selector) or bool(self.excluded)


FULL = View()
