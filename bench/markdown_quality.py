"""Compare Markdown converters: `python -m bench.markdown_quality` prints the tables of docs/quality.md.

Fidelity is the share of the shared cases that mean the same after rendering (`tests/extract/fidelity.py`); CPU time is
that of this process on the pages of Debian's git-doc, the median of rounds in which the converters take turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

from html_to_markdown import ConversionOptions, HeadingStyle, PreprocessingOptions, convert
from markdownify import MarkdownConverter
from selectolax.lexbor import LexborHTMLParser

from crawler.extract.document import parse
from crawler.extract.markdown import to_markdown
from tests.extract.cases import documentation
from tests.extract.fidelity import lost_text
from tests.extract.suites import URL, Case, is_right, score, suite

SUITES = ("turndown", "markdownify", "commonmark_spec")
ROUNDS = 5


def builtin(html: str) -> str:
    return to_markdown(html, url=URL, converter="builtin")


def mended_markdownify(html: str) -> str:
    return to_markdown(html, url=URL, converter="markdownify")


def bare_markdownify(html: str) -> str:
    converter = MarkdownConverter(heading_style="ATX", bullets="*", autolinks=False, bs4_options="lxml")
    return str(converter.convert(html))


def html_to_markdown(html: str) -> str:
    """With the options that scored best, and links made absolute by its own `base_url`."""
    options = ConversionOptions(
        heading_style=HeadingStyle.ATX,
        autolinks=False,
        escape_asterisks=True,
        escape_underscores=True,
        escape_misc=True,
        extract_metadata=False,
        base_url=URL,
        preprocessing=PreprocessingOptions(enabled=False, remove_navigation=False, remove_forms=False),
    )
    return convert(html, options).content or ""


def parse_only(html: str) -> str:
    return parse(html, content_type=None, url=URL, max_links=5000, max_url_chars=2048).title


CONVERTERS: Mapping[str, Callable[[str], str]] = {
    "builtin": builtin,
    "markdownify on our blocks": mended_markdownify,
    "markdownify alone": bare_markdownify,
    "html-to-markdown": html_to_markdown,
}


def main() -> None:
    suites = {name: suite(name) for name in SUITES}
    pages = documentation()[::4]
    print(
        "| converter | "
        + " | ".join(f"{name} ({len(suites[name])})" for name in SUITES)
        + " | cases with lost text |"
    )
    print("| --- " * (len(SUITES) + 2) + "|")
    for name, converter in CONVERTERS.items():
        scores = " | ".join(f"{score(cases, converter):.1%}" for cases in suites.values())
        print(f"| {name} | {scores} | {_lost(suites.values(), converter)} |")
    size = sum(map(len, pages)) / len(pages) / 1000
    print(f"\n| {len(pages)} pages, {size:.0f} kB on average | CPU ms per page |\n| --- | --- |")
    timed = {
        "parse: title, links, metadata": parse_only,
        "lexbor alone": lambda html: str(LexborHTMLParser(html)),
    }
    rounds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, converter in {**CONVERTERS, **timed}.items():
            rounds.setdefault(name, []).append(_milliseconds(pages, converter))
    for name, values in rounds.items():
        print(f"| {name} | {statistics.median(values):.1f} |")
    for name, cases in suites.items():
        wrong = [case.name for case in cases if not is_right(case, builtin)]
        print(f"\nNot equal in {name}: {', '.join(wrong)}")


def _lost(suites: Iterable[list[Case]], converter: Callable[[str], str]) -> int:
    cases = [case for cases in suites for case in cases]
    return sum(lost_text(case.html, converter(case.html)) != "" for case in cases)


def _milliseconds(pages: list[str], converter: Callable[[str], str]) -> float:
    begin = time.process_time()
    for page in pages:
        converter(page)
    return (time.process_time() - begin) / len(pages) * 1000


if __name__ == "__main__":
    main()
