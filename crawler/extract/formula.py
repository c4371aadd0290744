"""Formulas as TeX: what a page carries next to its MathML, else made from the MathML itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from selectolax.lexbor import LexborHTMLParser, LexborNode

#: Deeper in a formula there is text only.
MAX_DEPTH = 30

_ANNOTATION = 'annotation[encoding="application/x-tex"], annotation[encoding="TeX"]'
#: Images whose text alternative is TeX: WordPress, Sphinx; those of MediaWiki have longer names.
_TEX_IMAGES = frozenset(["latex", "tex", "math"])
_MEDIAWIKI_IMAGE = "mwe-math-fallback-image"
#: Elements whose text is TeX until a script has run: Sphinx, pandoc, Markdown with Arithmatex.
_TEX_ELEMENTS = "span.math, div.math, span.arithmatex, div.arithmatex"
_INLINE = re.compile(r"\s*\\\((.+)\\\)\s*", re.DOTALL)
_DISPLAY = re.compile(r"\s*(?:\\\[(.+)\\\]|\$\$(.+)\$\$)\s*", re.DOTALL)
#: Operators that are not seen: function application, invisible times, separator and plus.
_INVISIBLE = str.maketrans("", "", "\u2061\u2062\u2063\u2064\u200b")
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "#$%&_{}"})
_ACCENTS: Mapping[str, str] = {
    "¯": "\\overline", "‾": "\\overline", "^": "\\hat", "ˆ": "\\hat", "~": "\\tilde", "˜": "\\tilde",
    "→": "\\vec", "⃗": "\\vec", "˙": "\\dot", "¨": "\\ddot",
}  # fmt: skip
#: Elements of a fixed number of parts.
_FORMS: Mapping[tuple[str, int], str] = {
    ("mfrac", 2): "\\frac{{{0}}}{{{1}}}",
    ("mroot", 2): "\\sqrt[{1}]{{{0}}}",
    ("msub", 2): "{base}_{{{1}}}",
    ("munder", 2): "{base}_{{{1}}}",
    ("msup", 2): "{base}^{{{1}}}",
    ("mover", 2): "{base}^{{{1}}}",
    ("msubsup", 3): "{base}_{{{1}}}^{{{2}}}",
    ("munderover", 3): "{base}_{{{1}}}^{{{2}}}",
}
#: Elements of any number of parts: what stands before, between and after them.
_ROWS: Mapping[str, tuple[str, str, str]] = {
    "msqrt": ("\\sqrt{", "", "}"),
    "mfenced": ("(", ", ", ")"),
    "mtr": ("", " & ", ""),
    "mlabeledtr": ("", " & ", ""),
    "mtable": ("\\begin{matrix} ", " \\\\ ", " \\end{matrix}"),
}


def tex_of(node: LexborNode) -> str:
    """TeX of a `math` element, in one line; empty for an empty one."""
    annotation = node.css_first(_ANNOTATION)
    tex = (annotation.text() if annotation is not None else "") or node.attributes.get("alttext") or ""
    return _one_line(tex or _write(node, MAX_DEPTH))


def tex_of_script(node: LexborNode) -> str:
    """TeX that MathJax 2 keeps in a script; empty for other scripts."""
    kind = (node.attributes.get("type") or "").lower()
    return _one_line(node.text()) if kind.startswith("math/tex") else ""


def tex_elements(tree: LexborHTMLParser) -> frozenset[int]:
    """Ids of the elements that `tex_of_element` is for."""
    return frozenset(node.mem_id for node in tree.css(_TEX_ELEMENTS))


def tex_of_element(node: LexborNode) -> tuple[str, bool]:
    """TeX that is the text of an element, and whether it stands on a line of its own; empty for any other text."""
    text = node.text()
    if match := _INLINE.fullmatch(text):
        return _one_line(match[1]), False
    if match := _DISPLAY.fullmatch(text):
        return _one_line(match[1] or match[2]), True
    return "", False


def tex_of_image(attributes: Mapping[str, str | None]) -> str:
    """TeX that an image shows; empty for other images."""
    names = attributes.get("class")
    if names and (not _TEX_IMAGES.isdisjoint(names.split()) or _MEDIAWIKI_IMAGE in names):
        return _one_line(attributes.get("alt") or "")
    return ""


def is_display_formula(attributes: Mapping[str, str | None]) -> bool:
    """Whether a formula (element, script or image) stands on a line of its own."""
    return (
        attributes.get("display") == "block"
        or "mode=display" in (attributes.get("type") or "")
        or f"{_MEDIAWIKI_IMAGE}-display" in (attributes.get("class") or "")
    )


def _one_line(tex: str) -> str:
    return " ".join(tex.split())


def _write(node: LexborNode, levels: int) -> str:
    """Presentation MathML (MathML Core, 3) as TeX."""
    if levels == 0:
        return _leaf(node)
    tag = node.tag or ""
    if tag in ("mi", "mn", "mo", "ms", "mtext"):
        return _named(tag, _leaf(node))
    if tag == "mspace":
        return " "
    if tag in ("annotation", "annotation-xml", "mphantom", "none", "mprescripts"):
        return ""
    parts = [_write(child, levels - 1) for child in node.iter(include_text=False)]
    return _composed(tag, parts)


def _composed(tag: str, parts: list[str]) -> str:
    if tag == "mover" and parts[1:2] and parts[1] in _ACCENTS:
        return f"{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    if form := _FORMS.get((tag, len(parts))):
        return form.format(*parts, base=_group(parts[0]))
    before, between, after = _ROWS.get(tag, ("", "", ""))
    return before + between.join(parts) + after


def _leaf(node: LexborNode) -> str:
    return " ".join(node.text().translate(_INVISIBLE).split()).translate(_SPECIAL)


def _named(tag: str, text: str) -> str:
    if tag == "mtext" and text:
        return f"\\text{{{text}}}"
    is_name = tag == "mi" and len(text) > 1 and text.isalpha()
    return f"\\mathrm{{{text}}}" if is_name else text


def _group(tex: str) -> str:
    return tex if len(tex) == 1 else f"{{{tex}}}"
