"""The request contract without a server (contract A.4, F 13 to 31; security C1 to C18, C49)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.errors import InvalidRequest
from crawler.options import CrawlOptions, parse_options

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SEED = "http://site.test/"


def parse(**fields: object) -> CrawlOptions:
    return parse_options(json.dumps({"url": SEED, **fields}).encode(), now=NOW)


def refuse_body(body: bytes | Mapping[str, object]) -> str:
    """The message with which a request is refused."""
    with pytest.raises(InvalidRequest) as caught:
        parse_options(body, now=NOW)
    return caught.value.message


def refuse(**fields: object) -> str:
    """The message with which these fields, besides a good URL, are refused."""
    return refuse_body(json.dumps({"url": SEED, **fields}).encode())


def test_a_minimal_request_gets_the_defaults_of_the_contract() -> None:
    options = parse()
    assert options.url == SEED
    assert (options.limit, options.depth, options.source, options.formats) == (10, 100_000, "all", ("html",))
    assert options.render is True
    assert options.max_age == 86_400
    assert options.modified_since is None
    assert options.crawl_purposes == ("search", "ai-input", "ai-train")
    assert options.content_use == "full"
    assert not options.include_external_links
    assert not options.include_subdomains
    assert options.include_patterns == options.exclude_patterns == ()
    assert options.goto_options.timeout == 30_000
    assert options.goto_options.wait_until == ("domcontentloaded",)
    assert (options.viewport.width, options.viewport.height) == (1920, 1080)


def test_a_dictionary_is_read_like_its_json_text() -> None:
    assert parse_options({"url": SEED, "formats": ["markdown"]}, now=NOW) == parse(formats=["markdown"])


EVERYTHING: dict[str, Any] = {
    "url": "https://site.test/docs/",
    "limit": 500,
    "depth": 3,
    "source": "links",
    "formats": ["html", "markdown"],
    "maxAge": 0,
    "incremental": True,
    "recheckWithin": 604_800,
    "modifiedSince": int(NOW.timestamp()) - 1000,
    "crawlPurposes": ["search"],
    "contentUse": "reference",
    "jsonOptions": {
        "prompt": "What is this?",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": None, "properties": {"a": "string"}},
        },
        "custom_ai": [{"model": "workers-ai/@cf/meta/llama", "authorization": "Bearer x"}],
    },
    "options": {
        "includeSubdomains": True,
        "includeExternalLinks": False,
        "includePatterns": ["https://site.test/docs/**"],
        "excludePatterns": ["**/old/**"],
    },
    "browser": "kitesurf",
    "actionTimeout": 1000,
    "addScriptTag": [{"id": "a", "content": "1", "type": "module"}, {"url": "https://site.test/a.js"}],
    "addStyleTag": [{"content": "p {}"}],
    "allowRequestPattern": ["/^.*\\.(css)/"],
    "rejectRequestPattern": ["^.*\\.(png)$"],
    "allowResourceTypes": ["document", "script"],
    "rejectResourceTypes": ["image"],
    "authenticate": {"username": "u", "password": "p"},
    "bestAttempt": True,
    "cookies": [{"name": "a", "value": "1", "domain": ".site.test", "sameSite": "Lax", "httpOnly": True}],
    "emulateMediaType": "print",
    "gotoOptions": {"timeout": 60_000, "waitUntil": ["load", "networkidle0"], "referer": "https://a.test/"},
    "setExtraHTTPHeaders": {"X-Api-Key": "k"},
    "setJavaScriptEnabled": False,
    "viewport": {"width": 100, "height": 200, "deviceScaleFactor": 2, "isMobile": True},
    "waitForSelector": {"selector": "main", "visible": True, "timeout": 120_000},
    "waitForTimeout": 120_000,
}


def test_every_field_survives_the_way_to_the_database_and_back() -> None:
    options = parse(**EVERYTHING)
    stored = options.to_json()
    assert CrawlOptions.from_json(stored) == options
    kept = json.loads(stored)
    assert EVERYTHING.keys() <= kept.keys()
    for name in ("addScriptTag", "setExtraHTTPHeaders", "rejectRequestPattern", "url", "modifiedSince"):
        assert kept[name] == EVERYTHING[name]


def test_a_static_request_survives_it_too() -> None:
    options = parse(render=False, limit=3)
    assert CrawlOptions.from_json(options.to_json()) == options
    assert "viewport" not in json.loads(options.to_json())


@given(st.permutations(list(EVERYTHING)))
def test_equal_requests_have_the_same_text_whatever_their_order(names: list[str]) -> None:
    assert parse(**{name: EVERYTHING[name] for name in names}).to_json() == parse(**EVERYTHING).to_json()


# --- contract F -------------------------------------------------------------------------------------------------


def test_f13_a_missing_url_is_refused() -> None:
    assert refuse_body({}) == "url is required"


@pytest.mark.parametrize("url", ["nope", "", "//site.test/", "/path", 5, True, ["http://site.test/"]])
def test_f14_what_is_no_url_is_refused(url: object) -> None:
    assert refuse(url=url).startswith("url")


@pytest.mark.parametrize("url", ["ftp://site.test/", "file:///etc/passwd", "javascript:1", "data:,x"])
def test_f15_other_schemes_are_refused(url: str) -> None:
    assert "scheme" in refuse(url=url)


@pytest.mark.parametrize("limit", [0, -1, 100_001, "5", True, 1.5, [1], {}, 10**30])
def test_f16_c8_limit_out_of_bounds_or_of_another_type_is_refused(limit: object) -> None:
    refuse(limit=limit)


@pytest.mark.parametrize("limit", [1, 100_000, 10.0])
def test_f16_limit_within_its_bounds_passes(limit: float) -> None:
    assert parse(limit=limit).limit == int(limit)


@pytest.mark.parametrize("depth", [0, -1, 100_001, "1", False])
def test_f17_c8_depth_out_of_bounds_is_refused(depth: object) -> None:
    assert refuse(depth=depth).startswith("depth should be")


def test_f17_depth_1_passes() -> None:
    assert parse(depth=1).depth == 1


@pytest.mark.parametrize("age", [-1, 604_801, "5", True])
def test_f18_c8_max_age_out_of_bounds_is_refused(age: object) -> None:
    assert refuse(maxAge=age).startswith("maxAge should be")


@pytest.mark.parametrize("age", [0, 604_800])
def test_f18_max_age_within_its_bounds_passes(age: int) -> None:
    assert parse(maxAge=age).max_age == age


@pytest.mark.parametrize("within", [0, 0.5, 2_592_001, "60", True])
def test_recheck_within_out_of_bounds_is_refused(within: object) -> None:
    assert refuse(incremental=True, recheckWithin=within).startswith("recheckWithin should be")


@pytest.mark.parametrize("fields", [{}, {"incremental": False}])
def test_recheck_within_is_refused_where_no_page_is_taken_over(fields: dict[str, object]) -> None:
    assert refuse(recheckWithin=60, **fields).startswith("recheckWithin is only for incremental crawls")


@pytest.mark.parametrize("within", [1, 2_592_000])
def test_recheck_within_its_bounds_passes(within: int) -> None:
    assert parse(incremental=True, recheckWithin=within).recheck_within == within


@pytest.mark.parametrize(
    "since", [0, -5, 1.5, "1", NOW.timestamp() + 60, NOW.timestamp() - 366 * 86_400, 10**24]
)
def test_f19_modified_since_outside_the_last_year_is_refused(since: object) -> None:
    assert refuse(modifiedSince=since).startswith("modifiedSince")


@pytest.mark.parametrize("days", [0, 1, 364])
def test_f19_modified_since_within_the_last_year_passes(days: int) -> None:
    moment = int(NOW.timestamp()) - days * 86_400
    assert parse(modifiedSince=moment).modified_since == moment


@pytest.mark.parametrize("purposes", [[], ["x"], ["search"] * 4, "search", [None]])
def test_f20_purposes_that_do_not_exist_are_refused(purposes: object) -> None:
    assert "crawlPurposes" in refuse(crawlPurposes=purposes)


def test_f21_immediate_use_is_refused() -> None:
    assert refuse(contentUse="immediate") == "contentUse should be 'reference' or 'full'"


def test_f22_an_unknown_key_is_named() -> None:
    assert refuse(crawlUseLevel=1) == 'Unrecognized key: "crawlUseLevel"'
    assert refuse(maxPages=1, maxDepth=1) == 'Unrecognized keys: "maxPages", "maxDepth"'


@pytest.mark.parametrize(
    "key", ["userAgent", "html", "goToOptions", "screenshotOptions", "pdfOptions", "selector"]
)
def test_f23_fields_of_other_endpoints_are_refused(key: str) -> None:
    assert refuse(**{key: "x"}) == f'Unrecognized key: "{key}"'


BOTH = {
    "url",
    "limit",
    "depth",
    "source",
    "formats",
    "maxAge",
    "incremental",
    "recheckWithin",
    "modifiedSince",
    "crawlPurposes",
    "contentUse",
} | {
    "jsonOptions",
    "options",
}


@pytest.mark.parametrize("name", sorted(EVERYTHING.keys() - BOTH))
def test_f24_a_static_crawl_takes_no_field_of_rendering(name: str) -> None:
    message = refuse(render=False, **{name: EVERYTHING[name]})
    assert message == f'Unrecognized key: "{name}" (accepted only when render is true)'


def test_f24_a_static_crawl_takes_all_other_fields() -> None:
    assert parse(render=False, **{name: EVERYTHING[name] for name in BOTH}).render is False


def test_f25_a_static_crawl_has_no_browser() -> None:
    assert '"browser"' in refuse(render=False, browser="kitesurf")
    refuse(browser="chrome")
    assert parse(browser="kitesurf").browser == "kitesurf"


def test_f26_json_needs_its_options() -> None:
    assert "needs jsonOptions" in refuse(formats=["json"])


def test_json_needs_no_model_to_be_understood() -> None:
    assert parse(formats=["json"], jsonOptions={"prompt": "x"}).json_options is not None


def test_f27_unknown_formats_are_refused() -> None:
    assert refuse(formats=["xml"]) == "formats[0] should be 'html', 'markdown' or 'json'"


def test_f28_unknown_keys_are_dropped_inside_options() -> None:
    options = parse(options={"includeSubdomains": True, "proxy": "http://127.0.0.3"})
    assert options.include_subdomains
    assert "proxy" not in options.to_json()


def test_f28_unknown_keys_are_refused_inside_json_options() -> None:
    assert refuse(jsonOptions={"prompt": "x", "a": 1, "b": 2}) == 'jsonOptions: Unrecognized keys: "a", "b"'


@pytest.mark.parametrize("patterns", [["a"] * 101, ["x" * 501], [""], "a", [5]])
@pytest.mark.parametrize("name", ["includePatterns", "excludePatterns"])
def test_f29_patterns_out_of_bounds_are_refused(name: str, patterns: object) -> None:
    assert f"options.{name}" in refuse(options={name: patterns})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"5", b"{} {}", b"\xff\xfe", b"{'url': 1}"]
)
def test_f30_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    assert "The body" in refuse_body(body)


# --- security ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"url":' * 50_000, b"[" * 65 + b"]" * 65])
def test_c1_deep_json_is_refused(body: bytes) -> None:
    assert "nested deeper" in refuse_body(body)


@pytest.mark.parametrize(
    "number", ["1" * 5_000, "1e999", "NaN", "Infinity", "-Infinity", "-0", "1.5", "-1e999"]
)
def test_c2_strange_numbers_are_refused(number: str) -> None:
    refuse_body(b'{"url":"http://site.test/","limit":%s}' % number.encode())


def test_c5_duplicate_keys_are_refused() -> None:
    assert '"url" twice' in refuse_body(b'{"url":"http://site.test","url":"http://127.0.0.3"}')
    assert '"a" twice' in refuse_body(b'{"url":"http://site.test","options":{"a":1,"a":2}}')


@pytest.mark.parametrize(
    "url",
    [
        "http://site.test/\0",
        "http://site.test/\ud800",
        "http://site.test/\u202e",
        "http://site.test/" + "a" * 8_192,
        "http://" + "a" * 300 + ".test/",
        "http://user:pass@site.test/",
    ],
)
def test_c6_urls_that_cannot_be_shown_stored_or_resolved_are_refused(url: str) -> None:
    refuse(url=url)


HOSTILE = {
    "proxy": "http://127.0.0.3",
    "browser_config": {"a": 1},
    "extra_args": ["--renderer-cmd-prefix=sh"],
    "__class__": "x",
    "api_token": "env:SECRET_KEY",
}


@pytest.mark.parametrize("key", HOSTILE)
def test_c7_hostile_keys_are_refused_in_closed_objects(key: str) -> None:
    hostile = {key: HOSTILE[key]}
    for message in (
        refuse(**hostile),
        refuse(jsonOptions={"prompt": "x", **hostile}),
        refuse(addScriptTag=[{"content": "x", **hostile}]),
    ):
        assert f'Unrecognized key: "{key}"' in message


def test_c7_hostile_keys_are_dropped_from_open_objects() -> None:
    options = parse(
        options=HOSTILE,
        gotoOptions={"timeout": 5, **HOSTILE},
        viewport={"width": 5, "height": 5, **HOSTILE},
        cookies=[{"name": "a", "value": "env:HOME", **HOSTILE}],
        addStyleTag=[{"content": "x", **HOSTILE}],
    )
    stored = options.to_json()
    assert not any(key in stored for key in HOSTILE)
    assert options.cookies[0].value == "env:HOME"


def test_c9_a_flood_of_formats_is_refused() -> None:
    refuse(formats=["html", "html"] * 1_000)
    refuse(formats=["exe"])
    assert parse(formats=["html", "markdown", "html"]).formats == ("html", "markdown")


@pytest.mark.parametrize(
    "viewport",
    [
        {"width": 1_000_000, "height": 1_000_000, "deviceScaleFactor": 100},
        {"width": 0, "height": 1},
        {"width": 4097, "height": 1},
        {"width": 1, "height": 1, "deviceScaleFactor": 3.5},
        {"width": 1, "height": 1, "deviceScaleFactor": 0},
        {"width": 1},
        {"width": 1.5, "height": 1},
    ],
)
def test_c10_a_viewport_out_of_bounds_is_refused(viewport: object) -> None:
    assert "viewport" in refuse(viewport=viewport)


@pytest.mark.parametrize(
    "fields",
    [
        {"gotoOptions": {"timeout": 1e9}},
        {"gotoOptions": {"timeout": 60_001}},
        {"gotoOptions": {"waitUntil": "x"}},
        {"gotoOptions": {"waitUntil": []}},
        {"gotoOptions": {"waitUntil": ["load", 5]}},
        {"waitForTimeout": 1e9},
        {"waitForTimeout": 120_001},
        {"actionTimeout": -1},
        {"waitForSelector": {"selector": "a", "timeout": 120_001}},
        {"waitForSelector": {"selector": "a", "visible": False}},
        {"waitForSelector": {"selector": "a" * 10_001}},
        {"waitForSelector": {}},
    ],
)
def test_c11_waits_out_of_bounds_are_refused(fields: dict[str, object]) -> None:
    assert next(iter(fields)) in refuse(**fields)


def test_a_list_that_is_too_short_is_told_in_words_of_json() -> None:
    assert refuse(gotoOptions={"waitUntil": []}) == "gotoOptions.waitUntil should have at least 1 item"


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nHost: 127.0.0.3"},
        {"X": "a\n"},
        {"X": "ä"},
        {"bad header": "x"},
        {"": "x"},
        {"X:": "x"},
        {f"X-{number}": "x" for number in range(300)},
        {"X": "x" * (1 << 20)},
        {f"X-{number}": "x" * 8_000 for number in range(5)},
        {"X": 1},
        {"X-A": "1", "x-a": "2"},
    ],
)
def test_c13_what_is_no_header_is_refused(headers: dict[str, object]) -> None:
    assert refuse(setExtraHTTPHeaders=headers).startswith("setExtraHTTPHeaders")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "Upgrade",
            "TE",
            "Trailer",
            "Via",
            "hOST",
        ),
        *("Proxy-Authorization", "Sec-Fetch-Site", "X-Forwarded-For", "Forwarded", "User-Agent"),
        *("Signature", "Signature-Input", "Signature-Agent", "cf-brapi-request-id"),
    ],
)
def test_c14_headers_that_are_not_the_callers_are_refused(name: str) -> None:
    assert (
        refuse(setExtraHTTPHeaders={name: "x"}) == f'setExtraHTTPHeaders: cannot set "{name}"; leave it out'
    )


@pytest.mark.parametrize(
    "cookie",
    [
        {"domain": ".test"},
        {"domain": "test"},
        {"domain": "co.uk"},
        {"domain": "evil.test"},
        {"domain": "xsite.test"},
        {"url": "http://127.0.0.3/"},
        {"value": "1\r\nSet-Cookie: b=1"},
        {"value": "a;b"},
        {"value": "x" * 5_000},
        {"name": "a b"},
        {"name": ""},
        {"path": "docs"},
        {"sameSite": "lax"},
        {"secure": "true"},
    ],
)
def test_c18_cookies_of_other_sites_or_forms_are_refused(cookie: dict[str, object]) -> None:
    assert refuse(cookies=[{"name": "a", "value": "1", **cookie}]).startswith("cookies")


def test_c18_a_thousand_cookies_are_refused() -> None:
    refuse(cookies=[{"name": "a", "value": "1"}] * 1_000)


@pytest.mark.parametrize(
    "cookie",
    [{}, {"domain": "site.test"}, {"domain": ".SITE.test"}, {"url": SEED}, {"domain": "shop.site.test"}],
)
def test_c18_cookies_of_the_seeds_site_pass(cookie: dict[str, object]) -> None:
    assert parse(cookies=[{"name": "a", "value": "1", **cookie}]).cookies[0].name == "a"


def test_c18_an_address_has_no_parent_domain() -> None:
    refuse(url="http://10.1.2.3/", cookies=[{"name": "a", "value": "1", "domain": "2.3"}])


def test_c49_a_model_cannot_name_its_own_server() -> None:
    model = {"model": "x/y", "authorization": "k", "base_url": "http://127.0.0.3"}
    assert '"base_url"' in refuse(jsonOptions={"prompt": "x", "custom_ai": [model]})
    refuse(jsonOptions={"prompt": "x", "custom_ai": [{"model": "no-provider"}]})
    refuse(jsonOptions={"prompt": "x", "custom_ai": [{"model": "x/y"}] * 4})


@pytest.mark.parametrize("name", ["limit", "options", "render", "modifiedSince", "cookies", "formats"])
def test_null_is_refused_by_name(name: str) -> None:
    assert refuse(**{name: None}) == f"{name} must not be null; leave it out."


@pytest.mark.parametrize(
    "tag", [{}, {"content": "a", "url": SEED}, {"url": "file:///etc/passwd"}, {"url": "x"}]
)
def test_a_tag_has_either_text_or_a_web_address(tag: dict[str, object]) -> None:
    refuse(addScriptTag=[tag])
    refuse(addStyleTag=[tag])


def test_several_problems_are_named_at_once() -> None:
    message = refuse(limit=0, depth="x", viewport={"width": 5})
    assert "limit" in message
    assert "depth" in message
    assert "viewport.height is required" in message


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists))
def test_any_value_of_any_field_is_taken_or_refused(value: object) -> None:
    for name in EVERYTHING:
        with suppress(InvalidRequest):
            options = parse_options({"url": SEED, name: value}, now=NOW)
            assert CrawlOptions.from_json(options.to_json()) == options


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_body_is_refused_cleanly(body: bytes) -> None:
    refuse_body(body)


def test_markdown_options_are_checked() -> None:
    chosen = {
        "cssSelector": "main > p",
        "excludeSelectors": [".ad", "nav"],
        "links": False,
        "frontMatter": False,
    }
    options = parse(markdownOptions=chosen).markdown_options
    assert (options.css_selector, options.exclude_selectors) == ("main > p", (".ad", "nav"))
    assert (options.links, options.images, options.front_matter) == (False, True, False)
    assert parse().markdown_options.front_matter  # as Cloudflare has it
    refused = {
        "markdownOptions.cssSelector": {"cssSelector": "p[["},
        "markdownOptions.excludeSelectors[1]": {"excludeSelectors": ["p", ">>"]},
        "markdownOptions.content": {"content": "some"},
        "markdownOptions.links": {"links": 1},
        "markdownOptions": {"cssSelector": "p", "content": "main"},
        "markdownOptions.cssSelector ": {"cssSelector": "p" * 1_001},
    }
    for field, value in refused.items():
        assert refuse(markdownOptions=value).startswith(field.strip()), value
    assert refuse(markdownOptions={"selector": "p"}) == 'markdownOptions: Unrecognized key: "selector"'


@given(st.text(alphabet="a.#*>+~:()[]='\" \\,|n0\ud800\0", max_size=40))
def test_no_selector_breaks_the_check(selector: str) -> None:
    with suppress(InvalidRequest):
        parse_options({"url": SEED, "markdownOptions": {"cssSelector": selector}}, now=NOW)
