"""What each form of a page becomes, one example each; `test_fidelity.py` has the large suites."""

from __future__ import annotations

import time

import pytest

from crawler.extract.markdown import ConverterName, to_markdown
from tests.extract.fidelity import characters, rendered

URL = "http://site.test/dir/page"

EXAMPLES = {
    "heading in a link": ('<a href="/c"><h3>Card</h3><p>text</p></a>', "### [Card](/c)\n\n[text](/c)"),
    "nested lists": (
        "<ul><li>a<ol start=3><li>c<li>d</ol><li>b<ul><li>e</ul></ul>",
        "* a\n\n  3. c\n  4. d\n\n* b\n\n  * e",
    ),
    "list directly in a list": ("<ul><li>a</li><ul><li>b</li></ul></ul>", "* a\n  * b"),
    "two lists": ("<ul><li>a</ul><ul><li>b</ul>", "* a\n\n- b"),
    "numbers as they are shown": (
        "<ol><li>a<li value=10>b<li>c</ol><hr><ol reversed><li>x<li>y</ol><hr><ol start=0 reversed><li>z<li>-1</ol>",
        "1. a\n10. b\n11. c\n\n---\n\n2. x\n1. y\n\n---\n\n0. z\n0. -1",
    ),
    "text in a list outside of its items": ("<ul>a<li>b</li>c<li>d</ul>", "* a\n\n* b\n\n  c\n\n* d"),
    "three levels": (
        "<ol><li>a<ul><li>b<ol start=7><li>c<li>d</ol></ul><li>e</ol>",
        "1. a\n   * b\n\n     7. c\n     8. d\n2. e",
    ),
    "task list of GitHub": (
        "<ul class=contains-task-list><li class=task-list-item><input type=checkbox disabled> a <b>b</b>"
        "<ul><li><input type=checkbox checked> c</ul><li><label><input type=checkbox checked>d</label></ul>",
        "* [ ] a **b**\n  * [x] c\n* [x] d",
    ),
    "task list": (
        "<ul><li><input type=checkbox checked>a<li><input type=checkbox>b</ul>",
        "* [x] a\n* [ ] b",
    ),
    "table": (
        "<table><caption>C</caption><tr><th>a|b<th align=right>c<tr><td>1<br>2<td><code>x|y</code></table>",
        "C\n\n| a\\|b | c |\n| --- | ---: |\n| 1<br>2 | `x\\|y` |",
    ),
    "table without header": ("<table><tr><td>a<td>b</table>", "|  |  |\n| --- | --- |\n| a | b |"),
    "spans": (
        "<table><tr><th colspan=2>h<tr><td rowspan=2>a<td>b<tr><td>c</table>",
        "| h |  |\n| --- | --- |\n| a | b |\n|  | c |",
    ),
    "rows that only spanned cells are in": (
        "<table><tr><th>h<th>i<tr><td rowspan=2>a<td rowspan=2>b</tr><tr></tr><tr><td>c<td>d</table>",
        "| h | i |\n| --- | --- |\n| a | b |\n| c | d |",
    ),
    "spans end with their part of the table": (
        "<table><thead><tr><th rowspan=9>a<th>b<tbody><tr><td rowspan=0>1<td>2<tr><td>3<tbody><tr><td>4<td>5</table>",
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n|  | 3 |\n| 4 | 5 |",
    ),
    "two header rows": (
        "<table><thead><tr><th rowspan=2>n<th colspan=2>s<tr><th>x<th>y<tbody><tr><td>a<td>1<td>2</table>",
        "| n | s |  |\n| --- | --- | --- |\n|  | x | y |\n| a | 1 | 2 |",
    ),
    "foot that is written before the body": (
        "<table><thead><tr><th>a<tfoot><tr><td>sum<tbody><tr><td>1</table>",
        "| a |\n| --- |\n| 1 |\n| sum |",
    ),
    "alignment": (
        "<table><tr><th align=right>a<th style='text-align: center'>b<th class='tableblock halign-left'>c"
        "<th class=text-right>d<tr><td>1<td>2<td>3<td>4</table>",
        "| a | b | c | d |\n| ---: | :---: | :--- | ---: |\n| 1 | 2 | 3 | 4 |",
    ),
    "heads of rows": (
        "<table><tr><th>a<td>1<tr><th>b<td>2</table>",
        "|  |  |\n| --- | --- |\n| a | 1 |\n| b | 2 |",
    ),
    "code, pictures and pipes in cells": (
        "<table><tr><th>a<th>b<tr><td><pre>x\n  y|z</pre><td><a href=/l><img src=/i alt='p|q'></a> \\|</table>",
        "| a | b |\n| --- | --- |\n| `x`<br>`  y\\|z` | [![p\\|q](/i)](/l) \\\\\\| |",
    ),
    "list in a cell": (
        "<table><tr><th>a<tr><td><ul><li>x<li>y</ul><tr><td>z</table>",
        "| a |\n| --- |\n| • x<br>• y |\n| z |",
    ),
    "table in a table": (
        "<table><tr><th>a<th>b<tr><td>1<td><table><tr><td>x<td>y<tr><td>z</table></table>",
        "| a | b |\n| --- | --- |\n| 1 | x, y<br>z |",
    ),
    "layout table": ("<table><tr><td><h2>a</h2><td><p>b<ul><li>c</ul></table>", "## a\n\nb\n\n* c"),
    "code with its language": (
        '<pre><code class="language-py">a\n\n  b\n</code></pre>',
        "```py\na\n\n  b\n```",
    ),
    "code with fences": ("<pre>```\nx\n```</pre>", "````\n```\nx\n```\n````"),
    "code in an item": ("<ul><li>x<pre>a\n\n  b</pre>y</ul>", "* x\n\n  ```\n  a\n\n    b\n  ```\n\n  y"),
    "code in a quote": ("<blockquote><pre>a\n\n b</pre></blockquote>", "> ```\n> a\n>\n>  b\n> ```"),
    "link in code": ('<p><code>f(<a href="/x">X</a>)</code>', "`f(`[`X`](/x)`)`"),
    "glossary": ("<dl><dt>a<dd>b<dt>c<dt>d<dd>e</dl>", "a\n: b\n\nc  \nd\n: e"),
    "definitions of several blocks": (
        "<dl><dt>a<dd><p>b<p>c<dt>d<dd>e</dl>",
        "* a\n\n  b\n\n  c\n\n* d\n\n  e",
    ),
    "several terms and meanings": ("<dl><div><dt>a<dd>b<dd>c</div></dl>", "a\n: b\n: c"),
    "indented text": ("<dl><dd>a<dd><p>b<p>c</dl><p>d", "a\n\nb\n\nc\n\nd"),
    "text in a glossary outside of its terms": ("<dl>a<dt>b</dt>c<dd>d</dl>", "a\n\nb\n: c\n: d"),
    "glossary in a glossary": ("<dl><dt>a<dd>t<dl><dt>b<dd>c</dl></dl>", "* a\n\n  t\n\n  b\n  : c"),
    "quote in a quote": ("<blockquote><p>a<blockquote>b</blockquote></blockquote>", "> a\n>\n> > b"),
    "line breaks": ("<p>a<br>b<br><br>c<br>", "a  \nb\n\nc"),
    "two line breaks in formatted text": (
        "<p><b>a<br><br>b</b><p>x <i>y <b>c<br><br>d</b> z</i><p><b>e<br><br></b>f",
        "**a**\n\n**b**\n\nx _y **c**_\n\n_**d** z_\n\n**e**\n\nf",
    ),
    "two line breaks in a link": (
        "<a href=/p title=t><img src=/i><br><br>caption</a>",
        '[![](/i)](/p "t")\n\n[caption](/p "t")',
    ),
    "films and sounds": (
        "<video src=/f/a%20b.mp4></video> <audio title=A><source src=/s></audio> <video src=/v>See <b>it</b></video>",
        "[a b.mp4](/f/a%20b.mp4) [A](/s) [See **it**](/v)",
    ),
    "image": ("<p><img src=i.png alt='a [b]' title='c \"d\"'>", '![a \\[b\\]](/dir/i.png "c \\"d\\"")'),
    "images that come late": (
        "<p><img src='data:image/gif;base64,x' data-src=/a><img src=/blank.gif data-original=/b>"
        "<img data-srcset='/c 1x, /d 2x'><img srcset='/e,w_9/f 100w'><picture><source data-srcset=/g><img></picture>"
        "<img src=/h loading=lazy><img class=lazy data-src=/i alt=i><noscript><img src=/i alt=i></noscript>",
        "![](/a)![](/b)![](/c)![](/e,w_9/f)![](/g)![](/h)![i](/i)",
    ),
    "image without an address": ("<p>a <img src='data:image/png;base64,x' alt=b> <img alt=c>", "a b c"),
    "image in a link": (
        "<a href=/x title=t><img src=/i.png alt=a title=b></a>",
        '[![a](/i.png "b")](/x "t")',
    ),
    "details": ("<details><summary>a</summary>b</details>", "**a**\n\nb"),
    "details in a list": ("<ul><li><details><summary>a</summary>b</details></ul>", "* **a**\n\n  b"),
    "figure of a table": (
        "<figure><figcaption>F</figcaption><table><tr><th>a<tr><td>b</table></figure>",
        "F\n\n| a |\n| --- |\n| b |",
    ),
    "figure": ("<figure><img src=/i.png alt=a><figcaption>b</figcaption></figure>", "![a](/i.png)\n\nb"),
    "raised and lowered": ("<p>10<sup>6</sup> H<sub>2</sub>O", "10<sup>6</sup> H<sub>2</sub>O"),
    "not shown": (
        "<p hidden>a<p style='color:red; display : none'>a</p><script>a</script><style>a</style><template>a</template>"
        "<noscript>a</noscript><dialog>a</dialog><div popover>a</div><p>b",
        "b",
    ),
    "shown in spite of appearances": (
        "<p hidden=until-found>a</p><dialog open>b</dialog><details>c</details><p style='display:none-x'>d",
        "a\n\nb\n\nc\n\nd",
    ),
    "ornaments": (
        "<p><a href=/x><i aria-hidden=true>home</i> Go</a> <span aria-hidden=true>›</span> b"
        "<a href=/y aria-label=Top><span aria-hidden=true>^</span></a>",
        "[Go](/x) b[Top](/y)",
    ),
    "a page behind a dialog": (
        "<div aria-hidden=true><div>a</div></div><p aria-hidden=true>b</p><a aria-hidden=true href=/x><img src=/i></a>",
        "a\n\nb\n\n[![](/i)](/x)",
    ),
    "links of headings to themselves": (
        "<h2>a<a class=headerlink href=#a title=Link>¶</a></h2><h2>b<a class=hash-link href=#b>#</a></h2>"
        "<h2>c <a href=#c aria-label='Link to c'>\u200b</a></h2><h2>d</h2><a href=#d aria-label=d><svg></svg></a>"
        "<h2><a href=#e>e</a></h2><h2>f<a href=#f>#</a></h2><p><a href=#g><img src=/i></a>",
        "## a\n\n## b\n\n## c\n\n## d\n\n## [e](/dir/page#e)\n\n## f[#](/dir/page#f)\n\n[![](/i)](/dir/page#g)",
    ),
    "quotation marks and readings": (
        "<p>a <q>b</q> <ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp>字<rt>ji</rt></ruby>",
        'a "b" 漢(kan)字(ji)',
    ),
    "writing from right to left": (
        "<p dir=rtl lang=ar>مرحبا <b>بالعالم</b>! <code>x</code>",
        "مرحبا **بالعالم**! `x`",
    ),
    "elements without a form": (
        "<p><abbr title=t>a</abbr> <dfn>b</dfn> <cite>c</cite> <mark>d</mark> <u>e</u> <bdo>f</bdo> lo<wbr>ng"
        " <x-y>g</x-y>",
        "a b c d e f long g",
    ),
    "characters by name": (
        "<p>&lt;b> &amp;amp; &copy; &copy &euro; &euro x&nbsp;y &#x41;&#66; AT&T &notit; &#0;",
        "\\<b> \\&amp; © © € &euro x\u00a0y AB AT&T ¬it; \ufffd",
    ),
    "drawing with text": ("<p>a<svg><title>no</title><text>b</text><text>c</text></svg>d", "a b c d"),
    "links that lead nowhere": ("<p><a href='javascript:x()'>a</a> <a>b</a> <a name=x></a>", "a b"),
    "link with a label": ("<p><a href=/x aria-label='Home page'><svg></svg></a>", "[Home page](/x)"),
    "blanks around marks": ("<p>a<b> b </b>c <i>\nd</i>", "a **b** c _d_"),
    "marks inside words": ("<p>a<b>b</b>c<i>d</i>e", "a**b**c*d*e"),
    "marks that need a tag": ("<p>a<b>(b)</b>c", "a<strong>(b)</strong>c"),
    "text that is no markup": (
        "<p>snake_case __init__ 2 * 3 *x* [1] [a](b) 5 &lt; 6 &lt;b> &amp;amp; C:\\dir a~b `c`",
        "snake_case \\_\\_init\\_\\_ 2 * 3 \\*x\\* [1] [a\\](b) 5 < 6 \\<b> \\&amp; C:\\dir a~b \\`c\\`",
    ),
    "lines that are no blocks": (
        "<p># a<p>1. b<p>- c<p>d<br>---<p>> e",
        "\\# a\n\n1\\. b\n\n\\- c\n\nd  \n\\---\n\n\\> e",
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str) -> None:
    html, wanted = EXAMPLES[name]
    assert to_markdown(html, url=URL, converter="builtin").replace("http://site.test/", "/") == wanted


#: Without the one that needs a tag, which markdownify does not write.
@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"marks that need a tag"}))
def test_markdownify_shows_the_same_text(name: str) -> None:
    html, _ = EXAMPLES[name]
    converters: list[ConverterName] = ["builtin", "markdownify"]
    first, second = (characters(rendered(to_markdown(html, url=URL, converter=name))) for name in converters)
    assert first == second


def test_links_are_absolute_by_the_base() -> None:
    html = '<base href="//other.test/x/"><p><a href="a#b">a</a> <a href="mailto:c@d">c</a> <img src="e">'
    wanted = "[a](http://other.test/x/a#b) [c](mailto:c@d) ![](http://other.test/x/e)"
    assert to_markdown(html, url=URL, converter="builtin") == wanted
    assert to_markdown(html, url=URL, converter="markdownify") == wanted


def test_an_empty_page_is_empty() -> None:
    assert to_markdown("", url=URL, converter="builtin") == ""
    assert to_markdown("<frameset><frame src=x></frameset>", url=URL, converter="builtin") == ""


def test_f3_open_shadow_trees_are_shown_where_they_are() -> None:
    inner = "<my-b><template shadowrootmode=OPEN><b>deep</b></template></my-b>"
    html = (
        f"<p>a<my-a><template shadowrootmode=open title='x>y'><style>p</style><p>b{inner}</template></my-a><p>c"
        "<template>no</template><my-c><template shadowrootmode=closed>no</template></my-c>"
    )
    assert to_markdown(html, url=URL, converter="builtin") == "a\n\nb**deep**\n\nc"


def test_f3_shadow_trees_without_end_take_little_time() -> None:
    nested = "<div><template shadowrootmode=open><p>x" * 1500
    many = "<div><template shadowrootmode=open><p>x</template></div>" * 15_000
    started = time.monotonic()
    for html in (nested, many):
        assert "x" in to_markdown(html, url=URL, converter="builtin")
    assert time.monotonic() - started < 10
