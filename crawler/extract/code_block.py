"""Code in HTML: its exact text, however a highlighter cut it up, and its language."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler.extract.visibility import is_hidden

#: Elements that hold line numbers: Pygments, Rouge, highlight.js, Chroma, GitHub, Prism, older plug-ins.
_GUTTERS = frozenset([
    "linenos", "linenodiv", "lineno", "linenumber", "line-number", "line-numbers", "ln", "lnt", "gutter",
    "rouge-gutter", "hljs-ln-numbers", "blob-num", "line-numbers-rows", "crayon-nums",
    "react-syntax-highlighter-line-number",
])  # fmt: skip
#: Elements that hold one line each; where they stand end to end, the page has no line ends between them.
_LINE_CLASSES = frozenset(["line", "code-line", "token-line", "view-line"])
_LINE_TAGS = frozenset(["div", "p", "li", "tr"])
_TABLE_TAGS = frozenset(["table", "thead", "tbody", "tr"])
#: What tells a table of code lines from other tables.
_CODE_CELLS = (
    ", ".join(f"td.{name}" for name in sorted(_GUTTERS)) + ", td.code > pre, td.blob-code, td.lntd > pre"
)
#: Code of Doxygen, a `div` for each line.
_CODE_LINES = "div.fragment > div.line"
#: The element in a code block that names the language; a column of line numbers has none.
_NAMED_CODE = "code[class], code[data-lang], code[data-language]"

_LANGUAGE_CLASSES = (
    re.compile(r"lang(?:uage)?-(\S+)"),
    re.compile(r"src-(\S+)"),
    re.compile(r"highlight-(?:source-)?(\S+)"),
    re.compile(r"hl-(\S+)"),
)
#: SyntaxHighlighter's, with or without a blank behind the colon.
_BRUSH = re.compile(r"\bbrush:\s*([^\s;]+)")
_NO_LANGUAGE = frozenset(["default", "none", "wrapper", "container", "plain", "notranslate"])
#: Classes next to which the bare name of the language stands: highlight.js, pandoc, docutils, rustdoc.
_MARKERS = frozenset(["hljs", "sourceCode", "code", "rust-example-rendered"])
_NOT_NAMES = _MARKERS | {"literal-block", "numberSource", "numberLines", "block", "highlight", "notranslate"}
_BARE_NAME = re.compile(r"[a-zA-Z][\w+#.-]{0,19}")


def code_blocks(tree: LexborHTMLParser) -> frozenset[int]:
    """Ids of the tables and other elements that set code line by line. One search for all: one per table would be
    quadratic."""
    found = {line.parent.mem_id for line in tree.css(_CODE_LINES) if line.parent is not None}
    for cell in tree.css(_CODE_CELLS):
        parent = cell.parent
        while parent is not None and parent.tag != "table":
            parent = parent.parent
        if parent is not None:
            found.add(parent.mem_id)
    return frozenset(found)


def read_code(node: LexborNode) -> str:
    """The text of a block of code as it is shown, and without numbers of lines."""
    return "".join(_pieces(node)).removesuffix("\n")


def language_of(node: LexborNode) -> str:
    """The language that the `pre`, its `code` or an element right around it names; empty when none does."""
    inner = node.css_first(_NAMED_CODE)
    if inner is not None and (name := _declared(inner) or _bare_name(inner)):
        return name
    if name := _declared(node) or _bare_name(node) or _given(node.attributes.get("lang")):
        return name
    parent = node.parent
    for _ in range(2):
        if parent is None:
            return ""
        if name := _declared(parent):
            return name
        parent = parent.parent
    return ""


def _declared(node: LexborNode) -> str:
    attributes = node.attributes
    classes = attributes.get("class") or ""
    declared = [attributes.get("data-lang"), attributes.get("data-language")]
    for written in (classes, attributes.get("data-syntaxhighlighter-params") or ""):
        declared += [match.group(1) for match in _BRUSH.finditer(written)]
    for name in classes.split():
        declared += [match.group(1) for form in _LANGUAGE_CLASSES if (match := form.fullmatch(name))]
    return next((name for value in declared if (name := _given(value))), "")


def _given(value: str | None) -> str:
    """A language as it can stand after a fence: one word without backticks; empty if this is none."""
    is_name = value and value not in _NO_LANGUAGE and "`" not in value and not any(map(str.isspace, value))
    return value[:40] if value and is_name else ""


def _bare_name(node: LexborNode) -> str:
    names = (node.attributes.get("class") or "").split()
    if _MARKERS.isdisjoint(names):
        return ""
    return next((name for name in names if name not in _NOT_NAMES and _BARE_NAME.fullmatch(name)), "")


def _pieces(root: LexborNode) -> Iterator[str]:
    """Text in document order. Iterative, because a page decides how deep it goes."""
    last = "\n"  # so that a line element at the start does not begin with an empty line
    count = 0
    #: Elements that are open; for a line element the number of pieces before it, else -1.
    stack: list[tuple[LexborNode, int]] = []
    node = root.child
    while node is not None or stack:
        text = ""
        if node is None:
            element, count_before = stack.pop()
            if count_before == count or (count_before >= 0 and not last.endswith("\n")):
                text = "\n"
            node = element.next
        elif node.is_element_node and node.tag != "br":
            if _is_dropped(node):
                node = node.next
                continue
            is_line = _is_line(node)
            if is_line and node.tag in _LINE_TAGS and not last.endswith("\n"):
                count, last = count + 1, "\n"
                yield last
            stack.append((node, count if is_line else -1))
            node = node.child
        else:
            text = "\n" if node.is_element_node else _text(node, root)
            node = node.next
        if text:
            count, last = count + 1, text
            yield text


def _text(node: LexborNode, root: LexborNode) -> str:
    text = (node.text_content or "") if node.is_text_node else ""
    parent = node.parent
    if text.strip() or parent is None:
        return text
    is_between_lines = parent.tag in _TABLE_TAGS or (root.tag == "div" and parent.mem_id == root.mem_id)
    return "" if is_between_lines else text


def _is_dropped(node: LexborNode) -> bool:
    tag = node.tag or ""
    if tag in ("script", "style", "template", "button"):
        return True
    attributes = node.attributes
    if not attributes:
        return False
    # Prism marks the code itself, not the numbers, with the class `line-numbers`.
    names = attributes.get("class") if tag not in ("code", "pre") else ""
    if attributes.get("aria-hidden") == "true" and tag not in ("code", "pre"):
        return True
    return bool(names and not _GUTTERS.isdisjoint(names.split())) or is_hidden(tag, attributes)


def _is_line(node: LexborNode) -> bool:
    """Whether a line ends with this element: it is a block, or one of several line elements set end to end."""
    if node.tag in _LINE_TAGS:
        return True
    names = node.attributes.get("class")
    if not names or _LINE_CLASSES.isdisjoint(names.split()):
        return False
    neighbour = node.next or node.prev
    return neighbour is not None and neighbour.is_element_node and neighbour.tag == node.tag
