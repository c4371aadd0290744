"""HTML to blocks: what a page shows, with everything else left out and every limit in force.

The walk is iterative, and lists, quotes and tables nest only `MAX_NESTING` deep: the work is linear in the size of the
page, and what comes after may recurse. Deeper down the text is kept and the form is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import ada_url
from selectolax.lexbor import LexborNode

from crawler.extract.attributes import Attributes, align_of, number_of
from crawler.extract.blocks import Block, Break, Code, Image, Mark, Math, Rule
from crawler.extract.code_block import code_blocks, language_of, read_code
from crawler.extract.elements import CODE_BLOCKS, CONTAINERS, DROPPED, HEADINGS, MARKS, QUOTED, SPACED
from crawler.extract.formula import (
    is_display_formula,
    tex_elements,
    tex_of,
    tex_of_element,
    tex_of_image,
    tex_of_script,
)
from crawler.extract.grid import MAX_COLSPAN, MAX_ROWSPAN
from crawler.extract.lists import Items
from crawler.extract.outline import Outline
from crawler.extract.pictures import address_of
from crawler.extract.selection import Selection
from crawler.extract.visibility import is_hidden, is_ornament, is_permalink

#: Longest URL that is written out.
MAX_URL_CHARS = 8192

#: Schemes of links that lead nowhere outside the page.
DEAD_SCHEMES = ("javascript:", "data:", "vbscript:", "about:", "blob:")

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
        self._code_blocks = code_blocks(selection.tree)
        self._dropped = selection.dropped
        self._tex_elements = tex_elements(selection.tree)
        self._is_behind = False
        self._forms: Mapping[str, Callable[[LexborNode, Attributes], Leave | None]] = {
            "p": lambda node, attributes: outline.start_paragraph(),
            **dict.fromkeys(HEADINGS, self._enter_heading),
            "ul": lambda node, attributes: outline.start_list(Items(is_ordered=False)),
            "menu": lambda node, attributes: outline.start_list(Items(is_ordered=False)),
            "dir": lambda node, attributes: outline.start_list(Items(is_ordered=False)),
            "ol": self._enter_ordered_list,
            "li": lambda node, attributes: outline.start_item(number_of(attributes.get("value"))),
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
            "script": self._enter_script,
            "video": self._enter_media,
            "audio": self._enter_media,
            **dict.fromkeys(MARKS, self._enter_mark),
            **dict.fromkeys(CONTAINERS, self._enter_container),
            **dict.fromkeys(SPACED, self._enter_spaced),
            **dict.fromkeys(QUOTED, self._enter_quoted),
            **dict.fromkeys(CODE_BLOCKS, self._enter_code),
            **({} if links else dict.fromkeys(["a", "video", "audio"], self._enter_nothing)),
            **({} if images else {"img": self._enter_unwanted}),
        }

    def enter(self, node: LexborNode) -> Leave | None:
        tag = node.tag or ""
        if tag in DROPPED:
            return None
        attributes = node.attributes
        if (attributes or tag == "dialog") and is_hidden(tag, attributes):
            return None
        if self._dropped and node.mem_id in self._dropped:
            return None
        if attributes.get("aria-hidden") == "true" and not self._is_behind:
            return None if is_ornament(node, tag) else self._enter_background(node, attributes)
        if self._tex_elements and node.mem_id in self._tex_elements and self._read_tex(node):
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

    def _enter_background(self, node: LexborNode, attributes: Attributes) -> Leave | None:
        """A page behind a dialog. No ornament is looked for in it: each search would go through all of it."""
        form = self._forms.get(node.tag or "")
        leave = _nothing if form is None else form(node, attributes)
        if leave is None:
            return None
        self._is_behind = True

        def end() -> None:
            self._is_behind = False
            leave()

        return end

    def _enter_nothing(self, node: LexborNode, attributes: Attributes) -> Leave:
        return _nothing

    def _enter_unwanted(self, node: LexborNode, attributes: Attributes) -> None:
        """An image, where none is wanted."""

    def _enter_mark(self, node: LexborNode, attributes: Attributes) -> Leave:
        return self._outline.start_mark(Mark(MARKS[node.tag or ""]))

    def _enter_heading(self, node: LexborNode, attributes: Attributes) -> Leave:
        return self._outline.start_heading(HEADINGS[node.tag or ""])

    def _enter_container(self, node: LexborNode, attributes: Attributes) -> Leave | None:
        if self._code_blocks and node.mem_id in self._code_blocks:
            self._enter_code(node, attributes)
            return None
        self._outline.end_text()
        return self._outline.end_text

    def _enter_spaced(self, node: LexborNode, attributes: Attributes) -> Leave:
        self._outline.add_text(" ")
        return lambda: self._outline.add_text(" ")

    def _enter_quoted(self, node: LexborNode, attributes: Attributes) -> Leave:
        before, after = QUOTED[node.tag or ""]
        self._outline.add_text(before)
        return lambda: self._outline.add_text(after)

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

    def _enter_link(self, node: LexborNode, attributes: Attributes) -> Leave | None:
        written = attributes.get("href")
        href = self._resolve(written)
        if href is None:
            return _nothing
        label = attributes.get("aria-label") or ""
        if written and written.startswith("#"):
            if is_permalink(node, attributes):
                return None
            label = ""
        return self._outline.start_mark(Mark("a", href, attributes.get("title") or ""), label=label)

    def _enter_media(self, node: LexborNode, attributes: Attributes) -> Leave:
        """A film or a sound is a link; its content is what stands for it elsewhere."""
        written = attributes.get("src")
        child = node.child
        while child is not None and not written:
            written = child.attributes.get("src") if child.tag == "source" else None
            child = child.next
        href = self._resolve(written)
        if not href:
            return _nothing
        name = unquote(urlsplit(href).path.rpartition("/")[2])
        label = attributes.get("title") or attributes.get("aria-label") or name or node.tag or ""
        return self._outline.start_mark(Mark("a", href), label=label)

    def _enter_image(self, node: LexborNode, attributes: Attributes) -> None:
        if tex := tex_of_image(attributes):
            self._add_formula(tex, is_display_formula(attributes))
            return
        written = address_of(node, attributes)
        alt = attributes.get("alt") or ""
        source = self._resolve(written) if written else None
        if source is not None:
            self._outline.add(Image(source, alt, attributes.get("title") or ""))
        else:
            self._outline.add_text(alt)

    def _enter_input(self, node: LexborNode, attributes: Attributes) -> Leave:
        if (attributes.get("type") or "").lower() == "checkbox":
            self._outline.add_checkbox(is_checked="checked" in attributes)
        # In a drawing it is no void element.
        return _nothing

    def _enter_math(self, node: LexborNode, attributes: Attributes) -> None:
        if tex := tex_of(node):
            self._add_formula(tex, is_display_formula(attributes))

    def _enter_script(self, node: LexborNode, attributes: Attributes) -> None:
        if tex := tex_of_script(node):
            self._add_formula(tex, is_display_formula(attributes))

    def _read_tex(self, node: LexborNode) -> bool:
        tex, is_display = tex_of_element(node)
        if tex:
            self._add_formula(tex, is_display)
        return bool(tex)

    def _add_formula(self, tex: str, is_display: bool) -> None:
        if is_display:
            self._outline.end_text()
        self._outline.add(Math(tex, is_display))
        if is_display:
            self._outline.end_text()

    def _enter_ordered_list(self, node: LexborNode, attributes: Attributes) -> Leave:
        start = number_of(attributes.get("start"))
        return self._outline.start_list(Items(True, start, is_reversed="reversed" in attributes))

    def _enter_row(self, node: LexborNode, attributes: Attributes) -> Leave:
        parent = node.parent
        section = "" if parent is None else parent.tag or ""
        return self._outline.start_row(section, 0 if parent is None else parent.mem_id)

    def _enter_cell(self, node: LexborNode, attributes: Attributes) -> Leave:
        rowspan = number_of(attributes.get("rowspan"))
        return self._outline.start_cell(
            is_header=node.tag == "th",
            colspan=min(number_of(attributes.get("colspan")) or 1, MAX_COLSPAN),
            # 0: as far as the rows go.
            rowspan=min(MAX_ROWSPAN if rowspan == 0 else rowspan or 1, MAX_ROWSPAN),
            align=align_of(attributes),
        )

    def _enter_table(self, node: LexborNode, attributes: Attributes) -> Leave | None:
        if node.mem_id in self._code_blocks:
            self._enter_code(node, attributes)
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


def _nothing() -> None:
    """What ends with an element that has no form: nothing."""
