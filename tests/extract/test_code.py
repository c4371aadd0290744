"""Code as highlighters and site generators set it: its exact text, whatever it was cut into, and its language."""

from __future__ import annotations

import pytest

from crawler.extract.markdown import to_markdown

URL = "http://site.test/dir/page"
#: What every example below shows: a line, an empty line, an indented line.
LINES = "def f():\n\n    return 1"

BLOCKS = {
    "bare": ("", "<pre>def f():\n\n    return 1\n</pre>"),
    "rustdoc": ("rust", f'<pre class="rust rust-example-rendered"><code>{LINES}</code></pre>'),
    "MDN": ("py", f'<pre class="brush: py notranslate"><code>{LINES}\n</code></pre>'),
    "Confluence": (
        "java",
        f'<div class="code panel"><pre data-syntaxhighlighter-params="brush: java; gutter: false">{LINES}</pre></div>',
    ),
    "GitLab": (
        "python",
        '<pre class="code highlight" lang="python"><code><span id="LC1" class="line" lang="python">def f():</span>\n'
        '<span id="LC2" class="line" lang="python"></span>\n'
        '<span id="LC3" class="line" lang="python">    <b>return</b> 1</span></code></pre>',
    ),
    "GitHub": (
        "python",
        '<div class="highlight highlight-source-python notranslate"><pre><span class="pl-k">def</span> <span>f'
        "</span>():"
        "\n\n    <span>return</span> 1</pre><div class=zeroclipboard-container><clipboard-copy value=x><svg></svg>"
        "</clipboard-copy></div></div>",
    ),
    "GitHub, a file": (
        "",
        "<table class=highlight><tr><td class=blob-num data-line-number=1></td><td class='blob-code'>def f():</td></tr>"
        "<tr><td class=blob-num></td><td class=blob-code>\n</td></tr>"
        "<tr><td class=blob-num></td><td class=blob-code>    <span>return</span> 1</td></tr></table>",
    ),
    "Jupyter": ("ipython3", f'<div class="highlight hl-ipython3"><pre><span></span>{LINES}\n</pre></div>'),
    "Sphinx, numbers in a column": (
        "python",
        '<div class="highlight-python notranslate"><table class="highlighttable"><tr><td class="linenos">'
        '<div class="linenodiv"><pre><span class="normal">1</span>\n<span>2</span>\n<span>3</span></pre></div></td>'
        f'<td class="code"><div><pre><span></span>{LINES}\n</pre></div></td></tr></table></div>',
    ),
    "Sphinx, numbers in the lines": (
        "python3",
        '<div class="highlight-python3 notranslate"><div class="highlight"><pre><span></span>'
        '<span class="linenos">1</span><span class="k">def</span> f():\n<span class="linenos">2</span>\n'
        '<span class="linenos">3</span>    <span class="k">return</span> 1\n</pre></div></div>',
    ),
    "Hugo, numbers in a column": (
        "go",
        '<div class="highlight"><div class="chroma"><table class="lntable"><tr><td class="lntd">'
        '<pre class="chroma"><code>'
        '<span class="lnt">1\n</span><span class="lnt">2\n</span><span class="lnt">3\n</span></code></pre></td>'
        '<td class="lntd"><pre class="chroma"><code class="language-go" data-lang="go"><span class="line">'
        '<span class="cl">'
        'def f():\n</span></span><span class="line"><span class="cl">\n</span></span><span class="line">'
        '<span class="cl">    return 1\n</span></span></code></pre></td></tr></table></div></div>',
    ),
    "Hugo, numbers in the lines": (
        "go",
        '<pre class=chroma><code class="language-go"><span class="line"><span class="ln">1</span>'
        '<span class="cl">def f():\n</span></span><span class="line"><span class="ln">2</span>'
        '<span class="cl">\n</span>'
        '</span><span class="line"><span class="ln">3</span><span class="cl">    return 1\n</span></span>'
        "</code></pre>",
    ),
    "Jekyll with Rouge": (
        "ruby",
        '<div class="language-ruby highlighter-rouge"><div class="highlight"><pre class="highlight"><code>'
        '<table class="rouge-table"><tbody><tr><td class="gutter gl"><pre class="lineno">1\n2\n3\n</pre></td>'
        f'<td class="code"><pre>{LINES}\n</pre></td></tr></tbody></table></code></pre></div></div>',
    ),
    "Prism": (
        "css",
        f'<pre class="line-numbers language-css" data-line="1"><code class="language-css">{LINES}'
        '<span aria-hidden="true" class="line-numbers-rows"><span></span><span></span></span></code></pre>',
    ),
    "highlight.js": ("xml", f'<pre><code class="hljs xml">{LINES}\n</code></pre>'),
    "highlight.js with numbers": (
        "js",
        '<pre><code class="hljs language-js"><table class="hljs-ln"><tbody>'
        '<tr><td class="hljs-ln-line hljs-ln-numbers"><div>1</div></td><td class="hljs-ln-line">def f():</td></tr>'
        '<tr><td class="hljs-ln-line hljs-ln-numbers"></td><td class="hljs-ln-line">\n</td></tr>'
        '<tr><td class="hljs-ln-line hljs-ln-numbers"></td><td class="hljs-ln-line">    return 1</td></tr>'
        "</tbody></table></code></pre>",
    ),
    "Docusaurus": (
        "jsx",
        '<pre tabindex="0" class="prism-code language-jsx"><code class="codeBlockLines">'
        '<span class="token-line"><span class="token">def</span><span> f():</span><br></span>'
        '<span class="token-line"><span style="display:inline-block"></span><br></span>'
        '<span class="token-line"><span>    return 1</span><br></span></code></pre>',
    ),
    "Shiki": (
        "ts",
        '<div class="language-ts"><pre class="shiki" tabindex="0"><code><span class="line"><span>def'
        "</span> f():</span>\n"
        '<span class="line"></span>\n<span class="line">    return 1</span></code></pre>'
        '<div class="line-numbers-wrapper" aria-hidden="true"><span>1</span><br><span>2</span><br></div></div>',
    ),
    "Shiki without line ends": (
        "ts",
        '<pre class="shiki"><code data-language="ts"><span class="line">def f():</span><span class="line"></span>'
        '<span class="line">    return 1</span></code></pre>',
    ),
    "Expressive Code": (
        "js",
        '<figure><pre data-language="js"><code><div class="ec-line"><div class="gutter"><div class="ln">1</div></div>'
        '<div class="code">def f():</div></div><div class="ec-line"><div class="code">\n</div></div>'
        '<div class="ec-line"><div class="code"><span class="indent">    </span>return 1</div></div></code>'
        "</pre></figure>",
    ),
    "pandoc": (
        "python",
        '<div class="sourceCode"><pre class="sourceCode python"><code class="sourceCode python"><span id="cb1-1">'
        '<a href="#cb1-1" aria-hidden="true"></a><span class="kw">def</span> f():</span>\n\n'
        '<span id="cb1-3"><a href="#cb1-3"></a>    return 1</span></code></pre></div>',
    ),
    "Doxygen": (
        "",
        '<div class="fragment"><div class="line"><a name="l1"></a><span class="lineno">    1</span>def f():</div>\n'
        '<div class="line"><span class="lineno">    2</span></div>\n'
        '<div class="line"><span class="lineno">    3</span>    return 1</div></div>',
    ),
    "SyntaxHighlighter": (
        "",
        '<div class="syntaxhighlighter"><table><tr><td class="gutter"><div class="line">1</div>'
        '<div class="line">2</div>'
        '<div class="line">3</div></td><td class="code"><div class="container"><div class="line"><code>def f():'
        "</code></div>"
        '<div class="line"></div><div class="line"><code>    </code><code>return 1</code></div></div></td></tr>'
        "</table></div>",
    ),
    "react-syntax-highlighter": (
        "js",
        '<pre><code class="language-js"><span><span class="react-syntax-highlighter-line-number">1\n</span></span>'
        "<span>def f():</span>\n\n<span>    return 1</span></code></pre>",
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_code_is_exact(name: str) -> None:
    language, html = BLOCKS[name]
    assert to_markdown(html, url=URL, converter="builtin") == f"```{language}\n{LINES}\n```"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<pre>\n\n a \n\n\n</pre>", "\n a \n\n"),
        ("<pre>\ta\r\n  b\t</pre>", "\ta\n  b\t"),
        ("<pre>a<br>b<br><br>c</pre>", "a\nb\n\nc"),
        ("<pre>a &lt;b&gt; &amp;amp; \u00a0c</pre>", "a <b> &amp; \u00a0c"),
        ("<pre>x <code>y</code> <b>z</b> <a href=/q>w</a></pre>", "x y z w"),
        ("<pre>a<span hidden>b</span><button>Copy</button><i aria-hidden=true>c</i>d</pre>", "ad"),
    ],
)
def test_white_space_and_text_are_kept(html: str, text: str) -> None:
    assert to_markdown(html, url=URL, converter="builtin") == f"```\n{text}\n```"


@pytest.mark.parametrize(
    ("html", "wanted"),
    [
        ("<code>a`b</code>", "``a`b``"),
        ("<code>`a`</code>", "`` `a` ``"),
        ("<code>a``b</code>", "```a``b```"),
        ("<code> a </code>", "`  a  `"),
        ("<code>a\n  b</code>", "`a b`"),
        ("<code>a <b>b</b> <em>c</em></code>", "`a b c`"),
        ("<b>a <code>b</code></b>", "**a `b`**"),
        ("<kbd><kbd>Ctrl</kbd>+<kbd>C</kbd></kbd> <samp>x</samp> <tt>y</tt>", "`Ctrl+C` `x` `y`"),
    ],
)
def test_code_in_a_line(html: str, wanted: str) -> None:
    assert to_markdown(f"<p>{html}</p>", url=URL, converter="builtin") == wanted
