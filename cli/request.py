"""The fields of a crawl request as command-line flags: one table, used by `crawl run` and `crawl submit` alike.

The table only says which flag fills which field of the wire (contract A.4). Values are checked where every request
is checked: by `crawler.options`, here or at the server. A flag that is not given sends nothing, so the defaults
are those of the wire; the one exception is the format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from cli.arguments import (
    SectionOption,
    WireValue,
    read_cookie,
    read_credentials,
    read_header,
    read_json_only,
    read_moment,
    read_selector,
    read_viewport,
)

Callback = TypeVar("Callback", bound=Callable[..., Any])

PAGES = "Which pages"
RESULTS = "What to keep of a page"
BROWSER = "How to render"

RESOURCE_TYPE = click.Choice(
    [
        "document", "stylesheet", "image", "media", "font", "script", "texttrack", "xhr", "fetch", "prefetch",
        "eventsource", "websocket", "manifest", "signedexchange", "ping", "cspviolationreport", "preflight", "other",
    ]
)  # fmt: skip
OBJECT = WireValue("json", read_json_only)


@dataclass(frozen=True, slots=True)
class Flag:
    """A field of the wire, as a path such as `options.includePatterns`, and the option that fills it."""

    field: str
    names: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def parameter(self) -> str:
        """The name of the command's parameter."""
        return self.field.replace(".", "_").lower()


def _flag(section: str, field: str, *names: str, help: str, **attributes: Any) -> Flag:  # noqa: A002
    switch = "type" not in attributes
    how = {"is_flag": True, "default": None} if switch else {}
    return Flag(field, names, {"section": section, "help": help, **how, **attributes})


FLAGS = (
    _flag(PAGES, "limit", "--limit", type=int, help="Most pages, 1 to 100000.  [default: 10]"),
    _flag(
        PAGES, "depth", "--depth", type=int,
        help="Most links between the start and a page.  [default: 100000]",
    ),
    _flag(
        PAGES, "source", "--source", type=click.Choice(["all", "sitemaps", "links"]),
        help="Where to find pages besides the start.  [default: all]",
    ),
    _flag(
        PAGES, "options.includePatterns", "--include", type=str, multiple=True,
        help="Only URLs like this; * stays within a path segment, ** does not. Repeatable.",
    ),
    _flag(
        PAGES, "options.excludePatterns", "--exclude", type=str, multiple=True,
        help="No URLs like this; wins over --include. Repeatable.",
    ),
    _flag(
        PAGES, "options.includeSubdomains", "--subdomains", help="Follow links to hosts below the start's host."
    ),
    _flag(PAGES, "options.includeExternalLinks", "--external", help="Follow links to any host."),
    _flag(
        PAGES, "modifiedSince", "--modified-since", type=WireValue("time", read_moment),
        help="Leave out older pages: 2026-01-31 or Unix seconds, within the last year.",
    ),
    _flag(
        PAGES, "crawlPurposes", "--purpose", multiple=True,
        type=click.Choice(["search", "ai-input", "ai-train"]),
        help="What the pages are for; a site's Content-Signal may refuse it. Repeatable.  [default: all three]",
    ),
    _flag(
        PAGES, "contentUse", "--content-use", type=click.Choice(["reference", "full"]),
        help="How far the content is used; the same.  [default: full]",
    ),
    _flag(
        RESULTS, "formats", "--format", "-f", multiple=True, default=("markdown",),
        type=click.Choice(["html", "markdown", "json"]), help="Repeatable.  [default: markdown]",
    ),
    _flag(
        RESULTS, "markdownOptions.content", "--content", type=click.Choice(["full", "main"]),
        help="Markdown of the whole page, or without what surrounds its content.  [default: full]",
    ),
    _flag(
        RESULTS, "markdownOptions.cssSelector", "--css-selector", type=str, metavar="SELECTOR",
        help="Markdown of what matches only; not with --content main.",
    ),
    _flag(
        RESULTS, "markdownOptions.excludeSelectors", "--exclude-selector", type=str, multiple=True,
        metavar="SELECTOR", help="Markdown without what matches. Repeatable.",
    ),
    _flag(
        RESULTS, "markdownOptions.links", "--links/--no-links",
        help="Keep links in Markdown, or only their text.  [default: links]",
    ),
    _flag(
        RESULTS, "markdownOptions.images", "--images/--no-images",
        help="Keep images in Markdown.  [default: images]",
    ),
    _flag(
        RESULTS, "markdownOptions.frontMatter", "--front-matter/--no-front-matter",
        help="Begin Markdown with title and description as YAML.  [default: front-matter]",
    ),
    _flag(
        RESULTS, "maxAge", "--max-age", type=float,
        help="Use stored copies up to this many seconds old.  [default: 86400]",
    ),
    _flag(
        RESULTS, "incremental", "--incremental",
        help="Fetch in full only what has changed since the same crawl before. --max-age does not count.",
    ),
    _flag(
        RESULTS, "recheckWithin", "--recheck-within", type=float,
        help="With --incremental: ask seldom about pages that seldom change, each within so many seconds.",
    ),
    _flag(
        RESULTS, "jsonOptions", "--json-options", type=OBJECT,
        help="For --format json: an object with prompt, response_format, custom_ai, or @file.",
    ),
    _flag(
        RESULTS, "jsonOptions.prompt", "--json-prompt", type=str,
        help="For --format json: what a language model is asked about every page.",
    ),
    _flag(
        RESULTS, "jsonOptions.response_format", "--json-schema", type=OBJECT,
        help="For --format json: the JSON Schema of the answers, or @file.",
    ),
    _flag(
        BROWSER, "render", "--render/--no-render",
        help="Open pages in Chromium and run their scripts, or fetch them plainly.  [default: render]",
    ),
    _flag(
        BROWSER, "gotoOptions.waitUntil", "--wait-until", multiple=True,
        type=click.Choice(["load", "domcontentloaded", "networkidle0", "networkidle2"]),
        help="When a page counts as loaded. Repeatable.  [default: domcontentloaded]",
    ),
    _flag(
        BROWSER, "gotoOptions.timeout", "--goto-timeout", type=float,
        help="Milliseconds to wait for that.  [default: 30000]",
    ),
    _flag(BROWSER, "gotoOptions.referer", "--referer", type=str, help="Referer header.  [default: none]"),
    _flag(
        BROWSER, "gotoOptions.referrerPolicy", "--referrer-policy", type=str,
        help="Such as no-referrer.  [default: the browser's]",
    ),
    _flag(
        BROWSER, "waitForSelector", "--wait-for-selector", type=WireValue("selector", read_selector),
        help="Wait until this CSS selector matches, or an object with selector, visible, hidden, timeout.",
    ),
    _flag(
        BROWSER, "waitForTimeout", "--wait-for-timeout", type=float,
        help="Wait this many milliseconds on every page.  [default: 0]",
    ),
    _flag(
        BROWSER, "actionTimeout", "--action-timeout", type=float,
        help="Milliseconds for all that happens after loading.  [default: none]",
    ),
    _flag(
        BROWSER, "bestAttempt", "--best-attempt", help="Keep what is there when a wait runs out."
    ),
    _flag(
        BROWSER, "viewport", "--viewport", type=WireValue("size", read_viewport),
        help="Size of the window, or an object with width, height, isMobile, ….  [default: 1920x1080]",
    ),
    _flag(
        BROWSER, "emulateMediaType", "--media", type=click.Choice(["screen", "print"]),
        help="CSS media type.  [default: screen]",
    ),
    _flag(
        BROWSER, "setJavaScriptEnabled", "--javascript/--no-javascript",
        help="Run the scripts of pages.  [default: javascript]",
    ),
    _flag(
        BROWSER, "setExtraHTTPHeaders", "--header", type=WireValue("header", read_header), multiple=True,
        help="'Name: value' to send to the start's site, or an object. Repeatable.",
    ),
    _flag(
        BROWSER, "cookies", "--cookie", type=WireValue("cookie", read_cookie), multiple=True,
        help="name=value, or an object with name, value, path, …, or @file. Repeatable.",
    ),
    _flag(
        BROWSER, "authenticate", "--authenticate", type=WireValue("user:password", read_credentials),
        help="HTTP Basic authentication, or @file with an object, which keeps it out of the process list.",
    ),
    _flag(
        BROWSER, "rejectResourceTypes", "--block-type", type=RESOURCE_TYPE, multiple=True, metavar="TYPE",
        help="Do not load image, font, media, stylesheet, script, …. Repeatable.",
    ),
    _flag(
        BROWSER, "allowResourceTypes", "--only-type", type=RESOURCE_TYPE, multiple=True, metavar="TYPE",
        help="Load nothing but these types. Repeatable.",
    ),
    _flag(
        BROWSER, "rejectRequestPattern", "--block-request", type=str, multiple=True, metavar="REGEX",
        help="Do not load what matches. Repeatable.",
    ),
    _flag(
        BROWSER, "allowRequestPattern", "--only-request", type=str, multiple=True, metavar="REGEX",
        help="Load nothing but what matches one of these. Repeatable.",
    ),
    _flag(
        BROWSER, "addScriptTag", "--add-script", type=OBJECT, multiple=True,
        help="An object with content or url, run on every page. Repeatable.",
    ),
    _flag(
        BROWSER, "addStyleTag", "--add-style", type=OBJECT, multiple=True,
        help="An object with content or url, applied to every page. Repeatable.",
    ),
    _flag(
        BROWSER, "browser", "--browser", type=click.Choice(["kitesurf"]),
        help="Accepted for compatibility; pages are rendered by Chromium all the same.",
    ),
)  # fmt: skip


def request_flags(callback: Callback) -> Callback:
    """Give a command every flag of the table; it gets their values as keyword arguments for `build_body`."""
    for flag in reversed(FLAGS):
        declare = click.option(*flag.names, flag.parameter, cls=SectionOption, **flag.attributes)
        callback = declare(callback)
    return callback


def build_body(url: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The body of POST `/crawl` for the flags that were given."""
    body: dict[str, Any] = {"url": url}
    for flag in FLAGS:
        value = values[flag.parameter]
        if value is None or value == ():
            continue
        *parents, name = flag.field.split(".")
        place = body
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = _joined(flag, value)
    return body


def _joined(flag: Flag, value: Any) -> Any:
    if flag.field == "jsonOptions.response_format":
        return {"type": "json_schema", "json_schema": value}
    if not flag.attributes.get("multiple"):
        return value
    if flag.field == "setExtraHTTPHeaders":
        return {name: text for headers in value for name, text in headers.items()}
    return list(value)
