"""The YAML block with title and description that Cloudflare's Markdown begins with (contract B.12)."""

from __future__ import annotations

import json
import re

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


def _quote(text: str) -> str:
    """A double-quoted scalar; those of JSON are YAML's too."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
