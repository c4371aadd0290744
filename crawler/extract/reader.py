"""HTML to blocks: what a page shows, with everything else left out and every limit in force.

The walk is iterative, and lists, quotes and tables nest only `MAX_NESTING` deep: the work is linear in the size of the
page, and what comes after may recurse. Deeper down the text is kept and the form is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ada_url
from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler.extract.blocks import Align, Block, Break, Code, Image, Mark, MarkName, Math, Rule
from crawler.extract.code_block import CODE_CELLS, language_of, read_code
from crawler.extract.grid import MAX_COLSPAN, MAX_ROWSPAN
from crawler.extract.outline import Outline
from crawler.extract.selection import Selection

#: Longest URL that is written out.
MAX_URL_CHARS = 8192

#: Not shown, or not text.
DROPPED = frozenset([
    "script", "style", "template", "noscript", "head", "title", "iframe", "object", "embed", "canvas", "noembed",
    "noframes", "datalist", "col", "colgroup", "desc", "defs", "metadata",
])  # fmt: skip
MARKS: Mapping[str, MarkName] = {
    "em": "em",
    "i": "em",
    "strong": "strong",
    "b": "strong",
    "del": "del",
    "s": "del",
    "strike": "del",
    "code": "code",
    "kbd": "code",
    "samp": "code",
    "tt": "code",
    "sup": "sup",
    "sub": "sub",
}
HEADINGS: Mapping[str, int] = {f"h{level}": level for level in range(1, 7)}
CODE_BLOCKS = frozenset(["pre", "listing", "xmp", "plaintext"])
#: Blocks without a form of their own in Markdown: they only end the text before them.
CONTAINERS = frozenset([
    "address", "article", "aside", "body", "caption", "center", "details", "dialog", "div", "fieldset", "figcaption",
    "figure", "footer", "form", "header", "hgroup", "legend", "main", "nav", "optgroup", "search", "section", "tbody",
    "tfoot", "thead",
])  # fmt: skip
#: Inline, but never glued to their neighbours on the screen.
SPACED = frozenset(["button", "option", "rt", "select", "textarea"])
#: Schemes of links that lead nowhere outside the page.
DEAD_SCHEMES = ("javascript:", "data:", "vbscript:", "about:", "blob:")

_HIDING_STYLE = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_ALIGN_STYLE = re.compile(r"text-align\s*:\s*(left|center|right)", re.IGNORECASE)

Attributes = Mapping[str, str | None]
Leave = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Reading:
    """The blocks of a page, and how many words they show."""

    blocks: list[Block]
    words: int


def read_blocks(selection: Selection, base_url: str, *, links: bool = True, images: bool = True) -> Reading:
    """Read what is selected. `base_url` is the document base URL, which links and images are resolved against.

    Without `links` their text stays, without `images` nothing of them.
    """
    outline = Outline()
    reader = _Reader(outline, base_url, selection, links=links, images=images)
    for root in selection.roots:
        _walk(root, reader, outline)
    return Reading(outline.finish(), outline.words)


def _walk(root: LexborNode, reader: _Reader, outline: Outline) -> None:
    """The element `root` and what is in it. That it is hidden does not matter: scripts may show a body later."""
    leave = reader.read(root, root.attributes)
    if leave is None:
        return
    stack = [(root, leave)]
    node = root.child
    while stack:
        if node is None:
            element, leave = stack.pop()
            leave()
            node = element.next if stack else None
        elif node.is_text_node:
            outline.add_text(node.text_content or "")
            node = node.next
        elif node.is_element_node and (entered := reader.enter(node)) is not None:
            stack.append((node, entered))
            node = node.child
        else:
            node = node.next


class _Reader:
    """What each element means. `enter` says what to do at the element's end, or None to leave its content out."""

    def __init__(
        self, outline: Outline, base_url: str, selection: Selection, *, links: bool, images: bool
    ) -> None:
        self._outline = outline
        self._base_url = base_url
        self._code_tables = _code_tables(selection.tree)
        self._dropped = selection.dropped
        self._forms: Mapping[str, Callable[[LexborNode, Attributes], Leave | None]] = {
            "p": lambda node, attributes: outline.start_paragraph(),
            **dict.fromkeys(HEADINGS, self._enter_heading),
            "ul": lambda node, attributes: outline.start_list(None),
            "menu": lambda node, attributes: outline.start_list(None),
            "dir": lambda node, attributes: outline.start_list(None),
            "ol": self._enter_ordered_list,
            "li": lambda node, attributes: outline.start_item(),
            "blockquote": lambda node, attributes: outline.start_quote(),
            "table": self._enter_table,
            "tr": self._enter_row,
            "td": self._enter_cell,
            "th": self._enter_cell,
            "dl": lambda node, attributes: outline.start_definitions(),
            "dt": lambda node, attributes: outline.start_definition(is_term=True),
            "dd": lambda node, attributes: outline.start_definition(is_term=False),
            "summary": self._enter_summary,
            "a": self._enter_link,
            "img": self._enter_image,
            "br": self._enter_break,
            "hr": self._enter_rule,
            "input": self._enter_input,
            "math": self._enter_math,
            "video": self._enter_media,
            "audio": self._enter_media,
            **dict.fromkeys(MARKS, self._enter_mark),
            **dict.fromkeys(CONTAINERS, self._enter_container),
            **dict.fromkeys(SPACED, self._enter_spaced),
            **dict.fromkeys(CODE_BLOCKS, self._enter_code),
            **({} if links else dict.fromkeys(["a", "video", "audio"], self._enter_nothing)),
            **({} if images else {"img": self._enter_unwanted}),
        }

    def enter(self, node: LexborNode) -> Leave | None:
        tag = node.tag or ""
        if tag in DROPPED:
            return None
        attributes = node.attributes
        if (attributes or tag == "dialog") and _is_hidden(tag, attributes):
            return None
        if self._dropped and node.mem_id in self._dropped:
            return None
        form = self._forms.get(tag)
        return _nothing if form is None else form(node, attributes)

    def read(self, root: LexborNode, attributes: Attributes) -> Leave | None:
        """Enter an element that was chosen: only what is no text at all is left out."""
        tag = root.tag or ""
        if tag in DROPPED or root.mem_id in self._dropped:
            return None
        form = self._forms.get(tag)
        return _nothing if form is None else form(root, attributes)

    def _enter_nothing(self, node: LexborNode, attributes: Attributes) -> Leave:
        return _nothing

    def _enter_unwanted(self, node: LexborNode, attributes: Attributes) -> None:
        """An image, where none is wanted."""

    def _enter_mark(self, node: LexborNode, attributes: Attributes) -> Leave:
        return self._outline.start_mark(Mark(MARKS[node.tag or ""]))

    def _enter_heading(self, node: LexborNode, attributes: Attributes) -> Leave:
        return self._outline.start_heading(HEADINGS[node.tag or ""])

    def _enter_container(self, node: LexborNode, attributes: Attributes) -> Leave:
        self._outline.end_text()
        return self._outline.end_text

    def _enter_spaced(self, node: LexborNode, attributes: Attributes) -> Leave:
        self._outline.add_text(" ")
        return lambda: self._outline.add_text(" ")

    def _enter_code(self, node: LexborNode, attributes: Attributes) -> None:
        self._outline.add_block(Code(read_code(node), language_of(node)))

    def _enter_rule(self, node: LexborNode, attributes: Attributes) -> None:
        self._outline.add_block(Rule())

    def _enter_break(self, node: LexborNode, attributes: Attributes) -> None:
        self._outline.add(Break())

    def _enter_summary(self, node: LexborNode, attributes: Attributes) -> Leave:
        self._outline.end_text()
        end_mark = self._outline.start_mark(Mark("strong"))

        def end() -> None:
            end_mark()
            self._outline.end_text()

        return end

    def _enter_link(self, node: LexborNode, attributes: Attributes) -> Leave:
        href = self._resolve(attributes.get("href"))
        if href is None:
            return _nothing
        mark = Mark("a", href, attributes.get("title") or "")
        return self._outline.start_mark(mark, label=attributes.get("aria-label") or "")

    def _enter_media(self, node: LexborNode, attributes: Attributes) -> Leave:
        """A film or a sound is a link; its content is what stands for it elsewhere."""
        written = attributes.get("src")
        child = node.child
        while child is not None and not written:
            written = child.attributes.get("src") if child.tag == "source" else None
            child = child.next
        href = self._resolve(written)
        return self._outline.start_mark(Mark("a", href)) if href else _nothing

    def _enter_image(self, node: LexborNode, attributes: Attributes) -> None:
        written = attributes.get("src") or ""
        if not written or written.startswith("data:"):
            # Pages that load images late keep the address elsewhere until then.
            written = attributes.get("data-src") or (attributes.get("srcset") or "").strip().split(" ")[0]
        alt = attributes.get("alt") or ""
        source = self._resolve(written) if written else None
        if source is not None:
            self._outline.add(Image(source, alt, attributes.get("title") or ""))
        else:
            self._outline.add_text(alt)

    def _enter_input(self, node: LexborNode, attributes: Attributes) -> None:
        if (attributes.get("type") or "").lower() == "checkbox":
            self._outline.add_checkbox(is_checked="checked" in attributes)

    def _enter_math(self, node: LexborNode, attributes: Attributes) -> Leave | None:
        tex = _tex(node, attributes)
        if not tex:
            return _nothing
        self._outline.add(Math(tex))
        return None

    def _enter_ordered_list(self, node: LexborNode, attributes: Attributes) -> Leave:
        return self._outline.start_list(_number(attributes.get("start"), 1, 0, 999_999_999))

    def _enter_row(self, node: LexborNode, attributes: Attributes) -> Leave:
        parent = node.parent
        return self._outline.start_row(is_head=parent is not None and parent.tag == "thead")

    def _enter_cell(self, node: LexborNode, attributes: Attributes) -> Leave:
        return self._outline.start_cell(
            is_header=node.tag == "th",
            colspan=_number(attributes.get("colspan"), 1, 1, MAX_COLSPAN),
            rowspan=_number(attributes.get("rowspan"), 1, 1, MAX_ROWSPAN),
            align=_align(attributes),
        )

    def _enter_table(self, node: LexborNode, attributes: Attributes) -> Leave | None:
        if node.mem_id in self._code_tables:
            self._outline.add_block(Code(read_code(node), language_of(node)))
            return None
        return self._outline.start_table(is_presentation=attributes.get("role") in ("presentation", "none"))

    def _resolve(self, reference: str | None) -> str | None:
        """An absolute URL, fragment included; None for what is no address of anything."""
        if reference is None or len(reference) > MAX_URL_CHARS:
            return None
        try:
            url = ada_url.join_url(self._base_url, reference)
        except ValueError:
            return None
        return None if url.startswith(DEAD_SCHEMES) else url


def _code_tables(tree: LexborHTMLParser) -> frozenset[int]:
    """The tables that set line numbers next to lines of code. One search for all: one per table would be quadratic."""
    tables: set[int] = set()
    for cell in tree.css(CODE_CELLS):
        parent = cell.parent
        while parent is not None and parent.tag != "table":
            parent = parent.parent
        if parent is not None:
            tables.add(parent.mem_id)
    return frozenset(tables)


def _nothing() -> None:
    """What ends with an element that has no form: nothing."""


def _is_hidden(tag: str, attributes: Attributes) -> bool:
    if "hidden" in attributes and (attributes["hidden"] or "").lower() != "until-found":
        return True
    if (style := attributes.get("style")) and _HIDING_STYLE.search(style):
        return True
    if tag == "dialog":
        return "open" not in attributes
    # KaTeX shows a formula twice: as MathML, which is read, and as boxes.
    return attributes.get("class") == "katex-html"


def _tex(node: LexborNode, attributes: Attributes) -> str:
    """The TeX that a formula carries next to its MathML."""
    annotation = node.css_first('annotation[encoding="application/x-tex"]')
    tex = (annotation.text() if annotation is not None else "") or attributes.get("alttext") or ""
    return " ".join(tex.split())


def _number(text: str | None, default: int, least: int, most: int) -> int:
    """A non-negative integer as HTML reads it."""
    match = re.match(r"\s*\+?([0-9]{1,12})", text or "")
    return max(least, min(most, int(match.group(1)))) if match else default


def _align(attributes: Attributes) -> Align:
    match = _ALIGN_STYLE.search(attributes.get("style") or "")
    match (match.group(1) if match else attributes.get("align") or "").lower():
        case "left":
            return "left"
        case "center":
            return "center"
        case "right":
            return "right"
    return ""
