"""Names of files: inside the folder, unique on every file system, the same each time."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from unicodedata import normalize

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cli.names import EXTENSIONS, file_name
from crawler import urls
from crawler.urls import Url

#: Segments that are plain, and ones that file systems, shells or our own markers could trip over.
SEGMENTS = st.sampled_from(
    [
        "", "a", "A", "b", "docs", "index", "Index", "index.md", "a.md", "a.html", "a.MD", "x.jsonl", "con", "nul.txt",
        "COM1", "com¹", "..", ".", "...", "%2e%2e", "%252e%252e", "%2F", "%5C", "a%2fb", "~", "a~0123456789ab", "a.",
        "a%20", "%20a", ".git", "-rf", "caf%C3%A9", "cafe%CC%81", "CAF%C3%89", "%ff", "%00", "日本", "a:b", "a*b",
        "x" * 60, "x" * 61, "x" * 300, "X" * 61, "é" * 100, "ß", "SS", "ss", "_", "__", "ipv6_a", "a_80", "a@b", "a;b",
    ]
)  # fmt: skip
HOSTS = st.sampled_from(
    ["a", "a.test", "A.test", "a_b.test", "a.test.", "127.0.0.1", "[::1]", "[2001:db8::1]", "2001-db8--1",
     "ipv6_2001-db8--1", "con", "a.md", "index.jsonl", "xn--bcher-kva.test", "日本.test", ("b" * 60 + ".") * 4 + "test",
     "a~b", "-a"]
)  # fmt: skip


@st.composite
def page_urls(draw: st.DrawFn) -> str:
    """Serialised URLs as records have them."""
    scheme = draw(st.sampled_from(["http", "https"]))
    port = draw(st.sampled_from(["", "", ":80", ":443", ":8080"]))
    path = "/".join(draw(st.lists(SEGMENTS | st.text(max_size=12), max_size=8)))
    query = draw(
        st.sampled_from(["", "", "?", "?q=1", "?Q=1", "?a/../b", "?" + "y" * 300]) | st.text(max_size=9)
    )
    if query and not query.startswith("?"):
        query = "?" + query
    text = f"{scheme}://{draw(HOSTS)}{port}/{path}{query}"
    found = urls.parse(text, max_chars=8192)
    return found.href if isinstance(found, Url) else "https://a.test/"


def names_of(url: str, scheme: str = "https") -> list[PurePosixPath]:
    """The names of all files that a page may have."""
    return [file_name(url, scheme=scheme, extension=extension) for extension in EXTENSIONS.values()]


def folded(path: PurePosixPath) -> str:
    """What file systems that know neither case nor normal forms make of a path."""
    return normalize("NFD", str(path)).casefold()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.test/", "a.test/index.md"),
        ("https://a.test/docs", "a.test/docs.md"),
        ("https://a.test/docs/", "a.test/docs/index.md"),
        ("https://a.test/docs/page-1.html", "a.test/docs/page-1.html.md"),
        ("https://a.test:8443/x", "a.test_8443/x.md"),
        ("https://[2001:db8::1]:8443/x", "ipv6_2001-db8--1_8443/x.md"),
    ],
)
def test_plain_urls_are_mirrored(url: str, name: str) -> None:
    assert str(file_name(url, scheme="https", extension=".md")) == name


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("https://a.test/?q=1", "a.test/index_q=1~*.md"),
        ("https://a.test/Main_Page", "a.test/Main_Page~*.md"),
        ("https://a.test/index", "a.test/index~*.md"),
        ("https://a.test/caf%C3%A9/", "a.test/café/index~*.md"),
        ("https://a.test/a.md/b", "a.test/a.md_/b~*.md"),
        ("https://a.test/nul", "a.test/_nul~*.md"),
        ("http://a.test/x", "a.test/x~*.md"),
    ],
)
def test_other_urls_get_a_recognisable_name_with_a_digest(url: str, pattern: str) -> None:
    name = file_name(url, scheme="https", extension=".md")
    assert name.match(pattern), name
    assert str(name).count("~") == 1


@given(page_urls(), page_urls())
@settings(max_examples=1500)
@example("https://a.test/a", "https://a.test/A")
@example("https://a.test/a.md", "https://a.test/a")
@example("https://a.test/index", "https://a.test/")
@example("https://a.test/a", "http://a.test/a")
@example("https://a.test/a?", "https://a.test/a")
@example("https://a.test//a", "https://a.test/a")
def test_no_two_pages_share_a_file(one: str, other: str) -> None:
    if one == other:
        assert names_of(one) == names_of(other)
        return
    assert not {folded(name) for name in names_of(one)} & {folded(name) for name in names_of(other)}


@given(page_urls(), page_urls())
@settings(max_examples=1000)
@example("https://a.test/a.md/b", "https://a.test/a")
@example("https://a.test/a.MD/b", "https://a.test/a")
def test_no_page_needs_a_folder_where_another_has_its_file(one: str, other: str) -> None:
    folders = {folded(folder) for name in names_of(one) for folder in name.parents}
    assert not folders & {folded(name) for name in names_of(other)}
    assert "index.jsonl" not in folders


@given(page_urls())
@settings(max_examples=1500)
def test_names_stay_inside_the_folder_and_fit_every_system(url: str) -> None:
    for name in names_of(url):
        assert not name.is_absolute()
        assert not PureWindowsPath(str(name)).is_absolute()
        assert len(str(name)) <= 200
        for part in name.parts:
            assert part not in (".", "..")
            assert 0 < len(part.encode()) <= 143
            assert not part.startswith((".", "-", " "))
            assert not part.endswith((".", " "))
            assert not set(part) & set('<>:"/\\|?*\x7f')
            assert part.isprintable()
            assert not PureWindowsPath(part).is_reserved()
