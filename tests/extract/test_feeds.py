"""Feeds: which of their texts are HTML, and what one entry can do to the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.extract.formats.content import BadDocument, Content, Limits
from crawler.extract.formats.feed import read_feed
from tests.extract.documents import RSS

LIMITS = Limits(max_links=100, max_url_chars=2_048, converter="builtin")


def read(body: bytes) -> Content:
    return read_feed(body, "http://site.test/feed", "application/xml", LIMITS)


def atom(inner: str) -> Content:
    return read(f'<feed xmlns="http://www.w3.org/2005/Atom">{inner}</feed>'.encode())


def rss(inner: str) -> Content:
    return read(f'<rss version="2.0"><channel>{inner}</channel></rss>'.encode())


SECOND = "<entry><title>second</title><summary>lost?</summary></entry>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "<summary>List&lt;String&gt; and a &lt; b, see &lt;!-- TODO</summary>",
            r"List\<String> and a < b, see \<!-- TODO",
        ),
        (
            '<content type="text">Use the &lt;textarea&gt; element</content>',
            r"Use the \<textarea> element",
        ),
        ('<content type="html">&lt;p&gt;at &lt;b&gt;dawn&lt;/b&gt;</content>', "at **dawn**"),
        (
            '<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">at <b>dawn</b></div></content>',
            "at **dawn**",
        ),
    ],
)
def test_the_text_of_an_atom_entry_is_what_its_type_says(text: str, shown: str) -> None:
    found = atom(f"<title>log</title><entry><title>first</title>{text}</entry>" + SECOND)
    assert found.markdown == f"# log\n\n## first\n\n{shown}\n\n## second\n\nlost?"


@pytest.mark.parametrize(
    "opening", ["&lt;textarea>", "&lt;select>", "&lt;table>&lt;tr>&lt;td>", "&lt;b>", "&lt;a>"]
)
def test_an_entry_cannot_swallow_the_next(opening: str) -> None:
    first = f"<entry><title>first</title><content type='html'>{opening}x</content></entry>"
    assert atom(first + SECOND).markdown.endswith("\n\n## second\n\nlost?")


def test_many_entries_that_end_nothing_are_read() -> None:
    item = "<item><title>x</title><description>&lt;div>a&lt;i>&lt;u>&lt;span></description></item>"
    assert rss("<title>t</title>" + item * 3_000).markdown.count("## x") == 3_000


def test_a_description_cannot_swallow_the_entries() -> None:
    markdown = atom("<title>t</title><subtitle type='html'>&lt;textarea></subtitle>" + SECOND).markdown
    assert markdown.endswith("## second\n\nlost?")


def test_titles_that_are_html_show_their_text() -> None:
    title = '<title type="html">Don&amp;#8217;t</title>'
    entry = '<entry><title type="html">It&amp;#8217;s &lt;em&gt;new&lt;/em&gt;</title></entry>'
    found = atom(title + entry)
    assert (found.title, found.markdown) == ("Don\u2019t", "# Don\u2019t\n\n## It\u2019s new")


def test_titles_that_are_text_stay_as_they_are() -> None:
    found = atom("<title>&lt;b&gt; &amp;amp; co</title><entry><title>Use &lt;i&gt;</title></entry>")
    assert (found.title, found.markdown) == ("<b> &amp; co", "# \\<b> \\&amp; co\n\n## Use \\<i>")


def test_rss_is_html_where_it_looks_so() -> None:
    item = "<item><title>Chan &amp;amp; Co</title><description>a &lt;b&gt;c&lt;/b&gt;</description></item>"
    found = rss("<title>A &lt; b</title><description>the &lt;i&gt;news&lt;/i&gt;</description>" + item)
    assert found.markdown == "# A < b\n\nthe _news_\n\n## Chan & Co\n\na **c**"
    assert found.metadata.description == "the news"


def test_elements_may_be_called_like_details() -> None:
    names = "<summary_detail>s</summary_detail><title_detail type='text/plain'/><subtitle_detail/>"
    assert (
        rss(f"<item>{names}<title>x</title><description>&lt;b>y</description></item>").markdown
        == "## x\n\n**y**"
    )


def test_a_body_that_names_a_file_is_not_that_file(tmp_path: Path) -> None:
    path = tmp_path / "feed.rss"
    path.write_text(RSS)
    with pytest.raises(BadDocument):
        read(str(path).encode())
