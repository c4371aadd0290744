"""The YAML block that Markdown may begin with: ours, as Cloudflare's has it (contract B.12), and that of a file."""

from __future__ import annotations

import json
import re

#: How a block begins; it ends with the same line.
OPENING = "---\n"
_TITLE = re.compile(r"title:[ \t]+(\S.*)")
#: Characters that JSON leaves as they are and YAML 1.1 readers refuse or take for the end of a line.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def front_matter(title: str, description: str) -> str:
    """The block with the blank line after it; empty for a page that has neither."""
    lines = []
    if title:
        lines.append(f"title: {_quote(title)}")
    if description:
        lines += ["meta:", f"  description: {_quote(description)}"]
    return "\n".join(["---", *lines, "---", "", ""]) if lines else ""


def split_front_matter(markdown: str) -> tuple[str, str]:
    """The title in the block that a Markdown file begins with, and the text behind the block.

    The title is empty where there is no block, or none that is written in one line.
    """
    if not markdown.startswith(OPENING) or (end := markdown.find(f"\n{OPENING}", len(OPENING) - 1)) < 0:
        return "", markdown
    lines = markdown[len(OPENING) : end].split("\n")
    title = next((found[1].rstrip() for line in lines if (found := _TITLE.fullmatch(line))), "")
    if len(title) > 1 and title[0] == title[-1] and title[0] in "\"'":
        title = title[1:-1]
    return title, markdown[end + 1 + len(OPENING) :]


def _quote(text: str) -> str:
    """A double-quoted scalar; those of JSON are YAML's too."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
