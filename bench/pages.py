"""The pages that are crawled: written to a folder, the same ones at every run.

Static pages are about 10 kB with 30 links, a table, a fence of code, nested lists and images. Rendered ones are an
empty shell and a script that fetches JSON and builds text and links from it. Pictured ones are short and have twelve
images of 58 kB each, which no other page has. Every page is reachable from the first.
"""

from __future__ import annotations

import json
import random
import struct
import zlib
from pathlib import Path

STATIC_START = "/static/0.html"
SCRIPTED_START = "/scripted/0.html"
PICTURED_START = "/pictured/0.html"
ROBOTS = "User-agent: *\nAllow: /\n"

_LINKS = 30
_IMAGES = 12
_IMAGE_SIZE = (160, 120)
_TEXT = """\
a crawl visits each page once and keeps what it finds while the host decides how fast it may go so that
nobody is disturbed and every answer that arrives is stored before the next one is asked for"""
_WORDS = _TEXT.split()
_SCRIPT = """\
const number = location.pathname.match(/(\\d+)\\.html$/)[1];
fetch(`/scripted/${number}.json`).then((answer) => answer.json()).then((page) => {
  document.title = page.title;
  const main = document.querySelector("main");
  for (const { heading, text, links } of page.sections) {
    const title = document.createElement("h2");
    title.textContent = heading;
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    const list = document.createElement("ul");
    for (const [href, label] of links) {
      const anchor = document.createElement("a");
      anchor.href = href;
      anchor.textContent = label;
      list.appendChild(document.createElement("li")).appendChild(anchor);
    }
    main.append(title, paragraph, list);
  }
  document.documentElement.dataset.ready = "yes";
});
"""
_SHELL = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Loading</title>
<style>body { font: 16px sans-serif; max-width: 60em } li { margin: 4px }</style></head>
<body><nav><a href="/scripted/0.html">Start</a></nav><main></main><script src="/scripted/app.js"></script></body></html>
"""


def write_static(root: Path, count: int) -> None:
    """Write `count` static pages below `root`/static, and a robots.txt."""
    folder = root / "static"
    folder.mkdir(parents=True)
    (root / "robots.txt").write_text(ROBOTS)
    for number in range(count):
        (folder / f"{number}.html").write_text(static_page(number, count))


def write_scripted(root: Path, count: int) -> None:
    """Write `count` pages that need JavaScript below `root`/scripted, and a robots.txt."""
    folder = root / "scripted"
    folder.mkdir(parents=True)
    (root / "robots.txt").write_text(ROBOTS)
    (folder / "app.js").write_text(_SCRIPT)
    for number in range(count):
        (folder / f"{number}.html").write_text(_SHELL)
        (folder / f"{number}.json").write_text(json.dumps(_scripted_page(number, count)))


def write_pictured(root: Path, count: int) -> None:
    """Write `count` pages with images below `root`/pictured, and a robots.txt."""
    folder = root / "pictured"
    folder.mkdir(parents=True)
    (root / "robots.txt").write_text(ROBOTS)
    image = folder / "image.png"
    image.write_bytes(_noise())
    for number in range(count):
        (folder / f"{number}.html").write_text(_pictured_page(number, count))
        for index in range(_IMAGES):
            # Another address each time, or the browser would have it in its cache.
            (folder / f"{number}-{index}.png").hardlink_to(image)


def static_page(number: int, count: int) -> str:
    """One page of a static site of `count` pages."""
    rng = random.Random(number)
    targets = _targets(rng, number, count)
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Page {number}</title>',
        f'<meta name="description" content="Page {number} of {count}"></head><body>',
        f'<header><nav><a href="0.html">Start</a></nav><h1>Page {number}</h1></header><main>',
    ]
    for section in range(5):
        parts.append(f"<h2>Part {section} of page {number}</h2>")
        for target in targets[section * 6 : section * 6 + 6]:
            link = f'<a href="{target}.html">page {target}</a>'
            parts.append(
                f"<p>{_sentence(rng, 24)} <em>{_sentence(rng, 3)}</em> {link} {_sentence(rng, 16)}.</p>"
            )
    parts += [_table(rng), _code(number), _lists(rng)]
    parts += [f'<p><img src="/images/{number}-{i}.png" alt="Image {i}" title="{i}"></p>' for i in range(2)]
    parts.append("</main><footer><p>End of the page.</p></footer></body></html>\n")
    return "\n".join(parts)


def _scripted_page(number: int, count: int) -> dict[str, object]:
    rng = random.Random(number)
    targets = _targets(rng, number, count)
    return {
        "title": f"Page {number}",
        "sections": [
            {
                "heading": f"Part {section} of page {number}",
                "text": _sentence(rng, 120),
                "links": [
                    [f"/scripted/{t}.html", f"page {t}"] for t in targets[section * 6 : section * 6 + 6]
                ],
            }
            for section in range(5)
        ],
    }


def _pictured_page(number: int, count: int) -> str:
    rng = random.Random(number)
    links = "".join(f'<li><a href="{t}.html">page {t}</a></li>' for t in _targets(rng, number, count))
    images = "".join(f'<p>{_sentence(rng, 20)} <img src="{number}-{i}.png"></p>' for i in range(_IMAGES))
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Page {number}</title></head>'
    return f"{head}<body><h1>Page {number}</h1>{images}<ul>{links}</ul></body></html>"


def _noise() -> bytes:
    """A PNG image (RFC 2083) that does not compress."""
    width, height = _IMAGE_SIZE
    rng = random.Random(0)
    rows = b"".join(b"\0" + rng.randbytes(3 * width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _targets(rng: random.Random, number: int, count: int) -> list[int]:
    """The next page, so that all are reachable, and others at random."""
    return [(number + 1) % count, *(rng.randrange(count) for _ in range(_LINKS - 1))]


def _sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words))


def _table(rng: random.Random) -> str:
    rows = [
        f"<tr><td>{row}</td><td>{_sentence(rng, 3)}</td><td>{rng.random():.3f}</td></tr>" for row in range(8)
    ]
    head = "<thead><tr><th>No.</th><th>Name</th><th>Value</th></tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _code(number: int) -> str:
    lines = [f"    total += weigh(page[{line}])  # line {line} of {number}" for line in range(12)]
    return '<pre><code class="language-python">def score(page):\n' + "\n".join(lines) + "</code></pre>"


def _lists(rng: random.Random) -> str:
    inner = "".join(f"<li>{_sentence(rng, 6)}</li>" for _ in range(4))
    outer = "".join(f"<li>{_sentence(rng, 5)}<ol>{inner}</ol></li>" for _ in range(3))
    return f"<ul>{outer}</ul>"
