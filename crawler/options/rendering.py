"""The fields that only a rendered crawl has (contract A.4, variant R), without those that are credentials."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from crawler.options.wire import Closed, Open, Wait, WebUrl, Whole
from crawler.patterns import MAX_PATTERN_CHARS, BadPattern, RequestPattern

MAX_TAGS = 50
MAX_REQUEST_PATTERNS = 100
MAX_SELECTOR_CHARS = 10_000
#: Longest time for a navigation (contract A.4), milliseconds.
MAX_GOTO_MS = 60_000

ResourceType = Literal[
    "document",
    "stylesheet",
    "image",
    "media",
    "font",
    "script",
    "texttrack",
    "xhr",
    "fetch",
    "prefetch",
    "eventsource",
    "websocket",
    "manifest",
    "signedexchange",
    "ping",
    "cspviolationreport",
    "preflight",
    "other",
]
WaitUntil = Literal["load", "domcontentloaded", "networkidle0", "networkidle2"]


def _one_or_more(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _request_pattern(text: str) -> str:
    match RequestPattern.compile(text):
        case BadPattern(message):
            raise ValueError(message)
        case found:
            return found.text


def _need_either(content: str | None, url: str | None) -> None:
    if (content is None) == (url is None):
        raise ValueError("needs either content or url")


class GotoOptions(Open):
    """How to open a page."""

    referer: Annotated[str, StringConstraints(pattern=r"^[!-~]*$", max_length=8192)] | None = None
    referrer_policy: Annotated[str, StringConstraints(pattern=r"^[a-z-]*$", max_length=64)] | None = None
    timeout: Annotated[float, Field(ge=0, le=MAX_GOTO_MS, description="milliseconds")] = 30_000
    wait_until: Annotated[
        tuple[WaitUntil, ...], BeforeValidator(_one_or_more), Field(min_length=1, max_length=4)
    ] = ("domcontentloaded",)


class Viewport(Open):
    """The size of the window, CSS pixels."""

    width: Annotated[Whole, Field(ge=1, le=4096)]
    height: Annotated[Whole, Field(ge=1, le=4096)]
    device_scale_factor: Annotated[float, Field(gt=0, le=3)] = 1
    has_touch: bool = False
    is_landscape: bool = False
    is_mobile: bool = False


class WaitForSelector(Open):
    """Wait for an element, by CSS selector."""

    selector: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SELECTOR_CHARS)]
    hidden: Literal[True] | None = None
    visible: Literal[True] | None = None
    timeout: Wait | None = None


class ScriptTag(Closed):
    """A script to add to every page: either its text or its address."""

    id: str | None = None
    content: str | None = None
    type: str | None = None
    url: WebUrl | None = None

    @model_validator(mode="after")
    def _need_one(self) -> Self:
        _need_either(self.content, self.url)
        return self


class StyleTag(Open):
    """A style sheet to add to every page: either its text or its address."""

    content: str | None = None
    url: WebUrl | None = None

    @model_validator(mode="after")
    def _need_one(self) -> Self:
        _need_either(self.content, self.url)
        return self


ResourceTypes = Annotated[tuple[ResourceType, ...], Field(max_length=100)]
RequestPatterns = Annotated[
    tuple[
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=MAX_PATTERN_CHARS),
            AfterValidator(_request_pattern),
        ],
        ...,
    ],
    Field(max_length=MAX_REQUEST_PATTERNS),
]
ScriptTags = Annotated[tuple[ScriptTag, ...], Field(max_length=MAX_TAGS)]
StyleTags = Annotated[tuple[StyleTag, ...], Field(max_length=MAX_TAGS)]
