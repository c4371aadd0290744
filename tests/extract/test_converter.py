from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from selectolax.lexbor import LexborHTMLParser

from crawler.extract import child
from crawler.extract.converter import INLINE_CHARS, Converter, Extract
from crawler.extract.document import parse
from crawler.extract.markdown import ConverterName, to_markdown
from crawler.extract.view import FULL, ContentChoice, View
from crawler.model import ErrorCode, Failure
from crawler.settings import Settings

pytestmark = pytest.mark.slow

URL = "http://site.test/dir/page"
PAGE = "<title>T</title><h1>Head</h1><p>Some <b>text</b> and <a href=other>a link</a>."
#: One tag with so many attributes keeps the parser busy for minutes (it compares each with all).
ENDLESS = "<p>before<p " + " ".join(f"a{number}=1" for number in range(200_000)) + "><p>after"


@asynccontextmanager
async def running(**overrides: object) -> AsyncIterator[Converter]:
    converter = Converter(Settings.load(**overrides))
    try:
        yield converter
    finally:
        await converter.close()


async def markdown_of(converter: Converter, html: str, url: str) -> str | Failure | None:
    found = await converter.extract(html, url, view=FULL)
    return found if isinstance(found, Failure) else found.markdown


@contextmanager
def ours() -> Iterator[Callable[[], list[psutil.Process]]]:
    """The child processes that were started since."""
    before = set(psutil.Process().children())
    yield lambda: [child for child in psutil.Process().children() if child not in before]


@pytest.mark.parametrize("name", ["builtin", "markdownify"])
async def test_convert_gives_the_markdown(name: ConverterName) -> None:
    async with running(markdown=name) as converter:
        assert await markdown_of(converter, PAGE, URL) == to_markdown(PAGE, url=URL, converter=name)


async def test_words_end_at_line_breaks() -> None:
    async with running() as converter:
        extract = await converter.extract("one<br>two<b>three</b> four", URL, view=FULL)
    assert isinstance(extract, Extract)
    assert extract.words == 3


async def test_extract_gives_the_page_and_its_markdown() -> None:
    page = parse(PAGE, content_type=None, url=URL, max_links=5000, max_url_chars=2048)
    async with running() as converter:
        assert await converter.extract(PAGE, URL, view=None) == Extract(page, None)
        assert await converter.extract(PAGE, URL, view=FULL) == Extract(
            page, to_markdown(PAGE, url=URL, converter="builtin"), words=6
        )


@pytest.mark.parametrize("name", ["builtin", "markdownify"])
@pytest.mark.parametrize("content", ["full", "main"])
def test_a_page_is_parsed_once_whatever_is_asked_for(
    name: ConverterName, content: ContentChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def count(html: str) -> LexborHTMLParser:
        parsed.append(html)
        return LexborHTMLParser(html)

    for module in [module for path, module in sys.modules.items() if path.startswith("crawler.")]:
        if hasattr(module, "LexborHTMLParser"):
            monkeypatch.setattr(module, "LexborHTMLParser", count)
    html = PAGE + "<p>word </p>" * 100 + "<table><tr><th>a<th>b<tr><td>1<td>2</table>"
    header = {
        "url": URL,
        "view": asdict(View(content=content)),
        "is_xml": False,
        "structured": True,
        "is_plain": False,
    }
    options = {"max_links": 9, "max_url_chars": 2048, "converter": name}
    said, markdown = child.answer(header, html.encode(), options)
    assert parsed == [html]
    assert said["page"]["title"] == "T"
    assert said["page"]["structured"]["tables"]
    assert "| 1 | 2 |" in markdown


async def test_large_pages_are_parsed_in_the_child_too() -> None:
    html = PAGE + "<p>x" * INLINE_CHARS
    with ours() as children:
        async with running() as converter:
            found = await converter.extract(html, URL, view=None)
            assert len(children()) == 1
    assert found == Extract(parse(html, content_type=None, url=URL, max_links=9, max_url_chars=2048), None)


async def test_children_start_on_first_use_and_none_is_left() -> None:
    with ours() as children:
        async with running(convert_processes=2) as converter:
            assert children() == []
            await asyncio.gather(*(markdown_of(converter, PAGE, URL) for _ in range(4)))
            assert len(children()) == 2
        assert children() == []
        assert await markdown_of(converter, PAGE, URL) == Failure(
            ErrorCode.WORKER_LOST, "the converter is closed", retryable=True
        )


async def test_close_ends_a_conversion_in_flight() -> None:
    with ours() as children:
        converter = Converter(Settings.load())
        conversion = asyncio.create_task(markdown_of(converter, ENDLESS, URL))
        while not children():
            await asyncio.sleep(0)
        await converter.close()
        assert isinstance(await conversion, Failure)
        assert children() == []


async def test_d18_a_page_that_takes_too_long_is_plain_text_and_the_loop_goes_on() -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    async with running(convert_timeout_seconds=3.0) as converter:
        heart = asyncio.create_task(beat())
        found = await converter.extract(ENDLESS, URL, view=FULL)
        heart.cancel()
        assert isinstance(found, Extract)
        assert found.markdown == "before\n\nafter"
        assert found.fault == Failure(ErrorCode.TIMEOUT, "the converter took too long")
        assert beats > 20
        assert await markdown_of(converter, PAGE, URL) == to_markdown(PAGE, url=URL, converter="builtin")


async def test_d18_parsing_is_bounded_in_cpu_time() -> None:
    async with running(convert_timeout_seconds=60.0) as converter:
        found = await converter.extract(ENDLESS, URL, view=None)
    assert isinstance(found, Extract)
    assert found.fault is not None
    assert found.fault.code == ErrorCode.TOO_LARGE
    assert "died" in found.fault.detail


@pytest.mark.parametrize("name", ["builtin", "markdownify"])
async def test_d15_deep_nesting_is_plain_text(name: ConverterName) -> None:
    html = "<title>deep</title>start" + "<div>" * 500_000 + "end"
    async with running(markdown=name) as converter:
        found = await converter.extract(html, URL, view=FULL)
    assert isinstance(found, Extract)
    assert found.page.title == "deep"
    assert found.markdown is not None
    assert found.markdown.endswith("start\n\nend")
    assert found.fault == Failure(ErrorCode.DOM_TOO_LARGE, "nested too deep")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        pytest.param("start" + "<p>" * 3_000_000 + "end", "start\n\nend", id="3 million nodes"),
        pytest.param(f"<p title='{'x' * 5_000_000}'>text" * 2, "text\n\ntext", id="attributes of 5 MB"),
        pytest.param("<p " + "a " * 1_000_000 + ">text", "text", id="one attribute a million times"),
    ],
)
async def test_d18_huge_pages_are_bounded_and_their_text_is_kept(html: str, text: str) -> None:
    async with running() as converter:
        started = time.monotonic()
        found = await converter.extract(html, URL, view=FULL)
        # Once with the parser, which has 5 s of CPU time, and once without.
        assert time.monotonic() - started < 2 * Settings.load().convert_timeout_seconds
        assert isinstance(found, Extract)
        assert found.markdown == text
        assert await markdown_of(converter, PAGE, URL) == to_markdown(PAGE, url=URL, converter="builtin")


async def test_memory_is_bounded() -> None:
    html = PAGE + "<b>x</b><i>y</i>" * 100_000
    async with running(convert_memory_bytes=128 << 20, max_record_bytes=50 << 20) as converter:
        found = await converter.extract(html, URL, view=FULL)
        assert isinstance(found, Failure) or found.fault is not None
        assert await markdown_of(converter, PAGE, URL) == to_markdown(PAGE, url=URL, converter="builtin")


async def test_d19_output_is_capped() -> None:
    async with running(max_record_bytes=2048) as converter:
        found = await markdown_of(converter, "<p>" + "word " * 1000, URL)
    assert isinstance(found, Failure)
    assert found.code == ErrorCode.TOO_LARGE


async def test_a_cancelled_conversion_does_not_answer_the_next_one() -> None:
    with ours() as children:
        async with running() as converter:
            await markdown_of(converter, PAGE, URL)
            (child,) = children()
            before = child.cpu_times().user
            conversion = asyncio.create_task(markdown_of(converter, ENDLESS, URL))
            while child.cpu_times().user < before + 0.05:
                await asyncio.sleep(0)
            conversion.cancel()
            with pytest.raises(asyncio.CancelledError):
                await conversion
            assert not child.is_running()
            assert await markdown_of(converter, "<p>next", URL) == "next"


async def test_children_are_replaced_after_their_pages() -> None:
    with ours() as children:
        async with running(convert_pages_per_process=2) as converter:
            pids: set[int] = set()
            for _ in range(4):
                await markdown_of(converter, PAGE, URL)
                pids.update(child.pid for child in children())
    assert len(pids) >= 2


async def test_the_child_has_limits_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL_API_TOKEN", "secret")
    with ours() as children:
        async with running(convert_memory_bytes=256 << 20) as converter:
            await markdown_of(converter, PAGE, URL)
            (child,) = children()
            assert "secret" not in child.environ().values()
            assert child.rlimit(psutil.RLIMIT_AS) == (256 << 20, 256 << 20)
            assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
            assert child.memory_info().rss < 60 << 20


async def test_lone_surrogates_of_a_browser_are_no_fault() -> None:
    async with running() as converter:
        assert await markdown_of(converter, "<p>a\ud800b", URL) == "a?b"


IN_A_CELERY_WORKER = """
import asyncio, sys, billiard
from crawler.extract.converter import Converter
from crawler.extract.view import View
from crawler.settings import Settings

async def convert():
    converter = Converter(Settings())
    found = await converter.extract("<h1>x</h1>", "http://h.test/", view=View())
    await converter.close()
    return found.markdown

def work():
    sys.exit(0 if asyncio.run(convert()) == "# x" else 3)

if __name__ == "__main__":
    process = billiard.Process(target=work, daemon=True)
    process.start()
    process.join(60)
    sys.exit(process.exitcode)
"""

KILLED_WITH_A_CHILD = """
import asyncio
from crawler.extract.converter import Converter
from crawler.extract.view import View
from crawler.settings import Settings

async def main():
    converter = Converter(Settings())
    await converter.extract("<p>x", "http://h.test/", view=View())
    print(next(iter(converter.pids)), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text(text)
    return [sys.executable, str(path)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


def test_it_works_in_a_daemonic_process_as_celery_has_them(tmp_path: Path) -> None:
    done = subprocess.run(script(tmp_path, IN_A_CELERY_WORKER), env=environment(), timeout=90, check=False)
    assert done.returncode == 0


def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    command = script(tmp_path, KILLED_WITH_A_CHILD)
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
