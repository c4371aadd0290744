"""What a page is recognised by: its main text, however it was parsed."""

from __future__ import annotations

import pytest
from selectolax.lexbor import LexborHTMLParser

from crawler.extract.converter import INLINE_CHARS, Converter, Extract
from crawler.extract.main_text import main_text
from crawler.extract.view import FULL
from crawler.settings import Settings

URL = "https://site.test/"


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<title>t</title><h1>One</h1><p>two <b>three</b></p>", "One two three"),
        ("<nav>n</nav><header>One</header><p>two</p><aside>a</aside><footer>f</footer>", "One two"),
        ("<header>h</header><main><p>One</p><aside>two</aside></main><p>p</p>", "One two"),
        ("<p>p</p><div role=main>One</div>", "One"),
        (
            "<p>One<script>s</script><style>s</style><template>t</template><noscript>n</noscript>two",
            "One two",
        ),
        ("<div>One<script><main>s</main></script><noscript><main>n</main></noscript>", "One"),
        ("", ""),
        ("<frameset><frame src=a></frameset>", ""),
    ],
)
def test_the_main_text(html: str, words: str) -> None:
    parser = LexborHTMLParser(html)
    before = parser.html
    assert " ".join(main_text(parser).split()) == words
    assert parser.html == before


async def test_the_hash_is_the_same_whoever_parses_the_page() -> None:
    filler = f"<script>{'x' * INLINE_CHARS}</script>"
    pages = [
        "<title>t</title><main>One two, 5 views</main>",
        f"<title>t</title>{filler}<main>One <b>two</b>, 6 views</main>",
    ]
    converter = Converter(Settings.load())
    try:
        hashes = set()
        for html in pages:
            for view in (None, FULL):
                extract = await converter.extract(html, URL, view=view)
                assert isinstance(extract, Extract)
                hashes.add(extract.page.content_hash)
    finally:
        await converter.close()
    assert len(hashes) == 1


async def test_a_page_that_is_too_deep_to_parse_has_a_hash() -> None:
    converter = Converter(Settings.load())
    try:
        deep = "<div>" * 40_000
        first, second, third = [
            await converter.extract(deep + text, URL, view=None) for text in ("1 view", "2 views", "tide")
        ]
    finally:
        await converter.close()
    assert isinstance(first, Extract)
    assert isinstance(second, Extract)
    assert isinstance(third, Extract)
    assert first.fault is not None
    assert first.page.content_hash == second.page.content_hash != third.page.content_hash
