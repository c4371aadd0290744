"""Scope: which links of a page belong to the crawl (contract B.5 and B.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import urls
from crawler.patterns import Pattern
from crawler.scope import Scope
from crawler.urls import Url

SEED = "https://site.test/docs"


def compiled(*texts: str) -> tuple[Pattern, ...]:
    patterns = [Pattern.compile(text) for text in texts]
    assert all(isinstance(pattern, Pattern) for pattern in patterns)
    return tuple(pattern for pattern in patterns if isinstance(pattern, Pattern))


def scope(
    *,
    seed: str = SEED,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    external: bool = False,
    subdomains: bool = False,
) -> Scope:
    url = urls.parse(seed, max_chars=2_048)
    assert isinstance(url, Url)
    return Scope(url, compiled(*include), compiled(*exclude), external=external, subdomains=subdomains)


def decide(rules: Scope, link: str) -> str | None:
    url = urls.resolve(SEED, link, max_chars=2_048)
    assert url is not None
    return rules.decide(url)


@pytest.mark.parametrize(
    ("link", "default", "with_subdomains"),
    [
        ("/any/page?q", None, None),
        ("https://site.test:443/", None, None),
        ("https://SITE.test/", None, None),
        ("http://site.test/", "external", "external"),
        ("https://site.test:8443/", "external", "external"),
        ("https://sub.site.test/", "subdomain", None),
        ("https://a.b.site.test/", "subdomain", None),
        ("http://sub.site.test/", "subdomain", "subdomain"),
        ("https://sub.site.test:8443/", "subdomain", "subdomain"),
        ("https://evilsite.test/", "external", "external"),
        ("https://site.test.evil.test/", "external", "external"),
        ("https://SITE.TEST./", "external", "external"),
        ("https://test/", "external", "external"),
        ("https://site.test@evil.test/", "external", "external"),
    ],
)
def test_f60_d7_hosts(link: str, default: str | None, with_subdomains: str | None) -> None:
    assert decide(scope(), link) == default
    assert decide(scope(subdomains=True), link) == with_subdomains
    assert decide(scope(external=True), link) is None
    assert decide(scope(external=True, subdomains=True), link) is None


def test_d8_a_sibling_is_no_subdomain() -> None:
    rules = scope(seed="https://a.github.io/", subdomains=True)
    assert rules.decide("https://b.github.io/") == "external"
    assert rules.decide("https://github.io/") == "external"
    assert rules.decide("https://x.a.github.io/") is None
    assert scope(seed="https://www.site.test/", subdomains=True).decide("https://site.test/") == "external"


def test_subdomains_keep_the_port_of_the_seed() -> None:
    rules = scope(seed="http://site.test:8001/", subdomains=True)
    assert rules.decide("http://sub.site.test:8001/") is None
    assert rules.decide("http://sub.site.test/") == "subdomain"
    assert rules.decide("http://sub.site.test:18001/") == "subdomain"


def test_f59_exclude_wins_and_include_is_required() -> None:
    rules = scope(include=("https://site.test/docs/**",), exclude=("**/archive/**",))
    assert decide(rules, "/docs/x") is None
    assert decide(rules, "/docs/archive/x") == "excluded"
    assert decide(rules, "/blog/archive/x") == "excluded"
    assert decide(rules, "/blog/x") == "not_included"
    assert decide(rules, "https://other.test/docs/archive/") == "external"


def test_e27_exclude_wins_over_the_same_include() -> None:
    assert decide(scope(include=("**",), exclude=("**",)), "/x") == "excluded"


def test_the_seed_is_exempt_from_every_rule() -> None:
    rules = scope(seed="https://site.test/a/a/a/a/a", include=("https://site.test/b/**",), exclude=("**",))
    assert rules.decide("https://site.test/a/a/a/a/a") is None
    assert rules.decide("https://site.test/a/a/a/a/a/") == "excluded"


def test_patterns_apply_to_external_hosts_too() -> None:
    rules = scope(include=("https://*.test/keep/**",), external=True)
    assert decide(rules, "https://other.test/keep/1") is None
    assert decide(rules, "https://other.test/drop/1") == "not_included"


def test_f18_traps_are_out_of_scope() -> None:
    assert decide(scope(), "/a/a/a/a") == "trap"
    assert decide(scope(external=True), "https://other.test/a/a/a/a") == "trap"


@given(
    st.sampled_from(["http", "https"]), st.sampled_from(["site.test", "x.test"]), st.text("ab/.", max_size=8)
)
def test_without_options_only_the_origin_counts(scheme: str, host: str, path: str) -> None:
    url = urls.resolve(SEED, f"{scheme}://{host}/{path}", max_chars=2_048)
    assert url is not None
    expected = (scheme, host) == ("https", "site.test")
    assert (scope().decide(url) in (None, "trap")) is expected
