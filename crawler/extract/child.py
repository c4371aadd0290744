"""The process that reads hostile HTML: `python -m crawler.extract.child`, started by `crawler.extract.converter`.

It answers requests on stdin one after the other on stdout and ends when stdin does, so it never outlives its parent
by more than the page at hand, and the CPU limit bounds that. It gets no environment, opens no files and no sockets.
A message is a big-endian length of 4 bytes and JSON, then a length and UTF-8 text. JSON, not pickle: what this process
says must not become code in its parent.
"""

from __future__ import annotations

import gc
import json
import resource
import signal
import struct
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

from selectolax.lexbor import LexborHTMLParser

from crawler.extract.document import base_url_of, describe
from crawler.extract.markdown import convert
from crawler.extract.plain import is_too_deep, plain_text, plain_title

LENGTHS = struct.Struct(">II")
#: CPU time for parsing one page. Real pages of 10 MiB need a second.
PARSE_SECONDS = 5.0


def main() -> None:
    """Serve until stdin ends. The one argument is JSON: see `_limit` and `_answer` for its keys."""
    options = json.loads(sys.argv[1])
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    _limit(options["memory_bytes"])
    # The modules that are loaded live as long as the process; the collector need not look at them for every page.
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    while (request := receive(requests)) is not None:
        _limit_cpu(options["timeout_seconds"])
        header, html = request
        try:
            answer, markdown = _answer(header, html, options)
        except MemoryError:
            answer, markdown = {"failure": "out of memory"}, ""
        answers.write(message(answer, markdown))
        answers.flush()


def message(header: dict[str, Any], text: str) -> bytes:
    """One message as bytes."""
    head, body = json.dumps(header).encode(), text.encode("utf-8", "replace")
    return LENGTHS.pack(len(head), len(body)) + head + body


def receive(stream: BinaryIO) -> tuple[dict[str, Any], str] | None:
    """The next message, or None at the end."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head, body = LENGTHS.unpack(lengths)
    return json.loads(stream.read(head)), stream.read(body).decode()


def _answer(header: dict[str, Any], html: str, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The page if asked for, and its Markdown if asked for; `is_plain` asks for what needs no parser."""
    if header["is_plain"] or is_too_deep(html):
        page = {"title": plain_title(html)}
        return {"page": page, "is_plain": True}, plain_text(html) if header["markdown"] else ""
    url = header["url"]
    # The parser holds the interpreter: only a signal with its default action, death, can end it.
    signal.setitimer(signal.ITIMER_VIRTUAL, PARSE_SECONDS)
    parser = LexborHTMLParser(html)
    page = {}
    if header["page"]:
        limits = {"max_links": options["max_links"], "max_url_chars": options["max_url_chars"]}
        found = describe(parser, "", url=url, **limits)
        page = asdict(found) | {"links": [link.url for link in found.links]}
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    markdown = ""
    if header["markdown"]:
        markdown = convert(parser, base_url_of(parser, url), options["converter"])
    return {"page": page, "is_plain": False}, markdown


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))


def _limit_cpu(timeout_seconds: float) -> None:
    """Give the next page its time. The parent's clock ends it earlier, as long as there is a parent."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(usage.ru_utime + usage.ru_stime + timeout_seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
