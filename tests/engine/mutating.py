"""A site that changes between crawls in ways that its owner knows exactly, and with every request in ways that mean
nothing: each page shows the time, a nonce and a counter of its views."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

#: Pages that one page links to.
FAN_OUT = 20
#: New pages are linked from the first so many pages, which are never removed: they have pages below them.
HUBS = 8
WORDS = (
    "tide",
    "ebb",
    "flood",
    "quay",
    "berth",
    "buoy",
    "chart",
    "keel",
    "mast",
    "oar",
    "reef",
    "sail",
    "wharf",
)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class MutatingSite:
    """Pages `/0` to `/N`, a tree in which each links to the next `FAN_OUT`; `/` is its root.

    Half of the pages have an ETag, a quarter only a Last-Modified, a quarter neither.
    """

    pages: int
    #: The text is written by a script.
    is_scripted: bool = False
    random: random.Random = field(default_factory=lambda: random.Random(7))
    port: int = 0
    #: How often the text of a page has changed, by number; removed ones are gone.
    versions: dict[int, int] = field(default_factory=dict)
    #: How often a page as a whole has changed: what its validators are made of.
    edits: Counter[int] = field(default_factory=Counter)
    views: Counter[int] = field(default_factory=Counter)
    #: Bytes of answers, by number.
    sent_bytes: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.versions = dict.fromkeys(range(self.pages), 0)

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self.port}/{number or ''}"

    def has_validator(self, number: int) -> bool:
        return number % 4 != 3

    def mutate(self) -> tuple[set[str], set[str], set[str]]:
        """Change 2 % of the pages, add 1 %, remove 1 %. Returns their URLs."""
        part = self.pages // 100
        changed = set(self.random.sample(sorted(self.versions), 2 * part))
        leaves = sorted(number for number in self.versions if number * FAN_OUT + 1 >= self.pages)
        removed = set(self.random.sample(sorted(set(leaves) - changed), part))
        first = max(self.versions) + 1
        new = set(range(first, first + part))
        for number in changed:
            self.versions[number] += 1
            self.edits[number] += 1
        # A page whose links are others is another page to its origin, though its text is the same.
        for number in {(number - 1) // FAN_OUT for number in removed} | {number % HUBS for number in new}:
            self.edits[number] += 1
        for number in removed:
            del self.versions[number]
        self.versions |= dict.fromkeys(new, 0)
        return tuple({self.url(number) for number in numbers} for numbers in (changed, new, removed))  # type: ignore[return-value]

    def answer(self, path: str, headers: dict[str, str]) -> bytes:
        name = path.removeprefix("/") or "0"
        number = int(name) if name.isdecimal() else -1
        if number not in self.versions:
            return _respond("404 Not Found", [], b"gone")
        fields = ["Content-Type: text/html"]
        edits = self.edits[number]
        etag = f'W/"{number}-{edits}"' if number % 4 < 2 else ""
        modified = format_datetime(EPOCH + timedelta(days=edits), usegmt=True) if number % 4 == 2 else ""
        fields += [f"ETag: {etag}"] if etag else []
        fields += [f"Last-Modified: {modified}"] if modified else []
        is_known = (etag and headers.get("if-none-match") == etag) or (
            modified and headers.get("if-modified-since") == modified
        )
        if is_known:
            answer = _respond("304 Not Modified", fields, b"")
        else:
            answer = _respond("200 OK", fields, self._body(number).encode())
        self.sent_bytes[number] += len(answer)
        return answer

    def _body(self, number: int) -> str:
        self.views[number] += 1
        source = random.Random(number)
        paragraphs = [" ".join(source.choices(WORDS, k=60)) for _ in range(10)]
        paragraphs[number % 10] += f" revision {'again ' * self.versions[number]}"
        children = [child for child in self._children(number) if child in self.versions]
        links = "".join(f'<li><a href="/{child}">Page {child}</a>' for child in children)
        now = datetime.now(UTC)
        text = (
            f"<h1>Page {number}</h1><p>Rendered {now.isoformat()}. {self.views[number]} views. "
            f"Nonce {secrets.token_hex(16)}.<p>{'<p>'.join(paragraphs)}"
        )
        script = f"<script>main.innerHTML = {json.dumps(text)}</script>" if self.is_scripted else ""
        return (
            f"<!doctype html><title>Page {number}</title><nav><ul>{links}</ul></nav>"
            f"<main id=main>{'' if self.is_scripted else text}</main>{script}<footer>{now:%c}</footer>"
        )

    def _children(self, number: int) -> list[int]:
        tree = range(number * FAN_OUT + 1, min((number + 1) * FAN_OUT + 1, self.pages))
        added = [new for new in range(self.pages, max(self.versions) + 1) if new % HUBS == number]
        return [*tree, *added]


def _respond(status: str, fields: list[str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status}", *fields]
    if not status.startswith("304"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def serve_mutating(pages: int, *, is_scripted: bool = False) -> AsyncIterator[MutatingSite]:
    """The site on a free port of 127.0.0.1."""
    site = MutatingSite(pages, is_scripted)
    open_now: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        try:
            while True:
                request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)
                }
                writer.write(site.answer(request.split()[1], headers))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            open_now.discard(writer)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        for writer in open_now:
            writer.close()
