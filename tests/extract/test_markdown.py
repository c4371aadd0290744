"""What each form of a page becomes, one example each; `test_fidelity.py` has the large suites."""

from __future__ import annotations

import pytest

from crawler.extract.markdown import to_markdown

URL = "http://site.test/dir/page"

EXAMPLES = {
    "heading in a link": ('<a href="/c"><h3>Card</h3><p>text</p></a>', "### [Card](/c)\n\n[text](/c)"),
    "nested lists": (
        "<ul><li>a<ol start=3><li>c<li>d</ol><li>b<ul><li>e</ul></ul>",
        "* a\n\n  3. c\n  4. d\n\n* b\n\n  * e",
    ),
    "list directly in a list": ("<ul><li>a</li><ul><li>b</li></ul></ul>", "* a\n  * b"),
    "two lists": ("<ul><li>a</ul><ul><li>b</ul>", "* a\n\n- b"),
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
    "code in a Sphinx block": (
        '<div class="highlight-python3 notranslate"><div class=highlight><pre><span>a</span> = 1\n</pre></div></div>',
        "```python3\na = 1\n```",
    ),
    "code on GitHub": (
        '<div class="highlight highlight-source-shell"><pre>ls</pre></div>',
        "```shell\nls\n```",
    ),
    "code with fences": ("<pre>```\nx\n```</pre>", "````\n```\nx\n```\n````"),
    "code with line numbers": (
        "<table class=highlighttable><tr><td class=linenos><pre>1\n2</pre><td class=code><pre>a\n  b\n</pre></table>",
        "```\na\n  b\n```",
    ),
    "a code line per element": (
        "<pre class='language-js'><div class=token-line>a</div><div class=token-line></div><div>b</div></pre>",
        "```js\na\n\nb\n```",
    ),
    "a code line per span": (
        "<pre><code><span class=line>a</span><span class=line>b</span></code></pre>",
        "```\na\nb\n```",
    ),
    "a code line per table row": (
        "<table><tr><td class=blob-num>1<td class=blob-code>a\n<tr><td class=blob-num>2<td class=blob-code>b</table>",
        "```\na\nb\n```",
    ),
    "code with backticks": ("<p><code>a`b</code> <code>`</code>", "``a`b`` `` ` ``"),
    "link in code": ('<p><code>f(<a href="/x">X</a>)</code>', "`f(`[`X`](/x)`)`"),
    "glossary": ("<dl><dt>a<dd>b<dt>c<dt>d<dd>e</dl>", "a\n: b\n\nc  \nd\n: e"),
    "definitions of several blocks": (
        "<dl><dt>a<dd><p>b<p>c<dt>d<dd>e</dl>",
        "* a\n\n  b\n\n  c\n\n* d\n\n  e",
    ),
    "quote in a quote": ("<blockquote><p>a<blockquote>b</blockquote></blockquote>", "> a\n>\n> > b"),
    "line breaks": ("<p>a<br>b<br><br>c<br>", "a  \nb\n\nc"),
    "image": ("<p><img src=i.png alt='a [b]' title='c \"d\"'>", '![a \\[b\\]](/dir/i.png "c \\"d\\"")'),
    "late image": ("<p><img src='data:image/gif;base64,x' data-src=/i.png>", "![](/i.png)"),
    "details": ("<details><summary>a</summary>b</details>", "**a**\n\nb"),
    "figure": ("<figure><img src=/i.png alt=a><figcaption>b</figcaption></figure>", "![a](/i.png)\n\nb"),
    "raised and lowered": ("<p>10<sup>6</sup> H<sub>2</sub>O", "10<sup>6</sup> H<sub>2</sub>O"),
    "formula": (
        "<p><math><mi>x</mi><annotation encoding='application/x-tex'>x_1 + \\frac{1}{2}</annotation></math>",
        "$x_1 + \\frac{1}{2}$",
    ),
    "not shown": (
        "<p hidden>a<p style='color:red; display : none'>a</p><script>a</script><style>a</style><template>a</template>"
        "<noscript>a</noscript><dialog>a</dialog><p>b",
        "b",
    ),
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


def test_links_are_absolute_by_the_base() -> None:
    html = '<base href="//other.test/x/"><p><a href="a#b">a</a> <a href="mailto:c@d">c</a> <img src="e">'
    wanted = "[a](http://other.test/x/a#b) [c](mailto:c@d) ![](http://other.test/x/e)"
    assert to_markdown(html, url=URL, converter="builtin") == wanted
    assert to_markdown(html, url=URL, converter="markdownify") == wanted


def test_an_empty_page_is_empty() -> None:
    assert to_markdown("", url=URL, converter="builtin") == ""
    assert to_markdown("<frameset><frame src=x></frameset>", url=URL, converter="builtin") == ""
