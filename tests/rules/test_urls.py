"""URLs: the WHATWG vectors, what a submitted URL may not be, and properties of everything that comes out."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler import urls
from crawler.urls import BadUrl, Url
from tests.rules import cases

MAX = 8_192


def parsed(text: str) -> Url:
    url = urls.parse(text, max_chars=MAX)
    assert isinstance(url, Url), url
    return url


def without_credentials(href: str) -> str:
    scheme, _, rest = href.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def test_wpt_links_resolve_as_in_a_browser() -> None:
    wrong = []
    for case in cases.load("urls/wpt_urltestdata.json"):
        if case["http_relevant"]:
            base = case["base"] or "ftp://no.base/"
            expected = None if case.get("failure") else without_credentials(case["href"].partition("#")[0])
            found = urls.resolve(base, case["input"], max_chars=MAX)
            if found != expected:
                wrong.append((case["id"], case["input"], expected, found))
    assert wrong == []


def test_wpt_submitted_urls_are_read_as_in_a_browser_or_refused() -> None:
    read = 0
    for case in cases.load("urls/wpt_urltestdata.json"):
        if case["http_relevant"] and case["base"] is None:
            found = urls.parse(case["input"], max_chars=MAX)
            if isinstance(found, Url):
                read += 1
                assert not case.get("failure"), case
                assert found.href == case["href"].partition("#")[0], case
                assert found.host == case["hostname"].strip("[]").removesuffix("."), case
    assert read > 50


def test_wpt_international_hosts() -> None:
    for case in cases.load("urls/wpt_toascii.json"):
        found = urls.parse(f"https://{case['host']}/x", max_chars=MAX)
        host = found.origin.removeprefix("https://") if isinstance(found, Url) else None
        assert host == case["ascii"], case
        link = urls.resolve("https://base.test/", f"//{case['host']}/x", max_chars=MAX)
        assert link == (None if case["ascii"] is None else f"https://{case['ascii']}/x"), case


def test_parts_of_a_submitted_url() -> None:
    assert parsed("HTTPS://Example.COM:8443/a b?x=1#frag") == Url(
        href="https://example.com:8443/a%20b?x=1",
        origin="https://example.com:8443",
        scheme="https",
        host="example.com",
        port=8443,
        path_query="/a%20b?x=1",
    )
    assert parsed("http://[::1]:80").origin == "http://[::1]"
    assert parsed("http://[::1]").host == "::1"
    assert parsed("http://site.test").port == 80
    assert parsed("https://site.test").port == 443
    assert parsed("https://site.test").path_query == "/"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (r"http://public.test\@127.0.0.3/", "public.test"),
        ("http://public.test#@127.0.0.3/", "public.test"),
        ("http:127.0.0.3/", "127.0.0.3"),
        ("http:///127.0.0.3/", "127.0.0.3"),
        ("http://0x7f.3/", "127.0.0.3"),
        ("http://①②⑦.0.0.3/", "127.0.0.3"),
        ("http://[127.0.0.3]/", None),
        (r"http://127.0.0.3:80\@public.test/", "127.0.0.3"),
        ("\thttp://127.0.0.3/", None),
        ("ht\ntp://127.0.0.3/", None),
        ("http://user:pw@127.0.0.3/", None),
        ("http://user@127.0.0.3/", None),
        ("http://foo[bar]baz/", None),
        ("http://a%00b/", None),
        ("http://xn--/", None),
        ("http://public.test:80:81/", None),
        ("http://[fe80::1%25eth0]/", None),
    ],
)
def test_a63_the_host_that_is_judged_is_the_browsers_host(text: str, host: str | None) -> None:
    found = urls.parse(text, max_chars=MAX)
    assert (found.host if isinstance(found, Url) else None) == host


@pytest.mark.parametrize(
    "text",
    [
        *("file:///etc/passwd", " file:///etc/passwd", "FILE:///", r"file:\\etc\passwd", "file:/etc/passwd"),
        *("file:../../etc/passwd", "view-source:http://site.test/", "view-source:file:///etc/passwd"),
        *("chrome://version", "chrome-extension://x/", "devtools://", "about:blank", "javascript:1"),
        *("data:text/html,x", "blob:http://site.test/x", "filesystem:http://site.test/x", "ws://site.test/"),
        *(
            "ftp://site.test/",
            "gopher://site.test/",
            "jar:http://site.test/x!/",
            "unix:///var/run/docker.sock",
        ),
        *("http+unix://%2Fvar%2Frun/x", "intent:x", "mailto:a@site.test", r"\\127.0.0.3\share\x"),
        *("//127.0.0.3/", "site.test", "/path", "", "   ", "http://", "https://#"),
    ],
)
def test_a64_to_a67_only_http_urls_are_accepted(text: str) -> None:
    assert isinstance(urls.parse(text, max_chars=MAX), BadUrl)


@pytest.mark.parametrize("char", ["\0", "\n", "\x1b", "\x7f", "\x85", "\u202e", "\u2066", "\u200f", "\ud800"])
def test_a_submitted_url_has_no_invisible_characters(char: str) -> None:
    refused = urls.parse(f"https://site.test/{char}x", max_chars=MAX)
    assert isinstance(refused, BadUrl)
    assert "characters" in refused.message


def test_the_limit_on_length_counts_the_encoded_form_too() -> None:
    assert isinstance(urls.parse("https://site.test/" + "a" * 82, max_chars=100), Url)
    assert isinstance(urls.parse("https://site.test/" + "a" * 83, max_chars=100), BadUrl)
    assert isinstance(urls.parse("https://site.test/" + "é" * 20, max_chars=100), BadUrl)
    assert urls.resolve("https://site.test/", "a" * 82, max_chars=100) is not None
    assert urls.resolve("https://site.test/", "a" * 83, max_chars=100) is None
    assert urls.resolve("https://site.test/", "é" * 20, max_chars=100) is None
    assert urls.resolve("https://site.test/", "a" * 100_000, max_chars=100) is None


def test_a_host_longer_than_dns_allows_is_refused() -> None:
    assert isinstance(urls.parse(f"https://{'a' * 63}.test/", max_chars=MAX), Url)
    assert isinstance(urls.parse(f"https://{'a' * 64}.test/", max_chars=MAX), BadUrl)
    assert isinstance(urls.parse(f"https://{'a.' * 126}test/", max_chars=MAX), BadUrl)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (" /a ", "https://site.test/a"),
        ("", "https://site.test/dir/page?q=1"),
        ("#top", "https://site.test/dir/page?q=1"),
        ("?", "https://site.test/dir/page?"),
        ("b\n/\tc", "https://site.test/dir/b/c"),
        ("HtTp://OTHER.test", "http://other.test/"),
        ("//other.test:443/x", "https://other.test/x"),
        ("/a//b/./../c", "https://site.test/a//c"),
        ("/tag/x/", "https://site.test/tag/x/"),
        ("/\ud800", "https://site.test/%EF%BF%BD"),
        ("https://user:password@other.test/x", "https://other.test/x"),
        ("https://user:p%40ss@other.test/@x", "https://other.test/@x"),
        ("https://", None),
        *((link, None) for link in ("mailto:a@b.test", "tel:1", "data:,x", "javascript:1", "about:blank")),
        *(
            (link, None)
            for link in ("blob:https://site.test/1", "ftp://site.test/", "file:///x", "magnet:?x")
        ),
    ],
)
def test_d2_d3_d14_links(reference: str, expected: str | None) -> None:
    assert urls.resolve("https://site.test/dir/page?q=1", reference, max_chars=MAX) == expected


@given(
    st.text(max_size=60),
    st.sampled_from(["https://site.test/a/b?c", "http://[::1]:8080/", "http://u:p@h.test/"]),
)
@example("http://user@host/\ud800", "https://site.test/")
def test_whatever_resolves_is_canonical(reference: str, base: str) -> None:
    found = urls.resolve(base, reference, max_chars=MAX)
    if found is not None:
        assert found.isascii()
        assert "#" not in found
        assert "@" not in urls.origin_of(found)
        assert urls.resolve(base, found, max_chars=MAX) == found
        assert found.startswith(urls.origin_of(found) + "/")


@given(st.text(max_size=60).map("https://".__add__) | st.text(max_size=60))
def test_whatever_is_accepted_is_canonical(text: str) -> None:
    found = urls.parse(text, max_chars=MAX)
    if isinstance(found, Url):
        assert urls.resolve("https://base.test/", found.href, max_chars=MAX) == found.href
        assert found.href == found.origin + found.path_query
        assert urls.host_of(found.href) == found.host
        assert parsed(found.href) == found
    else:
        assert found.message.endswith(".")


def test_the_host_is_one_name_for_one_machine() -> None:
    assert urls.host_of("https://site.test.:8080/x") == "site.test"
    assert urls.host_of("https://site.test/x:y@z") == "site.test"
    assert urls.host_of("http://[2001:db8::1]:8080/") == "2001:db8::1"


def test_the_robots_url_belongs_to_the_origin() -> None:
    for case in cases.load("robots/other_cases.json", section="robots_url"):
        page = urls.resolve("https://base.test/", case["page_url"], max_chars=MAX)
        assert page is not None
        assert urls.origin_of(page) + "/robots.txt" == case["robots_url"]


@given(st.lists(st.text(max_size=30), unique=True, max_size=20))
def test_keys_are_short_and_distinct(texts: list[str]) -> None:
    keys = [urls.key(text) for text in texts]
    assert all(len(key) == 22 and key.replace("-", "").replace("_", "").isalnum() for key in keys)
    assert len(set(keys)) == len(texts)


@pytest.mark.parametrize(
    ("path", "trap"),
    [
        ("/", False),
        ("/a/a/a", False),
        ("/a/a/a/a", True),
        ("/a/b/a/b/a/b", False),
        ("/a/b/a/b/a/b/a", True),
        ("/a/x?p=/a/a/a/a/a", False),
        ("/" + "/".join(map(str, range(64))), False),
        ("/" + "/".join(map(str, range(65))), True),
        ("////", True),
        ("/2024/01/01/page/1/", False),
    ],
)
def test_f18_paths_that_grow_by_themselves_are_traps(path: str, trap: bool) -> None:
    assert urls.is_trap(f"https://site.test{path}") is trap


def test_resolving_a_page_of_links_takes_less_than_a_millisecond() -> None:
    links = [f"../page/{number}.html?x=1#top" for number in range(50)]

    def resolve_all() -> float:
        start = time.thread_time()
        for link in links:
            urls.resolve("https://site.test/docs/a/", link, max_chars=2_048)
        return time.thread_time() - start

    assert min(resolve_all() for _ in range(20)) < 0.001
