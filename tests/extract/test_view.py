"""Parts of a page: selectors, main content, links and images, front matter; and what a page says about itself."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crawler.extract.document import parse
from crawler.extract.front_matter import front_matter, split_front_matter
from crawler.extract.markdown import to_markdown
from crawler.extract.metadata import to_iso
from crawler.extract.view import View

URL = "http://site.test/dir/page"
TEXT = "The harbour has two piers, and a light that can be seen from far away at night. " * 3
MENU = "<ul><li><a href=/1>One</a><li><a href=/2>Two</a></ul>"
#: The same content as sites of different kinds set it.
PAGES = {
    "documentation": f"<header>Logo</header><nav>{MENU}</nav><main><nav>{MENU}</nav><h1>Piers</h1><p>{TEXT}"
    f"<pre><code class=language-sh>ls</code></pre></main><footer>Imprint</footer>",
    "weblog": f"<div id=top>{MENU}</div><article><h1>Piers</h1><p>{TEXT}</article><aside>Read on</aside>",
    "no names": f"<div class=menu>{MENU}</div><div class=content><h1>Piers</h1><p>{TEXT}<p>{TEXT}</div>"
    f"<div class=sidebar>{MENU}</div><div class=footer>Imprint</div>",
    "sections": f"<div class=menu>{MENU}</div><div class=page><div><h1>Piers</h1></div><div id=content>"
    f"<div class=sect><h2>North</h2><p>{TEXT}</div><div class=sect><h2>South</h2><p>{TEXT}</div></div></div>"
    f"<div id=footer><a href=/>Imprint</a></div>",
    "list of teasers": f"<nav>{MENU}</nav><h1>Piers</h1><article>{TEXT}</article><article>{TEXT}</article>"
    "<footer>Imprint",
}


def markdown(html: str, **view: object) -> str:
    return to_markdown(html, url=URL, converter="builtin", view=View(**view))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PAGES)
def test_main_content_is_without_what_surrounds_it(name: str) -> None:
    shown = markdown(PAGES[name], content="main")
    assert TEXT.strip() in shown
    assert "Imprint" not in shown
    assert "One" not in shown
    assert "Read on" not in shown


def test_main_content_keeps_its_forms() -> None:
    shown = markdown(PAGES["documentation"], content="main")
    assert shown == f"# Piers\n\n{TEXT.strip()}\n\n```sh\nls\n```"


def test_main_content_without_a_name_is_whole_and_has_its_heading() -> None:
    shown = markdown(PAGES["sections"], content="main")
    assert shown == f"# Piers\n\n## North\n\n{TEXT.strip()}\n\n## South\n\n{TEXT.strip()}"


def test_a_page_that_is_all_links_is_shown_whole() -> None:
    assert markdown(f"<div>Press space</div><div>{MENU}</div>", content="main").endswith(
        "[Two](http://site.test/2)"
    )
    assert markdown("<frameset><frame src=x></frameset>", content="main") == ""


@pytest.mark.parametrize("depth", [500, 2_000])
def test_main_content_of_deep_pages_is_found(depth: int) -> None:
    html = "<div>" * depth + f"<p>{TEXT}</p>" * 2
    assert markdown(html, content="main") == f"{TEXT.strip()}\n\n{TEXT.strip()}"


ROWS = "".join(f"<tr><td>berth {number}<td>{number} metres" for number in range(60))
FORMS = {
    "long code": f"<h2>How to do it</h2><p>First this.</p><pre><code>{'ls -l  ' * 60}</code></pre><p>Then run it.",
    "table of data": f"<h2>Rates</h2><p>Per night.</p><table>{ROWS}</table><p>Valid until May.</p>",
    "table with headers": f"<p>Per night.</p><table><tr><th>Name<td>x<tr><th>About<td><h3>y</h3><p>{TEXT}</table>",
    "cell of data": f"<p>Per night.</p><table><tr><td>About<td>{TEXT}</table>",
    "long list": f"<p>Per night:</p><ul><li>{TEXT}</ul><p>Valid until May.</p>",
    "long definition": f"<h2>Words</h2><dl><dt>Pier<dd><div>{TEXT}</div></dl>",
    "long quote": f"<p>He said:</p><blockquote><div>{TEXT}</div></blockquote><p>And left.</p>",
    "long picture": f"<p>A map:</p><figure><img src=m><figcaption>{TEXT}</figcaption></figure><p>Not to scale.</p>",
    "long paragraph": f"<p>{TEXT}</p><p>short one</p><p>more two</p>",
    "long emphasis": f"<p>Note:</p><b>{TEXT}</b><p>more two</p>",
}


@pytest.mark.parametrize("name", FORMS)
def test_main_content_is_never_a_part_of_a_form(name: str) -> None:
    whole = markdown(FORMS[name])
    assert markdown(FORMS[name], content="main") == whole
    assert markdown(f"<div>{MENU}</div><div class=page>{FORMS[name]}</div>", content="main") == whole


BLOCKS = f"<h1>Piers</h1><p>{TEXT}</p>"
CONTAINERS = {
    "custom elements": f"<my-app><menu-bar>{MENU}</menu-bar><main-part>{BLOCKS}</main-part></my-app>",
    "shadow tree": f"<my-app><template shadowrootmode=open><div>{MENU}</div><div>{BLOCKS}</div></template></my-app>",
    "layout table": f"<center><table><tr><td>{MENU}<td>{BLOCKS}</table></center>",
    "layout table in another": f"<table><tr><td>{MENU}<tr><td><table><tr><td>{MENU}<td>{BLOCKS}</table></table>",
    "layout table of paragraphs": f"<table><tr><td><a href=/>x</a><td>{f'<p>{TEXT}' * 3}</table>",
    "layout table by its role": f"<table role=presentation><tr><th><a href=/>x</a><td>{TEXT}</table>",
    "form": f"<form><div>{MENU}</div><section>{BLOCKS}</section></form>",
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_main_content_is_found_in_all_that_only_contains(name: str) -> None:
    shown = markdown(CONTAINERS[name], content="main")
    assert TEXT.strip() in shown
    assert "](" not in shown
    assert "|" not in shown


def test_an_empty_main_is_not_the_content() -> None:
    assert TEXT.strip() in markdown(f"<main></main><p>{TEXT}<p>{TEXT}", content="main")


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ({"selector": "td"}, "1\n\n2"),
        ({"selector": "table, td"}, "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ({"selector": "li:nth-child(2)"}, "[y](http://site.test/y) ![i](http://site.test/i.png)"),
        ({"selector": ".none"}, ""),
        ({"selector": "script"}, ""),
        ({"excluded": ("table", "li:first-child")}, "* [y](http://site.test/y) ![i](http://site.test/i.png)"),
        ({"selector": "ul", "links": False, "images": False}, "* x\n* y"),
        ({"selector": "ul", "excluded": ("ul",)}, ""),
    ],
)
def test_selectors(view: dict[str, object], shown: str) -> None:
    html = (
        "<table><tr><th>a<th>b<tr><td>1<td>2</table><script>s</script>"
        "<ul><li>x<li><a href=/y>y</a> <img src=/i.png alt=i></ul>"
    )
    assert markdown(html, **view) == shown


def test_a_hidden_body_is_shown() -> None:
    assert markdown("<body style='visibility:hidden'><p>x<p hidden>y") == "x"


@given(st.text(), st.text())
def test_front_matter_is_yaml(title: str, description: str) -> None:
    block = front_matter(title, description)
    if not block:
        assert not title
        assert not description
        return
    assert block.startswith("---\n")
    assert block.endswith("\n---\n\n")
    read = yaml.safe_load(block[4:-6])
    assert read.get("title", "") == title
    assert read.get("meta", {}).get("description", "") == description


@pytest.mark.parametrize(
    ("markdown", "title", "body"),
    [
        ("---\ntags: x\ntitle: A: b \n---\n# c", "A: b", "# c"),
        ("---\ntitle: 'A'\n---\n", "A", ""),
        ("---\n---\nb", "", "b"),
        ("---\n\nb", "", "---\n\nb"),
        ("# c", "", "# c"),
    ],
)
def test_front_matter_of_a_file(markdown: str, title: str, body: str) -> None:
    assert split_front_matter(markdown) == (title, body)


@given(st.text(), st.text(min_size=1), st.text())
def test_our_front_matter_is_taken_off_again(title: str, description: str, body: str) -> None:
    assert split_front_matter(front_matter(title, description) + body)[1] == "\n" + body


def test_what_a_page_says_about_itself() -> None:
    page = parse(
        "<html lang=en><meta name=author content='A. Keeper'><meta property=article:author content=https://x.test/>"
        "<meta property=article:published_time content=2026-11-21T10:00:00+01:00>"
        "<meta itemprop=dateModified content=2026-11-22>"
        "<meta property=og:title content=T><meta property=og:description content=D><link rel=canonical href=/c>",
        content_type=None,
        url=URL,
        max_links=9,
        max_url_chars=2048,
    )
    assert page.metadata.to_details() == {
        "description": "D",
        "language": "en",
        "canonical": "http://site.test/c",
        "author": "A. Keeper",
        "publishedAt": "2026-11-21T09:00:00Z",
        "modifiedAt": "2026-11-22",
        "openGraph": {"title": "T", "description": "D"},
    }


def test_the_language_of_xhtml() -> None:
    page = parse("<html xml:lang=de>", content_type=None, url=URL, max_links=9, max_url_chars=2048)
    assert page.metadata.language == "de"


@pytest.mark.parametrize(
    ("written", "iso"),
    [
        ("2026-11-21", "2026-11-21"),
        ("2026/1/2", "2026-01-02"),
        ("2026-11-21T10:00:00", "2026-11-21T10:00:00"),
        ("Sat, 21 Nov 2026 10:00:00 GMT", "2026-11-21T10:00:00Z"),
        ("0001-01-01T00:00:00+14:00", ""),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", ""),
        ("Mon, 01 Jan 2026 99999999999999999999:00:00 GMT", ""),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_moments(written: str, iso: str) -> None:
    assert to_iso(written) == iso


@given(st.text())
def test_any_text_is_a_moment_or_none(text: str) -> None:
    to_iso(text)
