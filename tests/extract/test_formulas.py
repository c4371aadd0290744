"""Formulas stay readable, in whatever form a page has them."""

from __future__ import annotations

import pytest

from crawler.extract.formula import MAX_DEPTH
from crawler.extract.markdown import to_markdown

URL = "http://site.test/dir/page"
TEX = '<annotation encoding="application/x-tex">x^2</annotation>'


def markdown(html: str) -> str:
    return to_markdown(html, url=URL, converter="builtin")


@pytest.mark.parametrize(
    "html",
    [
        f"<math><semantics><mi>x</mi>{TEX}</semantics></math>",
        "<math alttext='x^2'><mi>x</mi></math>",
        f"<span class=katex><span class=katex-mathml><math><semantics><mi>x</mi>{TEX}</semantics></math></span>"
        "<span class=katex-html aria-hidden=true>x2</span></span>",
        # MathJax 2 before and after its scripts ran.
        "<span class=MathJax_Preview>x2</span><script type='math/tex'>x^2</script>",
        "<span class=MathJax><nobr aria-hidden=true>x2</nobr><span class=MJX_Assistive_MathML><math><mi>x</mi></math>"
        "</span></span><script type='math/tex'>x^2</script>",
        # MediaWiki, WordPress, Sphinx.
        f"<span><span style='display: none;'><math><semantics><mi>x</mi>{TEX}</semantics></math></span>"
        "<img src=/x.svg class=mwe-math-fallback-image-inline aria-hidden=true alt='x^2'></span>",
        "<img class=latex src=/x.png alt='x^2'>",
        "<img class=math src=/x.png alt='x^2'>",
        # Before a script has run: Sphinx, pandoc, Arithmatex.
        "<span class='math notranslate nohighlight'>\\(x^2\\)</span>",
        "<span class='math inline'> \\( x^2 \\)</span>",
        "<span class=arithmatex>\\(x^2\\)</span>",
    ],
)
def test_tex_of_the_page(html: str) -> None:
    assert markdown(f"<p>a {html} b") == "a $x^2$ b"


@pytest.mark.parametrize(
    "html",
    [
        "<math display=block alttext='x^2'></math>",
        "<script type='math/tex; mode=display'>x^2</script>",
        "<img class=mwe-math-fallback-image-display src=/x.svg alt='x^2'>",
        "<span class='math display'>\\[\nx^2\n\\]</span>",
        "<span class=math>$$x^2$$</span>",
    ],
)
def test_formulas_on_a_line_of_their_own(html: str) -> None:
    assert markdown(f"<p>a {html} b") == "a\n\n$$x^2$$\n\nb"


@pytest.mark.parametrize(
    ("mathml", "tex"),
    [
        ("<msup><mi>x</mi><mn>2</mn></msup>", "x^{2}"),
        (
            "<mfrac><mrow><mi>a</mi><mo>+</mo><mn>1</mn></mrow><msqrt><mi>b</mi></msqrt></mfrac>",
            "\\frac{a+1}{\\sqrt{b}}",
        ),
        ("<msup><mrow><mi>a</mi><mi>b</mi></mrow><mn>2</mn></msup>", "{ab}^{2}"),
        ("<munderover><mo>∑</mo><mn>1</mn><mi>n</mi></munderover>", "∑_{1}^{n}"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup><mroot><mi>y</mi><mn>3</mn></mroot>",
         "x_{i}^{2}\\sqrt[3]{y}"),
        ("<mover><mi>v</mi><mo>→</mo></mover><mover><mi>y</mi><mo>^</mo></mover>", "\\vec{v}\\hat{y}"),
        ("<mi>sin</mi><mo>\u2061</mo><mfenced><mi>x</mi><mi>y</mi></mfenced>", "\\mathrm{sin}(x, y)"),
        ("<mtext>if 5 %</mtext><mspace/><mo>{</mo><mphantom><mi>q</mi></mphantom>", "\\text{if 5 \\%} \\{"),
        (
            "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn></mtd></mtr></mtable>",
            "\\begin{matrix} 1 & 2 \\\\ 3 \\end{matrix}",
        ),
        ("<mfrac><mi>a</mi></mfrac><msub></msub>", "a"),
    ],
)  # fmt: skip
def test_mathml_becomes_tex(mathml: str, tex: str) -> None:
    assert (
        markdown(f"<p>a <mjx-container class=MathJax><math>{mathml}</math></mjx-container> b")
        == f"a ${tex}$ b"
    )


def test_other_text_with_that_class_is_text() -> None:
    assert markdown("<p class=math>a <span class=math><i>x</i> b</span> \\(y\\)") == "a _x_ b \\\\(y\\\\)"


def test_deep_formulas_keep_their_text() -> None:
    deep = "<msqrt>" * 1_500 + "<mi>x</mi><mi>y</mi>" + "</msqrt>" * 1_500
    assert (
        markdown(f"<math>{deep}</math>")
        == "$" + "\\sqrt{" * (MAX_DEPTH - 1) + "xy" + "}" * (MAX_DEPTH - 1) + "$"
    )


def test_a_script_that_is_no_formula_is_not_shown() -> None:
    assert (
        markdown("<p>a<script type=text/x-template>b</script><script type='application/ld+json'>{}</script>")
        == "a"
    )
