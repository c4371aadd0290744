"""robots.txt: the public vectors, RFC 9309's rules, content signals, and files made to hurt."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import robots
from crawler.robots import ContentSignals, Robots, signal_conflict
from tests.rules import cases

URL = "https://site.test/dir/page?q=1"
ALL_PURPOSES = frozenset({"search", "ai-input", "ai-train"})

#: Google's library wants its caller to encode URLs and so expects a mismatch here; the table of RFC 9309 2.2.2 has
#: both sides encoded alike before they are compared.
ENCODED_ALIKE = {f"google/ID_Encoding/{number}" for number in (3, 5, 6)}
#: Wants rules before the first User-agent line to apply; RFC 9309 2.1 knows rules in groups only.
NO_GROUP = "reppy/RobotsTest.test_no_leading_user_agent/42"


def parsed(text: str | bytes, token: str = "OpenCrawl") -> Robots:
    return robots.parse(text.encode() if isinstance(text, str) else text, token=token)


def test_vectors_on_which_google_and_protego_agree() -> None:
    judged = [case for case in cases.load("robots/allow_cases.json") if case["consensus"]]
    wrong = [
        case
        for case in judged
        if parsed(case["robots"], case["user_agent"]).allowed(case["url"]) != case["allowed"]
    ]
    assert wrong == []
    assert len(judged) == 684


def test_vectors_that_only_the_rfc_decides() -> None:
    for case in cases.load("robots/allow_cases.json"):
        if case["scope"] == "rfc9309" and not case["consensus"]:
            expected = case["allowed"] or case["id"] in ENCODED_ALIKE
            assert parsed(case["robots"], case["user_agent"]).allowed(case["url"]) is expected, case


def test_vectors_of_crawl_delays() -> None:
    for case in cases.load("robots/other_cases.json", section="crawl_delay"):
        if case["id"] != NO_GROUP:
            assert parsed(case["robots"], case["user_agent"]).crawl_delay == case["crawl_delay"], case


def test_vectors_of_sitemap_lines() -> None:
    for case in cases.load("robots/other_cases.json", section="sitemaps"):
        assert parsed(case["robots"]).sitemaps == tuple(case["sitemaps"]), case


def test_vectors_of_byte_order_marks() -> None:
    for case in cases.load("robots/other_cases.json", section="bytes_cases"):
        body = base64.b64decode(case["robots_b64"])
        assert parsed(body, case["user_agent"]).allowed(case["url"]) is case["allowed"], case


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"User-agent: *\rDisallow: /\r",
            b"User-agent: *\r\nDisallow: /\r\n",
            b"User-agent: *\nDisallow: /",
        ),
        *(b"\xef\xbb\xbfUser-agent: *\nDisallow: /", b"\xef\xbbUser-agent: *\nDisallow: /"),
        *("User-agent: *\nDisallow: /".encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be")),
        b"\0User-\0agent: *\nDisallow: /\0",
        b"\xff\x80\nUser-agent: * \x0b # all\nDisallow: / # everything",
        b"USER AGENT *\n\tdisalow /",
    ],
)
def test_e7_odd_bytes_hide_no_rule(body: bytes) -> None:
    assert not parsed(body).allowed(URL)
    assert parsed(body).allowed("https://site.test/robots.txt")


@pytest.mark.parametrize("body", [b"", b"<html><body>Disallow: /</body></html>", bytes(range(256)) * 9])
def test_e7_what_is_no_robots_txt_allows_everything(body: bytes) -> None:
    assert parsed(body).allowed(URL)


@pytest.mark.parametrize(
    "body",
    [
        b"User-agent: a\nDisallow: /\n" * 100_000,
        b"User-agent: opencrawl\nAllow: /x\n" * 100_000,
        b"User-agent: opencrawl\n" * 100_000,
        b"User-agent: *\nDisallow: /" + b"a" * (10 << 20),
        b" " * (10 << 20),
        b"user-agent" + b" \t" * 200_000 + b"x",
        b"User-agent: *\n" + b"Content-Signal: /a*b ai-train=no\n" * 20_000,
        b"User-agent: *\nContent-Signal: " + b"a" * 400_000,
        b"Sitemap: https://site.test/s.xml\n" * 20_000,
    ],
    ids=["groups", "own groups", "names", "line", "blanks", "separators", "signals", "signal", "sitemaps"],
)
def test_e7_hostile_files_take_less_than_half_a_second(body: bytes) -> None:
    def read() -> float:
        start = time.thread_time()
        found = parsed(body)
        found.allowed(URL)
        found.signals(URL)
        return time.thread_time() - start

    assert min(read() for _ in range(3)) < 0.5


def test_e6_what_is_past_500_kib_is_dropped_with_the_line_that_it_cuts() -> None:
    padding = b"User-agent: *\n" + b"#" * (robots.MAX_BYTES - 30) + b"\n"
    body = padding + b"Disallow: /dir/other/and/more\nDisallow: /dir\n"
    assert len(padding) < robots.MAX_BYTES < len(body)
    assert parsed(body).allowed("https://site.test/dir/page")
    assert not parsed(padding[:-20] + b"\nDisallow: /dir\n").allowed("https://site.test/dir/page")


def test_e9_wildcards_do_not_backtrack() -> None:
    found = parsed("User-agent: *\nDisallow: /*a*a*a*a*a*a*a*a*a*a*a*a*b$")

    def judge() -> float:
        start = time.thread_time()
        assert found.allowed("https://site.test/" + "a" * 2_000)
        return time.thread_time() - start

    assert min(judge() for _ in range(5)) < 0.001


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("Disallow: /dir\nAllow: /dir/page", "/dir/page", True),
        ("Allow: /dir\nDisallow: /dir/page", "/dir/page", False),
        ("Allow: /page\nDisallow: /*.html", "/page.html", False),
        ("Allow: /page\nDisallow: /page", "/page", True),
        ("Disallow: /page$", "/page", False),
        ("Disallow: /page$", "/page/", True),
        ("Disallow: /*.php$", "/a/b.php", False),
        ("Disallow: /*.php$", "/a/b.php?x", True),
        ("Disallow: /a%2Fb", "/a/b", True),
        ("Disallow: /a%2Fb", "/a%2fb", False),
        ("Disallow: /a/b", "/a%2Fb", True),
        ("Disallow: /%61bc", "/abc", False),
        ("Disallow: /café", "/caf%C3%A9", False),
        ("Disallow: /Dir", "/dir", True),
        ("Disallow: /dir?q=", "/dir?q=1", False),
        ("Disallow:", "/x", True),
        ("Disallow: /", "/", False),
    ],
)
def test_e10_paths(rules: str, path: str, allowed: bool) -> None:
    assert parsed(f"User-agent: *\n{rules}").allowed(f"https://site.test{path}") is allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("User-agent: *\nDisallow: /\n\nUser-agent: OpenCrawl\nDisallow: /other", True),
        ("User-agent: OpenCrawl\nDisallow: /\n\nUser-agent: *\nAllow: /", False),
        ("User-agent: OPENCRAWL\nDisallow: /", False),
        ("User-agent: OpenCrawl/2.0 (x)\nDisallow: /", False),
        ("User-agent: a\nDisallow: /x\nUser-agent: OpenCrawl\nUser-agent: b\n\nDisallow: /", False),
        (
            "User-agent: OpenCrawl\nAllow: /x\n\nUser-agent: a\nAllow: /\n\nUser-agent: OpenCrawl\nDisallow: /",
            False,
        ),
        ("User-agent: OpenCrawl\nUnknown: 1\nUser-agent: a\nDisallow: /", False),
        ("User-agent: OpenCrawl\nSitemap: https://site.test/s.xml\nUser-agent: a\nDisallow: /", False),
        ("User-agent: OpenCrawl\nCrawl-delay: 1\nUser-agent: a\nDisallow: /", True),
        ("User-agent: OpenCrawl\nContent-Signal: search=yes\nUser-agent: a\nDisallow: /", True),
        ("User-agent: OpenCrawl-Images\nDisallow: /", True),
        ("User-agent: Open\nDisallow: /", True),
        ("User-agent: MyOpenCrawl\nDisallow: /", True),
        ("User-agent: OpenCrawl\nCrawl-delay: 1\n\nUser-agent: *\nDisallow: /", True),
        ("User-agent: *bot\nDisallow: /", True),
        ("User-agent:\nDisallow: /", True),
        ("Disallow: /", True),
    ],
)
def test_e10_f55_groups(text: str, allowed: bool) -> None:
    assert parsed(text).allowed(URL) is allowed


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1e9", 1e9), ("-5", None), ("NaN", None), ("inf", None), ("0.0001", 0.0001), ("30", 30), ("x", None)],
)
def test_e8_crawl_delays_as_written(value: str, seconds: float | None) -> None:
    assert parsed(f"User-agent: *\nCrawl-delay: {value}").crawl_delay == seconds


def test_f55_the_delay_of_other_groups_is_not_ours() -> None:
    text = "User-agent: *\nCrawl-delay: 9\n\nUser-agent: OpenCrawl\nDisallow: /x"
    assert parsed(text).crawl_delay is None
    assert parsed(text, "OtherBot").crawl_delay == 9


def test_e11_sitemaps_that_cannot_be_fetched_are_not_named() -> None:
    lines = ["file:///etc/passwd", "ftp://site.test/s.xml", "/s.xml", "https://", "http://127.0.0.3/s.xml"]
    lines += ["https://cdn.test/s.xml"] * 1_000
    found = parsed("\n".join(f"Sitemap: {line}" for line in lines))
    assert found.sitemaps == ("http://127.0.0.3/s.xml", "https://cdn.test/s.xml")


def test_an_empty_robots_txt_allows_everything() -> None:
    found = parsed("")
    assert found.allowed(URL)
    assert found.crawl_delay is None
    assert found.signals(URL) == ContentSignals()


@pytest.mark.parametrize(
    ("line", "refused", "use"),
    [
        ("Content-Signal: search=yes, ai-train=no", {"ai-train"}, "full"),
        ("Content-signal:search=no,ai-input=no,use=reference", {"search", "ai-input"}, "reference"),
        ("CONTENT-SIGNAL: Search = NO , USE = Immediate", {"search"}, "immediate"),
        ("Content-Signal: use=full", set(), "full"),
        ("Content-Signal: use=everything, ai-train=maybe, x", set(), "full"),
        ("Content-Signal: ai-train=yes, ai-train=no", {"ai-train"}, "full"),
        ("Content-Signal: use=full, use=immediate, use=reference", set(), "immediate"),
        ("Content-Signal: /dir ai-train=no", {"ai-train"}, "full"),
        ("Content-Signal: /other ai-train=no", set(), "full"),
        ("Content-Signal: /*?q= ai-train=no, use=immediate", {"ai-train"}, "immediate"),
        ("Content-Signal: ai-train=no\nContent-Signal: /dir ai-train=yes", set(), "full"),
        ("Content-Signal: /dir ai-train=no\nContent-Signal: /dir/page ai-train=yes", set(), "full"),
        ("Content-Signal: /dir search=no\nContent-Signal: use=reference", {"search"}, "reference"),
        ("Content-Signal: # search=no", set(), "full"),
        ("Content-Signal: /", set(), "full"),
    ],
)
def test_signals_of_a_page(line: str, refused: set[str], use: str) -> None:
    found = parsed(f"User-agent: *\n{line}").signals(URL)
    assert (set(found.refused), found.use) == (refused, use)


def test_signals_past_the_limit_are_not_read() -> None:
    lines = ["Content-Signal: /other ai-train=no"] * robots.MAX_SIGNAL_LINES + ["Content-Signal: search=no"]
    assert parsed("\n".join(["User-agent: *", *lines])).signals(URL).refused == frozenset()
    assert parsed("\n".join(["User-agent: *", *lines[1:]])).signals(URL).refused == {"search"}


def test_signals_belong_to_our_group_or_else_to_everyone() -> None:
    text = "User-agent: *\nContent-Signal: ai-train=no\nAllow: /\n\nUser-agent: OpenCrawl\nAllow: /"
    assert parsed(text).signals(URL).refused == frozenset()
    assert parsed(text, "OtherBot").signals(URL).refused == {"ai-train"}
    assert parsed("Content-Signal: ai-train=no\nUser-agent: *\nAllow: /").signals(URL).refused == frozenset()


@pytest.mark.parametrize(
    ("signals", "purposes", "content_use", "conflict"),
    [
        ("ai-train=no", ALL_PURPOSES, "full", True),
        ("ai-train=no", frozenset({"search"}), "full", False),
        ("search=yes", ALL_PURPOSES, "full", False),
        ("use=full", ALL_PURPOSES, "full", False),
        ("use=reference", ALL_PURPOSES, "reference", False),
        ("use=reference", ALL_PURPOSES, "full", True),
        ("use=immediate", ALL_PURPOSES, "reference", True),
        ("use=immediate", ALL_PURPOSES, "full", True),
        ("", ALL_PURPOSES, "reference", False),
        ("", ALL_PURPOSES, "full", False),
    ],
)
def test_f56_f57_conflicts(signals: str, purposes: frozenset[str], content_use: str, conflict: bool) -> None:
    found = parsed(f"User-agent: *\nContent-Signal: {signals}").signals(URL)
    assert signal_conflict(found, purposes, content_use) is conflict


def test_a_managed_robots_txt_that_names_our_token_refuses_us() -> None:
    text = (
        "# managed\nUser-agent: *\nContent-Signal: search=yes,ai-train=no,use=reference\nAllow: /\n\n"
        "User-agent: OpenCrawl\nDisallow: /\n"
    )
    assert not parsed(text).allowed(URL)
    assert parsed(text, "OtherBot").allowed(URL)
    assert signal_conflict(parsed(text, "OtherBot").signals(URL), ALL_PURPOSES, "full")


LINES = st.sampled_from(
    [
        "User-agent: *",
        "User-agent: OpenCrawl",
        "Disallow: /dir",
        "Allow: /dir/p",
        "Content-Signal: /d search=no",
        "x",
    ]
)


@given(st.lists(LINES, max_size=12))
def test_a_file_reads_the_same_whatever_ends_its_lines(lines: list[str]) -> None:
    found = {
        (read.allowed(URL), read.signals(URL))
        for read in (parsed(end.join(lines)) for end in ("\n", "\r", "\r\n", "\n\n", " # x\n"))
    }
    assert len(found) == 1


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_give_an_answer(body: bytes) -> None:
    found = parsed(body)
    assert found.allowed(URL) in {True, False}
    assert found.allowed("https://site.test/robots.txt")
    assert found.crawl_delay is None or 0 <= found.crawl_delay < float("inf")
    assert found.signals(URL).use in {"immediate", "reference", "full"}
